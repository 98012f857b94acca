/* Wire messages of the DRBD 8.4 dialect, protocol 101: headers, packets, state words. Pure.
 *
 * Everything is big-endian, but for the fields called opaque: they belong to the peer and are given
 * back byte for byte (here: copied as they are, never swapped). Decoders take a payload as received
 * (after the header) and its length, and check both; they return 0 or -EPROTO, upon which the link
 * is dropped. Encoders write exactly the packet's fixed length into `out` and return that length.
 */
#ifndef HALUN_REPLICATION_MESSAGE_H
#define HALUN_REPLICATION_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replication/replica.h"

enum {
    MESSAGE_PROTOCOL_MIN = 101, /* what we offer and accept */
    MESSAGE_PROTOCOL_MAX = 101,
    MESSAGE_MAX_BIO = 1 << 20, /* bytes of one data packet */
    MESSAGE_MAX_TRIM = 128 << 20,
    MESSAGE_ALGORITHM = 64,    /* room of an algorithm's name, with its NUL */
    MESSAGE_BITMAP_MAX = 4080, /* payload of one bitmap packet with the h100 header */
    MESSAGE_DIGEST_MAX = 64,
    MESSAGE_CHALLENGE = 64, /* bytes of P_AUTH_CHALLENGE */
    MESSAGE_VOLUMES = 65536,
};

enum packet {
    P_DATA = 0x00,
    P_DATA_REPLY = 0x01,
    P_RS_DATA_REPLY = 0x02,
    P_BARRIER = 0x03,
    P_BITMAP = 0x04,
    P_UNPLUG_REMOTE = 0x07,
    P_DATA_REQUEST = 0x08,
    P_RS_DATA_REQUEST = 0x09,
    P_PROTOCOL = 0x0B,
    P_UUIDS = 0x0C,
    P_SIZES = 0x0D,
    P_STATE = 0x0E,
    P_SYNC_UUID = 0x0F,
    P_AUTH_CHALLENGE = 0x10,
    P_AUTH_RESPONSE = 0x11,
    P_STATE_CHG_REQ = 0x12,
    P_PING = 0x13,
    P_PING_ACK = 0x14,
    P_RECV_ACK = 0x15,
    P_WRITE_ACK = 0x16,
    P_RS_WRITE_ACK = 0x17,
    P_SUPERSEDED = 0x18,
    P_NEG_ACK = 0x19,
    P_NEG_DREPLY = 0x1A,
    P_NEG_RS_DREPLY = 0x1B,
    P_BARRIER_ACK = 0x1C,
    P_STATE_CHG_REPLY = 0x1D,
    P_OV_REQUEST = 0x1E,
    P_OV_REPLY = 0x1F,
    P_OV_RESULT = 0x20,
    P_CSUM_RS_REQUEST = 0x21,
    P_RS_IS_IN_SYNC = 0x22,
    P_SYNC_PARAM89 = 0x23,
    P_COMPRESSED_BITMAP = 0x24,
    P_DELAY_PROBE = 0x27,
    P_OUT_OF_SYNC = 0x28,
    P_RS_CANCEL = 0x29,
    P_CONN_ST_CHG_REQ = 0x2A,
    P_CONN_ST_CHG_REPLY = 0x2B,
    P_RETRY_WRITE = 0x2C,
    P_PROTOCOL_UPDATE = 0x2D,
    P_TRIM = 0x31,
    P_RS_THIN_REQ = 0x32,
    P_RS_DEALLOCATED = 0x33,
    P_WSAME = 0x34, /* known so that it is refused by name: never negotiated */
    P_ZEROES = 0x36,
    P_INITIAL_META = 0xFFF1,
    P_INITIAL_DATA = 0xFFF2,
    P_CONNECTION_FEATURES = 0xFFFE,
};

enum { SOCKET_DATA = 1, SOCKET_META = 2 }; /* bit set */

/* One packet. `length` bytes are fixed; up to `more` bytes may follow (data, digest, names). */
struct packet_row {
    uint16_t number;
    uint8_t sockets; /* on which it may arrive: SOCKET_* */
    bool connection; /* concerns the connection, not a volume (then volume 0) */
    uint32_t length;
    uint32_t more;
    const char *name; /* "P_DATA" */
};

