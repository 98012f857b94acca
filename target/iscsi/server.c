/* Listeners, and what all connections of a node share. */
#include "target/iscsi/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <qb/qblog.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "target/iscsi/conn.h"
#include "target/iscsi/iscsi.h"

enum { WHY = 256, BACKLOG = 256, TSIHS = 65536, ACCEPT_RETRY_MS = 100 };

/* Lives on the first reactor once it is posted there. */
struct listener {
    struct qb_list_head link;
    struct iscsi_server *server;
    struct config_address address;
    uint16_t rtpi;
    int fd;
    bool closing;
    struct io_op op;
    struct timer retry; /* after accept() ran out of file descriptors */
};

struct iscsi_server {
    atomic_bool open;
    atomic_uint logins, connections;
    atomic_uint reloading; /* reactors that have not done the current reload */
    atomic_uint stopping;  /* reactors that have not let go */
    atomic_uint holds;     /* 1 until stop is wanted, 1 per reactor that reloads; 0: stop begins */
    const struct config *config; /* the control thread's */
    struct iscsi_home *homes;
    unsigned home_count, next_home;
    struct qb_list_head listeners; /* the first reactor's */
    struct qb_list_head added;     /* opened by a reload, on their way there */
    struct post begin, stop;       /* to the first reactor */
    void (*reloaded)(void *context);
    void (*stopped)(void *context);
    void *reload_context, *stop_context;
    /* TSIHs in use: hash of initiator name and ISID << 16 | CID; 0 = free (hashes are never 0). */
    _Atomic uint64_t tsihs[TSIHS];
    atomic_uint next_tsih;
};

/* A socket on its way from the reactor that accepted it. */
struct handover {
    struct post post;
    struct iscsi_home *home;
    int fd;
    uint16_t rtpi;
};

bool server_available(const struct iscsi_server *server)
{
    return atomic_load_explicit(&server->open, memory_order_relaxed);
}

void iscsi_server_gate(struct iscsi_server *server, bool open)
{
    atomic_store_explicit(&server->open, open, memory_order_relaxed);
}

/* FNV-1a; only has to tell an initiator port from another one in an error case. */
static uint64_t port_hash(const char *initiator, const uint8_t isid[6])
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (; *initiator; initiator++)
        hash = (hash ^ (uint8_t)*initiator) * 0x100000001b3u;
    for (unsigned i = 0; i < 6; i++)
        hash = (hash ^ isid[i]) * 0x100000001b3u;
    return (hash << 16) | 1ull << 63;
}

uint16_t server_tsih_take(struct iscsi_server *server, const char *initiator, const uint8_t isid[6],
                          uint16_t cid)
{
    uint64_t owner = port_hash(initiator, isid) | cid;

    for (unsigned i = 0; i < TSIHS; i++) {
        uint16_t tsih = (uint16_t)atomic_fetch_add(&server->next_tsih, 1);
        uint64_t nobody = 0;
        if (tsih && atomic_compare_exchange_strong(&server->tsihs[tsih], &nobody, owner))
            return tsih;
    }
    return 0;
}

void server_tsih_release(struct iscsi_server *server, uint16_t tsih)
{
    if (tsih)
        atomic_store(&server->tsihs[tsih], 0);
}

uint16_t server_session_status(void *context, const char *initiator, const uint8_t isid[6],
                               uint16_t tsih, uint16_t cid)
{
    struct iscsi_server *server = context;
    uint64_t owner = atomic_load(&server->tsihs[tsih]), mine = port_hash(initiator, isid);

    if ((owner ^ mine) >> 16)
        return LOGIN_NO_SESSION;
    return (uint16_t)owner == cid ? LOGIN_CANNOT_INCLUDE : LOGIN_TOO_MANY_CONNECTIONS;
}

void server_login_over(struct iscsi_server *server)
{
    atomic_fetch_sub(&server->logins, 1);
}

/* A stopping reactor has let go when nothing of it is left; nothing may touch the server
 * afterwards. */
