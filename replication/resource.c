/* What holds the parts of a replica together: the work done at the end of each event, losing the
 * link, timers, what the control thread is told. */
#include <assert.h>
#include <errno.h>
#include <openssl/rand.h>
#include <qb/qblog.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "replication/outdating.h"
#include "replication/resource.h"
#include "replication/standing.h"
#include "target/base/container.h"

uint64_t resource_random(void)
{
    uint64_t random;

    if (RAND_bytes((unsigned char *)&random, sizeof random) != 1)
        random = monotonic_ns() * 0x9E3779B97F4A7C15u; /* generations must differ, not be secret */
    return random ? random : 1;
}

void resource_say(struct resource *r, const char *format, ...)
{
    char why[sizeof r->why];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (strcmp(r->why, why))
        memcpy(r->why_before, r->why, sizeof r->why);
    memcpy(r->why, why, sizeof why);
    r->publish = true;
}

/* Both directions of connecting may fail, each with its own sentence, in turn. */
static bool is_news(const struct resource *r, const char *why)
{
    size_t n = sizeof r->why - 1;

    return strncmp(r->why, why, n) && strncmp(r->why_before, why, n);
}

void resource_complain(struct resource *r, const char *why)
{
    if (is_news(r, why))
        qb_log(LOG_WARNING, "group \"%s\": %s", r->group->name, why);
    resource_say(r, "%s", why);
}

struct volume *resource_volume(struct resource *r, unsigned number)
{
    return number < RESOURCE_VOLUMES ? r->by_number[number] : NULL;
}

/* --- to the control thread --- */

static void run_changed(struct post *post)
{
    struct resource *r = container_of(post, struct resource, changed_post);
    const struct replica_callbacks *callbacks = r->public.options.callbacks;

    atomic_store(&r->changed_posted, false);
    if (callbacks->changed)
        callbacks->changed(callbacks->context, &r->public);
}

static void run_outdate(struct post *post)
{
    struct resource *r = container_of(post, struct resource, outdate_post);
    const struct replica_callbacks *callbacks = r->public.options.callbacks;

    atomic_store(&r->outdate_posted, false);
    if (callbacks->outdate_peer)
        callbacks->outdate_peer(callbacks->context, &r->public, r->peer_node);
}

static void run_self(struct post *post)
{
    struct resource *r = container_of(post, struct resource, self_post);
    const struct replica_callbacks *callbacks = r->public.options.callbacks;

    atomic_store(&r->self_posted, false);
    if (callbacks->outdate_self)
        callbacks->outdate_self(callbacks->context, &r->public);
}

static void run_fill(struct post *post)
{
    struct resource *r = container_of(post, struct resource, fill_post);
    const struct replica_callbacks *callbacks = r->public.options.callbacks;

    atomic_store(&r->fill_posted, false);
    if (callbacks->to_be_filled)
        callbacks->to_be_filled(callbacks->context, &r->public);
}

static void run_vain(struct post *post)
{
    struct resource *r = container_of(post, struct resource, vain_post);
    const struct replica_callbacks *callbacks = r->public.options.callbacks;

    atomic_store(&r->vain_posted, false);
    if (callbacks->outdated_in_vain)
        callbacks->outdated_in_vain(callbacks->context, &r->public);
}

static void run_current(struct post *post)
{
    struct resource *r = container_of(post, struct resource, current_post);
    const struct replica_callbacks *callbacks = r->public.options.callbacks;

    atomic_store(&r->current_posted, false);
    if (callbacks->current)
        callbacks->current(callbacks->context, &r->public, r->peer_node);
    if (atomic_load(&r->outdate_due) && callbacks->outdate_peer)
        callbacks->outdate_peer(callbacks->context, &r->public, r->peer_node);
}

static void run_lost(struct post *post)
{
    struct resource *r = container_of(post, struct resource, lost_post);
    const struct replica_callbacks *callbacks = r->public.options.callbacks;

    atomic_store(&r->lost_posted, false);
    if (callbacks->primary_lost)
        callbacks->primary_lost(callbacks->context, &r->public);
}

static void run_place(struct post *post)
{
    struct resource *r = container_of(post, struct resource, place_post);

    atomic_store(&r->place_posted, false);
    for (unsigned i = 0; i < r->volume_count; i++)
        volume_keep_place(r->volumes[i]);
}

static void tell(struct resource *r, struct post *post, _Atomic bool *posted,
                 void (*run)(struct post *))
{
    if (atomic_exchange(posted, true))
        return;
    post->run = run;
    mailbox_post(r->public.control, post);
}

