/* Two nodes in one process. The peer transport of "node 1" is real on both ends: its client
 * forwards to node 2, whose address is a relay of the test, and the relay speaks to the real server
 * of node 1, changing what gives the trick away: node ids in HELLO, and the unit.
 *
 *   nexus -> lanes of unit 0 (gate FORWARD to 2) -> client -> relay -> server -> lanes of unit 1 ->
 * spy
 *
 * So unit 0 and its group are what the forwarding node sees, unit 1 and its group what the owner
 * sees. The relay counts frames and breaks links; the spy stands on the owner's store and holds or
 * fails I/O. */
#ifndef HALUN_TESTS_PEER_RIG_H
#define HALUN_TESTS_PEER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"
#include "target/base/bytes.h"
#include "target/device/device.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/nexus.h"
#include "target/transport/peer_wire.h"

enum {
    RIG_REACTORS = 2,
    RIG_BLOCK = 512,
    RIG_BYTES = 32 << 20,
    RIG_NEAR = 0, /* unit and group of the node that forwards */
    RIG_FAR = 1,  /* of the owner */
    RIG_HOLD_MS = 10000,
    RIG_POOL = 64 << 20,
    RIG_RAW_NODE = 3, /* its address is the test's own listener */
};

/* One command of a nexus. */
struct rig_io {
    struct task task;
    struct post post;
    void (*run)(struct rig_io *io);
    uint8_t *data; /* LIMIT_TRANSFER bytes; what is sent, or what came */
    uint32_t came;
    uint8_t status, sense[LIMIT_SENSE], sense_length;
    bool silent;
    unsigned done; /* counts: exactly 1 */
};

enum rig_direction { TO_OWNER, FROM_OWNER };

struct rig {
    struct config config;
    struct config_node nodes[3];
    struct reactor *reactors[RIG_REACTORS];
    struct nexus nexuses[RIG_REACTORS][2]; /* two initiators on each reactor */
    struct lu *units[2];
    int raw_listener;
};
extern struct rig *rig;

/* setup and teardown of a cmocka group: peers are started once, as in the daemon. The teardown
 * stops them (unless rig_stop() did) and checks that no payload and no link was lost. */
int rig_setup(void **state);
int rig_teardown(void **state);
/* peer_stop(); rig_stopped() counts its `done`. */
void rig_stop(void);
extern unsigned rig_stopped;

/* Events: counters under one lock. */
void rig_count(unsigned *what);
unsigned rig_now(const unsigned *what);
void rig_wait(const unsigned *what, unsigned value);

/* Runs something on a reactor or on the control thread and waits for it. */
void rig_on(struct reactor *reactor, void (*run)(void *context), void *context);
void rig_on_control(void (*run)(void *context), void *context);

/* Gate of RIG_NEAR or RIG_FAR on all reactors, drained. `owner`: whom to forward to. */
void rig_gate(unsigned which, enum gate gate, unsigned owner);
/* Reservations of RIG_FAR as shared. */
void rig_reserve(const struct shared_lu *shared);
/* LOGICAL UNIT RESET of somebody else reaches the owner (only), TAS = 0; returns when it was
 * posted. */
void rig_reset_far(unsigned *drained);

/* A command; not started yet. `length`: of data out (from io->data) or room for data in. */
struct rig_io *rig_new(struct nexus *nexus, uint8_t opcode, uint64_t lba, uint32_t blocks,
                       uint32_t length);
void rig_start(struct rig_io *io);
void rig_abort(struct rig_io *io, bool silent);
/* Waits for its end. */
struct rig_io *rig_end(struct rig_io *io);
void rig_free(struct rig_io *io);
/* A whole one; returns its status, sense key, ASC and ASCQ as one number: 0x02030b11. */
uint32_t rig_codes(const struct rig_io *io);
void rig_pattern(uint8_t *data, size_t length, unsigned seed);
/* Writes or reads through the link and expects GOOD; reading compares with the pattern. */
void rig_write(struct nexus *nexus, uint64_t lba, uint32_t length, unsigned seed);
void rig_check(struct nexus *nexus, uint64_t lba, uint32_t length, unsigned seed);
/* Proxies that the server of this process has, on all reactors. */
unsigned rig_proxies(void);

/* The spy on the owner's store. */
struct spy {
    unsigned seen; /* operations that arrived */
    unsigned held; /* of them, waiting for spy_release() */
};
extern struct spy spy;
void spy_hold(bool hold);
void spy_release(void);
/* The next operation fails with -errno. */
void spy_fail(int error);

/* The relay. */
struct relay {
    unsigned links;                    /* opened so far */
    unsigned frames[2][PEER_PONG + 1]; /* passed on, by direction and type */
    unsigned bounced;                  /* RESPONSE frames that say so */
    unsigned cuts, stalls;
};
extern struct relay relay;
/* Cuts the link when the next frame of this type passes, after `bytes` of its payload. */
void relay_cut_at(enum rig_direction direction, enum peer_type type, uint32_t bytes);
/* Stops reading and writing at such a place until relay_go(). */
void relay_stall_at(enum rig_direction direction, enum peer_type type, uint32_t bytes);
void relay_go(void);
/* Cuts all links now. */
void relay_cut(void);

#endif
