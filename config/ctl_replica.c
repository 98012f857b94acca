/* halunctl replica: orders, and the stream of events. */
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "config/ctl.h"
#include "config/ctl_events.h"

/* "replica new-current-uuid" -> "replica.new_current_uuid" */
static void method_of(const struct ctl_command *command, char *out, size_t size)
{
    snprintf(out, size, "%s", command->name);
    for (char *p = out; *p; p++)
        *p = *p == ' ' ? '.' : *p == '-' ? '_' : *p;
}

int ctl_replica_order(struct ctl *ctl, int count, char **arguments)
{
    json_t *object = json_pack("{s:s}", "group", arguments[0]);
    char method[64];

    if (ctl->discard_my_data)
        json_object_set_new(object, "discard_my_data", json_true());
    if (ctl->peer)
        json_object_set_new(object, "peer", json_true());
    if (ctl->assume_clean)
        json_object_set_new(object, "assume_clean", json_true());
    method_of(ctl->command, method, sizeof method);
    return ctl_call_patiently(ctl, method, object);
}

int ctl_replica_events(struct ctl *ctl, int count, char **arguments)
{
    json_t *before = NULL;
    int code = 0;

    alarm(0); /* goes on until it is ended */
    do {
        json_t *object = json_object(), *now;

        if (count)
            json_object_set_new(object, "group", json_string(arguments[0]));
        if (before)
            json_object_set_new(
                object, "serial",
                json_integer(json_integer_value(json_object_get(before, "serial"))));
        code = ctl_call(ctl, "replica.events", object, &now, false);
        if (code)
            break;
        if (ctl->json) {
            json_dumpf(now, stdout, JSON_COMPACT);
            putchar('\n');
        } else {
            char stamp[48] = "";

            if (ctl->timestamps) {
                struct timeval tv;
                struct tm tm;
                size_t n;

                gettimeofday(&tv, NULL);
                localtime_r(&tv.tv_sec, &tm);
                n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
                n += (size_t)snprintf(stamp + n, sizeof stamp - n, ".%06ld", (long)tv.tv_usec);
                strftime(stamp + n, sizeof stamp - n, "%z ", &tm);
            }
            ctl_events_print(stdout, before, now, ctl->statistics, stamp);
        }
        json_decref(before);
        before = now;
    } while (!ctl->now && !fflush(stdout) && !ferror(stdout));
    json_decref(before);
    return code == CTL_AGAIN ? EXIT_FAILED : code;
}