void resource_tell_lost(struct resource *r)
{
    tell(r, &r->lost_post, &r->lost_posted, run_lost);
}

void resource_tell_place(struct resource *r)
{
    tell(r, &r->place_post, &r->place_posted, run_place);
}

void resource_tell_current(struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];

        if (volume_through_peer(v))
            continue; /* only the peer's is a copy any more, and it has all */
        if ((v->state.conn != CONN_CONNECTED && !verify_runs(v)) ||
            v->state.disk != DISK_UP_TO_DATE || v->state.peer_disk != DISK_UP_TO_DATE ||
            v->resync.catching_up || v->step_running)
            return;
    }
    r->agreed = r->asked = false;
    standing_equal(r);
    atomic_store(&r->outdate_due, false);
    tell(r, &r->current_post, &r->current_posted, run_current);
}

bool volume_without_peer(const struct volume *v)
{
    return volume_usable(v) && !write_mode_replicates(volume_mode(v)) &&
           v->state.conn != CONN_WF_BITMAP_S;
}

void resource_tell_outdate(struct resource *r)
{
    atomic_store(&r->outdate_due, true);
    tell(r, &r->outdate_post, &r->outdate_posted, run_outdate);
}

void resource_ask_self_outdate(struct resource *r)
{
    if (!r->primary || r->self_asked)
        return;
    r->self_asked = true;
    qb_log(LOG_NOTICE, "group \"%s\": this node's disk failed: asking for its outdating",
           r->group->name);
    tell(r, &r->self_post, &r->self_posted, run_self);
}

void resource_tell_to_be_filled(struct resource *r)
{
    tell(r, &r->fill_post, &r->fill_posted, run_fill);
}

void resource_tell_in_vain(struct resource *r)
{
    tell(r, &r->vain_post, &r->vain_posted, run_vain);
}

static bool suspended(const struct resource *r)
{
    if (!r->serving)
        return false;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->peer_only && (!r->self_agreed || !volume_through_peer(r->volumes[i])))
            return true;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (volume_without_peer(r->volumes[i]) && !volume_alone(r->volumes[i]))
            return true;
    return false;
}

static void count_resync(const struct resource *r, struct replica_status *s)
{
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];
        uint64_t left = resync_left(v), total = v->resync.total_bits;

        s->out_of_sync += v->map->set * MD_BLOCK;
        s->paused_here |= v->user_isp;
        s->paused_there |= v->peer_isp && conn_established(v->state.conn);
        if (v->state.conn != CONN_SYNC_SOURCE && v->state.conn != CONN_SYNC_TARGET &&
            v->state.conn != CONN_PAUSED_SYNC_S && v->state.conn != CONN_PAUSED_SYNC_T &&
            !verify_runs(v))
            continue;
        s->resync_total += total * MD_BLOCK;
        s->resync_done += (total > left ? total - left : 0) * MD_BLOCK;
        s->resync_rate += v->resync.rate;
    }
    if (s->resync_rate)
        s->resync_left_s = (s->resync_total - s->resync_done + s->resync_rate - 1) / s->resync_rate;
}

/* The copies for the control thread; under the lock. True when a state changed. */
static bool publish_volumes(struct resource *r)
{
    bool changed = r->public.volume_count != r->volume_count;

    r->public.volume_count = r->volume_count;
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];
        struct replica_volume_status *s = &r->public.volumes[i];

        changed |= s->disk != v->state.disk || s->peer_disk != v->state.peer_disk ||
                   s->connection != v->state.conn;
        *s = (struct replica_volume_status){
            .number = v->number,
            .disk = v->state.disk,
            .peer_disk = v->state.peer_disk,
            .connection = v->state.conn,
            .size = v->sectors * MD_SECTOR,
            .out_of_sync = v->map->set * MD_BLOCK,
        };
    }
    return changed;
}

