/* What a process has used so far, from /proc. */
#ifndef HALUN_BENCH_PROCESS_H
#define HALUN_BENCH_PROCESS_H

#include <stdint.h>

struct process_use {
    uint64_t cpu_ns;    /* on a core, all threads that exist */
    uint64_t voluntary; /* context switches because a thread had nothing to do */
    uint64_t forced;    /* because another thread was to run */
};

/* Use of process `pid` up to now; zeros when it is gone. */
struct process_use process_use(int pid);

#endif
