/* The inside of a replica. Private to replication/; everything runs on the home reactor unless said
 * otherwise.
 *
 * Every way into the engine (completion, timer, post) is bracketed by resource_enter() and
 * resource_leave(). What could re-enter (completions upward, losing the link, admitting new
 * requests) is only noted in between and done by the outermost leave. */
#ifndef HALUN_REPLICATION_RESOURCE_H
#define HALUN_REPLICATION_RESOURCE_H

#include <pthread.h>
#include <qb/qblist.h>
#include <stdatomic.h>

#include "replication/activity_log.h"
#include "replication/digest.h"
#include "replication/dirty_map.h"
#include "replication/engine.h"
#include "replication/epoch.h"
#include "replication/generation.h"
#include "replication/grow.h"
#include "replication/link.h"
#include "replication/log_hold.h"
#include "replication/md_file.h"
#include "replication/metadata.h"
#include "replication/pace.h"
#include "replication/range_lock.h"
#include "replication/replica_engine.h"
#include "replication/write_gate.h"
#include "target/base/limits.h"
#include "target/base/payload.h"
#include "target/base/reactor.h"

enum {
    RESOURCE_VOLUMES = LIMIT_GROUP_LUS, /* volumes of one group */
    RESOURCE_REQUESTS = 1024,           /* changing commands in progress; more wait in order */
    RESOURCE_ENTRIES = 1024,            /* packets in the transfer log */
    RESOURCE_MIRRORS = 512,             /* the peer's writes in progress */
    RESOURCE_SYNCS = 256,               /* resync blocks and reads for the peer in progress */
    RESOURCE_CATCHUPS = 4,
    RESOURCE_POOL = 16 << 20, /* bytes of buffers for what comes from the peer and for resync */
    WRITE_PART = 1 << 20,     /* bytes of one P_DATA */
    ZERO_PART = 64 << 20,     /* bytes of one P_TRIM, P_ZEROES */
    SYNC_BYTES = PACE_REQUEST,
    CSUM_BYTES = 32 << 10, /* of one request with a checksum */
    MD_PAGES = 64,         /* pages of the dirty map per metadata cycle */
    BARRIER_DELAY_MS = 10, /* an idle epoch is ended so late */
    KO_COUNT = 7,          /* a write unanswered for so many timeouts drops the link */
};

struct resource;
struct volume;

/* --- writes of this node as Primary (write_path.c) --- */

/* A changing command or flush of the upper layer. */
struct request {
    struct qb_list_head link; /* resource->requests or ->flushes or the free list */
    struct store_io *io;
    struct volume *volume;
    uint64_t issued; /* bytes given to entries */
    unsigned parts;  /* entries not completed */
    int error;
    bool starved; /* waits for free entries */
    bool refused; /* an entry was not begun: too late */
    bool begun;   /* another was: it may be on a medium */
    /* STORE_FLUSH */
    bool flush_done;
    uint64_t position; /* waits for older entries of the transfer log */
    struct store_io local;
};

/* One packet's worth of a request: the transfer log. */
struct entry {
    struct qb_list_head log;  /* resource->log, by position; free list */
    struct qb_list_head sent; /* resource->sent, in order of sending, while SENT or ACKED */
    struct log_hold hold;
    struct volume *volume;
    struct request *request; /* NULL: catching up */
    struct range range;
    struct store_io io;
    struct tx_item tx;
    uint8_t head[96];
    enum store_operation operation;
    uint64_t offset;
    uint32_t length;
    uint64_t position, id, sent_ns;
    uint32_t epoch;
    struct write_progress progress;
    bool in_log, in_sent, local_started;
    bool counted; /* in volume->writing */
    struct payload *bounce; /* catching up: the data */
    unsigned iov_count;
    struct iovec iov[LIMIT_SEGMENTS + 1];
};

/* Bytes of one place; places follow each other round and round. */
enum { VOLUME_PLACES = 64, VOLUME_PLACE_SHIFT = 20 };

/* --- writes of the peer (mirror.c) --- */

struct mirror {
    struct qb_list_head link; /* the free list, or volume->held */
    struct resource *resource;
    struct volume *volume;
    struct range range;
    struct log_hold hold;
    struct packet_data data;
    uint64_t link_serial; /* answers go to the connection that asked */
    uint32_t epoch;
    struct payload payload;
    struct store_io io;
    struct tx_item tx;
    uint8_t head[HEADER_LENGTH_MAX + PACKET_BLOCK_ACK_LENGTH];
};

