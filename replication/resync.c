/* The course of a resync: exchange of the maps, the generations' moves, the end. The blocks
 * themselves are resync_io.c's. */
#include <assert.h>
#include <errno.h>
#include <qb/qblog.h>
#include <stdlib.h>
#include <string.h>

#include "replication/resource.h"
#include "target/base/container.h"

static void bitmap_sent(struct tx_item *item);

int resync_init(struct resource *r)
{
    qb_list_init(&r->free_syncs);
    qb_list_init(&r->sync_list);
    r->sync_memory = calloc(RESOURCE_SYNCS, sizeof *r->sync_memory);
    if (!r->sync_memory)
        return -ENOMEM;
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct resync *s = &r->volumes[i]->resync;

        s->packet = malloc(HEADER_LENGTH_MAX + MESSAGE_BITMAP_MAX);
        if (!s->packet)
            return -ENOMEM;
        s->tx = (struct tx_item){.head = s->packet, .done = bitmap_sent};
    }
    return 0;
}

static void move(struct volume *v, enum replica_connection conn)
{
    v->state.conn = conn;
    v->transition_ns = v->resource->home->now_ns;
}

/* Runs `done` when the superblock (and the map) are on disk, if the link is then still the same. */
static void step(struct volume *v, bool pages, void (*done)(struct md_waiter *, int))
{
    assert(!v->step_running);
    v->step_running = true;
    v->step_serial = v->resource->link.serial;
    v->step = (struct md_waiter){.pages = pages, .done = done, .volume = v};
    md_request(v, &v->step);
}

static bool step_valid(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;

    v->step_running = false;
    return !error && v->step_serial == v->resource->link.serial && link_alive(&v->resource->link);
}

static void say_done(const struct volume *v, const char *direction)
{
    qb_log(LOG_NOTICE, "group \"%s\" volume %u: resync %s the peer is done, %llu KiB were equal",
           v->resource->group->name, v->number, direction,
           (unsigned long long)v->resync.equal_bits * 4);
}

/* --- maps --- */

static void send_bitmap_packet(struct volume *v)
{
    struct resource *r = v->resource;
    struct resync *s = &v->resync;
    struct packet_header header = {.volume = (uint16_t)v->number, .command = P_BITMAP};
    size_t head = header_length(r->link.form);

    header.length =
        (uint32_t)dirty_map_encode(v->map, &s->word, s->packet + head, DIRTY_MAP_WORDS_MAX);
    header_encode(r->link.form, &header, s->packet);
    s->tx.head_length = (uint32_t)(head + header.length);
    s->sending = true;
    s->last_packet = !header.length;
    link_push(&r->link.data, &s->tx);
}

static void become_source(struct volume *v);

static void bitmap_sent(struct tx_item *item)
{
    struct volume *v = container_of(item, struct volume, resync.tx);
    struct resync *s = &v->resync;

    s->sending = false;
    v->transition_ns = v->resource->home->now_ns;
    if (!link_alive(&v->resource->link))
        return;
    if (!s->last_packet) {
        send_bitmap_packet(v);
        return;
    }
    s->sent_all = true;
    become_source(v);
}

static void begin(struct volume *v)
{
    struct resync *s = &v->resync;

    memset(&s->receive, 0, sizeof s->receive);
    s->word = 0;
    s->sent_all = false;
    s->pinged = s->finishing = s->peer_finished = s->peer_marked = s->catching_up = false;
    s->cursor = 0;
    s->failed = 0;
    s->peer = (struct generations){
        .current = v->peer_uuids.current,
        .bitmap = v->peer_uuids.bitmap,
        .history = {v->peer_uuids.history[0], v->peer_uuids.history[1]},
    };
}

void resync_as_source(struct volume *v)
{
    begin(v);
    move(v, CONN_WF_BITMAP_S);
    send_bitmap_packet(v);
}

