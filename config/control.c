#include "config/control.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <qb/qbdefs.h>
#include <qb/qbipcs.h>
#include <qb/qblist.h>
#include <qb/qblog.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ADMINISTRATORS = 64 };

struct control {
    qb_ipcs_service_t *service;
    const struct control_handlers *handlers;
    void *context;
    bool readers;
    uid_t users[ADMINISTRATORS]; /* members of the administrators' groups */
    gid_t groups[2];
    unsigned user_count, group_count, client_count;
    struct qb_list_head calls; /* not yet replied */
};

struct control_client {
    struct control *control;
    qb_ipcs_connection_t *connection;
    uid_t uid;
    bool administrator;
    struct control_call *call; /* the one that is being carried out, or NULL */
    char *reply;               /* text of which parts are still to be fetched, or NULL */
    size_t length, sent;
};

struct control_call {
    struct qb_list_head link;
    struct control *control;       /* NULL: the socket was closed */
    struct control_client *client; /* NULL: nobody waits */
    void *context;
    uid_t uid;
};

/* libqb's poll handlers are given no context, so the loop has to be found without one. */
static qb_loop_t *control_loop;

static int32_t job_add(enum qb_loop_priority priority, void *data, qb_loop_job_dispatch_fn function)
{
    return qb_loop_job_add(control_loop, priority, data, function);
}

static int32_t dispatch_add(enum qb_loop_priority priority, int32_t fd, int32_t events, void *data,
                            qb_ipcs_dispatch_fn_t function)
{
    return qb_loop_poll_add(control_loop, priority, fd, events, data, function);
}

static int32_t dispatch_mod(enum qb_loop_priority priority, int32_t fd, int32_t events, void *data,
                            qb_ipcs_dispatch_fn_t function)
{
    return qb_loop_poll_mod(control_loop, priority, fd, events, data, function);
}

static int32_t dispatch_del(int32_t fd)
{
    return qb_loop_poll_del(control_loop, fd);
}

static bool is_administrator(const struct control *control, uid_t uid, gid_t gid)
{
    if (!uid || uid == geteuid())
        return true;
    for (unsigned i = 0; i < control->user_count; i++)
        if (control->users[i] == uid)
            return true;
    for (unsigned i = 0; i < control->group_count; i++)
        if (control->groups[i] == gid)
            return true;
    return false;
}

/* At start and never again: user databases may be far away, and the control thread must not wait.
 */
static void find_administrators(struct control *control)
{
    static const char *const names[] = {"haclient", "halun"};

    for (unsigned i = 0; i < 2; i++) {
        const struct group *group = getgrnam(names[i]);
        char **members;

        if (!group)
            continue;
        control->groups[control->group_count++] = group->gr_gid;
        for (members = group->gr_mem; *members && control->user_count < ADMINISTRATORS; members++) {
            const struct passwd *user = getpwnam(*members);
            if (user)
                control->users[control->user_count++] = user->pw_uid;
        }
    }
}

static void send_frame(struct control_client *client, int id, const char *text, size_t length)
{
    struct qb_ipc_response_header header = {
        .id = id, .size = (int32_t)(sizeof header + length), .error = 0};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)text, length}};

    /* There is room: one reply for one request, and none is longer than the ring. A client that
     * asks without reading gets nothing. (Not disconnected: libqb goes on with the connection after
     * us.) */
    (void)qb_ipcs_response_sendv(client->connection, parts, length ? 2 : 1);
}

static void send_part(struct control_client *client)
{
    const size_t room = CONTROL_MESSAGE - 4096;
    size_t left = client->length - client->sent, n = left < room ? left : room;
    const char *from = client->reply + client->sent;
    char *done = NULL;

    client->sent += n;
    if (client->sent == client->length) {
        done = client->reply;
        client->reply = NULL;
    }
    send_frame(client, done ? CONTROL_LAST : CONTROL_PART, from, n);
    free(done);
}

