/* Every bound of the system in one place. Pools are sized from these at start; what cannot
 * fit is refused at the edge with a clear answer. Changing a value that reaches a wire or a
 * disk format is noted at that value. */
#ifndef HALUN_BASE_LIMITS_H
#define HALUN_BASE_LIMITS_H

#include <assert.h>

enum {
    LIMIT_NODES = 8,            /* nodes of one cluster; node ids are 1..LIMIT_NODES (bit sets) */
    LIMIT_REACTORS = 64,        /* reactor threads of one daemon */
    LIMIT_PORTALS = 16,         /* portals of one node */
    LIMIT_TARGETS = 64,         /* iSCSI targets */
    LIMIT_GROUPS = 256,         /* groups (replication resources) of one cluster */
    LIMIT_LUS = 4096,           /* logical units of one cluster */
    LIMIT_DRBD_LUS = 64,        /* logical units of one group over the kernel's DRBD */
    LIMIT_GROUP_LUS = 1024,     /* logical units of one group that is replicated (its volumes) */
    LIMIT_LUNS = 1024,          /* LUNs of one host's map; flat addressing reaches 16383 */
    LIMIT_HOSTS = 1024,         /* host blocks */
    LIMIT_REGISTRANTS = 16384,  /* PR registrations in the whole cluster (pool) */
    LIMIT_REGISTRANTS_LU = 256, /* PR registrations of one logical unit */
    LIMIT_ISCSI_NAME = 223,     /* RFC 7143 4.2.7.1, bytes without the NUL */
    LIMIT_TRANSPORT_ID = 260,   /* SPC-4 7.6.4.6: 4 + name + ",i,0x" + 12 hex + NUL, padded to 4 */
    LIMIT_NAME = 63,            /* names of nodes, groups, LUs, hosts in the configuration */
    LIMIT_CDB = 32,             /* longest CDB accepted (iSCSI carries longer ones in an AHS) */
    LIMIT_SENSE = 252,          /* SPC-4 4.5.1 */
    LIMIT_TRANSFER = 4 << 20,   /* bytes one media command may move; VPD B0 MAXIMUM TRANSFER LENGTH */
    LIMIT_CAW_BLOCKS = 128,     /* VPD B0 MAXIMUM COMPARE AND WRITE LENGTH (one byte, blocks) */
    LIMIT_UNMAP_DESCRIPTORS = 256,
    LIMIT_WRITE_SAME = 64 << 20, /* bytes one WRITE SAME may cover; VPD B0 */
    LIMIT_UNMAP = 256 << 20,     /* bytes one UNMAP may cover; VPD B0 */
    LIMIT_PARAMETER_LIST = 64 << 10, /* bytes of a parameter list (PR OUT, MODE SELECT, UNMAP) */

    SEGMENT_SMALL = 8 << 10,  /* payload segments come in two sizes, both multiples of 4 KiB */
    SEGMENT_LARGE = 64 << 10, /* and 4 KiB aligned, so that they may be used with O_DIRECT */
    LIMIT_SEGMENTS = LIMIT_TRANSFER / SEGMENT_LARGE,
};

static_assert(LIMIT_TRANSFER % SEGMENT_LARGE == 0, "a full transfer is whole segments");
static_assert(LIMIT_CAW_BLOCKS * 2 * 4096 <= LIMIT_TRANSFER, "COMPARE AND WRITE carries 2 copies");
static_assert(LIMIT_PARAMETER_LIST <= LIMIT_TRANSFER, "parameter lists use the same payloads");

#endif
