/* Setting up a connection: features, authentication, parameters of the connection and of each
 * volume, and the comparison of both copies. Both nodes send all they have to say before they wait.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <string.h>

#include "replication/resource.h"
#include "replication/standing.h"
#include "replication/unequal.h"

enum {
    FEATURES = FEATURE_TRIM | FEATURE_THIN_RESYNC | FEATURE_WSAME | FEATURE_WZEROES,
    BODY = LINK_CONTROL - HEADER_LENGTH_MAX,
    SYNC_RATE_NO_LIMIT = 4 << 20, /* KiB/s: DRBD's largest */
    RULE_EQUAL = 40,              /* one generation, which is not that of new copies */
};

static void send_data(struct resource *r, unsigned volume, unsigned command, const uint8_t *body,
                      size_t length)
{
    link_send(r, &r->link.data, volume, command, body, length);
}

static void phase(struct resource *r, enum link_phase next)
{
    r->link.phase = next;
    r->link.phase_ns = r->home->now_ns;
}

/* --- what is sent --- */

void send_state(struct volume *v)
{
    struct wire_state s;
    uint8_t body[4];

    volume_wire_state(v, &s);
    send_data(v->resource, v->number, P_STATE, body, packet_state_encode(&s, body));
}

void send_uuids(struct volume *v, uint64_t flags)
{
    const struct generations *g = &v->sb.generations;
    struct packet_uuids p = {
        .current = g->current,
        .bitmap = g->bitmap,
        .history = {g->history[0], g->history[1]},
        .dirty_bits = v->map->set,
        .flags = flags,
    };
    uint8_t body[BODY];

    if (v->sb.flags & MD_CRASHED_PRIMARY)
        p.flags |= UUIDS_CRASHED_PRIMARY;
    if (v->state.disk == DISK_INCONSISTENT)
        p.flags |= UUIDS_INCONSISTENT;
    if (v->resource->discard_my_data || v->resource->gives_way)
        p.flags |= UUIDS_DISCARD_MY_DATA;
    if (v->peer_only) /* without a disk: which data it served last */
        p.current = v->exposed | 1;
    send_data(v->resource, v->number, P_UUIDS, body, packet_uuids_encode(&p, body));
}

static void say_sizes(struct volume *v, uint64_t device, uint64_t user, uint64_t current, uint16_t flags)
{
    struct resource *r = v->resource;
    struct packet_sizes p = {
        .device_size = device,
        .user_size = user,
        .current_size = current,
        .flags = flags,
        .max_bio = MESSAGE_MAX_BIO,
        .physical_block = MD_BLOCK,
        .logical_block = v->store.block_size,
        .io_min = MD_BLOCK,
        .discard_enabled = 1,
        .discard_zeroes = 1,
    };
    bool qlim = r->features & FEATURE_WSAME;
    uint8_t body[BODY];

    if (!qlim)
        p.physical_block = p.logical_block = p.io_min = p.discard_enabled = p.discard_zeroes = 0;
    send_data(r, v->number, P_SIZES, body, packet_sizes_encode(&p, qlim, body));
}

void send_sizes(struct volume *v)
{
    say_sizes(v, volume_usable(v) ? v->sectors : 0, v->sectors, v->sectors, 0);
}

void send_sizes_wanted(struct volume *v, uint64_t sectors, bool no_resync)
{
    say_sizes(v, sectors, sectors, 0, no_resync ? SIZES_NO_RESYNC : 0);
}

/* The options' words, as the wire numbers them. */
static enum after_split_brain after_0(const struct resource *r)
{
    return (enum after_split_brain)r->group->after_sb_0pri;
}

static enum after_split_brain after_1(const struct resource *r)
{
    static const enum after_split_brain words[] = {
        AFTER_SB_DISCONNECT,    AFTER_SB_CONSENSUS, AFTER_SB_DISCARD_SECONDARY,
        AFTER_SB_CALL_PRI_LOST, AFTER_SB_VIOLENTLY,
    };

