/* What halunds tell each other through CPG: encoding and bounded decoding. The layout of every
 * message is in docs/cluster.md. A message that this version does not know is refused by decode; it
 * is never skipped (a member that cannot follow must not stay a member). Pure. */
#ifndef HALUN_CLUSTER_MESSAGE_H
#define HALUN_CLUSTER_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "target/base/bytes.h"
#include "target/base/limits.h"

enum {
    WIRE_MIN = 1, /* oldest and newest wire version that this build speaks */
    WIRE_MAX = 7, /* 2: HANDOVER, CONSULT, OPINION, OP CONFIGURATION; 3: OP MODE PAGES, OP TARGET
                     COLD RESET, survivors, proofs; 4: OP FORCE CURRENT; 5: returned; 6: ended; 7: OP
                     REINSTATE */
    WIRE_SURVIVORS =
        3, /* from here on a lost owner's copy gives way to a survivor's (shared_members()) */
    WIRE_RETURNED =
        5, /* from here on the copy of a node that comes back is compared before it is current
              (shared_members()) */
    WIRE_PROOFS =
        3, /* from here on a proof counts when all who are live have said it (member_harmless()) */
    WIRE_ENDED =
        6, /* from here on who goes on after a settlement waits for the end of the others (settle()) */
    MESSAGE_OPINION_TEXT = 200,
    MESSAGE_HEADER = 12,
    MESSAGE_CHUNK = 32 << 10, /* snapshot bytes in one message */
    MESSAGE_MAX = 128 << 10,  /* longest message: an operation with a full parameter list */
    SNAPSHOT_MAX = 32 << 20,  /* longest snapshot accepted */
};

enum message_type {
    MESSAGE_HELLO = 1, /* who I am and what I have; at every change of the group */
    MESSAGE_START,     /* cold start: my journal is the newest, I begin a view of one */
    MESSAGE_BEGIN,     /* a snapshot is taken at this place of the order */
    MESSAGE_SNAPSHOT,  /* a chunk of it */
    MESSAGE_READY,     /* joiner: snapshot applied and durable */
    MESSAGE_ADMIT,     /* member: it is durable here that the joiner may be a member */
    MESSAGE_OP,        /* an operation */
    MESSAGE_ACK,       /* effects of an operation carried out (and durable where they must be) */
    MESSAGE_ASK,       /* origin: repeat your acknowledgement of this operation */
    MESSAGE_HARMLESS,  /* a lost member can do no harm any more */
    MESSAGE_HEARTBEAT, /* lease round trip and digest */
    MESSAGE_CONFIRM,   /* after a partition: these HELLOs are the newest that I know */
    MESSAGE_HANDOVER,  /* wire 2. To the owner of a group: release it now, I take it over */
    MESSAGE_CONSULT,   /* wire 2. Could you use the configuration with this digest? */
    MESSAGE_OPINION,   /* wire 2. The answer to a CONSULT */
    MESSAGE_TYPES
};

enum message_proof { PROOF_FENCED = 1, PROOF_LEASE = 2, PROOF_OPERATOR = 3 };

enum { HELLO_MEMBER = 1, HELLO_JOURNAL = 2 }; /* flags of a HELLO */

/* What both sides of a healed partition compare: taken where the group changed. */
struct cluster_stamp {
    uint64_t epoch;   /* +1 at every change of the agreed membership */
    uint64_t order;   /* +1 at every applied operation or membership change */
    uint64_t digest;  /* of the shared state */
    uint32_t members; /* bits: agreed members */
    uint32_t live;    /* bits: members that are not lost */
};

struct message_hello {
    uint8_t wire_min, wire_max;
    uint8_t flags;
    uint32_t attempt; /* counts what this process has seen of changes of the group */
    uint32_t group;   /* bits: the group as the sender saw it */
    uint8_t config_digest[32];
    uint8_t cluster_uuid[16];
    struct cluster_stamp stamp; /* HELLO_MEMBER: now; HELLO_JOURNAL: of the journal (live = 0) */
};

struct cluster_message {
    enum message_type type;
    uint8_t wire;         /* version that brought this message: message_wire() */
    uint64_t incarnation; /* of the sender's process */
    union {
        struct message_hello hello;
        struct {
            uint32_t group;
        } start;
        struct {
            uint64_t id;
            uint32_t to; /* bits: joiners that it is meant for */
        } begin;
        struct {
            uint64_t id;
            uint32_t offset, total, length;
            const uint8_t *bytes; /* into the message's memory */
        } snapshot;
        struct {
            uint32_t attempt;
        } ready;
        struct {
            uint32_t node, attempt;
            uint64_t incarnation;
        } admit;
        struct {
            uint64_t sequence;
            const uint8_t *bytes; /* shared_op_encode(); into the message's memory */
            uint32_t length;
            uint8_t wire; /* encoding: the version that brought the kind; 0 = 1 */
        } op;
        struct {
            uint32_t origin;
            uint64_t order;
        } ack;
        struct {
            uint64_t order;
        } ask;
        struct {
            uint32_t node;
            uint64_t incarnation;
            uint8_t proof;
        } harmless;
        struct {
            uint64_t number; /* counts the sender's heartbeats */
            uint64_t order, digest;
            uint8_t want; /* 1: answer with a heartbeat at once, my lease is short */
            uint64_t echo[LIMIT_NODES + 1]; /* [node id]: newest heartbeat seen of that node */
        } heartbeat;
        struct {
            uint32_t attempt[LIMIT_NODES + 1]; /* [node id]: of its HELLO; 0 = not a member */
        } confirm;
        struct {
            uint32_t owner, group; /* group: index */
            uint32_t epoch; /* of the group as the sender sees it: an older wish means nothing */
        } handover;
        struct {
            uint64_t number; /* the asker's */
            uint8_t digest[32];
        } consult;
        struct {
            uint32_t to;
            uint64_t number;
            uint8_t good; /* 1: yes */
            uint16_t length;
            const uint8_t *text; /* why not; into the message's memory */
        } opinion;
    };
};

/* Said by a member to the origin of an operation alone, beside its MESSAGE_ACK and by no ordered way: it has carried
 * the operation out, and made durable what has to be. It may be lost, repeated or late. */
struct message_receipt {
    uint64_t incarnation; /* of the sender's process */
    uint64_t origin;      /* incarnation of the process that sent the operation */
    uint64_t sequence;    /* its number of the operation */
};

enum { MESSAGE_RECEIPT = 28 }; /* bytes */

void message_receipt_encode(const struct message_receipt *receipt, uint8_t bytes[MESSAGE_RECEIPT]);
/* False: the bytes are no receipt. */
bool message_receipt_decode(struct message_receipt *receipt, const void *bytes, size_t size);

/* The wire version that a message needs. What has not changed since version 1 says so in its head,
 * so that nodes of different versions read each other as long as nothing newer is used. */
uint8_t message_wire(const struct cluster_message *message);
/* Encodes; body bytes (op, snapshot) are copied from where the message points to. The caller checks
 * w->used <= w->size. */
void message_encode(const struct cluster_message *message, struct writer *w);
/* Decodes and checks form and bounds (node ids, masks, lengths). Returns 0, -EPROTONOSUPPORT (a
 * version or type that this build does not know) or -EBADMSG (malformed). */
int message_decode(struct cluster_message *message, const void *data, size_t size);

#endif
