/* The configuration of a whole array as plain data: what config/parse makes of halun.conf, checked,
 * with every default filled in. The file is the same on all nodes; who "this node" is comes from
 * the command line (or Corosync). A configuration is immutable once parsed; a reload parses a new
 * one and applies the difference (config/plan). Owned by whoever parsed it: config_free(). */
#ifndef HALUN_CONFIG_CONFIG_H
#define HALUN_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "target/base/limits.h"

struct config_address {
    struct sockaddr_storage address; /* AF_INET or AF_INET6, port set */
    socklen_t length;
    char text[64]; /* as written: "10.0.0.1:3260", "[fd00::1]:3260" */
};

struct config_portal {
    char name[LIMIT_NAME + 1];
    struct config_address address;
    uint16_t rtpi; /* relative target port identifier, unique in the cluster, 1..65535 */
    unsigned line;
};

struct config_node {
    char name[LIMIT_NAME + 1]; /* as in Corosync's nodelist */
    unsigned id;               /* Corosync node id, 1..LIMIT_NODES; also target port group id + iSCSI TPGT */
    struct config_address peer; /* where other nodes' engines forward commands to; length 0 = none */
    char replication_address[64]; /* IP the groups' replication ports are bound to; "" = none */
    struct config_portal portals[LIMIT_PORTALS];
    unsigned portal_count;
    unsigned line;
};

enum config_replication { REPLICATION_NONE, REPLICATION_BUILTIN, REPLICATION_DRBD };

/* Who makes the kernel's DRBD Primary and Secondary: Pacemaker by ocf:linbit:drbd, or halund by drbdadm. */
enum config_drbd_role { CONFIG_DRBD_ROLE_PACEMAKER, CONFIG_DRBD_ROLE_HALUND };

/* What becomes of writes when a peer outside the cluster is lost. */
/* The first word of after_sb_0pri that means something else on the other node. */
enum { CONFIG_DISCARD_LOCAL = 5 };
enum config_peer_lost { CONFIG_LOST_WAIT, CONFIG_LOST_GO_ON };

struct config_group {
    char name[LIMIT_NAME + 1];
    enum config_replication replication;
    uint16_t port;          /* TCP port of the replication link, the same on both nodes */
    unsigned nodes[2];      /* node ids that hold a copy (builtin) */
    bool tls;               /* of the link; what is read for it: */
    char tls_certificate[256], tls_key[256], tls_ca[256]; /* "%n" is already replaced */
    struct config_address drbd_peer; /* who holds the other, outside the cluster; length 0 = a node does */
    enum config_peer_lost peer_lost;
    unsigned node_count;
    char drbd_resource[LIMIT_NAME + 1]; /* "" = named as the group */
    enum config_drbd_role drbd_role;
    unsigned al_extents;    /* activity log slots, 67..6433, default 1237 */
    unsigned timeout_ms;    /* peer silent for so long = link lost; default 2000 */
    unsigned ping_ms;       /* idle ping interval, default 1000 */
    unsigned resync_rate;   /* KiB/s while c_plan_ahead is 0; 0 = no limit */
    unsigned c_plan_ahead, c_delay_target; /* tenths of a second */
    unsigned c_fill_target;                /* sectors; 0 = by c_delay_target */
    unsigned after_sb_0pri, after_sb_1pri, after_sb_2pri; /* places of the option's words */
    bool always_asbp;
    unsigned csums_alg, verify_alg;        /* 0 none, as digest_name() (replication/digest.h) */
    unsigned rs_discard_granularity;       /* bytes, 0 = no thin resync */
    unsigned c_max_rate, c_min_rate;       /* KiB/s; 0 = no limit */
    char secret[65];        /* from the secrets file; "" = no authentication */
    unsigned line;
};

enum config_store { STORE_KIND_FILE, STORE_KIND_MEMORY, STORE_KIND_NULL };

struct config_lu {
    char name[LIMIT_NAME + 1];
    uint8_t uuid[16];           /* identity for ever: NAA, T10 id and serial are made from it */
    char group[LIMIT_NAME + 1];
    unsigned group_index;       /* into config->groups */
    unsigned volume;            /* DRBD volume number inside the group, 0.. in order of the file */
    enum config_store store;
    char path[256];             /* file or block device; "%n" of the file is already replaced by the
                                 * name of this node */
    uint64_t size;              /* bytes as exported; 0 = from the file (not with builtin replication
                                 * of a file that does not exist) */
    uint32_t block_size;        /* 512 or 4096 */
    uint32_t physical_block;    /* reported physical block, default 4096 */
    bool direct;
    bool read_only;
    bool thin;                  /* UNMAP offered, LBPME; default true for file, memory, null */
    bool rotational;
    unsigned iops_limit;        /* media commands a second; 0 = no limit */
    uint64_t bytes_limit;       /* bytes a second; 0 = no limit */
    char vendor[9], product[17], revision[5]; /* INQUIRY; defaults "HALUN", "VDISK", version */
    unsigned line;
};