/* --- resync (resync.c, resync_target.c) --- */

enum sync_kind {
    SYNC_FREE,
    SYNC_READ,        /* source: a block for the target */
    SYNC_PEER_READ,   /* a read of a peer without disk */
    SYNC_REQUESTED,   /* target: asked for */
    SYNC_WRITE,       /* target: came, goes to the disk */
    SYNC_CHECK,       /* target: read for the checksum to ask with */
    SYNC_CHECKED,     /* source: read, to be compared with that */
    SYNC_THIN,        /* source: read, to be told from zeros */
    SYNC_VERIFY,      /* initiator of a verify: waits for its range, the reply, its read */
    SYNC_VERIFY_READ, /* target of a verify */
    SYNC_ASKED,       /* a part of `upper`, a read of this node without disk: asked for */
};
struct sync_io {
    struct qb_list_head link;
    struct resource *resource;
    struct volume *volume;
    enum sync_kind kind;
    uint64_t link_serial;
    uint64_t sector, block_id;
    uint32_t size;
    struct range range;
    struct store_io *upper; /* SYNC_ASKED */
    uint64_t at;            /* where in it, bytes */
    bool waits_memory, waits_rate, waits_reply, receiving, doomed;
    bool zeros; /* SYNC_WRITE: no data, the source has zeros */
    uint8_t digest[MESSAGE_DIGEST_MAX];
    size_t digest_length;
    struct payload payload;
    struct store_io io;
    struct tx_item tx;
    uint8_t head[HEADER_LENGTH_MAX + PACKET_BLOCK_REQUEST_LENGTH + MESSAGE_DIGEST_MAX];
};

/* --- online verify (verify.c) --- */

struct verify {
    uint64_t cursor; /* initiator: block to ask for next */
    uint64_t left;   /* blocks without a result */
    uint64_t differ; /* blocks */
    uint64_t bytes_in_flight;
};

struct resync {
    /* exchange of the maps */
    struct dirty_map_receive receive;
    bool sending, last_packet, sent_all;
    uint64_t word;
    struct tx_item tx;
    uint8_t *packet;         /* header and MESSAGE_BITMAP_MAX bytes */
    uint64_t uuid;           /* P_SYNC_UUID */
    struct generations peer; /* as of the handshake, repaired */
    /* target */
    uint64_t cursor;
    uint32_t in_flight, bytes_in_flight;
    struct pace pace;
    uint64_t failed, equal_bits; /* equal: by checksum */
    bool pinged, finishing;
    uint64_t ping_mark;
    uint64_t checkpoint_ns;
    /* source */
    bool peer_marked; /* the target is Inconsistent on its stable storage, and said so */
    /* both */
    bool peer_finished;
    uint64_t total_bits, started_ns;
    uint64_t rate_bits, rate_ns, rate; /* bits left at rate_ns; bytes/s, smoothed */
    /* Primary, connected without resync though bits are set: those are sent as writes */
    bool catching_up, catchup_again;
    bool behind; /* the peer, when that began */
    uint64_t catchup_cursor;
    unsigned catchups;
};

/* --- metadata I/O (metadata_io.c) --- */

struct md_waiter {
    struct qb_list_head link;
    bool pages; /* the whole map first */
    uint64_t ticket;
    void (*done)(struct md_waiter *waiter, int error);
    struct volume *volume;
    void *context;
};

struct md_write {
    struct store_io io;
    struct volume *volume;
};

struct md_io {
    bool running;
    uint64_t wanted, building, durable; /* superblock tickets */
    struct qb_list_head pass_next, pass_now, waiters;
    bool pass, pass_flushed;
    uint64_t cursor;
    struct al_transaction transaction;
    bool log_part;
    unsigned pages, in_flight;
    int error;
    uint64_t page[MD_PAGES];
    uint8_t *memory; /* MD_PAGES + 2 blocks, aligned */
    struct iovec iov[MD_PAGES + 2];
    struct md_write write[MD_PAGES + 2];
    struct store_io flush;
    /* clean detach */
    bool closing;
    uint32_t ring_block;
    struct md_waiter *close_waiter;
};

/* --- a volume --- */

/* Wraps reads, so that a disk that fails is noticed: a pool per calling reactor. */
struct read_pool;

struct volume {
    struct resource *resource;

