/* Stand-ins of sim.h's hooks that are used when no other file of the program has them. */
#include <string.h>

#include "tests/sim/initiator.h"
#include "tests/sim/sim.h"

#define STAND_IN __attribute__((weak))

STAND_IN const struct sim_checker *const sim_checkers[] = {NULL};

/* One initiator on every node writes a block at a time and reads it back by the next node. */
enum { PATHS = SIM_NODES, BLOCK = 4096 };

static struct {
    struct sim_nexus *nexus;
    bool up;
    struct sim_event again;
    struct sim_command command;
} paths[PATHS + 1];
static bool stopping;
static unsigned in_flight;
static uint8_t data[BLOCK];

static void send_write(unsigned node);

static void done(struct sim_command *command)
{
    unsigned node = (unsigned)(uintptr_t)command->context;

    in_flight--;
    sim_count(command->outcome == SIM_ANSWERED && !command->status ? "writes good" : "writes not good", 1);
    if (!stopping && paths[node].up)
        sim_at(&paths[node].again, sim_now() + 50 * SIM_MS + sim_random(200 * SIM_MS));
}

static void send_write(unsigned node)
{
    struct sim_command *command = &paths[node].command;

    memset(command, 0, sizeof *command);
    command->cdb[0] = 0x2a;
    command->cdb[5] = (uint8_t)sim_random(200);
    command->cdb[8] = 1;
    command->cdb_length = 10;
    command->attribute = TASK_SIMPLE;
    data[0]++;
    command->data_out = data;
    command->data_out_length = BLOCK;
    command->done = done;
    command->context = (void *)(uintptr_t)node;
    in_flight++;
    sim_send(paths[node].nexus, command);
}

static void logged_in(struct sim_nexus *nexus, bool ok)
{
    unsigned node = (unsigned)(uintptr_t)sim_nexus_context(nexus);

    paths[node].up = ok;
    sim_at(&paths[node].again, sim_now() + (ok ? 1 : 500) * SIM_MS);
}

static void lost(struct sim_nexus *nexus)
{
    unsigned node = (unsigned)(uintptr_t)sim_nexus_context(nexus);

    paths[node].up = false;
    sim_at(&paths[node].again, sim_now() + 500 * SIM_MS);
}

static const struct sim_nexus_callbacks callbacks = {
    .logged_in = logged_in,
    .lost = lost,
};

static void again(struct sim_event *event)
{
    static const uint8_t isid[6] = {0x80, 0, 0, 0, 0, 1};
    unsigned node = 1;

    while (&paths[node].again != event)
        node++;
    if (stopping)
        return;
    if (paths[node].up)
        send_write(node);
    else
        paths[node].nexus = sim_login(node, sim_initiator_name(node), isid, &callbacks,
                                      (void *)(uintptr_t)node);
}

STAND_IN void workload_begin(void)
{
    memset(paths, 0, sizeof paths);
    stopping = false;
    in_flight = 0;
    for (unsigned i = 1; i <= sim_config()->nodes; i++) {
        paths[i].again.run = again;
        sim_at(&paths[i].again, 4000ull * SIM_MS);
    }
}

STAND_IN void workload_stop(void)
{
    stopping = true;
}

STAND_IN bool workload_idle(void)
{
    return !in_flight;
}