static void home_check(struct iscsi_home *home)
{
    struct iscsi_server *server = home->server;

    if (!home->stopping || home->reported || !qb_list_empty(&home->conns) ||
        (home == server->homes && !qb_list_empty(&server->listeners)))
        return;
    home->reported = true;
    if (atomic_fetch_sub(&server->stopping, 1) == 1)
        server->stopped(server->stop_context);
}

void server_conn_gone(struct iscsi_home *home)
{
    atomic_fetch_sub(&home->server->connections, 1);
    home_check(home);
}

static void arm(struct listener *listener);
static void stop_others(struct iscsi_server *server);

static void arrived(struct post *post)
{
    struct handover *handover = container_of(post, struct handover, post);
    struct iscsi_home *home = handover->home;

    if (home->stopping) {
        close(handover->fd);
        server_login_over(home->server);
        server_conn_gone(home);
    } else {
        conn_start(home, handover->fd, handover->rtpi);
    }
    free(handover);
}

static void take(struct listener *listener, int fd)
{
    struct iscsi_server *server = listener->server;
    struct handover *handover = NULL;

    /* Whoever has not logged in must not be able to use up what sessions need. */
    if (!listener->closing && atomic_load(&server->logins) < SERVER_LOGINS &&
        atomic_load(&server->connections) < SERVER_CONNECTIONS)
        handover = malloc(sizeof *handover);
    if (!handover) {
        close(fd);
        return;
    }
    atomic_fetch_add(&server->logins, 1);
    atomic_fetch_add(&server->connections, 1);
    handover->post.run = arrived;
    handover->home = &server->homes[server->next_home++ % server->home_count];
    handover->fd = fd;
    handover->rtpi = listener->rtpi;
    reactor_post(handover->home->reactor, &handover->post);
}

static void listener_gone(struct listener *listener)
{
    struct iscsi_server *server = listener->server;

    reactor_timer_cancel(server->homes[0].reactor, &listener->retry);
    qb_list_del(&listener->link);
    close(listener->fd);
    free(listener);
    if (qb_list_empty(&server->listeners) && server->homes[0].stopping)
        stop_others(server);
}

static void accepted(struct io_op *op, int32_t res, uint32_t flags)
{
    struct listener *listener = container_of(op, struct listener, op);
    struct reactor *reactor = listener->server->homes[0].reactor;

    if (res >= 0)
        take(listener, res);
    if (flags & IORING_CQE_F_MORE)
        return;
    if (listener->closing) {
        listener_gone(listener);
    } else if (res >= 0 || res == -ECONNABORTED || res == -EINTR) {
        arm(listener);
    } else {
        qb_log(LOG_WARNING, "iscsi: accept on %s: %s", listener->address.text, strerror(-res));
        reactor_timer_set(reactor, &listener->retry,
                          reactor->now_ns + ACCEPT_RETRY_MS * 1000000ull);
    }
}

static void retry(struct timer *timer)
{
    arm(container_of(timer, struct listener, retry));
}

static void arm(struct listener *listener)
{
    struct io_uring_sqe *sqe = reactor_sqe(listener->server->homes[0].reactor, &listener->op);

    io_uring_prep_multishot_accept(sqe, listener->fd, NULL, NULL, SOCK_CLOEXEC);
}

static void listener_close(struct listener *listener)
{
    bool idle = listener->retry.slot;

    listener->closing = true;
    if (idle)
        listener_gone(listener);
    else
        reactor_cancel(listener->server->homes[0].reactor, &listener->op);
}

static int listener_open(struct iscsi_server *server, const struct config_portal *portal,
                         struct qb_list_head *list, char *why)
{
    const struct config_address *address = &portal->address;
    struct listener *listener = calloc(1, sizeof *listener);
    int one = 1, rc = -ENOMEM;