    return words[r->group->after_sb_1pri];
}

static enum after_split_brain after_2(const struct resource *r)
{
    static const enum after_split_brain words[] = {
        AFTER_SB_DISCONNECT,
        AFTER_SB_CALL_PRI_LOST,
        AFTER_SB_VIOLENTLY,
    };

    return words[r->group->after_sb_2pri];
}

static void send_protocol(struct resource *r)
{
    struct packet_protocol p = {
        .protocol = PROTOCOL_C,
        .after_sb_0p = after_0(r),
        .after_sb_1p = after_1(r),
        .after_sb_2p = after_2(r),
        .flags = r->discard_my_data || r->gives_way ? PROTOCOL_DISCARD_MY_DATA : 0,
    };
    uint8_t body[BODY];

    send_data(r, 0, P_PROTOCOL, body, packet_protocol_encode(&p, body));
}

static void send_parameters(struct resource *r)
{
    /* DRBD takes these over, and a target with a rate of 0 asks for nothing. */
    struct packet_sync_param sync = {
        .rate = r->group->resync_rate ? r->group->resync_rate : SYNC_RATE_NO_LIMIT,
        .c_plan_ahead = r->group->c_plan_ahead,
        .c_delay_target = r->group->c_delay_target,
        .c_fill_target = r->group->c_fill_target,
        .c_max_rate = r->group->c_max_rate,
    };
    uint8_t body[BODY];

    snprintf(sync.verify_alg, sizeof sync.verify_alg, "%s", digest_name(r->group->verify_alg));
    snprintf(sync.csums_alg, sizeof sync.csums_alg, "%s", digest_name(r->group->csums_alg));
    phase(r, LINK_PARAMS);
    r->link.have_protocol = false;
    r->peer_role = WIRE_ROLE_UNKNOWN;
    epoch_sender_reset(&r->epochs, (uint32_t)resource_random());
    epoch_receiver_reset(&r->received);
    r->gives_way = standing_gives_way(r);
    send_protocol(r);
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        v->have_sizes = v->have_uuids = v->have_state = false;
        v->peer_uuids = (struct packet_uuids){0};
        v->sequence = 0;
        v->state.conn = CONN_WF_REPORT_PARAMS;
        v->transition_ns = r->home->now_ns;
        send_data(r, v->number, P_SYNC_PARAM89, body, packet_sync_param_encode(&sync, body));
        send_sizes(v);
        send_uuids(v, 0);
        send_state(v);
    }
    r->publish = true;
}

/* --- features and authentication --- */

void handshake_start(struct resource *r)
{
    struct packet_features p = {
        .protocol_min = MESSAGE_PROTOCOL_MIN,
        .protocol_max = MESSAGE_PROTOCOL_MAX,
        .features = FEATURES,
    };
    uint8_t body[BODY];

    send_data(r, 0, P_CONNECTION_FEATURES, body, packet_features_encode(&p, body));
}

int handshake_features(struct resource *r, const uint8_t *body, size_t length)
{
    struct packet_features p;

    if (packet_features_decode(body, length, &p))
        return -EPROTO;
    if (p.protocol_min > MESSAGE_PROTOCOL_MAX || p.protocol_max < MESSAGE_PROTOCOL_MIN) {
        link_fail(r, "the peer speaks protocol %u to %u, this node %d", p.protocol_min,
                  p.protocol_max, MESSAGE_PROTOCOL_MAX);
        return 0;
    }
    r->features = p.features & FEATURES;
    r->link.form = HEADER_100;
    if (!r->group->secret[0]) {
        send_parameters(r);
        return 0;
    }
    phase(r, LINK_AUTH);
    r->link.challenge_answered = r->link.response_ok = false;
    if (RAND_bytes(r->link.challenge, MESSAGE_CHALLENGE) != 1) {
        link_fail(r, "no random numbers");
        return 0;
    }
    send_data(r, 0, P_AUTH_CHALLENGE, r->link.challenge, MESSAGE_CHALLENGE);
    return 0;
}