void resync_as_target(struct volume *v)
{
    v->outdated_from = DISK_DISKLESS;
    begin(v);
    move(v, CONN_WF_BITMAP_T);
}

int resync_bitmap(struct volume *v, bool compressed, const uint8_t *payload, size_t length)
{
    struct resync *s = &v->resync;
    int rc;

    if ((v->state.conn != CONN_WF_BITMAP_S && v->state.conn != CONN_WF_BITMAP_T) || s->receive.done)
        return -EPROTO;
    v->transition_ns = v->resource->home->now_ns;
    rc = compressed
             ? dirty_map_receive_compressed(v->map, &s->receive, payload, length)
             : dirty_map_receive_plain(v->map, &s->receive, payload, length, DIRTY_MAP_WORDS_MAX);
    if (rc || !s->receive.done)
        return rc;
    if (v->state.conn == CONN_WF_BITMAP_T) {
        move(v, CONN_WF_SYNC_UUID);
        send_bitmap_packet(v);
    } else {
        become_source(v);
    }
    return 0;
}

void resync_whole(struct volume *v, bool source)
{
    struct resync *s = &v->resync;

    qb_log(LOG_NOTICE, "group \"%s\" volume %u: %s copy is invalidated", v->resource->group->name, v->number,
           source ? "the peer's" : "this node's");
    begin(v);
    dirty_map_set_all(v->map);
    if (!source) {
        move(v, CONN_WF_SYNC_UUID);
        return;
    }
    s->receive.done = s->sent_all = true;
    move(v, CONN_WF_BITMAP_S);
    become_source(v);
}

void resync_grown(struct volume *v)
{
    begin(v);
    move(v, CONN_WF_SYNC_UUID);
}

/* --- source --- */

static void source_ready(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;
    struct resource *r = v->resource;
    uint8_t body[8];

    if (!step_valid(waiter, error) || v->state.conn != CONN_WF_BITMAP_S)
        return;
    link_send(r, &r->link.data, v->number, P_SYNC_UUID, body,
              packet_sync_uuid_encode(v->resync.uuid, body));
    v->state.peer_disk = DISK_INCONSISTENT;
    v->complete = true;
    move(v, CONN_SYNC_SOURCE);
    resync_begin_count(v);
    resync_paused(v);
    volume_changed(v, true);
    qb_log(LOG_NOTICE, "group \"%s\" volume %u: resync to the peer: %llu KiB", r->group->name,
           v->number, (unsigned long long)v->map->set * 4);
    write_replicating(v);
}

/* Both maps are merged here: the generations move. */
static void become_source(struct volume *v)
{
    struct resync *s = &v->resync;

    if (v->state.conn != CONN_WF_BITMAP_S || !s->receive.done || !s->sent_all || v->step_running)
        return;
    s->uuid = generation_become_source(&v->sb.generations, resource_random());
    step(v, false, source_ready);
}

static void source_finished(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;

    /* Where this disk failed just now the peer has all the same, and has to be recorded before this copy can be outdated. */
    if (!step_valid(waiter, error && !volume_through_peer(v)) || v->state.conn != CONN_CONNECTED)
        return;
    say_done(v, "to");
    volume_changed(v, true);
    resource_tell_current(v->resource);
}

static bool is_source(const struct volume *v)
{
    return v->state.conn == CONN_SYNC_SOURCE || v->state.conn == CONN_PAUSED_SYNC_S;
}

void resync_check_source(struct volume *v)
{
    if (!is_source(v) || !v->resync.peer_finished || v->map->set ||
        v->step_running)
        return;
    generation_finish_source(&v->sb.generations);
    v->state.peer_disk = DISK_UP_TO_DATE;
    move(v, CONN_CONNECTED);
    volume_changed(v, false);
    write_peer_settled(v);
    step(v, true, source_finished);
}

/* --- target --- */