/* The row of packet `number`, or NULL: unknown, drop the link. */
const struct packet_row *packet_row(unsigned number);
/* Its name, "unknown packet" if there is none. */
const char *packet_name(unsigned number);
/* Is `length` possible for `row`? */
static inline bool packet_length_ok(const struct packet_row *row, uint32_t length)
{
    return length >= row->length && length - row->length <= row->more;
}

/* Headers: h80 until P_CONNECTION_FEATURES were exchanged (both included), then h100. */
enum header_form { HEADER_80, HEADER_95, HEADER_100 };
enum { HEADER_80_LENGTH = 8, HEADER_95_LENGTH = 8, HEADER_100_LENGTH = 16, HEADER_LENGTH_MAX = 16 };

struct packet_header {
    uint16_t volume; /* 0 in the older forms */
    uint16_t command;
    uint32_t length; /* bytes after the header */
};

size_t header_length(enum header_form form);
/* Decodes header_length(form) bytes. -EPROTO: wrong magic or padding. The length is not judged
 * here. */
int header_decode(enum header_form form, const uint8_t *bytes, struct packet_header *header);
/* Returns header_length(form). A length beyond 65535 needs h95 or h100 (asserted). */
size_t header_encode(enum header_form form, const struct packet_header *header, uint8_t *out);

/* --- connection --- */

enum { /* feature flags */
       FEATURE_TRIM = 1,
       FEATURE_THIN_RESYNC = 2,
       FEATURE_WSAME = 4, /* o_qlim in P_SIZES, 128 MiB discards, rule 41 */
       FEATURE_WZEROES = 8,
};

struct packet_features { /* P_CONNECTION_FEATURES, 72 bytes, h80 */
    uint32_t protocol_min, protocol_max;
    uint32_t features;
};
size_t packet_features_encode(const struct packet_features *p, uint8_t *out);
int packet_features_decode(const uint8_t *payload, size_t length, struct packet_features *p);

enum { PROTOCOL_A = 1, PROTOCOL_B = 2, PROTOCOL_C = 3 };
enum { PROTOCOL_DISCARD_MY_DATA = 1, PROTOCOL_DRY_RUN = 2 };
struct packet_protocol { /* P_PROTOCOL, P_PROTOCOL_UPDATE: 24 bytes and the name */
    uint32_t protocol;
    uint32_t after_sb_0p, after_sb_1p, after_sb_2p; /* enum after_split_brain */
    uint32_t flags;
    uint32_t two_primaries;
    char integrity_alg[MESSAGE_ALGORITHM]; /* "" = none */
};
size_t packet_protocol_encode(const struct packet_protocol *p, uint8_t *out); /* <= 24 + 64 */
int packet_protocol_decode(const uint8_t *payload, size_t length, struct packet_protocol *p);

struct packet_sync_param { /* P_SYNC_PARAM89, 148 bytes */
    uint32_t rate;         /* KiB/s */
    char verify_alg[MESSAGE_ALGORITHM];
    char csums_alg[MESSAGE_ALGORITHM];
    uint32_t c_plan_ahead, c_delay_target, c_fill_target, c_max_rate;
};
size_t packet_sync_param_encode(const struct packet_sync_param *p, uint8_t *out);
int packet_sync_param_decode(const uint8_t *payload, size_t length, struct packet_sync_param *p);

/* --- volume --- */

enum { SIZES_FORCED = 1, SIZES_NO_RESYNC = 2 };
struct packet_sizes {      /* P_SIZES, 32 bytes; 56 when FEATURE_WSAME is agreed */
    uint64_t device_size;  /* sectors: largest capacity */
    uint64_t user_size;    /* configured, 0 = none */
    uint64_t current_size; /* exported now; 0 asks for a reply */
    uint32_t max_bio;      /* bytes */
    uint16_t order;
    uint16_t flags;
    /* o_qlim, all 0 when not agreed */
    uint32_t physical_block, logical_block, alignment_offset, io_min, io_opt;
    uint8_t discard_enabled, discard_zeroes, write_same_capable;
};
/* `qlim`: FEATURE_WSAME is agreed; the length must fit exactly. */
size_t packet_sizes_encode(const struct packet_sizes *p, bool qlim, uint8_t *out);
int packet_sizes_decode(const uint8_t *payload, size_t length, bool qlim, struct packet_sizes *p);