/* cram-hmac-alg sha256 */
static bool response_to(struct resource *r, const uint8_t *challenge, size_t length,
                        uint8_t out[EVP_MAX_MD_SIZE], unsigned *out_length)
{
    return HMAC(EVP_sha256(), r->group->secret, (int)strlen(r->group->secret), challenge, length,
                out, out_length);
}

static void authenticated(struct resource *r)
{
    if (r->link.challenge_answered && r->link.response_ok)
        send_parameters(r);
}

int handshake_challenge(struct resource *r, const uint8_t *body, size_t length)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;

    if (r->link.challenge_answered || length != MESSAGE_CHALLENGE)
        return -EPROTO;
    if (!CRYPTO_memcmp(body, r->link.challenge, length) ||
        !response_to(r, body, length, digest, &n)) {
        link_fail(r, "authentication failed");
        return 0;
    }
    r->link.challenge_answered = true;
    send_data(r, 0, P_AUTH_RESPONSE, digest, n);
    authenticated(r);
    return 0;
}

int handshake_response(struct resource *r, const uint8_t *body, size_t length)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;

    if (r->link.response_ok || !response_to(r, r->link.challenge, MESSAGE_CHALLENGE, digest, &n))
        return -EPROTO;
    if (length != n || CRYPTO_memcmp(body, digest, n)) {
        link_fail(r, "authentication failed: the secrets differ");
        return 0;
    }
    r->link.response_ok = true;
    authenticated(r);
    return 0;
}

/* --- parameters --- */

int handshake_protocol(struct resource *r, const uint8_t *body, size_t length)
{
    struct packet_protocol p;

    if (packet_protocol_decode(body, length, &p))
        return -EPROTO;
    r->link.have_protocol = true;
    if (p.protocol != PROTOCOL_C)
        link_refuse(r, "the peer is configured for another protocol than C");
    else if (p.two_primaries)
        link_refuse(r, "the peer allows two Primaries");
    else if (p.integrity_alg[0])
        link_refuse(r, "the peer wants data-integrity-alg");
    else if (!generation_policy_matches(after_0(r), p.after_sb_0p))
        link_refuse(r, "after-sb-0pri: the peer's is another");
    else if (!generation_policy_matches(after_1(r), p.after_sb_1p))
        link_refuse(r, "after-sb-1pri: the peer's is another");
    else if (!generation_policy_matches(after_2(r), p.after_sb_2p))
        link_refuse(r, "after-sb-2pri: the peer's is another");
    return 0;
}

int handshake_sync_param(struct volume *v, const uint8_t *body, size_t length)
{
    struct resource *r = v->resource;
    struct packet_sync_param p;

    if (packet_sync_param_decode(body, length, &p))
        return -EPROTO;
    if (strcmp(p.verify_alg, digest_name(r->group->verify_alg)))
        link_refuse(r, "verify-alg: the peer has \"%.20s\", this node \"%s\"", p.verify_alg,
                    digest_name(r->group->verify_alg));
    else if (strcmp(p.csums_alg, digest_name(r->group->csums_alg)))
        link_refuse(r, "csums-alg: the peer has \"%.20s\", this node \"%s\"", p.csums_alg,
                    digest_name(r->group->csums_alg));
    return 0;
}

/* --- sizes --- */

/* DRBD resyncs what is new, unless it says that it does not. */
static bool resyncs_new(const struct volume *v)
{
    return v->resource->peer_node == REPLICA_PEER_OUTSIDE && !(v->peer_sizes.flags & SIZES_NO_RESYNC);
}

static void grown_for_peer(struct volume *v, int error, const char *why)
{
    if (!link_alive(&v->resource->link) || !conn_established(v->state.conn))
        return;
    if (!error && resyncs_new(v) && v->state.conn == CONN_CONNECTED)
        resync_grown(v);
    send_sizes(v); /* as it is now: the peer sees whether it is larger */
}

