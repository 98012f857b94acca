/* halunctl wait: asks the daemon until a condition is true. */
#include <time.h>

#include "config/ctl.h"

int ctl_wait(struct ctl *ctl, int count, char **arguments)
{
    const char *group = count > 1 ? arguments[1] : NULL;
    long end = ctl_now_ms() + ctl->timeout_s * 1000L, pause_ms = 20;

    if (ctl_condition(NULL, arguments[0], group) < 0)
        return ctl_error(
            EXIT_USAGE,
            "expected ready, serving or stopped, or with a group promoted, demoted, owned, "
            "current, connected or uptodate");
    for (;;) {
        struct timespec pause;
        json_t *status;
        int code = ctl_call(ctl, "status", json_pack("{s:b}", "detail", 0), &status, true);
        int met = code && code != EXIT_NOT_RUNNING ? 0 : ctl_condition(status, arguments[0], group);

        json_decref(status);
        if (code == EXIT_REFUSED)
            return ctl_error(code, "not permitted");
        if (met)
            return EXIT_OK;
        if (ctl_now_ms() + pause_ms > end)
            return ctl_error(EXIT_TIMEOUT, "not %s%s%s within %u s", arguments[0], group ? " " : "",
                             group ? group : "", ctl->timeout_s);
        pause = (struct timespec){.tv_nsec = pause_ms * 1000000};
        nanosleep(&pause, NULL);
        if (pause_ms < 200) /* quick while something is about to happen, cheap when it takes long */
            pause_ms += pause_ms / 2;
    }
}