    /* Looked at for all volumes of a group while commands are held (a change of roles, status): in one place, as with a
     * thousand volumes none of it is in the cache. */
    struct volume_state state;
    unsigned number; /* of the wire */
    struct dirty_map *map;
    uint64_t sectors;
    uint64_t mark;             /* superblock ticket with the mark of a Primary (role_mark.h); 0: long durable */
    _Atomic bool readable;     /* usable data; read while the resource is serving */
    _Atomic bool elsewhere;    /* data on the peer only */
    _Atomic bool failed;
    bool user_isp, peer_isp;   /* resync paused by order here, at the peer */
    bool unstable;
    enum replica_disk outdated_from; /* what the disk was when it was outdated by agreement; DISKLESS: nothing to take back */
    bool alone_durable;        /* the new generation is on disk: may go on without the peer */
    bool promoted_alone;       /* became Primary without the peer: not who was Primary before a split brain */
    bool peer_only;            /* Primary whose disk failed: the peer has the only good copy (volume.c) */
    bool only_copy, only_starting, only_ending; /* see below */
    bool unmarking;            /* Secondary, but the mark is still to be cleared */
    bool complete;             /* has had all that was acknowledged, and kept it: see standing.h */

    struct qb_list_head work; /* resource->work, while `working`: has something for the end of an event */
    bool working;
    struct qb_list_head unflushed; /* resource->unflushed, while `written_to` */
    bool written_to;               /* for the peer, since the last flush for it began; or flush_own() asks for that */
    bool cached;                   /* written to as Primary, without FUA, since the last flush began */
    struct store store; /* what the LU stands on */
    struct store *backing;
    struct read_pool *reads[LIMIT_REACTORS];
    /* Writes that are not acknowledged yet, by place: a read that may have met one looks closer
     * (replicated_store.c). */
    _Atomic uint32_t writing[VOLUME_PLACES];

    uint8_t uuid[16];               /* of the LU */
    _Atomic uint64_t device_bytes; /* that the metadata were laid out for */
    struct md_file file; /* layout and memory of the map */
    struct superblock sb;
    struct activity_log *al;
    void *al_memory;
    struct md_io md;
    struct md_waiter step, checkpoint; /* of a resync */
    struct md_waiter apart;            /* of a new generation (standing.c) */
    struct store_io outdating;         /* the flush before the peer is outdated (outdating.c) */
    bool step_running, checkpoint_running;
    uint64_t step_serial;
    struct packet_sizes peer_sizes;
    struct packet_uuids peer_uuids;
    bool have_sizes, have_uuids, have_state;
    bool unequal; /* connected as equal, though blocks are marked here or there (unequal.h) */
    unsigned told_rule; /* of the verdict that was logged last, since there was a connection; 0: none was */
    enum generation_action told_action;
    bool bumping;
    bool new_current; /* waits for the peer to adopt the new generation */
    uint32_t sequence;
    uint64_t transition_ns; /* when the state was entered that must not last */

    /* peer_only: the peer had all when the disk failed */
    bool peer_usable; /* it is there */
    uint64_t exposed; /* the generation that it must have */

    /* only_copy: Secondary whose Primary has no disk, so this is the only good copy (mirror.c) */
    bool only_durable;
    bool only_waits; /* it would be, but the record does not call it current */
    struct md_waiter only_start, only_end;
    struct qb_list_head held;    /* mirrors whose answer waits for only_durable */
    struct qb_list_head waiting; /* mirrors that came while only_waits, not begun; in order */

    struct growth growth;
    uint64_t resize_to, resize_answer; /* sectors: asked for, answered by the peer (admin_resize.c) */
    struct admin *resizing;
    uint64_t grow_to; /* sectors: the peer has them already, this node missed it */
    unsigned holds;   /* of the activity log */

    struct range_table ranges;
    struct qb_list_head al_wait, al_busy; /* struct log_hold */
    struct resync resync;
    struct verify verify;
};

/* --- administration (admin.c) --- */

struct admin {
    struct post post;
    struct qb_list_head link;
    struct resource *resource;
    enum replica_order kind;
    bool flag; /* force; agreed; discard my data */
    enum replica_standing standing;
    unsigned phase;
    unsigned waiting;                /* metadata writes */
    unsigned next;                   /* volume whose turn is next */
    uint64_t serial, mark; /* of the connection that is asked, its ping */
    uint64_t since_ns;     /* since when it is asked; until when marks stay */
    int error;
    char why[160];
    struct md_waiter waiters[RESOURCE_VOLUMES];
    void (*done)(void *context, int error, const char *why);
    void *context;
};

