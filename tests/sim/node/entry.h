/* What the world reaches in a node's copy of the module: the daemon's entry and some of its objects. */
#ifndef HALUN_TESTS_SIM_NODE_ENTRY_H
#define HALUN_TESTS_SIM_NODE_ENTRY_H

#include <jansson.h>

#include "target/base/threads.h"
#include "target/daemon/daemon.h"
#include "target/device/device.h"

struct session;

/* Found by the name "sim_entry" in every copy. The functions are called in the world's context and touch this
 * copy's data alone. */
struct sim_entry {
    int (*main)(int argc, char **argv);
    struct daemon *daemon;
    struct threads *threads;
    struct lu **device_lus;

    /* config/ctl_state.c: what the agents make of a reply of "status". */
    int (*score)(json_t *status, json_t *group);
    json_t *(*find_group)(json_t *status, const char *group);

    void (*view)(const struct cluster_driver *driver, struct cluster_view *view);
    const struct shared_state *(*state)(const struct cluster_driver *driver);
    const _Atomic uint64_t *(*lease)(const struct cluster_driver *driver);
    void (*replica_status)(const struct replica *replica, struct replica_status *status);

    /* transport.c: what arrives from an initiator; posted to the session's reactor. `nexus`, `command` and `tmf` are
     * the initiator's words for them, which come back in the answers. login: NULL when the gate is closed. */
    struct session *(*login)(void *nexus, const char *initiator, const uint8_t isid[6]);
    void (*command)(struct session *session, void *command, uint64_t tag, unsigned lun,
                    const uint8_t *cdb, uint8_t cdb_length, unsigned attribute, const void *data,
                    uint32_t data_length, uint32_t expected_in);
    void (*tmf)(struct session *session, void *tmf, unsigned function, unsigned lun, uint64_t tag);
    /* The connection is gone, or the initiator logs out. */
    void (*hang_up)(struct session *session);
};

#endif
