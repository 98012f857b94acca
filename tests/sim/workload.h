/* Inside of the workload: clients (initiator ports with a path to every node) and their jobs, each
 * of which sends one command at a time and records it. */
#ifndef HALUN_TESTS_SIM_WORKLOAD_H
#define HALUN_TESTS_SIM_WORKLOAD_H

#include "tests/history/blocks.h"
#include "tests/history/history.h"
#include "tests/sim/initiator.h"
#include "tests/sim/sim.h"

enum {
    WORKLOAD_CLIENTS = 4,
    WORKLOAD_BLOCKS = 12, /* of each unit: those that are written */
    WORKLOAD_RUN = 4,     /* most blocks of one command */
    WORKLOAD_DATA = 2 * WORKLOAD_RUN * 4096,
    WORKLOAD_ANSWER = 4096, /* most data-in of other commands */
};

struct path {
    struct client *client;
    unsigned node;
    int nexus;                 /* its number in the history */
    struct sim_nexus *session; /* NULL: none */
    bool up;
    bool refused_once;          /* the last login failed */
    uint64_t login_call, heard; /* when the login was sent; when the last answer came that showed the nexus to be there */
    struct sim_event retry;
};

struct client {
    unsigned number;
    uint8_t isid[6];
    struct path paths[SIM_NODES + 1]; /* by node */
};

struct job;
struct job_kind {
    const char *name;
    void (*forget)(void); /* a new run begins */
    /* Chooses what to do and sends it by job_send(), or returns false: nothing this time. */
    bool (*begin)(struct job *job);
    uint64_t pause_ns; /* mean time between two commands */
};

/* What one command does to one block. */
struct job_block {
    uint32_t block;
    uint64_t value, compare;
};

struct job {
    const struct job_kind *kind;
    struct client *client;
    unsigned lu;
    struct path *path;
    struct sim_event next;
    struct sim_event patience; /* a command that never ends is found */
    bool busy;
    struct job *busy_next; /* of all that have a command under way */
    struct sim_command command;
    struct sim_tmf tmf;
    uint8_t out[WORKLOAD_DATA], in[WORKLOAD_DATA];
    /* What is recorded of the command. */
    struct history_op op;
    struct job_block blocks[WORKLOAD_RUN]; /* reads and writes */
    unsigned block_count;
    bool fua, synchronize;
    uint64_t mark;                     /* of the ledger, SYNCHRONIZE CACHE */
    bool aborts;                       /* the next thing is to abort it */
    void (*answered)(struct job *job); /* looks into data_in after GOOD; may be NULL */
    void (*ended)(struct job *job);    /* a story's: called instead of going on */
};

/* ---- workload.c ---- */
extern struct client workload_clients[WORKLOAD_CLIENTS];
unsigned workload_client_count(void);
/* Clients with a path to every node, which log in; no jobs. */
void workload_clients_begin(unsigned clients);
/* Number of a nexus in the history. */
int workload_nexus(unsigned client, unsigned node);
/* Number of the nexus with this TransportID and port, or MODEL_NOBODY. */
int workload_find_nexus(const uint8_t *transport_id, unsigned length, uint16_t rtpi);
/* Where block n of the ledger is. */
uint64_t workload_lba(uint32_t block);
/* May something have aborted a command that was sent then? */
bool workload_aborts(unsigned lu, uint64_t sent);
/* Some path of the client that is up: most often the one to the group's owner. NULL: none. */
/* PERSISTENT RESERVE IN: READ KEYS, READ RESERVATION or READ FULL STATUS. */
void workload_pr_in(struct job *job, uint8_t action);
/* MODE SENSE of the control or the caching page; MODE SELECT of it, which has been read before (else false). */
void workload_mode_sense(struct job *job, bool control);
bool workload_mode_select(struct job *job, bool control, const struct shared_mode *mode);
struct path *workload_path(struct client *client, unsigned lu);
/* Sends job->command (cdb, data set) on job->path; job->op says what it is. The rest is done by
 * itself. */
void job_send(struct job *job, enum model_kind kind, const uint8_t *cdb, uint8_t cdb_length,
              uint32_t out, uint32_t in);
void job_send_tmf(struct job *job, enum tmf_function function, uint64_t tag, enum model_kind kind);
/* Another job of the same client on the same path and unit with a command under way; NULL: none. */
struct job *job_beside(const struct job *job);
/* Is another PERSISTENT RESERVE OUT for the unit of this job under way? */
bool workload_changes_beside(const struct job *job);

/* ---- the kinds of jobs ---- */
extern const struct job_kind job_io, job_reservations, job_manager;

/* ---- record.c: the history and the ledger of this run ---- */
struct history *record_history(void);
struct blocks *record_blocks(unsigned lu);
void record_begin(unsigned clients);
void record_end(void);
void record_login(const struct path *path, uint64_t end);
void record_loss(const struct path *path);
/* A command of the job begins / ended: its operations and its blocks. */
void record_call(struct job *job);
void record_return(struct job *job);
/* Key, ASC and ASCQ of sense data in either format; zeros without. */
void record_sense(const struct sim_command *command, uint8_t *key, uint8_t *asc, uint8_t *ascq);
/* A value that was never written before. */
uint64_t record_value(void);
/* What a block must look like / the value that it shows; HISTORY_NO_VALUE: damaged. */
void record_fill(unsigned lu, uint32_t block, uint64_t value, uint8_t *data, unsigned size);
uint64_t record_read(unsigned lu, uint32_t block, const uint8_t *data, unsigned size);
/* The value that a block claims to hold, unchecked; 0 = none. */
uint64_t record_value_of(const uint8_t *data);
/* No copy of the unit is left that has all that was acknowledged (caches.c). */
void record_cache_loss(unsigned lu);
/* Who wrote a value, and when it was sent; false: nobody. */
bool record_writer(uint64_t value, unsigned *lu, uint32_t *block, int *nexus, uint64_t *sent);

/* When the command that writes a value was over for good, by its answer or that of what aborted it; 0: it is not. */
uint64_t record_over(uint64_t value);

/* check_*.c that look at commands */
void answers_check(
    const struct job *job); /* check_answers.c: is this answer one that may come now? */
void wall_answered(
    const struct job *job); /* check_wall.c: PERSISTENT RESERVE OUT was answered GOOD */
void history_cold_start(uint64_t lost, uint64_t back); /* record.c: what was not APTPL is gone */

#endif