/* Takes `answer` over. */
static void answer(struct control_client *client, json_t *reply)
{
    free(client->reply);
    client->reply = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
    json_decref(reply);
    if (!client->reply) { /* out of memory, or a handler's text was not UTF-8 */
        static const char failed[] =
            "{\"error\":{\"code\":1,\"text\":\"reply cannot be written\"}}";
        send_frame(client, CONTROL_LAST, failed, sizeof failed - 1);
        return;
    }
    client->length = strlen(client->reply);
    client->sent = 0;
    send_part(client);
}

static json_t *make_error(enum control_code code, const char *text)
{
    return json_pack("{s:{s:i,s:s}}", "error", "code", (int)code, "text", text);
}

static void finish(struct control_call *call, json_t *reply)
{
    struct control_client *client = call->client;

    if (call->control)
        qb_list_del(&call->link);
    if (client) {
        client->call = NULL;
        answer(client, reply);
    } else {
        json_decref(reply);
    }
    free(call);
}

void control_reply(struct control_call *call, json_t *result)
{
    finish(call, json_pack("{s:o}", "result", result ? result : json_object()));
}

void control_fail(struct control_call *call, enum control_code code, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    finish(call, make_error(code, text));
}

void *control_context(const struct control_call *call)
{
    return call->context;
}

uid_t control_uid(const struct control_call *call)
{
    return call->uid;
}

bool control_abandoned(const struct control_call *call)
{
    return !call->client;
}

static control_handler *handler_of(const struct control *control, const char *name,
                                   const struct control_method **method)
{
    const struct control_handlers *handlers = control->handlers;
    control_handler *const found[] = {
#define METHOD(id, name_, right, arguments, help) handlers->id,
#include "config/methods.def"
#undef METHOD
    };

    for (unsigned i = 0; i < control_method_count; i++)
        if (!strcmp(control_methods[i].name, name)) {
            *method = &control_methods[i];
            return found[i];
        }
    *method = NULL;
    return NULL;
}

static void call_method(struct control_client *client, json_t *request)
{
    struct control *control = client->control;
    json_t *arguments = json_object_get(request, "arguments");
    const char *name = json_string_value(json_object_get(request, "method"));
    const struct control_method *method;
    control_handler *handler;
    struct control_call *call;
    char why[160];

    if (!name) {
        answer(client, make_error(CONTROL_USAGE, "request has no method"));
        return;
    }
    handler = handler_of(control, name, &method);
    if (!method) {
        answer(client, make_error(CONTROL_USAGE, "unknown method"));
        return;
    }
    if (method->administrator ? !client->administrator
                              : !client->administrator && !control->readers) {
        answer(client, make_error(CONTROL_REFUSED, "not permitted"));
        return;
    }
    if (!control_check_arguments(method->arguments, arguments, why)) {
        answer(client, make_error(CONTROL_USAGE, why));
        return;
    }
    call = handler ? calloc(1, sizeof *call) : NULL;
    if (!call) {
        answer(client, make_error(CONTROL_REFUSED, "this daemon does not offer that"));
        return;
    }
    if (method->administrator)
        qb_log(LOG_NOTICE, "control: uid %u asks for %s", (unsigned)client->uid, name);
    call->control = control;
    call->client = client;
    call->context = control->context;
    call->uid = client->uid;
    client->call = call;
    qb_list_add_tail(&call->link, &control->calls);
    if (arguments)
        json_incref(arguments);
    else
        arguments = json_object();
    handler(call, arguments); /* from here on `call` and `client` may be gone */
    json_decref(arguments);
}

static int32_t accept_client(qb_ipcs_connection_t *connection, uid_t uid, gid_t gid)
{
    struct control *control = qb_ipcs_connection_service_context_get(connection);
    bool administrator = is_administrator(control, uid, gid);
    struct control_client *client;

    if (!administrator && !control->readers)
        return -EACCES;
    if (control->client_count >= CONTROL_CLIENTS)
        return -EMFILE;
    client = calloc(1, sizeof *client);
    if (!client)
        return -ENOMEM;
    client->control = control;
    client->connection = connection;
    client->uid = uid;
    client->administrator = administrator;
    control->client_count++;
    qb_ipcs_context_set(connection, client);
    return 0;
}