    if (listener)
        listener->fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener && listener->fd >= 0) {
        setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (address->address.ss_family == AF_INET6)
            setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        if (!bind(listener->fd, (const struct sockaddr *)&address->address, address->length) &&
            !listen(listener->fd, BACKLOG)) {
            listener->server = server;
            listener->address = *address;
            listener->rtpi = portal->rtpi;
            listener->op.done = accepted;
            listener->retry.fire = retry;
            qb_list_add_tail(&listener->link, list);
            return 0;
        }
        rc = -errno;
        close(listener->fd);
    } else if (listener) {
        rc = -errno;
    }
    free(listener);
    snprintf(why, WHY, "portal \"%s\" (%s): cannot listen: %s", portal->name, address->text,
             strerror(-rc));
    return rc;
}

static bool same_address(const struct config_address *a, const struct config_address *b)
{
    return a->length == b->length && !memcmp(&a->address, &b->address, a->length);
}

static const struct config_portal *find_portal(const struct config *config,
                                               const struct config_address *address)
{
    const struct config_node *node = &config->nodes[config->self];

    for (unsigned i = 0; i < node->portal_count; i++)
        if (same_address(&node->portals[i].address, address))
            return &node->portals[i];
    return NULL;
}

/* Opens the portals of `config` that `old` (may be NULL) does not have; all or none. */
static int open_portals(struct iscsi_server *server, const struct config *config,
                        const struct config *old, struct qb_list_head *list, char *why)
{
    const struct config_node *node = &config->nodes[config->self];
    int rc = 0;

    for (unsigned i = 0; i < node->portal_count && !rc; i++)
        if (!old || !find_portal(old, &node->portals[i].address))
            rc = listener_open(server, &node->portals[i], list, why);
    while (rc && !qb_list_empty(list)) {
        struct listener *listener = qb_list_first_entry(list, struct listener, link);
        qb_list_del(&listener->link);
        close(listener->fd);
        free(listener);
    }
    return rc;
}

static void begin(struct post *post)
{
    struct iscsi_server *server = container_of(post, struct iscsi_server, begin);
    struct listener *listener;

    qb_list_for_each_entry(listener, &server->listeners, link) arm(listener);
}

int iscsi_server_start(struct iscsi_server **out, const struct config *config,
                       struct reactor **reactors, unsigned reactor_count, char *why)
{
    struct iscsi_server *server = calloc(1, sizeof *server);
    size_t homes = reactor_count * sizeof *server->homes;
    int rc = -ENOMEM;

    if (server)
        server->homes = aligned_alloc(alignof(struct iscsi_home), homes);
    if (!server || !server->homes) {
        free(server);
        snprintf(why, WHY, "out of memory");
        return rc;
    }
    memset(server->homes, 0, homes);
    server->config = config;
    server->home_count = reactor_count;
    server->begin.run = begin;
    atomic_init(&server->holds, 1);
    qb_list_init(&server->listeners);
    qb_list_init(&server->added);
    for (unsigned i = 0; i < reactor_count; i++) {
        server->homes[i].server = server;
        server->homes[i].reactor = reactors[i];
        server->homes[i].config = config;
        qb_list_init(&server->homes[i].conns);
        qb_list_init(&server->homes[i].free_slots);
        qb_list_init(&server->homes[i].slot_chunks);
    }
    rc = open_portals(server, config, NULL, &server->listeners, why);
    if (rc) {
        iscsi_server_free(server);
        return rc;
    }
    reactor_post(reactors[0], &server->begin);
    *out = server;
    return 0;
}

void iscsi_server_free(struct iscsi_server *server)
{
    if (server) {
        for (unsigned i = 0; i < server->home_count; i++)
            slots_free(&server->homes[i]);
        free(server->homes);
    }
    free(server);
}

/* Sessions that the new configuration does not allow any more. */
static bool still_allowed(const struct conn *conn, const struct config *config)
{
    if (!config_host_for(config, conn->nexus.initiator_name))
        return false;
    if (conn->discovery)
        return true;
    for (unsigned i = 0; i < config->target_count; i++)
        if (!strcasecmp(config->targets[i].name, conn->nexus.target_name))
            return true;
    return false;
}

