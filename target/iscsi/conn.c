/* The life of a connection. */
#include "target/iscsi/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <qb/qblog.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint64_t MS = 1000000;

static uint64_t now_of(const struct conn *conn)
{
    return conn->home->reactor->now_ns;
}

void conn_kick(struct conn *conn)
{
    /* Timers run after all completions and posts of a turn: a deadline in the past means "then". */
    if (!conn->turn.slot)
        reactor_timer_set(conn->home->reactor, &conn->turn, 0);
}

static void watch_in(struct conn *conn, uint64_t ms)
{
    reactor_timer_set(conn->home->reactor, &conn->watch, now_of(conn) + ms * MS);
}

void conn_shut(struct conn *conn)
{
    if (conn->socket != SOCKET_SHUT)
        shutdown(conn->fd, SHUT_RDWR); /* ends what is in the ring for this socket */
    conn->socket = SOCKET_SHUT;
    reactor_timer_cancel(conn->home->reactor, &conn->watch);
    tx_drop(conn);
    conn_kick(conn);
}

void conn_end(struct conn *conn, bool flush, const char *why)
{
    if (conn->state == CONN_ENDING) {
        if (!flush && conn->socket != SOCKET_SHUT)
            conn_shut(conn);
        return;
    }
    if (conn->nexus.initiator_name[0] && conn->state != CONN_LOGIN)
        qb_log(LOG_INFO, "iscsi: %s (%s): connection ends: %s", conn->nexus.initiator_name,
               conn->nexus.peer_address, why);
    if (conn->in_login)
        server_login_over(conn->home->server);
    conn->in_login = false;
    conn->state = CONN_ENDING;
    if (conn->logout)
        control_free(conn->logout);
    conn->logout = NULL;
    slots_abort(conn);
    payload_free(conn->home->reactor->payloads, &conn->rx.payload);
    if (flush && conn->socket == SOCKET_OPEN) {
        conn->socket = SOCKET_FLUSH;
        watch_in(conn, CONN_FLUSH_MS);
        tx_drop(conn);
        conn_kick(conn);
    } else {
        conn_shut(conn);
    }
}

void conn_drop(struct nexus *nexus, const char *why)
{
    struct conn *conn = container_of(nexus, struct conn, nexus);

    if (conn->state == CONN_FULL)
        conn_async(conn, ASYNC_EVENT_DROP_SESSION, 0);
    conn_end(conn, true, why);
}

void conn_leave(struct conn *conn)
{
    if (conn->state != CONN_FULL) {
        if (conn->state != CONN_LOGOUT)
            conn_end(conn, false, "the target stops");
        return;
    }
    if (conn->leaving)
        return;
    conn->leaving = true;
    conn_async(conn, ASYNC_EVENT_LOGOUT_REQUEST, CONN_LEAVE_MS / 1000);
    watch_in(conn, CONN_LEAVE_MS);
}

void conn_watch_start(struct conn *conn)
{
    reactor_timer_cancel(conn->home->reactor, &conn->watch);
    if (conn->target.nop_interval_s)
        watch_in(conn, conn->target.nop_interval_s * 1000ull);
}

/* A silent initiator is asked for a sign of life (11.19); any byte from it is one. */
static void watch_life(struct conn *conn)
{
    uint64_t now = now_of(conn), last = conn->rx.last_ns, timeout, interval, due;

    timeout = conn->target.nop_timeout_s * 1000 * MS;
    interval = conn->target.nop_interval_s * 1000 * MS;
    if (conn->ping_ns && last < conn->ping_ns) {
        due = conn->ping_ns + timeout;
        if (now >= due) {
            conn_end(conn, false, "no answer to NOP-In");
            return;
        }
    } else {
        conn->ping_ns = 0;
        due = last + interval;
        if (now >= due) {
            conn_ping(conn);
            conn->ping_ns = now;
            due = now + (timeout ? timeout : interval);
        }
    }
    reactor_timer_set(conn->home->reactor, &conn->watch, due);
}

static void watch(struct timer *timer)
{
    struct conn *conn = container_of(timer, struct conn, watch);

    switch (conn->state) {
    case CONN_LOGIN:
    case CONN_JOINING:
        conn_end(conn, false, "login took too long");
        break;
    case CONN_FULL:
        if (conn->leaving)
            conn_drop(&conn->nexus, "no logout though asked for");
        else
            watch_life(conn);
        break;
    case CONN_LOGOUT:
        break;
    case CONN_ENDING:
        conn_shut(conn);
        break;
    }
}

/* After the last byte: say so, and let the initiator read it. Closing with unread input would reset
 * the connection and could destroy what it has not read yet. */
static void flushed(struct conn *conn)
{
    shutdown(conn->fd, SHUT_WR);
    conn->socket = SOCKET_LINGER;
    if (conn->rx.eof)
        conn_shut(conn);
    else
        watch_in(conn, CONN_LINGER_MS);
}

static void conn_free(struct conn *conn)
{
    struct iscsi_home *home = conn->home;

    reactor_timer_cancel(home->reactor, &conn->turn);
    reactor_timer_cancel(home->reactor, &conn->watch);
    payload_free(home->reactor->payloads, &conn->rx.payload);
    assert(!conn->slots_held);
    slots_unreserve(home, conn->slot_count);
    qb_list_del(&conn->link);
    close(conn->fd);
    server_tsih_release(home->server, conn->nexus.tsih);
    free(conn->hash);
    free(conn->controls);
    free(conn->text.in);
    free(conn->tx.heads);
    free(conn->rx.buffer);
    if (conn->login)
        explicit_bzero(conn->login, sizeof *conn->login); /* holds secrets */
    free(conn->login);
    free(conn);
    server_conn_gone(home);
}