void resource_publish(struct resource *r)
{
    struct replica_status s = {
        .role = r->serving ? REPLICA_PRIMARY : REPLICA_SECONDARY,
        .peer_role = r->peer_role == WIRE_PRIMARY ? REPLICA_PRIMARY : REPLICA_SECONDARY,
        .disk = DISK_UP_TO_DATE,
        .peer_disk = DISK_UP_TO_DATE,
        .connection = r->volumes[0]->state.conn,
        .link = r->link.serial,
        .complete = standing_complete(r),
        .suspended = suspended(r),
        .tls = r->link.tls,
        .tls_expires = r->link.tls ? tls_context_expires(r->link.tls) : 0,
        .written = r->written,
        .received = r->received_bytes,
        .sent = r->sent_bytes,
    };
    bool changed;

    if (r->link.data.tls && link_alive(&r->link)) {
        s.tls_cipher = tls_session_cipher(r->link.data.tls);
        s.tls_peer_expires = tls_session_peer_expires(r->link.data.tls);
    }
    outdating_ask(r);
    if (r->peer_node == REPLICA_PEER_OUTSIDE)
        resource_tell_current(r); /* a peer that is no node says nothing about this copy to the cluster */
    r->publish = r->publish_roles = false;
    r->published_ns = r->home->now_ns;
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume_state *state = &r->volumes[i]->state;

        s.disk = disk_worst(s.disk, state->disk);
        s.peer_disk = disk_worst(s.peer_disk, state->peer_disk);
        /* A volume that is being resynced or waits says more than one that is connected. */
        if (state->conn < CONN_CONNECTED || s.connection == CONN_CONNECTED)
            s.connection = state->conn;
    }
    if (s.connection == CONN_UNCONNECTED && r->link.phase == LINK_CONNECTING)
        s.connection = CONN_WF_CONNECTION;
    count_resync(r, &s);
    memcpy(s.why, r->why, sizeof s.why);
    pthread_mutex_lock(&r->public.lock);
    changed = memcmp(&s, &r->public.status, offsetof(struct replica_status, out_of_sync)) ||
              strcmp(s.why, r->public.status.why) || s.resync_done != r->public.status.resync_done;
    r->public.status = s;
    changed |= publish_volumes(r);
    pthread_mutex_unlock(&r->public.lock);
    if (changed)
        tell(r, &r->changed_post, &r->changed_posted, run_changed);
}

void resource_publish_roles(struct resource *r)
{
    struct replica_status *s = &r->public.status;
    enum replica_role role = r->serving ? REPLICA_PRIMARY : REPLICA_SECONDARY;
    enum replica_role peer = r->peer_role == WIRE_PRIMARY ? REPLICA_PRIMARY : REPLICA_SECONDARY;
    bool changed;

    r->publish_roles = false;
    pthread_mutex_lock(&r->public.lock);
    changed = s->role != role || s->peer_role != peer || (s->suspended && !r->serving);
    s->role = role;
    s->peer_role = peer;
    s->suspended &= r->serving;
    pthread_mutex_unlock(&r->public.lock);
    if (changed)
        tell(r, &r->changed_post, &r->changed_posted, run_changed);
}

/* --- the link --- */

static void link_lost(struct resource *r)
{
    bool established = false, down = r->link.stay_down || r->closing;

    for (unsigned i = 0; i < r->volume_count; i++)
        established |= conn_established(r->volumes[i]->state.conn);
    /* A connection that fails again and again is logged once. */
    if (established || is_news(r, r->link.fail_why))
        qb_log(LOG_NOTICE, "group \"%s\": connection lost: %s", r->group->name, r->link.fail_why);
    resource_say(r, "%s", r->link.fail_why);
    link_drop(r);
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        volume_link_lost(&v->state);
        volume_peer_gone(v);
        if (down)
            v->state.conn = CONN_STANDALONE;
        if (established)
            v->alone_durable = false;
    }
    if (established)
        r->agreed = r->asked = false;
    r->standalone = down;
    handshake_link_down(r);
    peer_read_link_down(r);
    resync_link_down(r);
    mirror_link_down(r);
    write_link_down(r);
    for (unsigned i = 0; i < r->volume_count; i++)
        volume_changed(r->volumes[i], false);
    write_check_flushes(r);
}

static void link_closed(struct resource *r)
{
    if (r->standalone || r->closing)
        connector_pause(r);
    else
        connector_start(r);
    r->publish = true;
}

/* --- every event --- */

void resource_enter(struct resource *r)
{
    r->depth++;
}

static bool deliver(struct resource *r)
{
    struct post *post = r->finished;
    struct store_io *io;

    if (!post)
        return false;
    r->finished = NULL;
    r->finished_end = &r->finished;
    while (post) {
        struct post *next = post->next;

        io = container_of(post, struct store_io, post);
        if (io->reactor == r->home && !r->submitting) {
            io->done(io, io->error);
        } else {
            io->post.run = store_io_deliver;
            reactor_post(io->reactor, &io->post);
        }
        post = next;
    }
    return true;
}

void volume_work(struct volume *v)
{
    if (v->working)
        return;
    v->working = true;
    qb_list_add_tail(&v->work, &v->resource->work);
}

static void pump_volumes(struct resource *r)
{
    struct volume *v, *next;

    qb_list_for_each_entry_safe(v, next, &r->work, work)
    {
        handshake_grow(v);
        grow_pump(v);
        catchup_pump(v);
        if (volume_has_work(v))
            continue;
        v->working = false;
        qb_list_del(&v->work);
    }
}