/* --- the resource --- */

struct resource {
    struct replica public;
    struct reactor *home;
    const struct config_group *group;
    unsigned peer_node;
    unsigned volume_count;
    struct volume *volumes[RESOURCE_VOLUMES];
    struct qb_list_head work; /* volumes that resource_leave() looks at: all for which volume_has_work() */
    struct volume *by_number[RESOURCE_VOLUMES]; /* of the wire */

    bool primary;         /* role on disk */
    _Atomic bool serving; /* commands are taken; reads of all reactors look at it */
    enum wire_role peer_role;
    uint32_t features;
    bool resolve_conflicts;
    struct link link;
    struct payload_pool *pool;
    struct digest_context *digest;

    /* write path */
    struct request *request_memory;
    struct entry *entry_memory;
    unsigned request_used, entry_used; /* of the memory, never touched beyond */
    struct qb_list_head free_requests, free_entries;
    struct qb_list_head requests, flushes, starved;
    struct qb_list_head log, sent;
    struct post *arrived, **arrived_end; /* store_io waiting for a request, in order */
    struct post *finished, **finished_end;
    uint64_t position, id_salt;
    bool giving_up, checking_flushes;
    /* The peer was Primary before this node, and may have in its cache what it wrote then: the next flush waits for a
     * barrier, whose number this is when asked. */
    enum { PEER_FLUSHED, PEER_UNFLUSHED, PEER_FLUSH_ASKED } peer_cache;
    uint32_t peer_cache_epoch;
    uint64_t peer_cache_ns; /* when it was sent */
    struct epoch_sender epochs;
    struct timer barrier_timer;
    struct payload catchup_payload[RESOURCE_CATCHUPS];
    bool catchup_used[RESOURCE_CATCHUPS];

    /* the peer's writes */
    struct mirror *mirror_memory;
    unsigned mirror_used, mirrors;
    struct qb_list_head free_mirrors;
    struct epoch_receiver received;
    struct qb_list_head unflushed; /* volumes */
    struct flush_slot {
        struct store_io io;
        struct volume *volume;
    } flush[RESOURCE_VOLUMES];
    unsigned flush_running;
    uint32_t flush_epochs;
    uint64_t flush_serial;
    int flush_error;

    /* resync */
    struct sync_io *sync_memory;
    unsigned sync_used, syncs;
    struct qb_list_head free_syncs, sync_list;
    uint64_t application_ns; /* when the application last changed or read something */
    _Atomic uint64_t reads;  /* of the application, from all reactors */
    uint64_t reads_seen;
    uint64_t min_tokens, min_ns; /* resync beside application I/O */

    struct post *asking, **asking_end; /* store_io: reads that the peer has to answer, in order */
    uint64_t asking_issued;            /* bytes of the first one that were asked for */

    /* fencing */
    bool asked, agreed;           /* that the peer's copy is outdated */
    struct {
        unsigned flushes; /* under way before the cluster is asked (outdating.c) */
        bool again;       /* and once more after them */
        bool primary;     /* asked as a Primary */
        bool witness;     /* asked as a Secondary */
    } outdating;
    bool self_asked, self_agreed; /* that this node's is: its disk failed, the peer goes on */
    bool discard_my_data;         /* at the next handshake: this copy gives way in a split brain */

    /* the cluster's record (standing.c) */
    bool recorded;                          /* there is one */
    enum replica_standing standing, settled; /* what it says; the last that was not UNSETTLED */
    bool separate;                          /* a new generation is due, without a connection */
    bool overtaken;                         /* ... although there is one: the peer's copy went on from the current one */
    bool same_base;                         /* split brain since a generation that both maps begin with */
    bool gives_way;                         /* told at this handshake: in a split brain this copy is given up */
    unsigned separating;                    /* volumes whose new generation is not durable yet */

    /* administration */
    struct qb_list_head admins;
    struct post *last_post; /* to the control thread when all is closed: it frees everything */
    unsigned replies_wanted;
    bool own_request;
    int32_t reply;
    bool graceful_done;
    uint64_t graceful_ns;

