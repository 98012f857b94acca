/* The faults of a run: a mix of kinds, times, places and durations, all from the seed. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/sim/world.h"

enum { ENDS = 64 };

/* What ends by itself after a while. */
struct end {
    struct sim_event event;
    enum sim_fault fault;
    unsigned node;
};

/* How long a fault lasts, ms: low..high, or low..brief by a coin (0: never). */
struct length {
    unsigned low, high, brief;
};

static const struct {
    struct length usual, dense; /* dense.high 0: as usual */
} lengths[SIM_FAULTS] = {
    [SIM_POWER_CUT] = {{6000, 20000, 0}, {1500, 14000, 0}},
    [SIM_POWER_CUT_ALL] = {.usual = {500, 8000, 0}},
    [SIM_FREEZE] = {.usual = {100, 9000, 1500}},
    [SIM_STALL] = {.usual = {20, 6000, 500}},
    [SIM_PARTITION] = {{500, 12000, 0}, {200, 12000, 3000}},
    [SIM_LINK_LOSS] = {{300, 8000, 0}, {50, 8000, 1500}},
    [SIM_SLOW_DISK] = {.usual = {1000, 10000, 0}},
    [SIM_FULL_DISK] = {.usual = {500, 5000, 0}},
    [SIM_DISK_ERROR] = {.usual = {500, 5000, 0}},
    [SIM_READ_ERROR] = {.usual = {500, 5000, 0}},
    [SIM_STATE_DISK] = {.usual = {500, 5000, 0}},
    [SIM_GROW] = {.usual = {3000, 15000, 0}},
    [SIM_COPIES] = {.usual = {500, 8000, 0}},
    [SIM_SLOW_FENCING] = {.usual = {10000, 30000, 0}},
    [SIM_RESTART] = {{1000, 12000, 0}, {300, 8000, 0}},
    [SIM_UPGRADE] = {.usual = {1000, 6000, 0}},
};

static struct end ends[ENDS];
static struct sim_event next;
static bool active;
static unsigned bad_disk; /* the node whose disk may fail */

static const char *const names[] = {
    [SIM_CRASH] = "crash",
    [SIM_POWER_CUT] = "power-cut",
    [SIM_POWER_CUT_ALL] = "power-cut-all",
    [SIM_FREEZE] = "freeze",
    [SIM_STALL] = "stall",
    [SIM_PARTITION] = "partition",
    [SIM_LINK_LOSS] = "link-loss",
    [SIM_SLOW_DISK] = "slow-disk",
    [SIM_FULL_DISK] = "full-disk",
    [SIM_DISK_ERROR] = "disk-error",
    [SIM_CLOCK_JUMP] = "clock-jump",
    [SIM_SLOW_FENCING] = "slow-fencing",
    [SIM_SWITCH] = "switch",
    [SIM_RESTART] = "restart",
    [SIM_UPGRADE] = "upgrade",
    [SIM_RELOAD] = "reload",
    [SIM_CONNECTION] = "connection",
    [SIM_CLOCK_DRIFT] = "clock-drift",
    [SIM_READ_ERROR] = "read-error",
    [SIM_STATE_DISK] = "state-disk",
    [SIM_GROW] = "grow",
    [SIM_COPIES] = "copies",
};

const char *sim_fault_name(enum sim_fault fault)
{
    return (unsigned)fault < SIM_FAULTS ? names[fault] : "?";
}

static unsigned count(void)
{
    return sim_config()->nodes;
}

void sim_reload(unsigned node)
{
    config_change();
    for (unsigned i = 1; i <= count(); i++)
        config_put(&hosts[i]);
    if (hosts[node].running)
        loop_signal(&hosts[node], SIGHUP);
}

void sim_other_version(unsigned node)
{
    hosts[node].wire_max = hosts[node].wire_max ? 0 : SIM_OLD_WIRE;
    config_put(&hosts[node]);
    sim_stop(node);
}

static unsigned any_node(void)
{
    return 1 + sim_random(count());
}