void resource_leave(struct resource *r)
{
    bool again;

    if (--r->depth || r->closed)
        return;
    r->depth = 1;
    do {
        r->again = false;
        if (r->link.failing)
            link_lost(r);
        if (r->link.phase == LINK_CLOSING && link_try_close(r))
            link_closed(r);
        link_resume(r);
        standing_pump(r);
        sync_retry_memory(r);
        pump_volumes(r);
        write_pump(r);
        peer_read_pump(r);
        admin_run(r);
        if (r->closed)
            break;
        again = deliver(r);
        again |= r->link.failing || r->again;
    } while (again);
    if (r->closed)
        deliver(r);
    else if (r->publish)
        resource_publish(r);
    else if (r->publish_roles)
        resource_publish_roles(r);
    link_hurry(r);
    r->depth = 0;
    if (r->last_post)
        mailbox_post(r->public.control, r->last_post);
}

/* --- timers --- */

static uint64_t ms(unsigned n)
{
    return n * UINT64_C(1000000);
}

unsigned resource_timeout_ms(const struct resource *r)
{
    return r->group->timeout_ms ? r->group->timeout_ms : 2000;
}

static unsigned ping_ms(const struct resource *r)
{
    unsigned ping = r->group->ping_ms ? r->group->ping_ms : 1000;

    return ping < resource_timeout_ms(r) / 2 ? ping : resource_timeout_ms(r) / 2;
}

static uint64_t since(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0;
}

static void watch_link(struct resource *r)
{
    struct link *link = &r->link;
    uint64_t now = r->home->now_ns, heard = link->meta.last_ns, limit = ms(resource_timeout_ms(r));

    if (!link_alive(link))
        return;
    if (link->data.last_ns > heard)
        heard = link->data.last_ns;
    if (link->phase != LINK_UP) {
        if (since(now, link->phase_ns) > 4 * limit)
            link_fail(r, "the peer does not finish the handshake");
        return;
    }
    if (since(now, heard) > limit)
        link_fail(r, "the peer does not answer for %u ms", resource_timeout_ms(r));
    else if (since(now, heard) >= ms(ping_ms(r)) && since(now, link->ping_ns) >= ms(ping_ms(r)))
        link_ping(r);
    if (!qb_list_empty(&r->sent) && since(now, write_oldest_ns(r)) > KO_COUNT * limit)
        link_fail(r, "the peer does not finish a write for %u ms", KO_COUNT * resource_timeout_ms(r));
    if (write_flush_overdue(r, KO_COUNT * limit))
        link_fail(r, "the peer does not finish a flush for %u ms", KO_COUNT * resource_timeout_ms(r));
    for (unsigned i = 0; i < r->volume_count; i++)
        if (conn_in_transition(r->volumes[i]->state.conn) && !r->volumes[i]->step_running &&
            since(now, r->volumes[i]->transition_ns) > KO_COUNT * limit)
            link_fail(r, "the peer does not go on with %s",
                      replica_connection_name(r->volumes[i]->state.conn));
}

static unsigned tick_ms(const struct resource *r)
{
    unsigned tick = ping_ms(r) / 4;

    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->state.conn == CONN_SYNC_SOURCE ||
            r->volumes[i]->state.conn == CONN_SYNC_TARGET || verify_runs(r->volumes[i]))
            return tick < 50 ? tick : 50; /* the pace of a resync */

    return tick < 10 ? 10 : tick > 250 ? 250 : tick;
}

static void ticked(struct timer *timer)
{
    struct resource *r = container_of(timer, struct resource, tick);

    resource_enter(r);
    watch_link(r);
    for (unsigned i = 0; i < r->volume_count; i++) {
        assert(r->volumes[i]->working || !volume_has_work(r->volumes[i]));
        resync_tick(r->volumes[i]);
    }
    sync_retry_rate(r);
    if (since(r->home->now_ns, r->published_ns) > ms(1000))
        r->publish = true;
    reactor_timer_set(r->home, &r->tick, r->home->now_ns + ms(tick_ms(r)));
    resource_leave(r);
}

void resource_start(struct resource *r)
{
    resource_enter(r);
    r->tick.fire = ticked;
    reactor_timer_set(r->home, &r->tick, r->home->now_ns + ms(tick_ms(r)));
    connector_start(r);
    r->publish = true;
    resource_leave(r);
}

void resource_stop_timers(struct resource *r)
{
    reactor_timer_cancel(r->home, &r->tick);
    reactor_timer_cancel(r->home, &r->barrier_timer);
}