enum {
    UUIDS_DISCARD_MY_DATA = 1,
    UUIDS_CRASHED_PRIMARY = 2,
    UUIDS_INCONSISTENT = 4,
    UUIDS_SKIP_INITIAL_SYNC = 8,
};
struct packet_uuids { /* P_UUIDS, 48 bytes */
    uint64_t current, bitmap, history[2];
    uint64_t dirty_bits;
    uint64_t flags;
};
size_t packet_uuids_encode(const struct packet_uuids *p, uint8_t *out);
int packet_uuids_decode(const uint8_t *payload, size_t length, struct packet_uuids *p);

/* P_SYNC_UUID, 8 bytes. */
size_t packet_sync_uuid_encode(uint64_t uuid, uint8_t *out);
int packet_sync_uuid_decode(const uint8_t *payload, size_t length, uint64_t *uuid);

/* --- state --- */

enum wire_role { WIRE_ROLE_UNKNOWN = 0, WIRE_PRIMARY = 1, WIRE_SECONDARY = 2 };
/* Connection states beyond enum replica_connection, on the wire only. */
enum { WIRE_CONN_AHEAD = 22, WIRE_CONN_BEHIND = 23, WIRE_CONN_MASK = 31 };

/* A state word unpacked. In a mask every field is all ones or zero. */
struct wire_state {
    uint8_t role, peer;                /* enum wire_role */
    uint8_t conn;                      /* enum replica_connection or WIRE_CONN_* */
    uint8_t disk, pdsk;                /* enum replica_disk */
    bool susp;                         /* frozen by the user */
    bool aftr_isp, peer_isp, user_isp; /* resync paused: by dependency, by the peer, by the user */
    bool susp_nod, susp_fen;           /* frozen: no data, fencing */
};
uint32_t wire_state_pack(const struct wire_state *s);
struct wire_state wire_state_unpack(uint32_t word);
/* Are all fields values that exist? (P_STATE; not for masks) */
bool wire_state_valid(const struct wire_state *s);
/* A state or mask as the peer sees it -> as I see it: role/peer and disk/pdsk change places, conn
 * maps to its counterpart, peer_isp is the sender's aftr_isp or user_isp. Freezing and pausing bits
 * of the sender itself do not cross. */
struct wire_state wire_state_mirror(const struct wire_state *s);
/* (state & ~mask) | (value & mask), field by field. */
struct wire_state wire_state_apply(const struct wire_state *s, const struct wire_state *mask,
                                   const struct wire_state *value);

/* P_STATE, 4 bytes. Decoding refuses words with fields that do not exist. */
size_t packet_state_encode(const struct wire_state *s, uint8_t *out);
int packet_state_decode(const uint8_t *payload, size_t length, struct wire_state *s);

/* P_STATE_CHG_REQ, P_CONN_ST_CHG_REQ, 8 bytes, in the sender's view: decode gives it mirrored when
 * `mirrored` is asked for. */
struct packet_state_request {
    struct wire_state mask, value;
};
size_t packet_state_request_encode(const struct packet_state_request *p, uint8_t *out);
int packet_state_request_decode(const uint8_t *payload, size_t length, bool mirrored,
                                struct packet_state_request *p);

enum state_reply { /* P_STATE_CHG_REPLY, P_CONN_ST_CHG_REPLY */
                   STATE_OK = 1,
                   STATE_NOTHING_TO_DO = 2,
                   STATE_TWO_PRIMARIES = -1,
                   STATE_NO_UP_TO_DATE_DISK = -2,
                   STATE_OUTDATE_WHILE_CONNECTED = -6,
                   STATE_PEER_NOT_OUTDATED = -7,
                   STATE_RESYNC_RUNNING = -8,
                   STATE_FAILED_BY_PEER = -10,
                   STATE_DISKLESS = -11,
                   STATE_IN_USE = -12,
                   STATE_TRANSIENT = -18,
                   STATE_CONCURRENT = -19,
};
size_t packet_state_reply_encode(int32_t code, uint8_t *out);
int packet_state_reply_decode(const uint8_t *payload, size_t length, int32_t *code);
/* A short English name: "peer is Primary". */
const char *state_reply_text(int32_t code);

/* --- data --- */

enum { /* dp_flags of struct packet_data */
       DP_SYNC_HINT = 2,
       DP_MAY_SET_IN_SYNC = 4,
       DP_UNPLUG = 8,
       DP_FUA = 16,
       DP_FLUSH = 32,
       DP_DISCARD = 64,
       DP_SEND_RECEIVE_ACK = 128,
       DP_SEND_WRITE_ACK = 256,
       DP_WSAME = 512,
       DP_ZEROES = 1024,
};
#define BLOCK_ID_SYNC UINT64_MAX /* block_id of resync packets; the same in every byte order */