    struct timer tick;
    unsigned depth;
    bool submitting;
    bool closing, closed, standalone;
    bool at_rest; /* closing: nothing is under way any more, and nothing is begun */
    bool blocked_memory; /* something waits for buffers */
    uint64_t written, received_bytes, sent_bytes;
    uint64_t published_ns;
    bool publish, publish_roles; /* status, or only the roles in it, changed */
    bool again;  /* something was begun that the round that is running may have passed already */
    char why[128], why_before[128]; /* why the link is not up; the sentence before that */

    struct post start_post, changed_post, outdate_post, self_post, fill_post, vain_post, current_post, lost_post, place_post;
    _Atomic bool changed_posted, outdate_posted, self_posted, fill_posted, vain_posted, current_posted, lost_posted, place_posted;
    /* Asked last, after the copies were equal for a moment: a control thread that stood still meanwhile has the post of the
     * question before that of the answer, and may not take that for the last word. */
    _Atomic bool outdate_due;
};

static inline struct resource *resource_of(struct replica *replica)
{
    return (struct resource *)replica;
}

/* resource.c */
void resource_enter(struct resource *r);
void resource_leave(struct resource *r);
/* Growing, or sending what the peer missed: volumes of a thousand that do neither cost an event nothing. Who begins
 * one of them says so by volume_work(). */
static inline bool volume_has_work(const struct volume *v)
{
    return v->grow_to || v->growth.phase == GROW_QUIET || v->resync.catching_up;
}
void volume_work(struct volume *v);
/* Remembers the last reason for the status; printf-like. */
__attribute__((format(printf, 2, 3))) void resource_say(struct resource *r, const char *format,
                                                        ...);
/* The same, and in the log unless that was said lately: a connection is tried again and again. */
void resource_complain(struct resource *r, const char *why);
void resource_publish(struct resource *r);
/* The roles alone: what the volumes are did not change. */
void resource_publish_roles(struct resource *r);
uint64_t resource_random(void);
struct volume *resource_volume(struct resource *r, unsigned number);
/* The cluster is to agree that the peer's copy is outdated. Only outdating.c, when this copy is on stable storage. */
void resource_tell_outdate(struct resource *r);
void resource_ask_self_outdate(struct resource *r);
/* This Secondary's copy, recorded as current, is to be filled from the peer's. */
void resource_tell_to_be_filled(struct resource *r);
/* The agreed outdating of the peer's copy is of no use. */
void resource_tell_in_vain(struct resource *r);
void resource_tell_current(struct resource *r);
void resource_tell_lost(struct resource *r);
/* Metadata have moved: last_place.h. */
void resource_tell_place(struct resource *r);
/* The peer gets no writes of this volume, and it is not about to. */
bool volume_without_peer(const struct volume *v);
/* How long the peer may be silent; by configuration. */
unsigned resource_timeout_ms(const struct resource *r);
void resource_start(struct resource *r);
void resource_stop_timers(struct resource *r);

/* volume.c: control thread. -ENOMEDIUM: its disk is gone or fails. */
int volume_open(struct resource *r, const struct config_lu *lu, struct volume **volume, char *why);
void volume_free(struct volume *v);
/* Has where the metadata are kept outside of the device. */
void volume_keep_place(const struct volume *v);
/* home: something in the state changed: flags to disk when they differ, status, P_STATE when told
 * to. */
void volume_changed(struct volume *v, bool tell_peer);
/* The same, where nothing but a role changed. */
void volume_role_changed(struct volume *v, bool tell_peer);
void volume_failed(struct volume *v, int error, const char *what);
static inline bool volume_usable(const struct volume *v)
{
    return v->state.disk >= DISK_INCONSISTENT;
}

static inline bool volume_just_created(const struct volume *v)
{
    return generation_equal(v->sb.generations.current, GENERATION_JUST_CREATED);
}
void volume_wire_state(const struct volume *v, struct wire_state *s);
bool volume_alone(const struct volume *v);
enum write_mode volume_mode(const struct volume *v);
/* The own disk failed, the peer has all and gets all. */
bool volume_through_peer(const struct volume *v);
/* The link is lost; it is there again, with this generation and bitmap generation at the peer. */
void volume_peer_gone(struct volume *v);
void volume_peer_back(struct volume *v, enum replica_disk peer_disk);

/* metadata_io.c */
int md_io_init(struct volume *v);
void md_io_free(struct volume *v);
/* Superblock (and first the whole dirty map, if waiter->pages) to disk; waiter->done() then.
 * `waiter` may be NULL. A waiter that is still waiting must not be used again. */