static void target_ready(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;

    if (!step_valid(waiter, error) || v->state.conn != CONN_WF_SYNC_UUID)
        return;
    move(v, CONN_SYNC_TARGET);
    resync_begin_count(v);
    resync_paused(v);
    v->resync.checkpoint_ns = v->resource->home->now_ns;
    volume_changed(v, true);
    qb_log(LOG_NOTICE, "group \"%s\" volume %u: resync from the peer: %llu KiB",
           v->resource->group->name, v->number, (unsigned long long)v->map->set * 4);
    resync_pump(v);
}

/* The merged map is on disk: only now may the generation say that it is all there is to copy. */
static void target_mapped(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;

    if (!step_valid(waiter, error) || v->state.conn != CONN_WF_SYNC_UUID)
        return;
    generation_become_target(&v->sb.generations, v->resync.uuid, false);
    v->state.disk = DISK_INCONSISTENT;
    volume_changed(v, false);
    step(v, false, target_ready);
}

int resync_sync_uuid(struct volume *v, uint64_t uuid)
{
    if (v->state.conn != CONN_WF_SYNC_UUID || v->step_running)
        return -EPROTO;
    v->resync.uuid = uuid;
    v->state.peer_disk = DISK_UP_TO_DATE;
    step(v, true, target_mapped);
    return 0;
}

static void target_reported(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;

    if (!step_valid(waiter, error))
        return;
    say_done(v, "from");
    volume_changed(v, true);
}

static void target_flushed(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;
    struct resync *s = &v->resync;

    if (!step_valid(waiter, error))
        return;
    if (v->state.conn == CONN_PAUSED_SYNC_T) /* it ends when it goes on */
        s->finishing = s->pinged = false;
    if (v->state.conn != CONN_SYNC_TARGET)
        return;
    if (v->map->set) { /* marked again meanwhile */
        s->finishing = s->pinged = false;
        s->cursor = 0;
        resync_pump(v);
        return;
    }
    generation_finish_target(&v->sb.generations, &s->peer, s->uuid, false);
    v->state.disk = DISK_UP_TO_DATE;
    v->complete = true;
    move(v, CONN_CONNECTED);
    volume_changed(v, false);
    step(v, false, target_reported);
}

/* All is here. A ping behind the last acknowledgement makes sure that the source has seen them all;
 * then data and map, then the generations are made durable, then it is told. */
void resync_target_end(struct volume *v)
{
    struct resource *r = v->resource;
    struct resync *s = &v->resync;

    if (v->state.conn != CONN_SYNC_TARGET || s->finishing || v->step_running || s->in_flight ||
        v->map->set)
        return;
    if (!s->pinged) {
        s->pinged = true;
        link_ping(r);
        s->ping_mark = r->link.pings;
    } else if (r->link.ping_acks >= s->ping_mark) {
        s->finishing = true;
        step(v, true, target_flushed);
    }
}

/* --- no resync at all: both copies were just created, the peer started the first generation --- */

static void adopted(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;

    if (!step_valid(waiter, error))
        return;
    v->state.disk = v->state.peer_disk = DISK_UP_TO_DATE;
    v->complete = true;
    volume_changed(v, true);
}

int resync_adopt(struct volume *v, const struct generations *peer)
{
    if (v->state.conn != CONN_CONNECTED || v->step_running || v->resource->primary ||
        !volume_usable(v) || !generation_skip_sync_adopt(&v->sb.generations, peer, false))
        return -EPROTO;
    dirty_map_clear_all(v->map);
    v->sb.flags |= MD_CONSISTENT | MD_WAS_UP_TO_DATE;
    step(v, true, adopted);
    return 0;
}

/* --- the peer's state, and losing it --- */

bool resync_unsettled(const struct volume *v)
{
    return v->state.conn == CONN_WF_BITMAP_S || (is_source(v) && !v->resync.peer_marked);
}