static void reload_listeners(struct iscsi_server *server, const struct config *config)
{
    struct qb_list_head *at, *next;

    qb_list_for_each_safe(at, next, &server->listeners)
    {
        struct listener *listener = qb_list_entry(at, struct listener, link);
        const struct config_portal *portal = find_portal(config, &listener->address);
        if (portal)
            listener->rtpi = portal->rtpi;
        else
            listener_close(listener);
    }
    qb_list_for_each_safe(at, next, &server->added)
    {
        struct listener *listener = qb_list_entry(at, struct listener, link);
        qb_list_del(&listener->link);
        qb_list_add_tail(&listener->link, &server->listeners);
        arm(listener);
    }
}

static void stop_first(struct post *post);

/* Stopping waits for a reload that still has posts under way. */
static void let_go(struct iscsi_server *server)
{
    if (atomic_fetch_sub(&server->holds, 1) != 1)
        return;
    server->stop.run = stop_first;
    reactor_post(server->homes[0].reactor, &server->stop);
}

static void reload(struct post *post)
{
    struct iscsi_home *home = container_of(post, struct iscsi_home, post);
    struct iscsi_server *server = home->server;
    struct qb_list_head *at, *next;

    home->config = server->config;
    if (home == server->homes)
        reload_listeners(server, home->config);
    /* conn_drop() frees nothing at once. */
    qb_list_for_each_safe(at, next, &home->conns)
    {
        struct conn *conn = qb_list_entry(at, struct conn, link);
        if ((conn->state == CONN_FULL || conn->state == CONN_JOINING) &&
            !still_allowed(conn, home->config))
            conn_drop(&conn->nexus, "not allowed by the configuration any more");
    }
    if (atomic_fetch_sub(&server->reloading, 1) == 1)
        server->reloaded(server->reload_context);
    let_go(server);
}

int iscsi_server_reload(struct iscsi_server *server, const struct config *config,
                        void (*done)(void *context), void *context, char *why)
{
    int rc = open_portals(server, config, server->config, &server->added, why);

    if (rc)
        return rc;
    server->config = config;
    server->reloaded = done;
    server->reload_context = context;
    atomic_store(&server->reloading, server->home_count);
    atomic_fetch_add(&server->holds, server->home_count);
    for (unsigned i = 0; i < server->home_count; i++) {
        server->homes[i].post.run = reload;
        reactor_post(server->homes[i].reactor, &server->homes[i].post);
    }
    return 0;
}

static void home_stop(struct iscsi_home *home)
{
    struct qb_list_head *at, *next;

    home->stopping = true;
    qb_list_for_each_safe(at, next, &home->conns) conn_leave(qb_list_entry(at, struct conn, link));
    home_check(home);
}

static void stop_one(struct post *post)
{
    home_stop(container_of(post, struct iscsi_home, post));
}

/* Only when the last listener is gone, so that no socket is on its way to a reactor that let go. */
static void stop_others(struct iscsi_server *server)
{
    unsigned count = server->home_count;

    for (unsigned i = 1; i < count; i++) {
        server->homes[i].post.run = stop_one;
        reactor_post(server->homes[i].reactor, &server->homes[i].post);
    }
    home_stop(&server->homes[0]);
}

static void stop_first(struct post *post)
{
    struct iscsi_server *server = container_of(post, struct iscsi_server, stop);
    struct qb_list_head *at, *next;

    server->homes[0].stopping = true;
    if (qb_list_empty(&server->listeners)) {
        stop_others(server);
        return;
    }
    qb_list_for_each_safe(at, next, &server->listeners)
        listener_close(qb_list_entry(at, struct listener, link));
}

void iscsi_server_stop(struct iscsi_server *server, void (*done)(void *context), void *context)
{
    iscsi_server_gate(server, false);
    server->stopped = done;
    server->stop_context = context;
    atomic_store(&server->stopping, server->home_count);
    let_go(server);
}
