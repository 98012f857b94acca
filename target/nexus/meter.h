/* What was done and how long it took, by logical unit and by host: one part for each reactor,
 * written by it alone, read by the control thread while it counts on. Only commands of sessions of
 * this node count, not what other nodes forward here, so that the sum over the nodes is right. */
#ifndef HALUN_NEXUS_METER_H
#define HALUN_NEXUS_METER_H

#include <stdatomic.h>
#include <stdint.h>

#include "target/base/limits.h"
#include "target/nexus/limit.h"

struct config;
struct task;

enum meter_kind { METER_READ, METER_WRITE, METER_OTHER, METER_KINDS };

/* A latency counts in the first bucket that it is less than: 1, 2, 4, ... us, then all that is
 * longer. The clock is the reactor's, read once per turn: what begins and ends in one turn took
 * less than 1 us here. */
enum { METER_BUCKETS = 25 };

struct meter_part {
    struct {
        _Atomic uint64_t commands, bytes, microseconds, latency[METER_BUCKETS];
    } kinds[METER_KINDS]; /* what a command counts lies together */
} __attribute__((aligned(64)));

struct meter {
    char name[LIMIT_NAME + 1]; /* of the LU or host */
    struct limit limit;
    struct meter_part parts[]; /* by reactor index */
};

/* The same without the reactors: sums. */
struct meter_sum {
    uint64_t commands[METER_KINDS], bytes[METER_KINDS], microseconds[METER_KINDS];
    uint64_t latency[METER_KINDS][METER_BUCKETS];
};

/* Makes meters for the LUs and hosts of `config` that have none yet, and sets the limits of all.
 * A host that is gone keeps its meter. Control thread; before the reactors use `config`. */
void meters_configure(const struct config *config);
/* The meter of a host, NULL: none. Any thread, after meters_configure(). */
struct meter *meter_of_host(const char *name);
/* Meters of hosts by place, NULL behind the last; of logical units by place, 0 to meter_lu_places()
 * - 1, NULL: none there. Control thread. */
struct meter *meter_host_at(unsigned place);
struct meter *meter_lu_at(unsigned place);
unsigned meter_lu_places(void);
void meter_add(const struct meter *meter, struct meter_sum *sum);
/* Frees all. After the reactors have ended. */
void meters_done(void);

/* A task is over, with `in` bytes for the initiator. On its reactor. */
void meter_task(const struct task *task, uint32_t in);

#endif
