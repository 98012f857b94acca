/* The pace of a resync: how much may be asked for now. Pure; the target's alone, one per volume.
 *
 * With a plan (DRBD: c-plan-ahead) the bytes in flight follow a target: a fixed one
 * (c-fill-target), or what arrives during a delay that the operator accepts (c-delay-target); the
 * way there is spread over the plan. Without a plan the window is fixed. Either way a bucket keeps
 * the rate below a limit. */
#ifndef HALUN_REPLICATION_PACE_H
#define HALUN_REPLICATION_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PACE_STEP_MS = 100,
    PACE_REQUEST = 128 << 10,  /* bytes of one request at most */
    PACE_WINDOW = 2 << 20,     /* bytes in flight without a plan, and at the start of a delay's */
    PACE_WINDOW_MAX = 4 << 20, /* half of what a DRBD peer buffers (max-buffers) */
};

struct pace_settings {
    uint32_t plan_ahead;   /* steps; 0 = no plan */
    uint32_t delay_target; /* steps */
    uint64_t fill_target;  /* bytes; 0 = by delay */
    uint64_t limit;        /* bytes per second; 0 = none */
};

struct pace {
    struct pace_settings settings;
    uint64_t step_ns; /* when the step began */
    uint64_t arrived; /* bytes in this step */
    uint64_t window;
    uint64_t tokens, tokens_ns;
};

void pace_begin(struct pace *p, const struct pace_settings *settings, uint64_t now_ns);
/* `bytes` that were asked for are settled. */
void pace_arrived(struct pace *p, uint64_t bytes);
/* May `bytes` be asked for while `in_flight` are? Takes them from the bucket when true. */
bool pace_allows(struct pace *p, uint64_t bytes, uint64_t in_flight, uint64_t now_ns);

#endif