static void gone(struct nexus *nexus)
{
    struct conn *conn = container_of(nexus, struct conn, nexus);

    conn->nexus_known = conn->removing = false;
    conn_kick(conn);
}

/* What is left of an ending connection. It is freed here and nowhere else. */
static void reap(struct conn *conn)
{
    struct slot *slot = conn->rx.slot;

    if (!conn->rx.armed && slot) {
        conn->rx.slot = NULL;
        slot_progress(slot);
    }
    if (conn->active || conn->tmfs)
        return;
    if (conn->nexus_known) {
        if (conn->removing)
            return;
        conn->removing = true;
        nexus_remove(&conn->nexus, gone);
        if (conn->nexus_known)
            return;
    }
    if (conn->socket == SOCKET_SHUT && !conn->rx.armed && !conn->tx.armed)
        conn_free(conn);
}

static void turn(struct timer *timer)
{
    struct conn *conn = container_of(timer, struct conn, turn);

    conn->rx.left = CONN_TURN_PDUS;
    if (conn->rx.paused || (conn->rx.stalled && rx_has_room(conn)))
        rx_parse(conn);
    while (!qb_list_empty(&conn->ready)) {
        struct slot *slot = qb_list_first_entry(&conn->ready, struct slot, link);
        qb_list_del(&slot->link);
        qb_list_init(&slot->link);
        slot_progress(slot);
    }
    if (conn->logout && !conn->active && !conn->tmfs) {
        struct control *logout = conn->logout;
        conn->logout = NULL;
        tx_queue(conn, &logout->item);
        conn_end(conn, true, "logout");
    }
    tx_flush(conn);
    if (conn->socket == SOCKET_FLUSH && !conn->tx.armed && qb_list_empty(&conn->tx.queue))
        flushed(conn);
    if (conn->login && conn->state == CONN_FULL && !conn->own_busy) {
        explicit_bzero(conn->login, sizeof *conn->login);
        free(conn->login);
        conn->login = NULL;
    }
    rx_arm(conn);
    if (conn->rx.paused && conn->state == CONN_FULL)
        reactor_timer_set(conn->home->reactor, &conn->turn, now_of(conn) + 1); /* not in this turn */
    if (conn->state == CONN_ENDING)
        reap(conn);
}

int conn_make_slots(struct conn *conn, unsigned depth)
{
    unsigned size = 1, count;

    if (depth < 1)
        depth = 1;
    if (depth > CONN_DEPTH_MAX)
        depth = CONN_DEPTH_MAX;
    conn->depth = depth;
    while (size < depth)
        size *= 2;
    conn->hash = calloc(size, sizeof(struct slot *));
    conn->controls = calloc(CONN_CONTROLS, sizeof *conn->controls);
    /* Twice the window: answers that are still in the socket hold their slots. */
    count = 2 * depth + CONN_IMMEDIATE;
    if (!conn->hash || !conn->controls || slots_reserve(conn->home, count))
        return -ENOMEM;
    conn->hash_size = size;
    conn->slot_count = count;
    for (unsigned i = 0; i < CONN_CONTROLS; i++) {
        conn->controls[i].conn = conn;
        conn->controls[i].item.kind = TX_CONTROL;
        qb_list_init(&conn->controls[i].item.link);
        qb_list_add_tail(&conn->controls[i].link, &conn->free_controls);
    }
    return 0;
}

static void set_socket(struct conn *conn)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int one = 1;

    /* Answers are gathered here already; waiting for more in the kernel would only add latency. */
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(conn->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    memset(&peer, 0, sizeof peer);
    if (!getpeername(conn->fd, (struct sockaddr *)&peer, &length))
        address_text(&peer, conn->nexus.peer_address);
    length = sizeof conn->local;
    getsockname(conn->fd, (struct sockaddr *)&conn->local, &length);
}

void conn_start(struct iscsi_home *home, int fd, uint16_t rtpi)
{
    struct conn *conn = calloc(1, sizeof *conn);
    unsigned timeout = home->config->target_count ? home->config->targets[0].login_timeout_s : 0;

    if (conn) {
        conn->login = malloc(sizeof *conn->login);
        conn->rx.buffer = malloc(CONN_RX);
        conn->tx.heads = malloc(CONN_TX_HEADS);
    }
    if (!conn || !conn->login || !conn->rx.buffer || !conn->tx.heads) {
        if (conn) {
            free(conn->login);
            free(conn->rx.buffer);
            free(conn->tx.heads);
        }
        free(conn);
        close(fd);
        server_login_over(home->server);
        server_conn_gone(home);
        return;
    }
    conn->home = home;
    conn->fd = fd;
    conn->rtpi = rtpi;
    conn->in_login = true;
    conn->turn.fire = turn;
    conn->watch.fire = watch;
    conn->own.conn = conn;
    conn->own.item.kind = TX_CONTROL;
    qb_list_init(&conn->own.item.link);
    qb_list_init(&conn->own.link);
    qb_list_init(&conn->queued);
    qb_list_init(&conn->ready);
    qb_list_init(&conn->free_controls);
    qb_list_init(&conn->nexus.tasks);
    conn->text.ttt = ISCSI_RESERVED_TAG;
    login_init(conn->login);
    set_socket(conn);
    rx_init(conn);
    tx_init(conn);
    qb_list_add_tail(&conn->link, &home->conns);
    watch_in(conn, (timeout ? timeout : CONN_LOGIN_S) * 1000ull);
    conn_kick(conn);
}
