/* Requests to the daemons, as halunctl and the agents make them: the text of a request waits for the control
 * thread, the answer comes back after a while. Stands for config/control.c, which carries the same texts over
 * libqb's shared memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/node/node.h"
#include "tests/sim/world.h"

enum { EXEC_NS = 30 * SIM_MS }; /* a shell, halunctl, a connection */

struct request {
    struct request *next;
    struct host *host;
    unsigned start; /* of the daemon that has it */
    char method[48];
    char arguments[128];
    control_answer *answer;
    void *context;
    enum { ON_THE_WAY, WAITING, CARRIED_OUT, ANSWERED } state;
    int code;
    char *reply;
    struct sim_event event;
};

static struct request *requests;

void control_begin(void)
{
    while (requests) {
        struct request *next = requests->next;
        free(requests->reply);
        free(requests);
        requests = next;
    }
}

static void end(struct request *request, int code, const char *reply)
{
    request->state = ANSWERED;
    request->code = code;
    request->reply = strdup(reply ? reply : "");
    sim_at(&request->event, sim_now() + world_latency(EXEC_NS / 10));
}

static void on_event(struct sim_event *event)
{
    struct request *request = container_of(event, struct request, event), **at = &requests;

    if (request->state == ON_THE_WAY) {
        if (!request->host->running) {
            end(request, -1, "");
            return;
        }
        request->start = request->host->starts;
        request->state = WAITING;
        loop_ready(request->host);
        return;
    }
    while (*at != request)
        at = &(*at)->next;
    *at = request->next;
    request->answer(request->context, request->code, request->reply);
    free(request->reply);
    free(request);
}

void control_ask(struct host *host, const char *method, const char *arguments, control_answer *answer,
                 void *context)
{
    struct request *request = calloc(1, sizeof *request);

    request->host = host;
    snprintf(request->method, sizeof request->method, "%s", method);
    snprintf(request->arguments, sizeof request->arguments, "%s", arguments);
    request->answer = answer;
    request->context = context;
    request->event.run = on_event;
    request->next = requests;
    requests = request;
    sim_at(&request->event, sim_now() + world_latency(EXEC_NS));
}

void control_process_ended(struct host *host)
{
    for (struct request *r = requests; r; r = r->next)
        if (r->host == host && (r->state == WAITING || r->state == CARRIED_OUT))
            end(r, -1, "");
}

bool control_readable(const struct host *host)
{
    for (struct request *r = requests; r; r = r->next)
        if (r->host == host && r->state == WAITING)
            return true;
    return false;
}

/* ---- the module's side (node/control.c) ---- */

int world_control_open(void)
{
    return fd_new(current->host, FD_CONTROL, current->host);
}

void *world_control_next(const char **method, const char **arguments)
{
    struct request *first = NULL;

    for (struct request *r = requests; r; r = r->next)
        if (r->host == current->host && r->state == WAITING)
            first = r; /* the list has the newest first */
    if (!first)
        return NULL;
    first->state = CARRIED_OUT;
    *method = first->method;
    *arguments = first->arguments;
    return first;
}

void world_control_answer(void *call, int code, const char *reply)
{
    struct request *request = call;

    if (request->state == CARRIED_OUT)
        end(request, code, reply);
}
