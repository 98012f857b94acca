/* The receive path of a connected replica: a peer that says anything. The first byte chooses how
 * the connection is set up (roles, who is the source, a verify that runs, a Primary whose disk
 * failed, a peer outside of the cluster), the rest are packets: a byte that names
 * socket and command, two bytes of length, the payload; headers are made right unless the command
 * says raw.
 *
 * After each input the connection must end by itself and a write that was under way must be
 * answered once the peer is agreed to be outdated: nothing may hang. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "replication/resource.h"
#include "target/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE = 4 << 20, TURNS = 20000, RAW = 63 };
#define GENERATION UINT64_C(0x1122334455667788)
#define OLDER      UINT64_C(0x99aabbccddeeff00)

static struct reactor reactor;
static struct mailbox control;
static struct config config;
static struct config_node nodes[2];
static struct config_group group;
static struct config_lu lu;
static struct replica *replica;
static struct resource *r;
static struct volume *v;
static char path[64];

static void cleanup(void)
{
    unlink(path);
}

static void nothing(void *context, struct replica *which, unsigned node)
{
}

static void changed(void *context, struct replica *which)
{
}

static struct replica_callbacks callbacks = {.outdate_peer = nothing, .current = nothing, .changed = changed};

static void turn(void)
{
    reactor_turn(&reactor, 200000);
    mailbox_run(&control);
}

/* Until nothing happens for a while. */
static void settle(unsigned idle)
{
    unsigned quiet = 0;

    for (unsigned i = 0; i < TURNS && quiet < idle; i++) {
        uint64_t before = r->received_bytes + r->sent_bytes + v->md.durable;

        reactor_turn(&reactor, 50000);
        mailbox_run(&control);
        if (before != r->received_bytes + r->sent_bytes + v->md.durable || !md_idle(v) ||
            v->step_running || r->mirrors || r->flush_running || grow_runs(&v->growth))
            quiet = 0;
        else
            quiet++;
    }
}

static void set_up(void)
{
    struct replica_options options = {
        .config = &config,
        .group = &group,
        .home = &reactor,
        .control = &control,
        .callbacks = &callbacks,
    };
    char why[256];

    snprintf(path, sizeof path, "/tmp/fuzz_replica.%d", getpid());
    atexit(cleanup);
    for (unsigned i = 0; i < 2; i++) {
        nodes[i].id = i + 1;
        snprintf(nodes[i].replication_address, 64, "127.77.%u.%u", getpid() % 250, i + 1);
    }
    strcpy(group.name, "g");
    group.replication = REPLICATION_BUILTIN;
    group.nodes[0] = 1;
    group.nodes[1] = 2;
    group.node_count = 2;
    group.port = 17789;
    group.timeout_ms = 300;
    group.al_extents = 67;
    group.csums_alg = group.verify_alg = 1;
    group.rs_discard_granularity = 8192;
    lu.size = SIZE;
    lu.block_size = 512;
    strcpy(lu.path, path);
    config.nodes = nodes;
    config.node_count = 2;
    config.groups = &group;
    config.group_count = 1;
    config.lus = &lu;
    config.lu_count = 1;
    if (reactor_init(&reactor, 0, 256) || mailbox_init(&control) ||
        replica_open(&options, &replica, why)) {
        fprintf(stderr, "%s\n", why);
        abort();
    }
    r = resource_of(replica);
    v = r->volumes[0];
    if (truncate(path, 16 << 20)) /* the peer may ask for growth */
        abort();
    turn();
}

/* --- the peer --- */

static int data_fd, meta_fd;

