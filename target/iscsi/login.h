/* The login phase (RFC 7143 6.3, 11.12, 11.13) as a pure state machine: requests in, replies out.
 * It reads the configuration it is given, copies what it needs, and keeps no pointer to it. */
#ifndef HALUN_ISCSI_LOGIN_H
#define HALUN_ISCSI_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "target/iscsi/auth.h"
#include "target/iscsi/iscsi_wire.h"
#include "target/iscsi/session.h"
#include "target/iscsi/text.h"

enum { LOGIN_REQUESTS_LIMIT = 64 }; /* PDUs one login may take */

/* What the world says at the moment of a request. */
struct login_world {
    const struct config *config;
    bool available; /* false: answered 0301h, try later */
    uint16_t tpgt;
    uint8_t random[CHAP_RANDOM];
    /* Status for a request with TSIH != 0: 11.13.5 code, never success (MaxConnections is 1). */
    uint16_t (*session_status)(void *context, const char *initiator, const uint8_t isid[6],
                               uint16_t tsih, uint16_t cid);
    void *context;
};

enum login_phase {
    LOGIN_FIRST,  /* nothing received */
    LOGIN_ACTIVE, /* in a stage */
    LOGIN_DONE,   /* the next reply is the last one: full feature phase */
    LOGIN_FAILED, /* status class 2 or 3: send the reply, close */
};

/* The answer to one request. `text` stays valid until the next login_step(). */
struct login_reply {
    uint8_t bhs[ISCSI_BHS_LENGTH]; /* complete except ExpCmdSN, MaxCmdSN, TSIH of the last one */
    const uint8_t *text;
    uint32_t length;
};

struct login {
    enum login_phase phase;
    unsigned stage; /* CSG of the exchange */
    unsigned requests;
    uint8_t isid[6];
    uint16_t tsih, cid;
    uint32_t itt, cmd_sn, stat_sn;
    bool discovery, authenticated, target_declared;
    char initiator[LIMIT_ISCSI_NAME + 1];
    struct config_target target; /* copy; of a discovery session: defaults of the first target */
    struct config_chap proof, mutual;
    struct chap chap;
    struct negotiation negotiation;
    const char *why; /* after a failure, for the log */

    struct login_reply last; /* kept by the caller until the session is ready */
    size_t in_used, out_used, out_sent;
    bool transit; /* the reply in `out` ends the stage */
    unsigned next_stage;
    uint8_t in[TEXT_LIMIT], out[TEXT_LIMIT];
};

void login_init(struct login *login);
/* Handles one PDU of `data_length` bytes of text; its header is not checked yet. Fills `reply`,
 * which is always to be sent. Afterwards login->phase tells how to go on. */
void login_step(struct login *login, const struct login_world *world, const uint8_t *bhs,
                const uint8_t *data, size_t data_length, struct login_reply *reply);
/* Turns a prepared reply into one that refuses with `status` (enum iscsi_login_status). */
void login_refuse(struct login *login, uint16_t status, const char *why, struct login_reply *reply);
/* What was agreed on; after LOGIN_DONE. */
void login_parameters(const struct login *login, struct session_parameters *parameters);

#endif