/* The peer's devices have grown, and it asks for that size. What is new comes as writes of the peer, or by a resync. */
static int peer_wants_size(struct volume *v)
{
    const struct packet_sizes *p = &v->peer_sizes;
    uint64_t to = p->user_size && p->user_size < p->device_size ? p->user_size : p->device_size, room;
    char why[MD_WHY];

    if (grow_runs(&v->growth))
        return -EPROTO;
    room = grow_room(v, why);
    if (why[0])
        resource_say(v->resource, "volume %u: %s", v->number, why);
    if (to > room)
        to = room;
    if (to > v->sectors && v->state.conn == CONN_CONNECTED && !v->resource->primary && !v->step_running)
        grow_begin(v, to, resyncs_new(v), grown_for_peer);
    else
        send_sizes(v);
    return 0;
}

static void grown_alone(struct volume *v, int error, const char *why)
{
}

void handshake_grow(struct volume *v)
{
    const struct resource *r = v->resource;
    uint64_t to = v->grow_to;

    if (!to || grow_runs(&v->growth) || conn_established(v->state.conn) || r->link.failing)
        return;
    v->grow_to = 0;
    if (to > v->sectors)
        grow_begin(v, to, true, grown_alone);
}

/* Both have to be equally large. One of two nodes may have missed that they grew: then it does that first. DRBD gives its
 * new device all the room that there is; the smaller one of two new copies says how large both are. */
static void compare_sizes(struct volume *v)
{
    struct resource *r = v->resource;
    const struct packet_sizes *p = &v->peer_sizes;
    bool outside = r->peer_node == REPLICA_PEER_OUTSIDE, larger = p->device_size && p->current_size > v->sectors;
    char why[MD_WHY];

    if (outside && volume_just_created(v))
        larger = false;
    if (grow_runs(&v->growth)) {
        link_fail(r, "volume %u is just growing", v->number);
    } else if (p->device_size && p->device_size < v->sectors) {
        (outside ? link_refuse : link_fail)(r, "volume %u: the peer's copy has %llu bytes, this one %llu", v->number,
                                            (unsigned long long)p->device_size * MD_SECTOR,
                                            (unsigned long long)v->sectors * MD_SECTOR);
    } else if (larger) {
        if (grow_room(v, why) >= p->current_size) {
            link_fail(r, "volume %u grows to the size of the peer's", v->number);
            v->grow_to = p->current_size;
            volume_work(v);
        } else if (outside) { /* DRBD refuses it, unless its copy is of no use */
            resource_say(r, "volume %u: the peer's copy has %llu bytes, and here is no room for that", v->number,
                         (unsigned long long)p->current_size * MD_SECTOR);
        } else {
            link_refuse(r, "volume %u: the peer's copy has %llu bytes, and here is no room for that", v->number,
                        (unsigned long long)p->current_size * MD_SECTOR);
        }
    }
}

int handshake_sizes(struct volume *v, const uint8_t *body, size_t length)
{
    struct resource *r = v->resource;

    if (packet_sizes_decode(body, length, r->features & FEATURE_WSAME, &v->peer_sizes))
        return -EPROTO;
    v->have_sizes = true;
    if (!conn_established(v->state.conn))
        compare_sizes(v);
    else if (!v->peer_sizes.current_size)
        return peer_wants_size(v);
    else
        v->resize_answer = v->peer_sizes.current_size;
    return 0;
}

int handshake_uuids(struct volume *v, const uint8_t *body, size_t length)
{
    struct packet_uuids p;

    if (packet_uuids_decode(body, length, &p))
        return -EPROTO;
    v->peer_uuids = p;
    if (v->have_state && volume_through_peer(v))
        v->exposed = p.current; /* it began a new generation, as the only good copy */
    v->have_uuids = true;
    if (v->state.conn == CONN_CONNECTED && generation_equal(p.current, v->sb.generations.current))
        standing_compared(v); /* what was missing here has been sent (catchup_pump()) */
    if (conn_established(v->state.conn) && p.flags & UUIDS_SKIP_INITIAL_SYNC) {
        struct generations g = {p.current, p.bitmap, {p.history[0], p.history[1]}};

        return resync_adopt(v, &g);
    }
    return 0;
}

