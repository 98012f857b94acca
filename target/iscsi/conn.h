/* Private to target/iscsi: one connection, which is one session, which is one nexus (MaxConnections
 * 1). Everything of it lives on one reactor.
 *
 *   conn.c          life: birth, turns, timers, end
 *   conn_rx.c       bytes to PDUs
 *   conn_login.c    login phase
 *   conn_slots.c    slots: memory of the commands, shared by the connections of a reactor
 *   conn_scsi.c     SCSI commands and their data from the initiator
 *   conn_request.c  NOP, task management, text, logout, reject, asynchronous messages
 *   conn_tx.c       PDUs to bytes
 *
 * Events only change state and call conn_kick(); conn_turn() then acts once per turn of the
 * reactor, after all completions: it resumes parsing, hands over data, sends all that has gathered
 * in one sendmsg, and is the only place where a connection is freed, so no caller ever holds a dead
 * one. */
#ifndef HALUN_ISCSI_CONN_H
#define HALUN_ISCSI_CONN_H

#include <qb/qblist.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "target/base/container.h"
#include "target/base/payload.h"
#include "target/base/reactor.h"
#include "target/iscsi/iscsi_wire.h"
#include "target/iscsi/login.h"
#include "target/iscsi/residual.h"
#include "target/iscsi/sendtargets.h"
#include "target/iscsi/server.h"
#include "target/iscsi/session.h"
#include "target/nexus/nexus.h"
#include "target/nexus/task.h"
#include "target/nexus/tmf.h"

enum {
    CONN_RX = 128 << 10,           /* receive buffer; pages are touched only as far as used */
    CONN_RX_LOGIN = 16 << 10,      /* of it during login */
    CONN_DIRECT = 16 << 10,        /* data from this size on is received into the payload itself */
    CONN_TX_IOV = 512,             /* of one sendmsg */
    CONN_TX_HEADS = 32 << 10,      /* headers, digests, sense of one sendmsg */
    CONN_TX_BYTES = 1 << 20,       /* one sendmsg carries about so much */
    CONN_SEND_SEGMENT = 256 << 10, /* longest Data-In segment sent, whatever the initiator takes */
    CONN_CONTROLS = 32,            /* NOP, task management, text and reject PDUs being worked on */
    CONN_TURN_PDUS = 32,           /* PDUs taken of one connection before others have their turn */
    CONN_IMMEDIATE = 16,           /* immediate SCSI commands at once */
    CONN_DISCOVERY_DEPTH = 8,
    CONN_DEPTH_MAX = 4096,
    SLOT_NUMBER_MASK = 0x7fff, /* the tag FFFFFFFFh is reserved */
    CONN_LOGIN_S = 15,     /* login limit when no target says another */
    CONN_LINGER_MS = 1000, /* after our last PDU: until the initiator has read it and closed */
    CONN_LEAVE_MS = 1000,  /* for a logout we asked for */
    CONN_FLUSH_MS = 5000,  /* for sending the last PDUs */
};

enum tx_kind { TX_RESPONSE, TX_R2T, TX_CONTROL };

struct tx_item {
    struct qb_list_head link; /* in conn->tx.queue, or self-linked */
    enum tx_kind kind;
};

enum slot_phase {
    SLOT_FREE,
    SLOT_QUEUED, /* a PDU that waits for commands before it (CmdSN gap) */
    SLOT_VOID,   /* stands for a CmdSN that counts as received: aborted before it came or ran */
    SLOT_ACTIVE, /* with the command layer */
    SLOT_DONE,   /* completed; its data still comes in */
    SLOT_SEND,   /* its response is in the queue, or in the socket with its Data-In */
};

struct slot {
    struct task task;
    struct conn *conn;
    uint16_t number;        /* for target transfer tags */
    struct slot *hash_next; /* in its bucket of conn->hash */
    enum slot_phase phase;
    struct qb_list_head link; /* by phase: free, queued (by CmdSN), ready, in flight */
    uint8_t bhs[ISCSI_BHS_LENGTH];
    uint32_t itt, cmd_sn;
    bool hashed, immediate, busy;
    bool mute;        /* no response */
    bool local;       /* the status is the transport's own, in status, sense */
    bool asked;       /* receive_data() was called: wanted is valid */
    bool delivered;   /* task_data_ready() was called */
    bool unsolicited; /* the initiator's unsolicited burst is not finished */

    /* Data-Out. Bursts come in order (DataSequenceInOrder, DataPDUInOrder). */
    uint32_t wanted;      /* asked for by the command layer */
    uint32_t received;    /* offset of the next byte */
    uint32_t granted;     /* end of what was asked for by R2T, or may come unsolicited */
    uint32_t burst_end;   /* of the burst being received */
    uint32_t data_sn;     /* next in this burst */
    uint32_t r2t_sn;      /* next R2T */
    uint32_t r2t_done;    /* bursts received */
    struct payload early; /* data that came before receive_data() */
    struct tx_item r2t;

