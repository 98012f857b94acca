/* Limits of I/Os and bytes a second: of a logical unit, where its group is executed, for all
 * initiators together; and of a host, where its sessions are. A command over a limit waits for its
 * turn (GCRA: every command is given the time at which the ones before it leave room), in order of
 * arrival, whatever the reactor; the room that was not used in the last LIMIT_BURST_NS may be used
 * at once. One atomic word for each limit that is set; commands without a limit touch none. */
#ifndef HALUN_NEXUS_LIMIT_H
#define HALUN_NEXUS_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct task;

enum { LIMIT_BURST_NS = 20000000 };

/* One rate. Zeroed: no limit. */
struct rate {
    _Atomic uint64_t per_second; /* units; 0 = no limit. Changed by the control thread, live */
    _Atomic uint64_t next_ns;    /* reactor clock: when what was let through so far is paid for */
};

struct limit {
    struct rate commands, bytes;
};

/* Sets a limit (0 = none), live. Who waits already starts anew under it. Control thread. */
void limit_set(struct limit *limit, uint64_t commands, uint64_t bytes);

/* When may `units` pass, asked at `now_ns`? At once when not later than now. They count as passed.
 * Any reactor. */
uint64_t rate_take(struct rate *rate, uint64_t units, uint64_t now_ns);

/* May this media task go on? False: it is held and goes through task_resume() in its time. */
bool limit_admit(struct task *task);

#endif
