/* Initiators of the simulated world: a transport of target/nexus in place of iSCSI. One nexus is one session with
 * one connection: commands, data and answers keep their order in each direction and take a little time; when the
 * connection is lost, or the node dies, everything outstanding ends as SIM_LOST.
 *
 * Callbacks run as events of the world (never from inside the function that was called); they may send, log in
 * and log out. */
#ifndef HALUN_TESTS_SIM_INITIATOR_H
#define HALUN_TESTS_SIM_INITIATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target/nexus/task.h"
#include "target/nexus/tmf.h"

struct sim_nexus;

struct sim_nexus_callbacks {
    /* The login ended. False: refused or nobody there (down, gate closed, not known); the nexus is gone then. */
    void (*logged_in)(struct sim_nexus *nexus, bool ok);
    /* The connection is lost: by the network, the node's death, or because the target dropped the session.
     * Every outstanding command and TMF was ended as lost before. The nexus is gone after this call. A dead
     * node that sends no reset is noticed after some seconds, as by an iSCSI initiator's NOP-Out. */
    void (*lost)(struct sim_nexus *nexus);
    /* After sim_logout(): the session has ended in order. The nexus is gone after this call. */
    void (*logged_out)(struct sim_nexus *nexus);
};

/* Logs an initiator port (iSCSI name and ISID) in at the port of a node. Names are those that sim_initiator_name()
 * gives, or any other that begins with "iqn.2026-11.sim:". `context` is the caller's. */
struct sim_nexus *sim_login(unsigned node, const char *initiator, const uint8_t isid[6],
                            const struct sim_nexus_callbacks *callbacks, void *context);
/* Ends the session in order: outstanding commands are aborted by the target (SIM_LOST), then logged_out(). */
void sim_logout(struct sim_nexus *nexus);
/* The connection breaks: both sides notice. lost() follows. */
void sim_break(struct sim_nexus *nexus);
void *sim_nexus_context(const struct sim_nexus *nexus);
unsigned sim_nexus_node(const struct sim_nexus *nexus);
/* The identity under which the target knows it (TransportID and rtpi). */
const struct nexus_identity *sim_nexus_identity(const struct sim_nexus *nexus);
/* "iqn.2026-11.sim:hostN", static memory. */
const char *sim_initiator_name(unsigned n);
/* Relative target port identifier of a node's port. */
uint16_t sim_rtpi(unsigned node);

enum sim_outcome {
    SIM_ANSWERED, /* status, sense, data_in are valid */
    SIM_LOST,     /* the connection ended first; whether it was executed is not known */
    SIM_ABORTED,  /* ended by a TMF of its own nexus: the target sent no answer */
};

/* A command. The caller's memory until done(); zero-initialise. */
struct sim_command {
    /* set by the caller */
    unsigned lun;                /* flat number */
    uint8_t cdb[LIMIT_CDB];
    uint8_t cdb_length;
    enum task_attribute attribute;
    const void *data_out;        /* must stay until done() */
    uint32_t data_out_length;
    uint32_t expected_in;        /* room for data-in in bytes */
    uint8_t *data_in;            /* the caller's room, expected_in bytes; NULL when 0 */
    void (*done)(struct sim_command *command);
    void *context;
    /* results */
    enum sim_outcome outcome;
    uint8_t status;
    uint8_t sense[LIMIT_SENSE];
    uint8_t sense_length;
    uint32_t data_in_length;     /* bytes valid in data_in */
    uint64_t sent, ended;        /* sim_now() */
    uint64_t tag;                /* chosen by sim_send() */
    /* private */
    struct sim_nexus *nexus;
    void *private_data;
};
void sim_send(struct sim_nexus *nexus, struct sim_command *command);

/* A task management function. The caller's memory until done(); zero-initialise. */
struct sim_tmf {
    enum tmf_function function;
    unsigned lun;
    uint64_t tag;                /* command to abort (sim_command.tag) */
    void (*done)(struct sim_tmf *tmf);
    void *context;
    bool lost;                   /* the connection ended first */
    enum tmf_response response;  /* valid unless lost */
    struct sim_nexus *nexus;
    void *private_data;
};
/* ABORT TASK and ABORT TASK SET end the commands of this nexus as SIM_ABORTED before done(). */
void sim_tmf_send(struct sim_nexus *nexus, struct sim_tmf *tmf);

#endif
