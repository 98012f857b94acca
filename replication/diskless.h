/* What stands for a replica of the built-in engine of which a disk could not be attached. */
#ifndef HALUN_REPLICATION_DISKLESS_H
#define HALUN_REPLICATION_DISKLESS_H

#include "replication/replica_engine.h"

extern const struct replica_engine replica_diskless;

/* As replica_open(), which failed with the sentence in `why` for want of a disk. The LUs' configured sizes stand for those
 * of the copy: -EINVAL where one has none. */
int replica_diskless_open(const struct replica_options *options, struct replica **replica, char *why);

#endif
