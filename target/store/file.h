/* What file_open.c makes and file.c runs. Private to target/store. */
#ifndef HALUN_STORE_FILE_H
#define HALUN_STORE_FILE_H

#include <stdatomic.h>

#include "target/store/options.h"
#include "target/store/store.h"

struct file_store {
    struct store store;
    int fd;
    bool buffered;                /* through the page cache */
    char *path;                   /* for the log */
    _Atomic bool cannot_zero;     /* no FALLOC_FL_ZERO_RANGE here: zeros are written */
    _Atomic bool cannot_punch;    /* no FALLOC_FL_PUNCH_HOLE here: zeros are written */
    _Atomic int flush_error;      /* sticky: of a flush that failed */
    _Atomic uint64_t log_next_ns; /* not before then is the next error logged */
};

extern const struct store_operations file_store_operations;

#endif
