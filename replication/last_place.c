#include "replication/last_place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 64 }; /* bytes of the file: written at once */

static void path_of(const char *state_dir, const uint8_t uuid[16], char path[400])
{
    int used = snprintf(path, 300, "%.250s/device-", state_dir);

    for (unsigned i = 0; i < 16; i++)
        used += snprintf(path + used, (size_t)(400 - used), "%02x", uuid[i]);
}

uint64_t last_place_read(const char *state_dir, const uint8_t uuid[16])
{
    char path[400], line[LINE + 1] = "";
    uint64_t bytes = 0;
    int fd;

    if (!*state_dir)
        return 0;
    path_of(state_dir, uuid, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (read(fd, line, LINE) != LINE || sscanf(line, "device bytes %" SCNu64 "\n", &bytes) != 1)
        bytes = 0;
    close(fd);
    return bytes;
}

int last_place_write(const char *state_dir, const uint8_t uuid[16], uint64_t device_bytes)
{
    char path[400], line[LINE + 1];
    int fd, rc = 0;

    if (!*state_dir || last_place_read(state_dir, uuid) == device_bytes)
        return 0;
    path_of(state_dir, uuid, path);
    snprintf(line, sizeof line, "device bytes %-*" PRIu64 "\n", LINE - 14, device_bytes);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (pwrite(fd, line, LINE, 0) != LINE || fsync(fd))
        rc = -errno;
    close(fd);
    if (rc)
        return rc;
    fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        rc = -errno;
    if (fd >= 0)
        close(fd);
    return rc;
}
