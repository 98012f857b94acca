/* An iSCSI initiator that does as little as an initiator can: one connection a session, commands in
 * a window of fixed depth, data that nobody looks at. It logs in with blocking calls; afterwards
 * all its I/O goes through the caller's io_uring. RFC 7143; nothing is recovered, an error ends the
 * run. */
#ifndef HALUN_BENCH_INITIATOR_H
#define HALUN_BENCH_INITIATOR_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tests/bench/histogram.h"

enum {
    LOAD_DEPTH_MAX = 256,
    LOAD_BLOCK_MAX = 4 << 20,
    LOAD_SECTOR = 512,
    LOAD_IN = 256 << 10,   /* receive buffer */
    LOAD_SKIP = 16 << 10,  /* data from this size on is dropped in the kernel, not copied */
    LOAD_IOV = 768,        /* of one sendmsg */
    LOAD_HEADS = 64 << 10, /* headers and digests of one sendmsg */
};

/* What all sessions do; constant while they run. */
struct load {
    const char *host, *port, *target, *initiator;
    unsigned depth, block, read_percent;
    unsigned first_lun, luns; /* each command takes one of them at random */
    uint64_t size;            /* bytes of the LU that are used */
    bool sequential, digests, fua;
    bool echo; /* the peer is the echo server: no login, answers in order of the requests */

    struct io_uring ring;
    const uint8_t *data; /* what is written */
    uint32_t data_crc;   /* digest of `block` bytes of it */
    uint64_t now_ns;
    bool stopping;     /* issue nothing new */
    unsigned expected; /* completions that the next submission brings by itself */
    uint64_t done, outstanding;
    struct histogram latency;
};

struct session;

/* Connects and logs in session `number`, clears the unit attentions of all LUNs. Ends the process
 * with a sentence when that fails. */
struct session *session_open(struct load *load, unsigned number);
/* Puts the whole depth to work. */
void session_start(struct session *session);
/* A completion whose user data is not 0 belongs to the session it leads to. */
void session_event(struct load *load, const struct io_uring_cqe *cqe);
/* Sends what has gathered and receives on. Called for every session with events, once a turn. */
void session_flush(struct session *session);
/* The next session with something to flush; NULL: none. */
struct session *session_next(void);
void session_close(struct session *session);

#endif
