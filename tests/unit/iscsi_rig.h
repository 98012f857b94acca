/* Runs the iSCSI target over loopback TCP: the real server and reactors; doubles for the command
 * layer (a small memory disk), for nexus_add() and task management. Tests talk to it with PDUs made
 * by hand, or with libiscsi. */
#ifndef HALUN_TESTS_ISCSI_RIG_H
#define HALUN_TESTS_ISCSI_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"
#include "target/base/bytes.h"
#include "target/base/payload.h"
#include "target/base/reactor.h"
#include "target/iscsi/iscsi.h"
#include "target/iscsi/iscsi_wire.h"
#include "target/nexus/task.h"

enum {
    RIG_BLOCK = 512,
    RIG_BLOCKS = 32768, /* 16 MiB */
    RIG_REACTORS = 2,
    /* Vendor commands of the double. */
    RIG_NEVER = 0xc0,      /* ends only when it is aborted */
    RIG_WRITE_LATE = 0xc1, /* WRITE(10) that asks for its data in a later turn */
    RIG_MORE = 0xc2,       /* returns bytes 2-5 of the CDB as length of data, wants bytes 6-9 */
};

#define RIG_TARGET         "iqn.2026-01.example.halun:disk"
#define RIG_INITIATOR      "iqn.2026-01.example.host:plain"
#define RIG_CHAP_INITIATOR "iqn.2026-01.example.host:chap"

struct rig {
    struct config config;
    struct config_node node;
    struct config_target target;
    struct config_host hosts[2];
    char names[2][LIMIT_ISCSI_NAME + 1];
    struct reactor reactors[RIG_REACTORS];
    struct reactor *reactor_list[RIG_REACTORS];
    struct iscsi_server *server;
    uint16_t port;
    uint8_t *disk;
    atomic_uint nexuses; /* added and not removed */
    atomic_uint tasks;   /* with the double */
    atomic_uint executed;
    atomic_uint drops; /* of a predecessor, by nexus_add() */
};

extern struct rig rig;

/* Fills the configuration with defaults and starts; `change` (may be NULL) alters the target
 * before. */
void rig_start(void (*change)(struct rig *rig));
/* Stops everything and asserts that nothing is left: no nexus, no task, all payload memory free. */
void rig_stop(void);

/* A connection made by hand. */
struct client {
    int fd;
    bool header_digest, data_digest;
    uint32_t cmd_sn, exp_stat_sn, itt;
};

/* A received PDU. */
struct answer {
    uint8_t bhs[ISCSI_BHS_LENGTH];
    uint32_t length;
    uint8_t data[512 << 10];
};

void client_connect(struct client *client);
void client_close(struct client *client);
/* Sends header and data with padding and, if agreed on, digests. Data length and nothing else is
 * filled in. */
void client_send(struct client *client, uint8_t *bhs, const void *data, uint32_t length);
void client_raw(struct client *client, const void *data, size_t length);
/* Receives a PDU (at most 10 s); returns false when the connection was closed. Checks digests. */
bool client_receive(struct client *client, struct answer *answer);
/* Receives a PDU and asserts its opcode. */
void client_expect(struct client *client, struct answer *answer, uint8_t opcode);
/* Asserts that the target closes the connection; PDUs before are thrown away. */
void client_expect_end(struct client *client);
/* Sends one login request, receives the response; returns its status. `flags`: T, C, CSG, NSG. */
uint16_t client_login_pdu(struct client *client, uint8_t flags, const char *text, size_t length,
                          struct answer *answer);
/* A normal session without authentication, with these operational keys (double NUL at the end; "" =
 * defaults), ISID as given. */
void client_login(struct client *client, uint8_t isid, const char *keys);
/* Fills a SCSI command; CmdSN and ITT are taken and advanced. Flags: F, R, W. Returns the ITT. */
uint32_t client_command(struct client *client, uint8_t *bhs, uint8_t flags, uint32_t expected,
                        const uint8_t *cdb, unsigned cdb_length);
void rig_cdb10(uint8_t cdb[16], uint8_t opcode, uint32_t lba, uint16_t blocks);

#endif