static int32_t process(qb_ipcs_connection_t *connection, void *data, size_t size)
{
    struct control_client *client = qb_ipcs_context_get(connection);
    struct qb_ipc_request_header header = {0};
    json_t *request;

    /* The ring is shared with the client, and aligned to 4 bytes only: the header is copied, the
     * text is read once. `size` is what the client says; libqb maps its ring twice, so that reading
     * as far as CONTROL_MESSAGE is inside of it. */
    if (size >= sizeof header)
        memcpy(&header, data, sizeof header);
    if (header.id == CONTROL_MORE && client->reply) {
        send_part(client);
        return 0;
    }
    if (size > CONTROL_MESSAGE || header.id != CONTROL_CALL || client->call) {
        static const char broken[] = "{\"error\":{\"code\":2,\"text\":\"broken frame\"}}";
        send_frame(client, CONTROL_LAST, broken, sizeof broken - 1);
        return 0;
    }
    request = json_loadb((const char *)data + sizeof header, size - sizeof header,
                         JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(request))
        call_method(client, request);
    else
        answer(client, make_error(CONTROL_USAGE, "request is not a JSON object"));
    json_decref(request);
    return 0;
}

static int32_t client_closed(qb_ipcs_connection_t *connection)
{
    struct control_client *client = qb_ipcs_context_get(connection);

    if (client && client->call) {
        client->call->client = NULL;
        client->call = NULL;
    }
    return 0;
}

static void client_destroyed(qb_ipcs_connection_t *connection)
{
    struct control_client *client = qb_ipcs_context_get(connection);

    if (!client)
        return;
    client_closed(connection);
    client->control->client_count--;
    free(client->reply);
    free(client);
    qb_ipcs_context_set(connection, NULL);
}

int control_start(const struct control_options *options, struct control **control)
{
    static struct qb_ipcs_service_handlers service_handlers = {
        .connection_accept = accept_client,
        .msg_process = process,
        .connection_closed = client_closed,
        .connection_destroyed = client_destroyed,
    };
    static struct qb_ipcs_poll_handlers poll_handlers = {job_add, dispatch_add, dispatch_mod,
                                                         dispatch_del};
    struct control *new = calloc(1, sizeof *new);
    char name[CONTROL_NAME];
    int error;

    assert(!control_loop);
    if (!new)
        return -ENOMEM;
    new->handlers = options->handlers;
    new->context = options->context;
    new->readers = options->readers;
    qb_list_init(&new->calls);
    find_administrators(new);
    control_service_name(options->run_dir, name);
    new->service = qb_ipcs_create(name, 0, QB_IPC_SHM, &service_handlers);
    if (!new->service) {
        free(new);
        return -ENOMEM;
    }
    control_loop = options->loop;
    qb_ipcs_service_context_set(new->service, new);
    qb_ipcs_poll_handlers_set(new->service, &poll_handlers);
    qb_ipcs_enforce_buffer_size(new->service, CONTROL_MESSAGE);
    error = qb_ipcs_run(new->service);
    if (error < 0) { /* libqb has dropped its reference: there is nothing to destroy */
        control_loop = NULL;
        free(new);
        return error;
    }
    *control = new;
    return 0;
}

void control_stop(struct control *control)
{
    struct control_call *call, *next;

    if (!control)
        return;
    qb_list_for_each_entry_safe(call, next, &control->calls, link)
    {
        qb_list_del(&call->link);
        call->control = NULL;
    }
    qb_ipcs_destroy(control->service);
    control_loop = NULL;
    free(control);
}

void control_set_readers(struct control *control, bool readers)
{
    control->readers = readers;
}
