/* SCSI commands as rows (law 6): one const struct scsi_command per (opcode, service action). The row
 * serves dispatch, the CDB mask check, decoding, permissions, REPORT SUPPORTED OPERATION CODES, metric and
 * trace names, fuzz dictionaries and docs/scsi-commands.md. Rows and lookups are pure; handlers run on
 * the task's reactor. */
#ifndef HALUN_COMMAND_COMMAND_H
#define HALUN_COMMAND_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/shared_state.h"
#include "target/base/limits.h"
#include "target/command/reason.h"
#include "target/nexus/task.h"

enum command_data { DATA_NONE, DATA_IN, DATA_OUT, DATA_BOTH };

enum command_flags {
    COMMAND_MEDIA = 1,       /* executed by the owner only: obeys the gate, is forwarded */
    COMMAND_WRITES = 2,      /* changes the medium: refused on read-only LUNs and with SWP */
    COMMAND_NO_UA = 4,       /* does not report pending unit attentions (SPC-4 5.14: INQUIRY, ...) */
    COMMAND_NO_LU = 8,       /* served for LUNs that do not exist (INQUIRY, REPORT LUNS, REQUEST SENSE) */
    COMMAND_IN_STANDBY = 16, /* allowed in standby and unavailable states (SPC-4 5.15.2.4) */
    COMMAND_ANY_STATE = 32,  /* allowed while transitioning as well: answered from memory */
    COMMAND_BLOCKS = 64,     /* count is in logical blocks: data length = count * block size */
    COMMAND_LEASE = 128,     /* answers from agreed state: not answered without the lease (COMMAND_MEDIA
                              * implies it) */
    COMMAND_LEGACY_CONFLICT = 256, /* conflicts with RESERVE(6)/(10) of another nexus even if `access`
                                    * lets it pass persistent reservations (SPC-2 table 10) */
    COMMAND_READY = 512,     /* tells whether the unit is ready: waits for a transition to end, but not as long
                              * as a media command */
    COMMAND_CAPACITY = 1024, /* tells the capacity: waits until every member has carried a change of it out */
};

/* Where a number stands in a CDB: `offset` bytes from the start, `size` bytes big-endian; size 0: none. */
struct cdb_field {
    uint8_t offset, size;
};

struct scsi_command {
    const char *name;            /* as T10 writes it: "READ(10)" */
    uint8_t opcode;
    uint16_t service_action;     /* COMMAND_NO_ACTION, or the service action (CDB byte 1 bits 4-0) */
    uint8_t length;              /* CDB bytes */
    uint8_t usage[LIMIT_CDB];    /* CDB usage data (SPC-4 6.35): bits that may be set; [0] = opcode. The
                                  * bits of a service action are not looked at: it was matched before */
    enum command_data data;
    uint32_t flags;              /* enum command_flags */
    enum pr_access access;       /* behaviour under reservations */
    struct cdb_field lba;        /* logical block address; size 0: no LBA */
    struct cdb_field count;      /* transfer, allocation or parameter list length */
    /* Runs the admitted task: completes it with a reason other than PENDING, or returns PENDING and
     * calls task_complete() later. The CDB has passed its mask; lba and blocks are decoded and, for
     * COMMAND_MEDIA with an LBA, inside the capacity and the limits; data_out is complete. */
    enum scsi_reason (*run)(struct task *task);
    /* NULL for most rows. For CDBs whose blocks or data length do not follow from the fields above
     * (READ(6): 0 blocks means 256; WRITE SAME: one block of data; VERIFY: data only with BYTCHK), and
     * for refusals that should cost no data phase. Called with the mask passed and lba, blocks and lu
     * set, before capacity and limits are checked; *length holds the bytes the CDB would move by the
     * rule of COMMAND_BLOCKS (0 with DATA_NONE). May change task->blocks and *length (the latter is what
     * LIMIT_TRANSFER is checked against and what becomes data_wanted; 0: no data phase). Called again at
     * every later check. Returns GOOD, or why the CDB is refused. */
    enum scsi_reason (*decode)(struct task *task, uint64_t *length);
};

enum { COMMAND_NO_ACTION = 0xffff };

/* Rows come in tables, one per chapter: spc.c, disk.c, reservation_commands.c, alua_commands.c. */
struct command_table {
    const struct scsi_command *rows;
    unsigned count;
};
extern const struct command_table spc_commands, disk_commands, reservation_commands, alua_commands;

/* Builds the index of the disk device type from the tables; asserts: no duplicates, masks as long as the
 * CDBs, usage[0] == opcode. Once, at start. */
void command_index_build(void);
/* The row for a CDB, or NULL. *known_opcode tells INVALID OPCODE from a bad service action. */
const struct scsi_command *command_find(const uint8_t *cdb, bool *known_opcode);
/* Walks all rows in order of opcode and service action; for REPORT SUPPORTED OPERATION CODES, docs. */
const struct scsi_command *command_next(const struct scsi_command *after);
/* First bit of `cdb` outside the row's mask: returns true and its byte and bit number (7 = msb). */
bool command_stray_bit(const struct scsi_command *command, const uint8_t *cdb, uint8_t *byte,
                       uint8_t *bit);

/* Sense data for `reason` into the task (fixed or descriptor format by the LU's D_SENSE), status too. */
void sense_for_task(struct task *task, enum scsi_reason reason);
/* Points the sense data of the next task_complete() at a CDB or parameter byte (SPC-4 4.5.2.4.2); `bit`
 * 0..7, or -1 for the whole byte. Returns the matching INVALID FIELD reason, so that a handler can write
 * `return field_in_cdb(task, 1, 3);`. */
enum scsi_reason field_in_cdb(struct task *task, uint16_t byte, int bit);
enum scsi_reason field_in_parameters(struct task *task, uint16_t byte, int bit);
/* INFORMATION field for the next task_complete() (MISCOMPARE offset, LBA of a medium error). */
void sense_information(struct task *task, uint64_t information);
/* -errno of the machine to a reason: the only place where the two meet. `write`: which medium error. */
enum scsi_reason reason_from_errno(int error, bool write);

/* Gives the task `length` bytes of data-in memory, zeroed; TASK_SET_FULL when the pool is empty. */
enum scsi_reason task_data_in(struct task *task, uint32_t length);
/* Copies a finished answer of `length` bytes into data_in, truncated to `allocation`. Returns GOOD, or
 * TASK_SET_FULL. */
enum scsi_reason task_answer(struct task *task, const void *data, uint32_t length,
                             uint32_t allocation);

#endif
