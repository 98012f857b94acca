/* Nodes with a replica for tests: a reactor thread each, over loopback, file stores in a directory.
 * The test's thread is the control thread of all of them. */
#ifndef HALUN_TESTS_REPLICA_RIG_H
#define HALUN_TESTS_REPLICA_RIG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "replication/replica.h"
#include "target/base/reactor.h"

enum {
    RIG_LUS = 2,
    RIG_BLOCK = 4096,
    RIG_TIMEOUT_MS = 20000, /* so long that a machine with pauses loses no link but where a test cuts it */
};

struct rig_node;

struct rig_options {
    const char *directory;
    uint16_t port;
    unsigned lus;        /* 1..RIG_LUS */
    uint64_t size;       /* bytes of each */
    const char *secret;  /* NULL = none */
    unsigned al_extents; /* 0 = 67, so that extents are evicted */
    unsigned resync_rate;
    unsigned timeout_ms; /* 0 = RIG_TIMEOUT_MS */
    bool keep_state;     /* a state_dir for each node */
    void (*tune)(struct config_group *group); /* more of the group's options; may be NULL */
    bool recorded; /* the test says what a cluster records of the copies */
    void (*arrange)(struct rig_node *node);   /* more of one node's configuration; may be NULL */
    bool kept;     /* no cache lost its power before the replica is opened */
    bool (*lease)(const struct reactor *home); /* of both nodes; may be NULL */
};

struct rig_node {
    unsigned index; /* 0, 1: node id is index + 1 */
    struct config config;
    struct config_node nodes[2];
    struct config_group group;
    struct config_lu lus[RIG_LUS];
    struct reactor reactor;
    pthread_t thread;
    struct mailbox control;
    struct replica *replica;
    struct replica_callbacks callbacks;

    unsigned asked, asked_self, to_be_filled, told_current, changed, lost; /* calls of the callbacks */
    void (*on_outdate)(struct rig_node *node);
    void (*on_outdate_self)(struct rig_node *node);
    unsigned in_vain; /* how often it said that the outdating of the other copy is of no use */
    void (*on_current)(struct rig_node *node);

    bool answered; /* by the order given last */
    bool closed;   /* not the same: closing answers an order that is under way */
    bool closing;  /* no order may follow (replica.h): the functions above are not called any more */
    int error;
    char why[256];
};

/* A free TCP port for both nodes of a test. */
uint16_t rig_port(void);
/* Starts the node's thread and opens its replica. Returns 0 or replica_open()'s error, `why` in
 * node->why (then nothing is left running). */
int rig_open(struct rig_node *node, unsigned index, const struct rig_options *options);
/* Clean close; waits. Returns its error. */
int rig_close(struct rig_node *node);
/* Path of LU `lu`'s file. */
void rig_path(char *out, const char *directory, unsigned index, unsigned lu);

/* Runs what came in on the nodes' control mailboxes; waits at most `ms` for something. Returns whether something had come. */
bool rig_turn(struct rig_node *nodes, unsigned count, int ms);

/* An I/O given to a node's reactor; its end arrives on the node's control mailbox. */
struct rig_io {
    struct store_io io;
    struct post post;
    struct rig_node *node;
    struct store *store;
    struct iovec iov;
    bool done;
    int error;
    void (*on_done)(struct rig_io *io); /* on the test's thread; may be NULL */
};
void rig_submit(struct rig_node *node, struct rig_io *io, unsigned lu,
                enum store_operation operation, unsigned flags, uint64_t offset, void *data,
                uint64_t length);
struct replica_status rig_status(const struct rig_node *node);
/* The answer of an order: pass as done and context. */
void rig_answer(void *context, int error, const char *why);

#endif