static void put(int fd, enum header_form form, unsigned command, const uint8_t *body, size_t length)
{
    struct packet_header h = {.command = (uint16_t)command, .length = (uint32_t)length};
    uint8_t head[HEADER_LENGTH_MAX];
    size_t n = header_encode(form, &h, head);

    if (send(fd, head, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ||
        send(fd, body, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return; /* it has hung up */
}

static void shake_hands(bool primary, unsigned relation, bool created)
{
    struct packet_features features = {86, 101, 0xf};
    struct packet_protocol protocol = {.protocol = PROTOCOL_C};
    struct packet_sizes sizes = {.device_size = v->sectors, .current_size = v->sectors};
    struct packet_uuids uuids = {.current = GENERATION};
    struct wire_state state = {
        .role = primary ? WIRE_SECONDARY : WIRE_PRIMARY,
        .conn = CONN_WF_REPORT_PARAMS,
        .disk = DISK_UP_TO_DATE,
        .pdsk = DISK_UNKNOWN,
    };
    uint8_t body[256];

    if (relation == 1) { /* this node is the source */
        uuids.current = OLDER;
    } else if (relation == 2) {
        uuids.current = OLDER;
        uuids.bitmap = GENERATION;
    }
    if (created) {
        uuids.current = GENERATION_JUST_CREATED;
        uuids.bitmap = 0;
        state.disk = DISK_INCONSISTENT;
        state.role = WIRE_SECONDARY;
    }
    put(data_fd, HEADER_80, P_CONNECTION_FEATURES, body, packet_features_encode(&features, body));
    put(data_fd, HEADER_100, P_PROTOCOL, body, packet_protocol_encode(&protocol, body));
    put(data_fd, HEADER_100, P_SIZES, body, packet_sizes_encode(&sizes, true, body));
    put(data_fd, HEADER_100, P_UUIDS, body, packet_uuids_encode(&uuids, body));
    put(data_fd, HEADER_100, P_STATE, body, packet_state_encode(&state, body));
    settle(3);
}

static void feed(const uint8_t *data, size_t size)
{
    while (size >= 3) {
        int fd = data[0] & 0x80 ? meta_fd : data_fd;
        unsigned command = data[0] & 63;
        size_t length = get_be16(data + 1);

        data += 3;
        size -= 3;
        if (length > size)
            length = size;
        if (command == RAW) {
            if (send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                return;
        } else {
            put(fd, HEADER_100, command, data, length);
        }
        settle(1);
        data += length;
        size -= length;
    }
}

static void drain(int fd)
{
    uint8_t sink[4096];

    while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
        ;
}

/* --- one input --- */

static bool written, was_read;

static void write_done(struct store_io *io, int error)
{
    written = true;
}

static void read_done(struct store_io *io, int error)
{
    was_read = true;
}

/* What else may be going on when the peer speaks. */
static void begin(bool primary, bool verify, bool fail)
{
    resource_enter(r);
    if (verify && verify_possible(v))
        verify_begin(v, primary);
    if (fail && primary)
        volume_failed(v, -EIO, "fuzzing");
    resource_leave(r);
}

static void reset(bool primary, unsigned relation, bool created)
{
    r->primary = primary;
    r->serving = primary;
    r->agreed = r->asked = r->standalone = false;
    r->id_salt = 0;
    r->self_asked = r->self_agreed = false;
    v->peer_only = v->peer_usable = v->user_isp = v->peer_isp = false;
    atomic_store(&v->failed, false);
    v->state.disk = DISK_UP_TO_DATE;
    v->state.peer_disk = DISK_UNKNOWN;
    v->state.conn = CONN_UNCONNECTED;
    v->alone_durable = v->unstable = false;
    v->sb.flags = MD_CONSISTENT | MD_WAS_UP_TO_DATE;
    v->sb.generations = (struct generations){.current = GENERATION};
    if (relation == 1)
        v->sb.generations.bitmap = OLDER;
    if (created) {
        v->sb.flags = 0;
        v->sb.generations.current = GENERATION_JUST_CREATED;
        v->state.disk = DISK_INCONSISTENT;
    }
    dirty_map_clear_all(v->map);
    if (relation == 1 || relation == 2) {
        dirty_map_set_bits(v->map, 3, 8);
        dirty_map_set_bits(v->map, 100, 1);
    }
}

static void wait_closed(void)
{
    for (unsigned i = 0;
         r->link.failing || (r->link.phase >= LINK_FEATURES && r->link.phase <= LINK_CLOSING);
         i++) {
        if (i == TURNS) {
            fprintf(stderr, "the connection does not end: phase %d\n", r->link.phase);
            abort();
        }
        drain(data_fd);
        drain(meta_fd);
        turn();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t block[8192];
    struct iovec iov = {block, sizeof block};
    struct store_io io = {
        .operation = STORE_WRITE,
        .flags = size && data[0] & 16 ? STORE_FUA : 0,
        .offset = 16384,
        .length = sizeof block,
        .iov = &iov,
        .iov_count = 1,
        .done = write_done,
    };
    static uint8_t back[12288];
    struct iovec read_iov = {back, sizeof back};
    struct store_io read = {
        .operation = STORE_READ,
        .offset = 8192,
        .length = sizeof back,
        .iov = &read_iov,
        .iov_count = 1,
        .done = read_done,
    };
    int data_pair[2], meta_pair[2];
    bool primary, created, outside;
    unsigned relation;

    if (!size)
        return 0;
    if (!r)
        set_up();
    primary = data[0] & 1;
    relation = data[0] >> 1 & 3;
    created = data[0] & 8 && !primary;
    outside = primary && relation == 2;
    if (outside) {
        primary = false;
        relation = 0;
    }
    r->peer_node = outside ? REPLICA_PEER_OUTSIDE : 2;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, data_pair) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, meta_pair))
        abort();
    data_fd = data_pair[0];
    meta_fd = meta_pair[0];
    reset(primary, relation, created);
    resource_enter(r);
    reactor_timer_cancel(&reactor, &r->link.retry);
    link_begin(r, (struct channel){.fd = data_pair[1]}, (struct channel){.fd = meta_pair[1]});
    resource_leave(r);
    if (relation != 3)
        shake_hands(primary, relation, created);
    if (!r->epochs.writes)
        r->epochs.number = 7; /* so that an input can answer a barrier */
    written = was_read = !primary;
    begin(primary, data[0] & 32, data[0] & 64);
    if (primary) {
        store_submit(&v->store, &io);
        store_submit(&v->store, &read);
    }
    if (data[0] & 128)
        replica_self_outdated(replica, true);
    settle(2);
    feed(data + 1, size - 1);
    settle(5);
    shutdown(data_fd, SHUT_WR);
    shutdown(meta_fd, SHUT_WR);
    wait_closed();
    close(data_fd);
    close(meta_fd);
    for (unsigned i = 0; !written || !was_read; i++) {
        if (i == TURNS) {
            fprintf(stderr, "a %s is never answered\n", written ? "read" : "write");
            abort();
        }
        if (i % 50 == 0)
            replica_peer_outdated(replica, true);
        turn();
    }
    for (unsigned i = 0; !write_log_empty(r) || v->step_running || !md_idle(v) || grow_runs(&v->growth); i++) {
        if (i == TURNS) {
            fprintf(stderr, "the engine does not come to rest\n");
            abort();
        }
        turn();
    }
    return 0;
}
