#include "target/daemon/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ID = 64 }; /* of a boot: a uuid and a newline */

static const char boot_id[] = "/proc/sys/kernel/random/boot_id";

static bool read_id(const char *path, char id[ID])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    memset(id, 0, ID);
    if (fd < 0)
        return false;
    n = read(fd, id, ID - 1);
    close(fd);
    return n > 0;
}

static void path_of(char *path, size_t size, const char *state_dir, const char *group)
{
    snprintf(path, size, "%s/kept-%s", state_dir, group);
}

bool kept_read(const char *state_dir, const char *group)
{
    char path[512], now[ID], noted[ID];

    path_of(path, sizeof path, state_dir, group);
    return read_id(boot_id, now) && read_id(path, noted) && !memcmp(now, noted, ID);
}

/* Not made durable: a note that is lost with the power was void with it. It is taken away without a descriptor, which
 * there may be none of: a note that stays by mistake would make an incomplete copy a good one. */
void kept_note(const char *state_dir, const char *group, bool complete)
{
    char path[512], now[ID];
    bool good;
    int fd;

    path_of(path, sizeof path, state_dir, group);
    if (unlink(path) && errno != ENOENT)
        qb_log(LOG_ERR, "%s: %s", path, strerror(errno));
    if (!complete)
        return;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    good = fd >= 0 && read_id(boot_id, now) && write(fd, now, strlen(now)) == (ssize_t)strlen(now);
    if (!good)
        qb_log(LOG_ERR, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}
