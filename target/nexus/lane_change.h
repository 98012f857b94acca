/* Changing lanes: what the control thread posts to every reactor after an operation was applied; of one that is between
 * two turns it switches reservations and modes itself where nothing has to be drained. A change
 * is built, run once, and frees itself after `done`. Changes arrive on every reactor in the order in
 * which they were run. Control thread only. */
#ifndef HALUN_NEXUS_LANE_CHANGE_H
#define HALUN_NEXUS_LANE_CHANGE_H

#include <stdint.h>

#include "cluster/shared_state.h"
#include "target/nexus/lane.h"

struct config;
struct lane_change;

/* Prepares lanes for all reactors: gates HOLD, nothing reserved. `lease` is read by lane_lease_valid();
 * hold_ms bounds how long a task is held. Before the reactors run. */
void lanes_init(unsigned group_count, uint64_t hold_ms);
/* Where the lease is kept (CLOCK_MONOTONIC ns); set once the cluster driver runs. */
void lanes_set_lease(const _Atomic uint64_t *lease);
/* Prepares the lanes of a new LU in group `group` (lu->lanes). */
void lanes_init_lu(struct lu *lu, unsigned group);

/* A new, empty change. `done` is called on the control thread when every reactor has switched and all
 * drains are over; by lane_change_run() itself if no reactor had to be woken. Aborts when memory is short
 * (a lane that cannot switch cannot be left behind). */
struct lane_change *lane_change_new(void (*done)(void *context), void *context);
/* The gate of a group. `drain` (but for EXECUTE): `done` waits until nothing of it executes any more. */
void lane_change_group(struct lane_change *change, unsigned group, enum gate gate, unsigned owner,
                       uint8_t state, bool drain);
/* Reservation view and mode parameters of an LU, copied from the shared state. `drain`: wait until what
 * was admitted under the old view has ended. */
void lane_change_lu(struct lane_change *change, unsigned lu, const struct shared_lu *shared, bool drain);
/* Unit attentions and aborts of an application, for the nexuses of this node. */
void lane_change_effects(struct lane_change *change, const struct shared_effects *effects);
/* Posts it. The change is gone afterwards. */
void lane_change_run(struct lane_change *change);

#endif
