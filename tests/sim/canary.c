#include <string.h>

#include "cluster/message.h"
#include "tests/sim/node/node.h"
#include "tests/sim/world.h"

const char *const canary_names[CANARIES] = {
    [CANARY_EARLY_ANSWER] = "early-answer",
    [CANARY_NO_DRAIN] = "no-drain",
    [CANARY_OUTDATED] = "outdated",
    [CANARY_FLUSH_ALONE] = "flush-alone",
};

static bool planted[CANARIES];

bool canary_plant(const char *name)
{
    for (unsigned i = 0; i < CANARIES; i++)
        if (!strcmp(canary_names[i], name)) {
            planted[i] = true;
            return true;
        }
    return false;
}

bool canary_is(enum canary canary)
{
    return planted[canary];
}

int world_canary_no_drain(void)
{
    return canary_is(CANARY_NO_DRAIN);
}

int world_canary_outdated(void)
{
    return canary_is(CANARY_OUTDATED);
}

int world_canary_flush_alone(void)
{
    return canary_is(CANARY_FLUSH_ALONE);
}

/* early-answer: with its own acknowledgement of its own operation a node hears those of all others, before they
 * have sent them. Head of a message: magic 2, version 1, type 1, incarnation 8; ACK: origin 4, order 8. */
void canary_delivered(struct host *host, unsigned sender, const uint8_t *bytes, size_t size)
{
    enum { TYPE = 3, INCARNATION = 4, ORIGIN = MESSAGE_HEADER, ACK_SIZE = MESSAGE_HEADER + 12 };
    static uint8_t incarnations[SIM_NODES + 1][8];
    static uint8_t forged[SIM_NODES + 1][64][ACK_SIZE]; /* stay until they are read */
    static unsigned turn;

    if (!planted[CANARY_EARLY_ANSWER] || size < ACK_SIZE)
        return;
    memcpy(incarnations[sender], bytes + INCARNATION, 8);
    if (bytes[TYPE] != MESSAGE_ACK || sender != host->id || get_be32(bytes + ORIGIN) != host->id)
        return;
    for (unsigned i = 1; i <= sim_config()->nodes; i++) {
        uint8_t *ack = forged[i][turn % 64];
        if (i == host->id)
            continue;
        memcpy(ack, bytes, ACK_SIZE);
        memcpy(ack + INCARNATION, incarnations[i], 8);
        corosync_deliver(host, i, ack, ACK_SIZE, 0, 0, 0, 0);
    }
    turn++;
}
