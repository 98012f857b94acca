/* The files that DRBD's configuration includes. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/drbd_res.h"

int drbd_files_read(const char *path, char **text, size_t *length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    struct stat st;
    size_t used = 0;
    char *memory;

    if (fd < 0)
        return -errno;
    memory = malloc(DRBD_TEXT_SIZE + 1);
    if (!memory)
        rc = -ENOMEM;
    else if (fstat(fd, &st))
        rc = -errno;
    else if (S_ISDIR(st.st_mode))
        rc = -EISDIR;
    while (!rc && used <= DRBD_TEXT_SIZE) {
        ssize_t n = read(fd, memory + used, DRBD_TEXT_SIZE + 1 - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = -errno;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    close(fd);
    if (!rc && used > DRBD_TEXT_SIZE)
        rc = -EFBIG;
    if (rc) {
        free(memory);
        return rc;
    }
    *text = memory;
    *length = used;
    return 0;
}

int drbd_files_find(void *context, const char *pattern, const char *from,
                    int (*take)(void *inner, const char *file, const char *text, size_t length), void *inner)
{
    char path[4096], *folder = strdup(from);
    glob_t found = {0};
    int rc = 0, n;

    if (!folder)
        return -ENOMEM;
    n = pattern[0] == '/' ? snprintf(path, sizeof path, "%s", pattern)
                          : snprintf(path, sizeof path, "%s/%s", dirname(folder), pattern);
    free(folder);
    if (n >= (int)sizeof path)
        return -ENAMETOOLONG;
    n = glob(path, 0, NULL, &found);
    if (n == GLOB_NOMATCH) /* a pattern may find nothing, a name may not */
        rc = strpbrk(pattern, "*?[") ? 0 : -ENOENT;
    else if (n)
        rc = n == GLOB_NOSPACE ? -ENOMEM : -EIO;
    for (size_t i = 0; !rc && i < found.gl_pathc; i++) {
        size_t length;
        char *text;

        rc = drbd_files_read(found.gl_pathv[i], &text, &length);
        if (rc)
            break;
        rc = take(inner, found.gl_pathv[i], text, length);
        free(text);
    }
    globfree(&found);
    return rc;
}
