/* One TCP connection that carries peer frames: framing, a send queue, a receiver that puts payload
 * where it belongs. Knows nothing of tasks. Lives on one reactor. */
#ifndef HALUN_TRANSPORT_PEER_LINK_H
#define HALUN_TRANSPORT_PEER_LINK_H

#include <qb/qblist.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "target/base/payload.h"
#include "target/base/reactor.h"
#include "target/transport/peer_frame.h"

enum { PEER_BODY_MAX = 8 + LIMIT_TRANSPORT_ID, PEER_SENSE_MAX = LIMIT_SENSE };

/* A frame to send. The owner's memory; the link's from peer_link_send() until `sent`. */
struct peer_frame {
    uint8_t head[PEER_HEADER + PEER_BODY_MAX + PEER_SENSE_MAX]; /* header, body, sense */
    uint32_t head_length;
    const struct payload *payload; /* NULL: none */
    uint32_t payload_length;       /* its first bytes */
    void (*sent)(
        struct peer_frame *frame); /* also called when the link is lost before; may be NULL */
    struct qb_list_head link;
    bool queued;
    bool started; /* some of it may have reached the other side */
};

struct peer_link;

struct peer_link_callbacks {
    /* A header and body arrived, with lengths that peer_frame_read() accepts. Returns where the
     * payload goes: a payload with room for at least `data` bytes, which stays until complete() or
     * closed(); or NULL to have them dropped (or when there are none). On a protocol error it calls
     * peer_link_close() and returns NULL. RESPONSE: the first bytes of the payload, its sense, are
     * handed over behind the body as well (body_length includes them, `data` does not). */
    struct payload *(*head)(struct peer_link *link, enum peer_type type, uint32_t slot,
                            const uint8_t *body, uint32_t body_length, uint32_t data);
    /* The payload of the last head() is complete. */
    void (*complete)(struct peer_link *link, enum peer_type type, uint32_t slot);
    /* The link is gone: nothing of it is in the kernel any more, all frames were `sent`. The link's
     * memory may be freed or used for peer_link_start() again. */
    void (*closed)(struct peer_link *link, const char *why);
};

enum { PEER_RECEIVE = 64 << 10, PEER_SEND_IOV = 256 };

struct peer_link {
    const struct peer_link_callbacks *callbacks;
    struct reactor *reactor;
    int fd;
    bool closing, closed;
    bool greeted; /* the first frame came: from now on, bytes are a sign of life */
    bool strict;  /* what comes only after a silence is not taken: this process stood still, and the other side has
                   * given the link up. To be set after peer_link_start() */
    char why[96];
    struct io_op receive_op, send_op;
    bool receiving, sending;
    struct timer timer; /* silence */
    uint64_t last_heard_ns;
    /* receiver */
    bool more;       /* the socket had more to read when the last receive ended */
    uint8_t *buffer; /* PEER_RECEIVE bytes */
    uint32_t begin, end;
    bool in_payload;
    struct peer_head head;
    uint32_t data_left, data_done;
    struct payload *target;
    struct iovec receive_iov[LIMIT_SEGMENTS + 1];
    struct msghdr receive_message;
    bool direct;
    /* sender */
    struct qb_list_head queue;     /* frames not yet handed to the kernel */
    struct qb_list_head in_flight; /* frames of the running sendmsg */
    struct post flush;             /* sends what this turn of the reactor queued */
    bool flushing;
    size_t gone; /* bytes of in_flight that have left */
    struct iovec send_iov[PEER_SEND_IOV];
    struct msghdr send_message;
    struct peer_frame ping;
};

/* Takes over a connected socket. Returns 0 or -ENOMEM (the socket stays the caller's). */
int peer_link_start(struct peer_link *link, struct reactor *reactor, int fd,
                    const struct peer_link_callbacks *callbacks);
/* Begins the header of a frame; fill frame->head + PEER_HEADER with the body afterwards. */
void peer_frame_init(struct peer_frame *frame, enum peer_type type, uint32_t slot,
                     uint32_t body_length, uint32_t data_length);
/* Queues a frame; all that a turn of the reactor queues leaves at its end in one message. On a
 * closing link it is `sent` at once. */
void peer_link_send(struct peer_link *link, struct peer_frame *frame);
/* Closes; closed() follows when nothing is in the kernel any more, never from inside this call. */
void peer_link_close(struct peer_link *link, const char *why);

#endif