struct config_chap {
    char user[LIMIT_ISCSI_NAME + 1];
    char secret[256]; /* from the secrets file; "" = no CHAP */
};

struct config_lun {
    unsigned lun;       /* 0..LIMIT_LUNS-1 */
    unsigned lu_index;  /* into config->lus */
    bool read_only;
};

struct config_host {
    char name[LIMIT_NAME + 1];
    char (*initiators)[LIMIT_ISCSI_NAME + 1]; /* names or fnmatch(3) patterns */
    unsigned initiator_count;
    struct config_lun *luns; /* sorted by lun */
    unsigned lun_count;
    unsigned iops_limit;            /* media commands a second; 0 = no limit */
    uint64_t bytes_limit;           /* bytes a second; 0 = no limit */
    struct config_chap chap;        /* the initiator proves itself; "" = not demanded */
    struct config_chap chap_mutual; /* the target proves itself */
    unsigned line;
};

struct config_target {
    char name[LIMIT_ISCSI_NAME + 1];
    char alias[LIMIT_NAME + 1];
    /* Login limits and offers (RFC 7143 13): each a row of options.def. */
    unsigned max_recv_data_segment; /* default 262144 */
    unsigned first_burst;           /* default 262144 */
    unsigned max_burst;             /* default 1048576 */
    unsigned max_outstanding_r2t;   /* default 8 */
    bool immediate_data;            /* default true */
    bool initial_r2t;               /* default false */
    unsigned header_digest;         /* 0 none, 1 crc32c offered, 2 crc32c demanded */
    unsigned data_digest;
    unsigned queue_depth;           /* command window of a session, default 128 */
    unsigned nop_interval_s;        /* NOP-In to a silent initiator, default 10, 0 = never */
    unsigned nop_timeout_s;         /* default 10 */
    unsigned login_timeout_s;       /* default 15 */
    unsigned line;
};

struct config {
    char cluster_name[LIMIT_NAME + 1];
    uint8_t cluster_uuid[16]; /* stamped into journals; from the file, or made from the name */
    bool corosync;            /* false: single-node mode without Corosync */
    unsigned lease_ms;        /* answered only with ordered traffic this young, default 3000 */
    unsigned hold_ms;         /* commands are held so long before 04/0A, default 20000 */
    unsigned transition_s;    /* reported implicit transition time, default from hold_ms, never 0 */
    unsigned wire_max;        /* newest version of the cluster's messages; 0 = the newest known */
    char state_dir[256];      /* journals; default /var/lib/halun */
    char run_dir[256];        /* sockets, pid file; default /run/halun */
    unsigned reactors;        /* 0 = one per core */
    uint64_t pool_bytes;      /* payload memory per reactor, default 64 MiB */
    unsigned spin_us;         /* longest wait awake of a busy reactor; 0: none */
    unsigned log_priority;    /* syslog level, default LOG_INFO */
    char log_file[256];       /* beside syslog; "" = none */
    bool control_readers;     /* every local user may read the status over the control socket */
    char secrets[256];        /* path of the secrets file that was read; "" = there is none */

    struct config_node *nodes;
    struct config_target *targets;
    struct config_group *groups;
    struct config_lu *lus; /* sorted by uuid: the index is the same on all nodes */
    struct config_host *hosts;
    unsigned node_count, target_count, group_count, lu_count, host_count;
    unsigned self; /* index of this node in nodes; node_count when no node was named */
    uint8_t digest[32]; /* SHA-256 of what must be equal on all nodes (nodes, groups, LUs) */
};

/* One complaint: "halun.conf:12: group "g0": port 99999: expected 1..65535". */
struct config_error {
    char text[512];
};

/* Parses and checks `path` (and its secrets file) for node `node_name` (NULL: for none in particular;
 * such a configuration is only good for checks). On success returns 0 and a new
 * configuration in *config. On failure returns -EINVAL (content), -errno (file) and fills `error`;
 * *config is untouched. Control thread, or halunctl. */
int config_load(const char *path, const char *node_name, struct config **config,
                struct config_error *error);
/* Frees a configuration. Accepts NULL. */
void config_free(struct config *config);
/* SHA-256 of what initiators see: config->digest, targets, hosts and LUN maps. A reload is refused unless it is equal
 * on all nodes. Pure. */
void config_view_digest(const struct config *config, uint8_t digest[32]);
/* The host block that an initiator name belongs to (exact names before patterns, then order of the
 * file), or NULL. Pure. */
const struct config_host *config_host_for(const struct config *config, const char *initiator);

#endif
