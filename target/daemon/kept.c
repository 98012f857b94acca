#include "target/daemon/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ID = 64 }; /* of a boot: a uuid and a newline */

static const char boot_id[] = "/proc/sys/kernel/random/boot_id";
static const char flushed[ID] = "flushed\n";

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

/* It must not be there again after a power cut. */
static bool take_away(const char *state_dir, const char *path)
{
    int folder = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = folder >= 0 && !unlink(path) && !fsync(folder);

    if (!good)
        qb_log(LOG_ERR, "%s: %s", path, strerror(errno));
    if (folder >= 0)
        close(folder);
    return good;
}

bool kept_take(const char *state_dir, const char *group)
{
    char path[512], now[ID], noted[ID];

    path_of(path, sizeof path, state_dir, group);
    if (!read_id(path, noted))
        return false;
    if (memcmp(noted, flushed, ID) != 0)
        return read_id(boot_id, now) && !memcmp(now, noted, ID);
    if (!take_away(state_dir, path))
        return false;
    kept_note(state_dir, group, KEPT_BOOT);
    return true;
}

/* Not made durable: a note that is lost with the power was void with it. It is taken away without a descriptor, which
 * there may be none of: a note that stays by mistake would make an incomplete copy a good one. */
void kept_note(const char *state_dir, const char *group, enum kept kept)
{
    char path[512], text[ID];
    bool good;
    int fd;

    path_of(path, sizeof path, state_dir, group);
    if (unlink(path) && errno != ENOENT)
        qb_log(LOG_ERR, "%s: %s", path, strerror(errno));
    if (kept == KEPT_NOT)
        return;
    memcpy(text, flushed, ID);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    good = fd >= 0 && (kept == KEPT_FLUSHED || read_id(boot_id, text)) &&
           write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (!good)
        qb_log(LOG_ERR, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}