/* --- comparison --- */

static struct generation_side side_of_peer(const struct volume *v, const struct wire_state *peer)
{
    const struct packet_uuids *p = &v->peer_uuids;

    return (struct generation_side){
        .generations = {p->current, p->bitmap, {p->history[0], p->history[1]}},
        .dirty_bits = p->dirty_bits,
        .disk = peer->disk,
        .inconsistent = p->flags & UUIDS_INCONSISTENT,
        .primary = peer->role == WIRE_PRIMARY,
        .crashed_primary = p->flags & UUIDS_CRASHED_PRIMARY,
        .discard_my_data = p->flags & UUIDS_DISCARD_MY_DATA,
    };
}

static void decide(struct volume *v, const struct generation_side *other,
                   struct generation_verdict *verdict)
{
    struct resource *r = v->resource;
    struct generation_side self = {
        .generations = v->sb.generations,
        .dirty_bits = v->map->set,
        .disk = v->state.disk,
        .primary = r->primary,
        .crashed_primary = v->sb.flags & MD_CRASHED_PRIMARY,
        .discard_my_data = r->discard_my_data || r->gives_way,
    };
    struct generation_rules rules = {
        .resolve_conflicts = r->resolve_conflicts,
        .feature_wsame = r->features & FEATURE_WSAME,
        .always_asbp = r->group->always_asbp,
        .after_0 = after_0(r),
        .after_1 = after_1(r),
        .after_2 = after_2(r),
    };

    generation_decide(&self, other, &rules, verdict);
    if (standing_forbids(r, verdict)) { /* an operator may: discard-my-data */
        rules.after_0 = rules.after_1 = rules.after_2 = AFTER_SB_DISCONNECT;
        generation_decide(&self, other, &rules, verdict);
    }
    if (v->told_rule == verdict->rule && v->told_action == verdict->action)
        return; /* a handshake that is given up is tried again and again */
    v->told_rule = verdict->rule;
    v->told_action = verdict->action;
    qb_log(LOG_INFO, "group \"%s\" volume %u: rule %u: %s%s", r->group->name, v->number,
           verdict->rule, verdict->why, verdict->full ? ", all blocks" : "");
}

/* This Primary's changes are given up by policy: first it is no Primary any more, then it connects again. */
static void lost_by_policy(struct volume *v)
{
    link_refuse(v->resource, "volume %u: split brain: this Primary has lost by after-sb policy",
                v->number);
    resource_tell_lost(v->resource);
}

static void compare(struct volume *v, const struct wire_state *peer)
{
    struct resource *r = v->resource;
    struct generation_side other = side_of_peer(v, peer);
    struct generation_verdict verdict;

    decide(v, &other, &verdict);
    if (standing_holds(v, &verdict, peer))
        return;
    if (verdict.pri_lost_after_sb) {
        lost_by_policy(v);
        return;
    }
    if (verdict.action == GENERATION_REFUSE || verdict.action == GENERATION_DRY_RUN) {
        link_refuse(r, "volume %u: %s", v->number, verdict.why);
        return;
    }
    v->promoted_alone = false;
    generation_repair(&verdict, &v->sb.generations, &other.generations);
    v->peer_uuids.current = other.generations.current;
    v->peer_uuids.bitmap = other.generations.bitmap;
    v->peer_uuids.history[0] = other.generations.history[0];
    v->peer_uuids.history[1] = other.generations.history[1];
    if (verdict.full)
        dirty_map_set_all(v->map);
    volume_verdict(&v->state, verdict.action);
    if (verdict.action == GENERATION_CONNECT)
        standing_compared(v);
    volume_changed(v, true);
    if (verdict.action == GENERATION_SYNC_SOURCE)
        resync_as_source(v);
    else if (verdict.action == GENERATION_SYNC_TARGET)
        resync_as_target(v);
    else if (verdict.rule == RULE_EQUAL && v->state.disk >= DISK_CONSISTENT && peer->disk >= DISK_CONSISTENT)
        unequal_compared(v);
}

