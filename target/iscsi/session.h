/* The numbering of a session (RFC 7143 4.2.2): the command window and status numbers, and what
 * login agreed on. Serial number arithmetic of RFC 1982 with 32 bits. Pure. */
#ifndef HALUN_ISCSI_SESSION_H
#define HALUN_ISCSI_SESSION_H

#include <stdbool.h>
#include <stdint.h>

/* a comes before b. */
static inline bool sn_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* What login agreed on (13); the target's limits are already in them. */
struct session_parameters {
    bool header_digest, data_digest;
    bool initial_r2t, immediate_data;
    uint32_t max_send_data; /* data segment the initiator can receive */
    uint32_t max_recv_data; /* data segment this target declared */
    uint32_t max_burst, first_burst;
    uint32_t max_outstanding_r2t;
    uint32_t time2wait, time2retain;
};

struct session {
    struct session_parameters parameters;
    uint32_t exp_cmd_sn; /* the next command in order */
    uint32_t max_cmd_sn; /* last one the initiator may send; never moves back */
    uint32_t stat_sn;    /* of the next response */
};

enum session_order {
    ORDER_NOW,   /* the next command: deliver it */
    ORDER_LATER, /* inside the window, but commands before it are missing */
    ORDER_DROP,  /* outside the window: ignored silently (4.2.2.1) */
};

/* `cmd_sn` is the one of the login requests. */
void session_start(struct session *session, uint32_t cmd_sn, uint32_t stat_sn);
/* Where a non-immediate command stands. Changes nothing. */
enum session_order session_order(const struct session *session, uint32_t cmd_sn);
/* Recomputes MaxCmdSN. `depth`: commands the session may have at once; `busy`: how many are being
 * executed; `free_permille`: free payload memory. Commands already promised stay promised. At least
 * one command can always be sent when none is busy, so that the window cannot stay closed. */
void session_window(struct session *session, unsigned depth, unsigned busy, unsigned free_permille);

#endif