void resync_peer_state(struct volume *v, const struct wire_state *peer)
{
    if (is_source(v) && !v->resync.peer_marked && peer->disk == DISK_INCONSISTENT &&
        (peer->conn == CONN_SYNC_TARGET || peer->conn == CONN_PAUSED_SYNC_T)) {
        v->resync.peer_marked = true;
        write_peer_settled(v);
    }
    if (is_source(v) && peer->conn == CONN_CONNECTED &&
        peer->disk == DISK_UP_TO_DATE) {
        v->resync.peer_finished = true;
        resync_check_source(v);
    }
}

uint64_t resync_left(const struct volume *v)
{
    return verify_runs(v) ? v->verify.left : v->map->set;
}

void resync_begin_count(struct volume *v)
{
    struct resync *s = &v->resync;
    const struct config_group *g = v->resource->group;
    struct pace_settings settings = {
        .plan_ahead = g->c_plan_ahead,
        .delay_target = g->c_delay_target,
        .fill_target = (uint64_t)g->c_fill_target * MD_SECTOR,
        .limit = (uint64_t)(g->c_plan_ahead ? g->c_max_rate : g->resync_rate) << 10,
    };

    s->total_bits = s->rate_bits = resync_left(v);
    s->equal_bits = 0;
    s->started_ns = s->rate_ns = v->resource->home->now_ns;
    s->rate = 0;
    pace_begin(&s->pace, &settings, s->started_ns);
}

/* Both nodes derive it from both flags. What is under way comes to its end. */
void resync_paused(struct volume *v)
{
    static const struct {
        enum replica_connection runs, paused;
    } pairs[] = {
        {CONN_SYNC_SOURCE, CONN_PAUSED_SYNC_S},
        {CONN_SYNC_TARGET, CONN_PAUSED_SYNC_T},
    };
    bool pause = v->user_isp || v->peer_isp;

    for (unsigned i = 0; i < 2; i++) {
        if (v->state.conn != (pause ? pairs[i].runs : pairs[i].paused))
            continue;
        v->state.conn = pause ? pairs[i].paused : pairs[i].runs;
        v->resync.rate = 0;
        v->resync.rate_ns = v->resource->home->now_ns;
        v->resync.rate_bits = v->map->set;
        qb_log(LOG_NOTICE, "group \"%s\" volume %u: resync %s", v->resource->group->name, v->number,
               pause ? "paused" : "goes on");
        resync_check_source(v);
        resync_pump(v);
        break;
    }
}

static void checkpoint_done(struct md_waiter *waiter, int error)
{
    waiter->volume->checkpoint_running = false;
}

void resync_tick(struct volume *v)
{
    enum { CHECKPOINT_S = 30, RATE_MS = 1000 };
    struct resource *r = v->resource;
    struct resync *s = &v->resync;
    uint64_t now = r->home->now_ns;

    if (v->state.conn != CONN_SYNC_TARGET && v->state.conn != CONN_SYNC_SOURCE && !verify_runs(v))
        return;
    if (now - s->rate_ns >= RATE_MS * 1000000ull) {
        uint64_t left = resync_left(v), done = s->rate_bits > left ? s->rate_bits - left : 0;

        done = done * MD_BLOCK * 1000 / ((now - s->rate_ns) / 1000000);
        s->rate = s->rate ? (s->rate * 3 + done) / 4 : done;
        s->rate_bits = left;
        s->rate_ns = now;
        r->publish = true;
    }
    verify_pump(v);
    if (v->state.conn != CONN_SYNC_TARGET)
        return;
    /* What a crash of this node would copy again is bounded. */
    if (now - s->checkpoint_ns >= CHECKPOINT_S * 1000000000ull && !v->checkpoint_running) {
        s->checkpoint_ns = now;
        v->checkpoint_running = true;
        v->checkpoint = (struct md_waiter){.pages = true, .done = checkpoint_done, .volume = v};
        md_request(v, &v->checkpoint);
    }
    resync_pump(v);
}
