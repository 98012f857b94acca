/* Every file store of a program that is linked with --wrap=file_store_open, under the test's hand:
 * it can fail, it can hold operations back, and it keeps what was written to a range, in order. */
#ifndef HALUN_TESTS_FAULT_STORE_H
#define HALUN_TESTS_FAULT_STORE_H

#include <stdint.h>

#include "target/store/store.h"

enum { FAULT_BLOCK = 4096, FAULT_LOG = 4096 };

/* A write to the logged range, as it was done. */
struct fault_write {
    uint64_t offset;
    uint8_t block[FAULT_BLOCK];
};

struct fault;

/* The store of this file; NULL: not open. */
struct fault *fault_of(const char *path);
/* From now on operations of this kind fail with `error` (0: work again). Any thread. */
void fault_fail(struct fault *fault, enum store_operation operation, int error);
/* From now on operations of this kind inside [from, to) wait; how many do; all go on. */
void fault_hold(struct fault *fault, enum store_operation operation, uint64_t from, uint64_t to);
unsigned fault_held(struct fault *fault);
void fault_release(struct fault *fault);
/* What waits goes on, and from that moment these wait. */
void fault_hold_next(struct fault *fault, enum store_operation operation, uint64_t from, uint64_t to);
/* Operations of this kind so far. */
unsigned fault_count(struct fault *fault, enum store_operation operation);
/* No store fails or holds anything any more. */
void fault_end_all(void);
/* From now on the writes of whole blocks inside [from, to) are kept, as they are completed. What
 * was kept before is forgotten. */
void fault_log(struct fault *fault, uint64_t from, uint64_t to);
/* Number kept; entry `i`. Only while nothing writes. */
unsigned fault_logged(struct fault *fault);
const struct fault_write *fault_log_entry(struct fault *fault, unsigned i);

#endif