    /* Response. */
    struct tx_item response;
    struct residual residual;
    uint32_t send_total, sent, burst_sent, data_in_sn;
    uint8_t status, sense_length; /* when local */
    uint8_t sense[18];
};

/* A PDU other than of a SCSI command: its answer, and a TMF while it runs. */
struct control {
    struct tx_item item;
    struct qb_list_head link; /* free, or in flight */
    struct conn *conn;
    uint8_t bhs[ISCSI_BHS_LENGTH];
    bool status_sn;      /* takes a StatSN of its own */
    bool plain;          /* no digests: login */
    const uint8_t *data; /* or NULL: payload */
    uint32_t data_length;
    uint8_t copy[ISCSI_BHS_LENGTH];
    struct payload payload;
    struct tmf tmf;
};

enum rx_state { RX_HEADER, RX_DATA, RX_TAIL };
enum rx_sink { RX_DISCARD, RX_SLOT, RX_PAYLOAD };

struct conn_rx {
    uint8_t *buffer;
    size_t start, end;
    enum rx_state state;
    enum rx_sink sink;
    uint8_t bhs[ISCSI_BHS_LENGTH];
    uint32_t length; /* data segment of the PDU */
    uint32_t got;    /* of it */
    uint32_t crc;
    struct slot *slot;
    struct payload payload;
    bool unchecked;      /* the digest cannot be checked: the data went where nobody looks */
    bool run_now;        /* its CmdSN is next: run the PDU when it is complete */
    struct slot *queued; /* or keep it here until its turn */
    bool armed, direct, stalled, more, eof;
    bool paused;   /* has had its turn; the rest of the buffer in the reactor's next one */
    unsigned left; /* PDUs of this turn */
    struct io_op op;
    struct msghdr message;
    struct iovec iov[LIMIT_SEGMENTS + 1];
    uint64_t last_ns;
};

struct conn_tx {
    struct qb_list_head queue;  /* items in order */
    struct qb_list_head flying; /* slots and controls whose memory is in the socket's hands */
    struct qb_list_head flying_controls;
    bool armed;
    struct io_op op;
    struct msghdr message;
    struct iovec iov[CONN_TX_IOV];
    unsigned iov_used, iov_at;
    size_t bytes, left;
    uint8_t *heads;
    size_t heads_used;
};

/* A text negotiation in full feature phase (11.10): one at a time. */
struct conn_text {
    uint8_t *in, *out; /* TEXT buffers, allocated by the first text request */
    size_t in_used, out_used, out_sent;
    uint32_t ttt;  /* of the exchange that goes on, or ISCSI_RESERVED_TAG */
    bool answered; /* `out` holds the answer */
};

enum conn_state {
    CONN_LOGIN,
    CONN_JOINING, /* nexus_add() works */
    CONN_FULL,
    CONN_LOGOUT, /* tasks are ended, then the logout response is sent */
    CONN_ENDING, /* tasks are ended, nothing is parsed any more */
};

enum conn_socket { SOCKET_OPEN, SOCKET_FLUSH, SOCKET_LINGER, SOCKET_SHUT };

struct conn {
    struct nexus nexus;
    struct iscsi_home *home;
    struct qb_list_head link;
    int fd;
    enum conn_state state;
    enum conn_socket socket;
    bool in_login;    /* counted by the server */
    bool nexus_known; /* nexus_add() succeeded, nexus_remove() was not called */
    bool removing;    /* nexus_remove() works */
    bool discovery;
    bool digest_header, digest_data; /* received PDUs */
    bool send_header_digest, send_data_digest;
    uint16_t cid, rtpi;
    struct sockaddr_storage local;
    struct session session;
    struct login *login;
    struct config_target target; /* copy */
    struct timer turn, watch;
    uint64_t ping_ns;  /* when the ping under way was sent; 0 = none */
    uint32_t next_ttt; /* for pings and text */
    bool leaving;      /* the initiator was asked to log out */

    unsigned slot_count; /* slots it may hold at once, as reserved */
    unsigned slots_held, depth, busy, immediate_busy, active;
    struct slot **hash; /* by initiator task tag */
    unsigned hash_size; /* power of two, or 0: none yet */
    struct qb_list_head queued, ready;
    struct control *controls;
    struct qb_list_head free_controls;
    struct control own; /* login and logout responses, asynchronous messages */
    bool own_busy;
    struct control *logout; /* the response, until all tasks are gone */
    unsigned tmfs;          /* running */

    struct conn_rx rx;
    struct conn_tx tx;
    struct conn_text text;
};

/* conn.c */
/* A connection for an accepted socket, on the home's reactor. Takes the socket. */
void conn_start(struct iscsi_home *home, int fd, uint16_t rtpi);
/* Makes conn_turn() run later in this turn of the reactor. */
void conn_kick(struct conn *conn);
/* Ends the connection: tasks are aborted silently, the nexus is removed. `flush`: what is queued is
 * sent first. Idempotent; a later call without flush cuts a flush short. */