static void on_end(struct sim_event *event)
{
    struct end *end = container_of(event, struct end, event);

    switch (end->fault) {
    case SIM_POWER_CUT:
    case SIM_POWER_CUT_ALL:
        sim_power_on(end->node);
        break;
    case SIM_FREEZE:
    case SIM_STALL:
        sim_thaw(end->node);
        break;
    case SIM_PARTITION:
    case SIM_LINK_LOSS:
        sim_heal();
        break;
    case SIM_SLOW_DISK:
        sim_disk_slow(end->node, 0);
        break;
    case SIM_FULL_DISK:
    case SIM_DISK_ERROR:
        sim_disk_fail(end->node, 0);
        break;
    case SIM_READ_ERROR:
        sim_disk_unread(end->node, 0);
        break;
    case SIM_STATE_DISK:
        sim_state_fail(end->node, 0);
        break;
    case SIM_GROW:
        operator_resize(end->node);
        break;
    case SIM_COPIES:
        operator_copies_end();
        break;
    case SIM_RESTART:
    case SIM_UPGRADE:
        sim_start(end->node);
        break;
    case SIM_SLOW_FENCING:
        sim_fencing_delay(0, 0);
        break;
    default:
        break;
    }
}

static void end_between(enum sim_fault fault, unsigned node, uint64_t low_ms, uint64_t high_ms)
{
    for (unsigned i = 0; i < ENDS; i++)
        if (!ends[i].event.slot) {
            ends[i].event.run = on_end;
            ends[i].fault = fault;
            ends[i].node = node;
            sim_at(&ends[i].event, sim_now() + world_between(low_ms, high_ms) * SIM_MS);
            return;
        }
}

static void end_later(enum sim_fault fault, unsigned node)
{
    bool dense = sim_config()->dense && lengths[fault].dense.high;
    const struct length *length = dense ? &lengths[fault].dense : &lengths[fault].usual;

    end_between(fault, node, length->low, length->brief && sim_random(2) ? length->brief : length->high);
}

/* One side cannot be heard by the other, or neither by the other. */
static void cut(void (*reach)(unsigned node, uint32_t from))
{
    uint32_t all = ((1u << count()) - 1) << 1, side = 0;
    unsigned ways = 1 + sim_random(3);

    while (!side || side == all)
        side = all & (sim_random(1u << (count() + 1)) & ~1u);
    for (unsigned i = 1; i <= count(); i++) {
        bool inside = side & 1u << i;
        if (ways & (inside ? 1 : 2))
            reach(i, inside ? side : all & ~side);
    }
}

