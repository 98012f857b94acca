/* halunctl's end of the control socket. */
#include <errno.h>
#include <qb/qbdefs.h>
#include <qb/qbipcc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "config/control.h"
#include "config/ctl.h"

struct ctl_client {
    qb_ipcc_connection_t *connection;
    char message[CONTROL_MESSAGE];
};

long ctl_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int ctl_error(int code, const char *format, ...)
{
    va_list arguments;

    fputs("halunctl: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return code;
}

int ctl_print_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

static int connect_daemon(struct ctl *ctl, bool quiet)
{
    char name[CONTROL_NAME];
    int code;

    if (ctl->client)
        return 0;
    ctl->client = calloc(1, sizeof *ctl->client);
    if (!ctl->client)
        return ctl_error(EXIT_FAILED, "out of memory");
    control_service_name(ctl->run_dir, name);
    errno = 0;
    ctl->client->connection = qb_ipcc_connect(name, CONTROL_MESSAGE);
    if (ctl->client->connection)
        return 0;
    code = errno;
    free(ctl->client);
    ctl->client = NULL;
    if (code == EACCES || code == EPERM)
        return quiet ? EXIT_REFUSED : ctl_error(EXIT_REFUSED, "not permitted");
    if (quiet)
        return EXIT_NOT_RUNNING;
    return ctl_error(EXIT_NOT_RUNNING, "halund does not run (%s: %s)", ctl->run_dir,
                     strerror(code));
}

void ctl_disconnect(struct ctl *ctl)
{
    if (!ctl->client)
        return;
    qb_ipcc_disconnect(ctl->client->connection);
    free(ctl->client);
    ctl->client = NULL;
}

static int send_frame(struct ctl_client *client, int id, const char *text, size_t length)
{
    struct qb_ipc_request_header header = {.id = id, .size = (int32_t)(sizeof header + length)};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)text, length}};
    ssize_t n;

    if (length > CONTROL_MESSAGE - 4096)
        return -EMSGSIZE;
    n = qb_ipcc_sendv(client->connection, parts, length ? 2 : 1);
    return n < 0 ? (int)n : 0;
}

/* Collects a reply. Returns 0 or -errno. */
static int receive(struct ctl_client *client, char **text, size_t *length)
{
    const struct qb_ipc_response_header *header = (const void *)client->message;

    *text = NULL;
    *length = 0;
    for (;;) {
        ssize_t n = qb_ipcc_recv(client->connection, client->message, sizeof client->message, -1);
        size_t body;
        char *more;

        if (n < (ssize_t)sizeof *header)
            return n < 0 ? (int)n : -EPROTO;
        body = (size_t)n - sizeof *header;
        more = realloc(*text, *length + body + 1);
        if (!more)
            return -ENOMEM;
        *text = more;
        memcpy(*text + *length, client->message + sizeof *header, body);
        *length += body;
        if (header->id == CONTROL_LAST)
            return 0;
        n = send_frame(client, CONTROL_MORE, NULL, 0);
        if (n < 0)
            return (int)n;
    }
}

static int take_reply(json_t *reply, json_t **result, bool quiet)
{
    json_t *error = json_object_get(reply, "error");
    int code = (int)json_integer_value(json_object_get(error, "code"));
    const char *text = json_string_value(json_object_get(error, "text"));

    *result = json_object_get(reply, "result");
    if (json_is_object(*result)) {
        json_incref(*result);
        return 0;
    }
    if (!text || code < CONTROL_FAILED || code > CONTROL_AGAIN)
        return ctl_error(EXIT_FAILED, "reply of the daemon is not understood");
    return quiet ? code : ctl_error(code, "%s", text);
}

int ctl_call(struct ctl *ctl, const char *method, json_t *arguments, json_t **result, bool quiet)
{
    json_t *request = json_pack("{s:s,s:o}", "method", method, "arguments",
                                arguments ? arguments : json_object());
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL, *reply_text = NULL;
    json_t *reply = NULL;
    size_t length = 0;
    int code;

    *result = NULL;
    json_decref(request);
    if (!text)
        return ctl_error(EXIT_USAGE, "argument is not UTF-8 text");
    code = connect_daemon(ctl, quiet);
    if (code) {
        free(text);
        return code;
    }
    code = send_frame(ctl->client, CONTROL_CALL, text, strlen(text));
    if (!code)
        code = receive(ctl->client, &reply_text, &length);
    free(text);
    if (code) {
        ctl_disconnect(ctl);
        free(reply_text);
        return quiet ? EXIT_NOT_RUNNING
                     : ctl_error(EXIT_NOT_RUNNING, "halund went away (%s)", strerror(-code));
    }
    reply = json_loadb(reply_text, length, 0, NULL);
    free(reply_text);
    code = take_reply(reply, result, quiet);
    json_decref(reply);
    return code;
}
