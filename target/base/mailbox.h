/* Messages between threads. A post is embedded in the sender's object: nothing is allocated. The
 * receiving thread owns it (and what it is embedded in) from mailbox_post() until run() is called,
 * and run() may post it on, back, or free it. Posts of one sender arrive in their order. */
#ifndef HALUN_BASE_MAILBOX_H
#define HALUN_BASE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>

struct post {
    struct post *next;                /* the mailbox's, while posted */
    void (*run)(struct post *post);   /* called on the receiving thread */
};

struct mailbox {
    _Atomic(struct post *) head; /* last posted first; NULL when empty */
    int wake_fd;                 /* eventfd (non-blocking), readable after a post to an empty mailbox */
};

/* Prepares an empty mailbox. Returns 0 or -errno of eventfd(2). */
int mailbox_init(struct mailbox *box);
/* Closes the eventfd. The mailbox must be empty. */
void mailbox_done(struct mailbox *box);
/* Hands `post` to the mailbox's thread. Any thread; never blocks, never fails. */
void mailbox_post(struct mailbox *box, struct post *post);
/* Runs what was posted, oldest first. Only the owning thread. Returns whether anything ran. */
bool mailbox_run(struct mailbox *box);

#endif
