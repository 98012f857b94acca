/* config/control.h on the simulated world: the handlers of the daemon are the real ones. */
#include "config/control.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/node/node.h"

struct control {
    struct control_options options;
    int fd;
};

struct control_call {
    struct control *control;
    void *request; /* the world's */
};

static void dispatch(struct control *control, const char *method, struct control_call *call,
                     json_t *arguments)
{
#define METHOD(id, name, right, arguments_, help)                                                  \
    if (!strcmp(method, name)) {                                                                   \
        if (control->options.handlers->id)                                                         \
            control->options.handlers->id(call, arguments);                                        \
        else                                                                                       \
            control_fail(call, CONTROL_USAGE, "not here");                                         \
        return;                                                                                    \
    }
#include "config/methods.def"
#undef METHOD
    control_fail(call, CONTROL_USAGE, "unknown method");
}

static int32_t on_request(int32_t fd, int32_t events, void *data)
{
    struct control *control = data;
    const char *method, *text;
    void *request;

    while ((request = world_control_next(&method, &text))) {
        struct control_call *call = calloc(1, sizeof *call);
        json_t *arguments = json_loads(text, 0, NULL);
        call->control = control;
        call->request = request;
        dispatch(control, method, call, arguments);
        json_decref(arguments);
    }
    return 0;
}

int control_start(const struct control_options *options, struct control **result)
{
    struct control *control = calloc(1, sizeof *control);

    control->options = *options;
    control->fd = world_control_open();
    qb_loop_poll_add(options->loop, QB_LOOP_LOW, control->fd, POLLIN, control, on_request);
    *result = control;
    return 0;
}

void control_stop(struct control *control)
{
    if (control)
        qb_loop_poll_del(control->options.loop, control->fd);
    free(control);
}

void control_set_readers(struct control *control, bool readers)
{
}

void control_reply(struct control_call *call, json_t *result)
{
    char *text = json_dumps(result, JSON_COMPACT);

    world_control_answer(call->request, 0, text);
    free(text);
    json_decref(result);
    free(call);
}

void control_fail(struct control_call *call, enum control_code code, const char *format, ...)
{
    char why[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    world_control_answer(call->request, (int)code, why);
    free(call);
}
