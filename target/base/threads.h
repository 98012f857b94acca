/* The threads of the daemon: filled once by main before any reactor runs, constant afterwards. */
#ifndef HALUN_BASE_THREADS_H
#define HALUN_BASE_THREADS_H

#include "target/base/limits.h"
#include "target/base/mailbox.h"
#include "target/base/reactor.h"

struct threads {
    unsigned reactor_count;
    struct reactor *reactors[LIMIT_REACTORS];
    struct mailbox control; /* of the control thread */
};

extern struct threads threads;

/* Hands a post to the control thread. Any thread. */
static inline void control_post(struct post *post)
{
    mailbox_post(&threads.control, post);
}

#endif
