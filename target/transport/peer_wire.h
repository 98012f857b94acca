/* The format of the peer link, version 2 (docs/peer.md). All integers big-endian.
 *
 * Every frame: a header of 16 bytes, `body` bytes of a body whose layout depends on the type, then
 * `data` bytes of payload. */
#ifndef HALUN_TRANSPORT_PEER_WIRE_H
#define HALUN_TRANSPORT_PEER_WIRE_H

enum {
    PEER_SLOTS = 1024,   /* commands of one link without an answer; slots are below this */
    PEER_NEXUSES = 1024, /* nexuses of one link, declared and not gone */

    PEER_VERSION = 2,
    PEER_MAGIC = 0x484c, /* "HL" */

    /* header */
    PEER_H_MAGIC = 0, /* u16 */
    PEER_H_TYPE = 2,  /* u8 enum peer_type */
    PEER_H_BODY = 3,  /* u8 length of the body in 4-byte words */
    PEER_H_SLOT = 4,  /* u32 command: slot of the sender; response: echoed */
    PEER_H_DATA = 8,  /* u32 bytes of payload */
    PEER_H_ZERO = 12, /* u32 must be 0 */
    PEER_HEADER = 16,

    /* HELLO body: both ways, first frame */
    PEER_HELLO_VERSION = 0, /* u32 */
    PEER_HELLO_NODE = 4,    /* u32 node id of the sender */
    PEER_HELLO_CLUSTER = 8, /* 16 bytes cluster uuid */
    PEER_HELLO_CONFIG = 24, /* 32 bytes configuration digest */
    PEER_HELLO_LINK = 56,   /* u32 which of the sender's links to this node it is: one at a time has a number */
    PEER_HELLO_BODY = 60,

    /* NEXUS body: declares a nexus before its first command */
    PEER_NEXUS_ID = 0,        /* u32 */
    PEER_NEXUS_RTPI = 4,      /* u16 */
    PEER_NEXUS_LENGTH = 6,    /* u16 bytes of the TransportID that follows */
    PEER_NEXUS_TRANSPORT = 8, /* TransportID, multiple of 4 */

    /* NEXUS_GONE body */
    PEER_GONE_BODY = 4, /* u32 nexus id */

    /* COMMAND body; payload: data-out */
    PEER_COMMAND_NEXUS = 0,       /* u32 */
    PEER_COMMAND_LU = 4,          /* u32 index (equal configuration digests: equal indices) */
    PEER_COMMAND_TAG = 8,         /* u64 */
    PEER_COMMAND_IN = 16,         /* u32 expected data-in */
    PEER_COMMAND_OUT = 20,        /* u32 expected data-out */
    PEER_COMMAND_ATTRIBUTE = 24,  /* u8 */
    PEER_COMMAND_CDB_LENGTH = 25, /* u8 */
    PEER_COMMAND_READ_ONLY = 26,  /* u8 */
    PEER_COMMAND_CDB = 28,        /* 32 bytes */
    PEER_COMMAND_BODY = 60,

    /* RESPONSE body; payload: sense (if any), then data-in */
    PEER_RESPONSE_STATUS = 0,  /* u8 */
    PEER_RESPONSE_OUTCOME = 1, /* u8 enum peer_outcome */
    PEER_RESPONSE_SENSE = 2,   /* u8 length of the sense data, which begins the payload */
    PEER_RESPONSE_WANTED = 4,  /* u32 data_wanted */
    PEER_RESPONSE_BODY = 8,
};

enum peer_type {
    PEER_HELLO = 1,
    PEER_NEXUS,
    PEER_NEXUS_GONE,
    PEER_COMMAND,
    PEER_RESPONSE,
    PEER_ABORT, /* no body; slot of the command */
    PEER_PING,  /* no body; answered by PONG, keeps a silent link honest */
    PEER_PONG,
    PEER_SETTLED, /* no body; from the owner: nothing of earlier links of this number is executed any more */
};

/* How a forwarded command ended at the receiver. */
enum peer_outcome {
    PEER_ENDED,   /* status, sense and data are the answer */
    PEER_BOUNCED, /* the receiver is not the owner; nothing was done */
    PEER_LOST,    /* no answer can be given; it may have been done */
};

#endif
