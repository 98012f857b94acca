/* Another program run beside the control thread: its lines are told as they come, its end once. Everything here is
 * called, and calls back, on the thread of the loop. */
#ifndef HALUN_BASE_PROCESS_H
#define HALUN_BASE_PROCESS_H

#include <qb/qbloop.h>
#include <stddef.h>

enum {
    PROCESS_LINE = 4096, /* longest line that is told; of a longer one nothing is */
    PROCESS_SAID = 160,
};

struct process;

struct process_options {
    qb_loop_t *loop;
    const char *const *arguments; /* program (searched in PATH) and arguments, NULL at the end */
    unsigned timeout_ms;          /* then it and its children are killed; 0: it may run for ever */
    /* A line of its standard output without the end; NULL: they are dropped. */
    void (*line)(void *context, const char *line, size_t length);
    /* It has ended, and all its lines were told. `status`: 0..255 exit status, 128 + a signal, or -ETIMEDOUT. `said`:
     * the last line of its standard error that says something. The process is gone afterwards. */
    void (*ended)(void *context, int status, const char *said);
    void *context;
};

/* Starts a program with nothing on its standard input, at ordinary priority, in a process group of its own. Returns
 * 0, or -errno and a sentence in `why` (PROCESS_SAID bytes); ended() is not called then. */
int process_start(const struct process_options *options, struct process **process, char *why);
/* Kills it and its children; nothing is called back any more. Not from inside line(). Accepts NULL. */
void process_kill(struct process *process);

#endif
