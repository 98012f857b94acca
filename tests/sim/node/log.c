/* The writer of the log: lines go to the world at qb_log() already, and a thread that waits for them has nothing to do. */
#include "target/daemon/log_writer.h"

int log_writer_start(void)
{
    return 0;
}

void log_writer_put(int fd, int priority, const char *text)
{
}

void log_writer_stop(void)
{
}