void md_request(struct volume *v, struct md_waiter *waiter);
void md_kick(struct volume *v);
/* Writes an empty log and a clean superblock; nothing else may be wanted any more. */
void md_close(struct volume *v, struct md_waiter *waiter);
bool md_idle(const struct volume *v);

/* write_path.c */
int write_path_init(struct resource *r);
void write_path_free(struct resource *r);
void write_arrive(struct resource *r, struct store_io *io);
void write_pump(struct resource *r);
void write_acked(struct resource *r, struct volume *v, const struct packet_block_ack *ack,
                 bool syncing);
void write_refused(struct resource *r, struct volume *v, const struct packet_block_ack *ack);
int write_barrier_acked(struct resource *r, const struct packet_barrier_ack *ack);
void write_link_down(struct resource *r);
/* The volume replicates again: sends what the peer has not got, starts catching up. */
void write_replicating(struct volume *v);
/* What the peer's copy lacks is no matter for flushes any more: it is marked as Inconsistent, or equal again. */
void write_peer_settled(struct volume *v);
void write_gate_opened(struct resource *r);
void write_volume_failed(struct volume *v);
/* Looks at all entries again, for a reason that concerns them all. */
void write_check_all(struct resource *r);
/* Gives up what waits for the peer (demotion while alone is not agreed): -EAGAIN. */
void write_give_up(struct resource *r);
void write_finish(struct resource *r, struct store_io *io, int error);
void write_send_barrier(struct resource *r);
uint64_t write_oldest_ns(const struct resource *r);
/* A flush waits since more than this for what the peer has to say. */
bool write_flush_overdue(const struct resource *r, uint64_t limit_ns);
void catchup_pump(struct volume *v);
static inline bool write_log_empty(const struct resource *r)
{
    return qb_list_empty(&r->log) && qb_list_empty(&r->requests) && qb_list_empty(&r->flushes);
}

/* write_entry.c */
struct entry *entry_new(struct volume *v, struct request *request);
void entry_start(struct entry *e);
void entry_send(struct entry *e);
void entry_check(struct entry *e);
void entry_free(struct entry *e);
/* A write of this node begins, or is over: acknowledged, or given up. */
void entry_count(struct entry *e, bool on);
void entry_leave_ranges(struct volume *v, struct range *range);
void write_check_flushes(struct resource *r);

/* mirror.c */
int mirror_init(struct resource *r);
void mirror_free(struct resource *r);
struct mirror *mirror_new(struct resource *r, struct volume *v);
void mirror_drop(struct mirror *m);
/* The payload is complete (or there is none: trim, zeroes). Takes over the mirror. */
void mirror_run(struct mirror *m, unsigned command);
void mirror_barrier(struct resource *r, uint32_t number);
/* The volume has what is not flushed: the next barrier of the peer waits for its flush. */
void mirror_unflushed(struct volume *v);
void mirror_flush(struct resource *r);
/* The volume's or the peer's state changed: is this the only good copy, and is that durable? */
void mirror_only_copy(struct volume *v);
void mirror_link_down(struct resource *r);

/* resync.c */
int resync_init(struct resource *r);
void resync_as_source(struct volume *v);
void resync_as_target(struct volume *v);
/* Everything is copied again by order (invalidate): both nodes know it, no maps are exchanged. */
void resync_whole(struct volume *v, bool source);
/* The same of what is marked already: both have grown, and the peer is the source. */
void resync_grown(struct volume *v);
int resync_bitmap(struct volume *v, bool compressed, const uint8_t *payload, size_t length);
int resync_sync_uuid(struct volume *v, uint64_t uuid);
void resync_link_down(struct resource *r);
void resync_check_source(struct volume *v);
void resync_peer_state(struct volume *v, const struct wire_state *peer);
/* The peer's copy is being compared, and found to lack something, but is not marked as Inconsistent on its stable storage
 * yet: when the link is lost now it may be promoted. */
bool resync_unsettled(const struct volume *v);
struct sync_io *sync_new(struct resource *r, struct volume *v, enum sync_kind kind);
void sync_free(struct sync_io *s);
/* Blocks to go, of a resync or a verify. */
uint64_t resync_left(const struct volume *v);
void resync_begin_count(struct volume *v);
/* user_isp or peer_isp changed: pauses or goes on. */
void resync_paused(struct volume *v);
void resync_target_end(struct volume *v);
int resync_adopt(struct volume *v, const struct generations *peer);
/* resync_io.c */
int sync_serve(struct volume *v, const struct packet_block_request *request, enum sync_kind kind,
               const uint8_t *digest, size_t digest_length);
