/* The control socket: JSON requests of halunctl (and others) over libqb IPC, one row of methods.def
 * each. The daemon fills in the handlers. Everything runs on the control thread, inside its
 * qb_loop.
 *
 * The service is an abstract socket, so it is seen inside the network namespace of the daemon only;
 * its rings are in /dev/shm. Several daemons of one host have different run directories, and so
 * different names. Frames are described at enum control_frame; replies in docs/control.md. */
#ifndef HALUN_CONFIG_CONTROL_H
#define HALUN_CONFIG_CONTROL_H

#include <jansson.h>
#include <qb/qbloop.h>
#include <stdbool.h>
#include <sys/types.h>

enum {
    CONTROL_NAME = 64,           /* bytes of a service name, NUL included */
    CONTROL_MESSAGE = 256 << 10, /* bytes of one libqb message, header included */
    CONTROL_CLIENTS = 32,        /* connections at a time */
};

/* id of a libqb message. A request is answered by one reply; what does not fit in one message is
 * fetched by the client, part by part, so nobody ever waits for room in a ring. */
enum control_frame {
    CONTROL_CALL = 1, /* request: header + JSON text {"method": ..., "arguments": {...}} */
    CONTROL_MORE = 2, /* request: the next part, please */
    CONTROL_LAST = 1, /* reply: header + the (last part of the) JSON text */
    CONTROL_PART = 2, /* reply: header + a part; more follows on CONTROL_MORE */
};

/* Why a request failed. Also halunctl's exit codes, but for AGAIN (1). */
enum control_code {
    CONTROL_FAILED = 1,
    CONTROL_USAGE = 2,   /* unknown method, wrong arguments */
    CONTROL_REFUSED = 4, /* not permitted, or it would not be safe */
    CONTROL_TIMEOUT = 5,
    CONTROL_AGAIN = 6, /* not possible at this moment; asking again later may succeed */
};

struct control;
struct control_call;

/* Carries one request out. `arguments` is an object whose members were checked against the row; it
 * is borrowed for the duration of the call (json_incref() keeps it). Must end, now or later, in
 * exactly one control_reply() or control_fail(). */
typedef void control_handler(struct control_call *call, json_t *arguments);

/* One member per row of methods.def. NULL: the daemon refuses the method. */
struct control_handlers {
#define METHOD(id, name, right, arguments, help) control_handler *id;
#include "config/methods.def"
#undef METHOD
};

struct control_options {
    qb_loop_t *loop;
    const char *run_dir;
    bool readers; /* everybody may use READER methods; else administrators only */
    const struct control_handlers *handlers; /* must live as long */
    void *context;
};

/* Opens the control socket. One per process. Administrators are root, the daemon's own user and the
 * members of the groups "haclient" and "halun" (looked up here, once). Returns 0 or -errno
 * (-EADDRINUSE: a daemon with this run directory runs). */
int control_start(const struct control_options *options, struct control **control);
/* Closes it. Clients are disconnected; calls that are still open stay valid and are to be replied,
 * which only frees them. Accepts NULL. */
void control_stop(struct control *control);
/* Live change of the right. */
void control_set_readers(struct control *control, bool readers);

/* options.context. */
void *control_context(const struct control_call *call);
/* Who asks. */
uid_t control_uid(const struct control_call *call);
/* True once nobody waits for the reply any more. */
bool control_abandoned(const struct control_call *call);

/* Answers with `result` (an object; the reference is taken over) and frees the call. */
void control_reply(struct control_call *call, json_t *result);
/* Answers with an error: one line, no full stop; and frees the call. */
void control_fail(struct control_call *call, enum control_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Name of the service for a run directory: "halun" for /run/halun, "halun.b" for /run/halun.b, and
 * "halun-NAME-HASH" for any other path ending in NAME. Used by both sides. */
void control_service_name(const char *run_dir, char name[CONTROL_NAME]);

/* The rows, for help and tests. */
struct control_method {
    const char *name;
    bool administrator;
    const char *arguments, *help;
};
extern const struct control_method control_methods[];
extern const unsigned control_method_count;
/* Checks `arguments` (NULL or an object) against "name:type? ..."; on failure returns false and a
 * sentence in `why`. Pure. */
bool control_check_arguments(const char *row, json_t *arguments, char why[160]);

#endif