/* Nodes of the cluster are never both Primary for long: one of them is on its way out (it stops, or the cluster went on
 * without it). With a peer outside, the policies tell which one gives way; this node, or it comes back when it has. */
static void two_primaries(struct volume *v, const struct wire_state *peer)
{
    struct resource *r = v->resource;
    struct generation_side other = side_of_peer(v, peer);
    struct generation_verdict verdict;

    if (r->peer_node == REPLICA_PEER_OUTSIDE && after_2(r) != AFTER_SB_DISCONNECT &&
        volume_usable(v) && peer->disk >= DISK_INCONSISTENT) {
        decide(v, &other, &verdict);
        if (verdict.pri_lost_after_sb) {
            lost_by_policy(v);
            return;
        }
    }
    link_fail(r, "both nodes are Primary");
}

/* The peer's disk failed: no copy but this one is there, and what the peer knows is the generation that it has seen. A
 * copy of that generation has all there is, unless the record does not call it current: then it may have been given up
 * before that disk failed, whose node could not begin another generation any more. Of an older one this node must not make
 * an owner while the peer is there to say so. */
static void judge_without_peer_disk(struct volume *v)
{
    if (v->state.disk == DISK_CONSISTENT && v->state.peer_disk < DISK_INCONSISTENT && standing_current(v->resource) &&
        generation_equal(v->sb.generations.current, v->peer_uuids.current))
        v->state.disk = DISK_UP_TO_DATE;
}

/* DRBD without a disk says no generations, but what it takes this copy for, having seen its generation: as a Primary it
 * drops the connection when that is not the one that it served last. There is no better copy to wait for. */
static void judge_as_drbd(struct volume *v, const struct wire_state *peer)
{
    if (v->resource->peer_node != REPLICA_PEER_OUTSIDE || v->have_uuids || v->state.conn != CONN_CONNECTED ||
        peer->disk >= DISK_NEGOTIATING || peer->pdsk != DISK_UP_TO_DATE || v->state.disk != DISK_CONSISTENT)
        return;
    v->state.disk = DISK_UP_TO_DATE;
    volume_changed(v, true);
}

void handshake_judge(struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (v->state.conn != CONN_CONNECTED || !v->have_state || v->state.disk != DISK_CONSISTENT)
            continue;
        judge_without_peer_disk(v);
        volume_changed(v, true);
    }
}

static void first_state(struct volume *v, const struct wire_state *peer)
{
    struct resource *r = v->resource;

    v->have_state = true;
    v->state.peer_disk = peer->disk;
    v->peer_isp = peer->user_isp || peer->aftr_isp;
    if (r->primary && peer->role == WIRE_PRIMARY) {
        two_primaries(v, peer);
        return;
    }
    if (volume_usable(v) && peer->disk >= DISK_INCONSISTENT) {
        compare(v, peer);
    } else {
        v->state.conn = CONN_CONNECTED;
        judge_without_peer_disk(v);
        volume_peer_back(v, peer->disk);
        volume_changed(v, true);
    }
    for (unsigned i = 0; i < r->volume_count; i++)
        if (!r->volumes[i]->have_state)
            return;
    if (r->link.failing)
        return; /* not at once again: what it waits for takes its time */
    phase(r, LINK_UP);
    r->link.up_ns = r->home->now_ns;
    r->discard_my_data = r->gives_way = r->same_base = false;
    r->why[0] = r->why_before[0] = 0;
    for (unsigned i = 0; i < r->volume_count; i++) {
        r->volumes[i]->told_rule = 0;
        write_replicating(r->volumes[i]);
    }
}

