/* Two nodes with a replica each and what tests of both do: starting, promoting, loading, comparing.
 */
#ifndef HALUN_TESTS_REPLICA_PAIR_H
#define HALUN_TESTS_REPLICA_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fault_store.h"
#include "replica_rig.h"
#include "replication/metadata.h"

enum { SIZE = 40 << 20, WAIT_TURNS = 12000 };

struct rig {
    struct rig_node n[2];
    struct rig_options options;
    char directory[64];
    bool agree; /* the cluster agrees at once that a copy is outdated */
    unsigned seed;
    void (*record)(struct rig *rig, unsigned better); /* tells the replicas which copy alone is current; may be NULL */
    unsigned better;
};

extern struct rig *the_rig;

/* Gives up after a minute in which nothing came, counted by turns: a machine that does not run these threads for a while
 * does not run this one either. */
#define WAIT(condition)                                                                            \
    do {                                                                                           \
        unsigned quiet_ = 0;                                                                       \
        while (!(condition)) {                                                                     \
            if (quiet_ == WAIT_TURNS)                                                              \
                pair_fail(#condition, __FILE__, __LINE__);                                         \
            quiet_ += !rig_turn(the_rig->n, 2, 5);                                                 \
        }                                                                                          \
    } while (0)

/* Gives an order and waits for its answer: node->error, node->why. */
#define ORDER(node, call)                                                                          \
    do {                                                                                           \
        (node)->answered = false;                                                                  \
        call;                                                                                      \
        WAIT((node)->answered);                                                                    \
    } while (0)

#define PAIR_CASE(name) cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)

int pair_setup(void **state);
int pair_teardown(void **state);
void pair_fail(const char *condition, const char *file, int line);

void open_node(struct rig *rig, unsigned i);
void start_both(struct rig *rig);
void promote(struct rig_node *node);
/* Both nodes with equal, new copies; node 0 is Primary. */
void start_primary(struct rig *rig);
bool connection(unsigned i, enum replica_connection conn);
/* Connected, both copies UpToDate, nothing out of sync. */
bool good(unsigned i);

void fill(struct rig *rig, uint8_t *data, size_t length);
/* One I/O; returns its error. */
int run_io(struct rig_node *node, unsigned lu, enum store_operation operation, unsigned flags,
           uint64_t offset, void *data, uint64_t length);
/* Random writes, clears and flushes, many at once; waits for all. */
void churn(struct rig *rig, unsigned node, unsigned count);
void read_file(struct rig *rig, unsigned node, unsigned lu, uint8_t *data);
/* The first `size` bytes of a LU, whole sectors, are equal in both nodes' files. */
void assert_equal_up_to(struct rig *rig, unsigned lu, uint64_t size);
void assert_equal_copies(struct rig *rig);
/* Changes a few bytes of LU 0 behind the replica's back. */
void spoil(struct rig *rig, unsigned node, uint64_t offset);
/* The store below LU `lu` of a node; where its metadata are. */
struct fault *pair_fault(struct rig *rig, unsigned node, unsigned lu);
struct metadata_layout pair_layout(struct rig *rig, unsigned node, unsigned lu);
/* Nothing is being written to the metadata of a node, or about to be, but the mark of a Primary (role_mark.h). */
bool metadata_rest(struct rig *rig, unsigned node);

#endif