/* Waits for the range of its block, then runs. */
void sync_enter(struct sync_io *s);
/* Its range is granted: memory, then the disk. */
void sync_run(struct sync_io *s);
/* Of this connection? */
bool sync_current(const struct sync_io *s);
/* The source has the same, or zeros: of what was asked for. */
int sync_equal(struct volume *v, const struct packet_block_ack *ack);
int sync_zeros(struct volume *v, const struct packet_block_range *range);
struct sync_io *sync_find(struct volume *v, uint64_t sector, uint32_t size);
void sync_write(struct sync_io *s);
void sync_failed(struct volume *v, const struct packet_block_ack *ack);
void sync_retry_memory(struct resource *r);
/* Serves what waited because of c_min_rate. */
void sync_retry_rate(struct resource *r);
/* verify.c */
bool verify_runs(const struct volume *v);
bool verify_possible(const struct volume *v);
void verify_begin(struct volume *v, bool initiator);
/* Over, wherever it is. */
void verify_end(struct volume *v, bool tell_peer);
void verify_peer_state(struct volume *v, const struct wire_state *peer);
void verify_pump(struct volume *v);
void verify_ask(struct sync_io *s);
void verify_read(struct sync_io *s, int error);
void verify_served(struct sync_io *s, int error);
int verify_serve(struct volume *v, const struct packet_block_request *request);
int verify_reply(struct volume *v, const struct packet_block_request *p, const uint8_t *digest,
                 size_t length);
int verify_result(struct volume *v, const struct packet_block_ack *p);
/* peer_read.c: reads of a Primary without disk */
void peer_read_arrive(struct resource *r, struct store_io *io);
void peer_read_pump(struct resource *r);
struct sync_io *peer_read_find(struct volume *v, uint64_t block_id, uint64_t sector, uint32_t size);
/* The part is here, or will not come: takes it over. */
void peer_read_done(struct sync_io *s, int error);
void peer_read_link_down(struct resource *r);
void resync_pump(struct volume *v);
void resync_tick(struct volume *v);

/* handshake.c */
void handshake_start(struct resource *r);
int handshake_features(struct resource *r, const uint8_t *body, size_t length);
int handshake_challenge(struct resource *r, const uint8_t *body, size_t length);
int handshake_response(struct resource *r, const uint8_t *body, size_t length);
int handshake_protocol(struct resource *r, const uint8_t *body, size_t length);
int handshake_sync_param(struct volume *v, const uint8_t *body, size_t length);
int handshake_sizes(struct volume *v, const uint8_t *body, size_t length);
int handshake_uuids(struct volume *v, const uint8_t *body, size_t length);
int handshake_state(struct volume *v, const uint8_t *body, size_t length);
/* The record says something else now: which copy is good beside a failed disk. */
void handshake_judge(struct resource *r);
void handshake_link_down(struct resource *r);
void send_state(struct volume *v);
void send_uuids(struct volume *v, uint64_t flags);
void send_sizes(struct volume *v);
/* Asks the peer for this size; `no_resync`: the new part is equal on both. */
void send_sizes_wanted(struct volume *v, uint64_t sectors, bool no_resync);
/* This node missed a growth: done while there is no connection. */
void handshake_grow(struct volume *v);

/* receive.c: the dispatch of packets; 0 or -errno: drop the link */
int receive_packet(struct resource *r, struct link_socket *s, const struct packet_header *header,
                   const uint8_t *body);
/* A packet with data announces itself: where to put them. 0, -EAGAIN (no memory now), or -EPROTO.
 */
int receive_bulk_start(struct resource *r, const struct packet_header *header, const uint8_t *head,
                       struct link_bulk *bulk);
int receive_bulk_done(struct resource *r, struct link_bulk *bulk);
void receive_bulk_abandon(struct resource *r, struct link_bulk *bulk);

/* admin.c */
void admin_run(struct resource *r);
void admin_arrive(struct post *post);
void admin_answer(struct post *post); /* control thread (replica.c) */
void admin_reply(struct resource *r, int32_t code);
void admin_conn_reply(struct resource *r, int32_t code);

/* replicated_store.c */
extern const struct store_operations replicated_store_operations;
void read_pools_free(struct volume *v);
void store_io_deliver(struct post *post); /* on the submitting reactor */

#endif