/* A connected peer compares again: it began to, or its copy has become the good one while this one never was
 * (its first generation was forced). */
static bool compares_again(const struct volume *v, const struct wire_state *peer)
{
    bool begins = peer->conn >= CONN_STARTING_SYNC_S && peer->conn <= CONN_WF_BITMAP_T;
    bool forced = peer->disk == DISK_UP_TO_DATE && v->state.peer_disk != DISK_UP_TO_DATE &&
                  v->state.disk == DISK_INCONSISTENT &&
                  volume_just_created(v);

    return v->state.conn == CONN_CONNECTED && volume_usable(v) && !v->resource->primary &&
           (begins || forced);
}

/* A connected peer that had no disk attaches one: before it says so, it has said its size and generations anew. */
static bool attaches(const struct volume *v, const struct wire_state *peer)
{
    return peer->disk == DISK_NEGOTIATING && v->state.conn == CONN_CONNECTED &&
           v->state.peer_disk < DISK_NEGOTIATING && volume_usable(v);
}

/* Both compare then, as at a new connection. */
static void attached(struct volume *v, const struct wire_state *peer)
{
    v->state.peer_disk = peer->disk;
    v->peer_isp = peer->user_isp || peer->aftr_isp;
    compare_sizes(v);
    if (v->resource->link.failing)
        return;
    send_uuids(v, 0);
    compare(v, peer);
    if (!v->resource->link.failing)
        write_replicating(v);
}

int handshake_state(struct volume *v, const uint8_t *body, size_t length)
{
    struct resource *r = v->resource;
    struct volume_state before = v->state;
    struct wire_state peer;

    if (packet_state_decode(body, length, &peer))
        return -EPROTO;
    r->peer_role = peer.role;
    r->publish |= !v->have_state || peer.disk != v->state.peer_disk ||
                  v->peer_isp != (peer.user_isp || peer.aftr_isp);
    r->publish_roles = true;
    if (!v->have_state) {
        if (!r->link.have_protocol || !v->have_sizes || !(v->have_uuids || peer.disk < DISK_NEGOTIATING))
            return -EPROTO; /* DRBD without a disk says no generations */
        first_state(v, &peer);
        return 0;
    }
    if (r->primary && peer.role == WIRE_PRIMARY) {
        link_fail(r, "both nodes are Primary");
        return 0;
    }
    if (attaches(v, &peer)) {
        if (!v->have_uuids)
            return -EPROTO;
        attached(v, &peer);
        return 0;
    }
    verify_peer_state(v, &peer);
    if (peer.disk < DISK_NEGOTIATING)
        v->have_uuids = false; /* those of a disk that it attaches come with that */
    if (peer.disk < DISK_INCONSISTENT && v->state.peer_disk >= DISK_INCONSISTENT &&
        (r->primary || v->state.conn != CONN_CONNECTED)) {
        link_fail(r, "volume %u: the peer's disk failed", v->number);
        return 0;
    }
    if (compares_again(v, &peer)) {
        v->state.peer_disk = peer.disk;
        send_uuids(v, 0);
        compare(v, &peer);
        return 0;
    }
    /* What we take part in deciding is not overwritten by a report that crossed it. */
    if (!conn_in_transition(v->state.conn))
        v->state.peer_disk = peer.disk;
    v->peer_isp = peer.user_isp || peer.aftr_isp;
    judge_as_drbd(v, &peer);
    resync_paused(v);
    volume_role_changed(v, false);
    resync_peer_state(v, &peer);
    r->publish |= before.conn != v->state.conn || before.disk != v->state.disk;
    return 0;
}

void handshake_link_down(struct resource *r)
{
    r->peer_role = WIRE_ROLE_UNKNOWN;
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        v->have_sizes = v->have_uuids = v->have_state = v->unequal = false;
    }
}
