#include "tests/client/commands.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

bool commands_read(bool (*command)(char *line))
{
    static char buffer[4096];
    static size_t used;
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    char *newline;
    ssize_t n;

    if (poll(&fd, 1, 0) <= 0)
        return true;
    n = read(STDIN_FILENO, buffer + used, sizeof buffer - 1 - used);
    if (n <= 0)
        return false;
    used += (size_t)n;
    buffer[used] = '\0';
    while ((newline = strchr(buffer, '\n'))) {
        *newline = '\0';
        if (!command(buffer))
            return false;
        used -= (size_t)(newline + 1 - buffer);
        memmove(buffer, newline + 1, used + 1);
    }
    return true;
}
