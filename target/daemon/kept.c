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
/* Two files, so that a flushed note that cannot be written leaves the one of this boot. */
static const char boot_note[] = "kept", flushed_note[] = "flushed";

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

static void path_of(char *path, size_t size, const char *state_dir, const char *note, const char *group)
{
    snprintf(path, size, "%s/%s-%s", state_dir, note, group);
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

    path_of(path, sizeof path, state_dir, flushed_note, group);
    if (read_id(path, noted)) {
        if (!take_away(state_dir, path))
            return false;
        if (!memcmp(noted, flushed, ID)) {
            kept_note(state_dir, group, KEPT_BOOT);
            return true;
        }
    }
    path_of(path, sizeof path, state_dir, boot_note, group);
    return read_id(path, noted) && read_id(boot_id, now) && !memcmp(now, noted, ID);
}

/* Without a descriptor, which there may be none of: a note that stays by mistake would make an incomplete copy a good one. */
static void forget(const char *path)
{
    if (unlink(path) && errno != ENOENT)
        qb_log(LOG_ERR, "%s: %s", path, strerror(errno));
}

/* Not made durable: a note that is lost with the power was void with it. */
static void write_note(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        qb_log(LOG_ERR, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

void kept_note(const char *state_dir, const char *group, enum kept kept)
{
    char boot_path[512], flushed_path[512], now[ID];

    path_of(boot_path, sizeof boot_path, state_dir, boot_note, group);
    path_of(flushed_path, sizeof flushed_path, state_dir, flushed_note, group);
    forget(flushed_path);
    if (kept == KEPT_FLUSHED) {
        write_note(flushed_path, flushed);
        return;
    }
    forget(boot_path);
    if (kept == KEPT_BOOT && read_id(boot_id, now))
        write_note(boot_path, now);
    else if (kept == KEPT_BOOT)
        qb_log(LOG_ERR, "%s: %s", boot_id, strerror(errno));
}
