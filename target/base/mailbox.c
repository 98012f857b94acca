#include "target/base/mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *box)
{
    atomic_init(&box->head, NULL);
    box->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return box->wake_fd < 0 ? -errno : 0;
}

void mailbox_done(struct mailbox *box)
{
    close(box->wake_fd);
    box->wake_fd = -1;
}

void mailbox_post(struct mailbox *box, struct post *post)
{
    struct post *old = atomic_load_explicit(&box->head, memory_order_relaxed);
    do {
        post->next = old;
    } while (!atomic_compare_exchange_weak_explicit(&box->head, &old, post, memory_order_release,
                                                    memory_order_relaxed));
    /* Only the post that found the mailbox empty wakes the owner: it empties all at once. */
    if (!old) {
        uint64_t one = 1;
        /* EAGAIN would mean 2^64-2 wakes are pending: the owner is awake already. */
        ssize_t n = write(box->wake_fd, &one, sizeof one);
        (void)n;
    }
}

bool mailbox_run(struct mailbox *box)
{
    struct post *post = atomic_exchange_explicit(&box->head, NULL, memory_order_acquire);
    struct post *first = NULL;

    if (!post)
        return false;
    while (post) { /* newest first -> oldest first */
        struct post *next = post->next;
        post->next = first;
        first = post;
        post = next;
    }
    while (first) {
        struct post *next = first->next; /* run() may reuse or free the post */
        first->run(first);
        first = next;
    }
    return true;
}