struct packet_data { /* P_DATA, P_DATA_REPLY, P_RS_DATA_REPLY: 24 bytes, then `size` bytes of data;
                      * P_TRIM, P_ZEROES: 28 bytes, no data */
    uint64_t sector;
    uint64_t block_id; /* opaque */
    uint32_t sequence;
    uint32_t flags; /* DP_* */
    uint32_t size;  /* bytes of data, or bytes to trim / zero; multiple of 512 */
};
enum { PACKET_DATA_LENGTH = 24, PACKET_TRIM_LENGTH = 28 };
/* Writes the 24 fixed bytes; the data follow. */
size_t packet_data_encode(const struct packet_data *p, uint8_t *out);
/* `head` holds the first 24 bytes, `length` is the header's (data included). Without data
 * integrity. Checks: size a multiple of 512 and at most MESSAGE_MAX_BIO, sector + size does not
 * wrap. A size of 0 is accepted (a flush carried as a write). Does not know the device's size: the
 * caller checks it. */
int packet_data_decode(const uint8_t *head, size_t length, struct packet_data *p);
size_t packet_trim_encode(const struct packet_data *p, uint8_t *out);
/* size is nonzero, a multiple of 512, at most MESSAGE_MAX_TRIM. */
int packet_trim_decode(const uint8_t *payload, size_t length, struct packet_data *p);

struct packet_block_request { /* P_DATA_REQUEST, P_RS_DATA_REQUEST, P_OV_REQUEST, P_RS_THIN_REQ: 24
                               * bytes; P_OV_REPLY, P_CSUM_RS_REQUEST: and a digest */
    uint64_t sector;
    uint64_t block_id; /* opaque */
    uint32_t size;     /* bytes; nonzero multiple of 512 */
};
enum { PACKET_BLOCK_REQUEST_LENGTH = 24 };
size_t packet_block_request_encode(const struct packet_block_request *p, uint8_t *out);
/* `max` bounds the size (MESSAGE_MAX_BIO; MESSAGE_MAX_TRIM for P_RS_THIN_REQ). Reads the first 24
 * bytes; length - 24 is the digest's. */
int packet_block_request_decode(const uint8_t *payload, size_t length, uint32_t max,
                                struct packet_block_request *p);

struct packet_block_ack { /* the acks of table 2.2 on the meta socket, 24 bytes */
    uint64_t sector;
    uint64_t block_id; /* opaque; P_OV_RESULT: see ov_result */
    uint32_t size;
    uint32_t sequence;
};
enum { PACKET_BLOCK_ACK_LENGTH = 24 };
size_t packet_block_ack_encode(const struct packet_block_ack *p, uint8_t *out);
int packet_block_ack_decode(const uint8_t *payload, size_t length, struct packet_block_ack *p);
/* block_id of P_OV_RESULT as it stands in memory. */
uint64_t ov_result_block_id(bool in_sync);
/* 1 in sync, 0 out of sync, -EPROTO neither. */
int ov_result_in_sync(uint64_t block_id);

struct packet_block_range { /* P_OUT_OF_SYNC, P_RS_DEALLOCATED: 16 bytes */
    uint64_t sector;
    uint32_t size;
};
size_t packet_block_range_encode(const struct packet_block_range *p, uint8_t *out);
int packet_block_range_decode(const uint8_t *payload, size_t length, struct packet_block_range *p);

/* P_BARRIER, 8 bytes: number is opaque to the receiver. */
size_t packet_barrier_encode(uint32_t number, uint8_t *out);
int packet_barrier_decode(const uint8_t *payload, size_t length, uint32_t *number);
struct packet_barrier_ack { /* P_BARRIER_ACK, 8 bytes */
    uint32_t number;        /* opaque, as in the barrier */
    uint32_t set_size;      /* write packets since the previous barrier, over all volumes */
};
size_t packet_barrier_ack_encode(const struct packet_barrier_ack *p, uint8_t *out);
int packet_barrier_ack_decode(const uint8_t *payload, size_t length, struct packet_barrier_ack *p);

/* Sequence numbers wrap: is `a` newer than `b`? */
static inline bool sequence_after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

#endif