void conn_end(struct conn *conn, bool flush, const char *why);
/* Gives up the socket at once. */
void conn_shut(struct conn *conn);
/* Allocates what full feature phase needs. Returns 0 or -ENOMEM. */
int conn_make_slots(struct conn *conn, unsigned depth);
/* Arms the timer of full feature phase. */
void conn_watch_start(struct conn *conn);
/* Asks the initiator to log out (async event 1), drops the session if it does not within a second.
 */
void conn_leave(struct conn *conn);
/* Drops the session of a nexus, telling the initiator (async event 3). */
void conn_drop(struct nexus *nexus, const char *why);

/* conn_rx.c */
void rx_init(struct conn *conn);
/* Can one more request be answered? Otherwise parsing stops until something was sent. */
bool rx_has_room(const struct conn *conn);
void rx_parse(struct conn *conn);
void rx_arm(struct conn *conn);

/* conn_login.c */
/* Handles one whole login PDU. */
void conn_login_pdu(struct conn *conn, const uint8_t *bhs, const uint8_t *data, size_t length);

/* conn_slots.c */
/* Makes sure that a connection of this home can hold `count` slots more. Returns 0 or -ENOMEM. */
int slots_reserve(struct iscsi_home *home, unsigned count);
/* The opposite, of what is not held any more. The memory serves other connections. */
void slots_unreserve(struct iscsi_home *home, unsigned count);
/* Frees the memory of all slots. No connection of this home is left. */
void slots_free(struct iscsi_home *home);
/* Does the connection hold fewer slots than were reserved for it? */
static inline bool slot_available(const struct conn *conn)
{
    return conn->slots_held < conn->slot_count;
}
/* A slot, cleared, when one is available. */
struct slot *slot_take(struct conn *conn);
void slot_release(struct slot *slot);
/* The slot is found by its initiator task tag from now on, or no longer. */
void slot_hash(struct slot *slot);
void slot_unhash(struct slot *slot);
struct slot *slot_find(const struct conn *conn, uint32_t itt);
/* From here on the initiator may use the command's tag and its place in the window again. */
void slot_answered(struct slot *slot);
/* Aborts everything silently. */
void slots_abort(struct conn *conn);

/* conn_scsi.c */
/* Takes back a command that the command layer does not have: not run yet, or over but not answered.
 * Returns false when it is neither. */
bool slot_cancel(struct slot *slot);
/* A slot for a PDU that cannot run yet, in the order of CmdSN. */
struct slot *slot_queue(struct conn *conn, const uint8_t *bhs);
bool slot_is_queued(const struct conn *conn, uint32_t cmd_sn);
/* The header of a SCSI command or Data-Out has come: finds where its data goes (conn->rx). */
void scsi_command(struct conn *conn, const uint8_t *bhs, const uint8_t *ahs, bool now);
void scsi_data_out(struct conn *conn, const uint8_t *bhs);
/* A queued SCSI command's turn has come. */
void scsi_run_queued(struct slot *slot);
/* The data segment of the PDU (conn->rx) is complete; `intact`: its digest was right. */
void scsi_data_done(struct slot *slot, bool intact);
/* Moves a slot on as far as it goes. */
void slot_progress(struct slot *slot);
/* Where the next data of a slot goes: payload and bytes it takes from there (0: discard). */
struct payload *slot_sink(struct slot *slot, uint32_t offset, uint32_t *room);
/* Early data moves to where the command layer wants it, unless the kernel still writes to it. */
void slot_sync(struct slot *slot);
/* Ends a command with the transport's own status. */
void slot_fail(struct slot *slot, uint8_t status, uint8_t key, uint8_t asc, uint8_t ascq);

/* conn_request.c */
/* Is there room to answer one more request? */
bool control_available(const struct conn *conn);
void control_free(struct control *control);
/* Runs a complete non-SCSI request; `data` is emptied if it is kept. */
void request_run(struct conn *conn, const uint8_t *bhs, struct payload *data);
void conn_reject(struct conn *conn, const uint8_t *bhs, uint8_t reason, bool fatal,
                 const char *why);
void conn_ping(struct conn *conn);
/* Tells the initiator; nothing happens when it cannot be told at once. `wait_s`: Parameter3. */
void conn_async(struct conn *conn, uint8_t event, uint16_t wait_s);
/* The connection's own control, free for use, or NULL. */
struct control *control_own(struct conn *conn);

/* conn_tx.c */
void tx_init(struct conn *conn);
void tx_queue(struct conn *conn, struct tx_item *item);
void tx_unqueue(struct tx_item *item);
static inline bool tx_queued(const struct tx_item *item)
{
    return item->link.next != &item->link;
}
/* Sends what is queued, unless something is being sent. */
void tx_flush(struct conn *conn);
/* Forgets everything queued. */
void tx_drop(struct conn *conn);

#endif