static void strike(enum sim_fault fault)
{
    unsigned node = any_node(), disk;

    sim_count(names[fault], 1);
    sim_trace(0, "fault: %s", names[fault]);
    switch (fault) {
    case SIM_CRASH:
        sim_kill(node);
        break;
    case SIM_POWER_CUT:
        sim_power_cut(node);
        end_later(fault, node);
        break;
    case SIM_POWER_CUT_ALL:
        for (unsigned i = 1; i <= count(); i++) {
            sim_power_cut(i);
            end_later(fault, i);
        }
        break;
    case SIM_FREEZE:
        sim_freeze(node, true);
        end_later(fault, node);
        break;
    case SIM_STALL:
        if (hosts[node].running)
            sim_freeze(node, false);
        end_later(fault, node);
        break;
    case SIM_PARTITION:
        if (count() < 2)
            break;
        cut(sim_cluster_reach);
        if (sim_random(2))
            cut(sim_link_reach);
        end_later(fault, node);
        break;
    case SIM_LINK_LOSS:
        if (count() < 2)
            break;
        if (sim_config()->dense && sim_random(2)) {
            sim_link_delay(world_between(2, sim_random(2) ? 60 : 500) * SIM_MS);
            end_between(fault, node, 500, 8000);
            break;
        }
        cut(sim_link_reach);
        end_later(fault, node);
        break;
    case SIM_SLOW_DISK:
        sim_disk_slow(node, world_between(1, sim_config()->dense && !sim_random(2) ? 400 : 60) * SIM_MS);
        end_later(fault, node);
        break;
    case SIM_FULL_DISK:
    case SIM_DISK_ERROR:
        disk = sim_config()->any_disk ? node : bad_disk;
        sim_disk_fail(disk, fault == SIM_FULL_DISK ? ENOSPC : EIO);
        end_later(fault, disk);
        break;
    case SIM_READ_ERROR:
        disk = sim_config()->any_disk ? node : bad_disk;
        sim_disk_unread(disk, EIO);
        end_later(fault, disk);
        break;
    case SIM_STATE_DISK:
        sim_state_fail(node, sim_random(2) ? ENOSPC : EIO);
        end_later(fault, node);
        break;
    case SIM_GROW:
        end_later(fault, operator_grow());
        break;
    case SIM_COPIES:
        operator_copies();
        end_later(fault, node);
        break;
    case SIM_CLOCK_JUMP: /* within what docs/cluster.md asks of the clocks: a second */
        hosts[node].wall_offset = 1800000000ll * 1000000000 + (int64_t)world_between(0, 450) * SIM_MS;
        break;
    case SIM_CLOCK_DRIFT: /* two nodes differ by less than the quarter that docs/cluster.md asks */
        sim_clock_speed(node, (unsigned)world_between(900, 1100));
        break;
    case SIM_SLOW_FENCING:
        sim_fencing_delay(world_between(500, 8000) * SIM_MS, sim_random(4));
        end_later(fault, node);
        break;
    case SIM_SWITCH: {
        unsigned group = sim_random(sim_config()->groups);
        sim_switch(group, operator_copy(group));
        break;
    }
    case SIM_RESTART:
        sim_stop(node);
        end_later(fault, node);
        break;
    case SIM_UPGRADE: /* one node after the other speaks the newest version, or goes back to the one before */
        sim_other_version(node);
        end_later(fault, node);
        break;
    case SIM_RELOAD:
        sim_reload(node);
        break;
    case SIM_CONNECTION:
        initiators_break_one();
        break;
    default:
        break;
    }
}

/* From one fault to the next. */
static uint64_t gap_ms(void)
{
    if (sim_config()->dense)
        return sim_random(3) ? world_between(200, 5000) : world_between(1, 400);
    return sim_random(4) ? world_between(500, 12000) : world_between(1, 700);
}

static void on_next(struct sim_event *event)
{
    unsigned kinds = (unsigned)__builtin_popcount(sim_config()->faults), chosen;
    uint32_t left = sim_config()->faults;

    if (!active)
        return;
    for (chosen = sim_random(kinds); chosen; chosen--)
        left &= left - 1;
    strike((enum sim_fault)__builtin_ctz(left));
    sim_at(&next, sim_now() + gap_ms() * SIM_MS);
}

void faults_begin(void)
{
    operator_begin();
    memset(ends, 0, sizeof ends);
    memset(&next, 0, sizeof next);
    next.run = on_next;
    active = sim_config()->faults != 0;
    bad_disk = any_node();
    if (active)
        sim_at(&next, sim_now() + world_between(6000, 15000) * SIM_MS);
}

void faults_stop(void)
{
    active = false;
    sim_cancel(&next);
    for (unsigned i = 0; i < ENDS; i++)
        sim_cancel(&ends[i].event);
    sim_trace(0, "faults are over");
    sim_heal();
    sim_fencing_delay(0, 0);
    for (unsigned i = 1; i <= count(); i++) {
        sim_disk_slow(i, 0);
        sim_clock_speed(i, 1000);
        if (hosts[i].disk_error)
            sim_disk_fail(i, 0);
        if (hosts[i].read_error)
            sim_disk_unread(i, 0);
        if (hosts[i].state_error)
            sim_state_fail(i, 0);
        sim_thaw(i);
        sim_power_on(i);
        sim_start(i);
    }
    if (sim_config()->faults & 1u << SIM_COPIES && count() > 1)
        operator_copies_end();
}
