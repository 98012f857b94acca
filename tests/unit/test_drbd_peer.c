/* The engine against a peer that says what drbd.ko 8.4.11 was recorded to say (tests/vm/drbd runs
 * the real one).
 *
 * Not covered here: data, resync, timing of a slow peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica_rig.h"
#include "replication/generation.h"
#include "replication/message.h"
#include "replication/metadata.h"

enum { SIZE = 40 << 20, WAIT_MS = 60000, BODY = 512 };

struct peer {
    struct rig_node node;
    struct rig_options options;
    char directory[64];
    int listener, data, meta;
    uint16_t port; /* of the peer */
    uint64_t grown; /* bytes that the peer's copy has more */
    struct packet_sync_param sync; /* what the node said last */
    struct packet_sizes sizes;
};
static uint16_t peer_port;

static void outside(struct config_group *group)
{
    struct sockaddr_in *address = (struct sockaddr_in *)&group->drbd_peer.address;

    *address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(peer_port),
        .sin_addr.s_addr = htonl(0x7f000003),
    };
    group->drbd_peer.length = sizeof *address;
    group->node_count = 1;
}

static void listen_there(struct peer *p)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(0x7f000003),
        .sin_port = htons(peer_port),
    };
    int on = 1;

    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(p->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(p->listener, 4), 0);
}

static int setup(void **state)
{
    struct peer *p = calloc(1, sizeof *p);

    p->data = p->meta = -1;
    strcpy(p->directory, "/tmp/test_drbd_peer.XXXXXX");
    assert_non_null(mkdtemp(p->directory));
    peer_port = rig_port();
    listen_there(p);
    p->options = (struct rig_options){
        .directory = p->directory,
        .port = rig_port(),
        .lus = 1,
        .size = SIZE,
        .timeout_ms = 4000,
        .tune = outside,
    };
    if (rig_open(&p->node, 0, &p->options))
        fail_msg("%s", p->node.why);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct peer *p = *state;
    char path[200];

    rig_close(&p->node);
    close(p->data);
    close(p->meta);
    close(p->listener);
    rig_path(path, p->directory, 0, 0);
    unlink(path);
    rmdir(p->directory);
    free(p);
    return 0;
}

static bool readable(int fd, int ms)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};

    return poll(&poller, 1, ms) == 1;
}

static void get(int fd, uint8_t *bytes, size_t length)
{
    while (length) {
        ssize_t n;

        assert_true(readable(fd, WAIT_MS));
        n = read(fd, bytes, length);
        assert_true(n > 0);
        bytes += n;
        length -= (size_t)n;
    }
}

/* The next packet; returns the length of its body. */
static size_t receive(int fd, enum header_form form, unsigned command, uint8_t body[BODY])
{
    uint8_t head[HEADER_LENGTH_MAX];
    struct packet_header header;

    get(fd, head, header_length(form));
    assert_int_equal(header_decode(form, head, &header), 0);
    assert_string_equal(packet_name(header.command), packet_name(command));
    assert_true(header.length <= BODY);
    get(fd, body, header.length);
    return header.length;
}

/* To nobody, if this node has hung up upon an earlier packet: who listens then is told. */
static void say(int fd, enum header_form form, unsigned command, const uint8_t *body, size_t length)
{
    struct packet_header header = {.command = (uint16_t)command, .length = (uint32_t)length};
    uint8_t packet[HEADER_LENGTH_MAX + BODY];
    size_t n = header_encode(form, &header, packet);

    memcpy(packet + n, body, length);
    n += length;
    if (send(fd, packet, n, MSG_NOSIGNAL) != (ssize_t)n)
        assert_true(errno == EPIPE || errno == ECONNRESET);
}

static int socket_of(struct peer *p, unsigned command)
{
    uint8_t body[BODY];
    int fd;

    assert_true(readable(p->listener, WAIT_MS));
    fd = accept(p->listener, NULL, NULL);
    assert_true(fd >= 0);
    receive(fd, HEADER_80, command, body);
    return fd;
}

static void say_state(struct peer *p, const struct wire_state *s)
{
    uint8_t body[BODY];

    say(p->data, HEADER_100, P_STATE, body, packet_state_encode(s, body));
}

static void say_uuids(struct peer *p, uint64_t current, uint64_t bitmap)
{
    struct packet_uuids uuids = {
        .current = current,
        .bitmap = bitmap,
        .dirty_bits = SIZE / MD_BLOCK,
    };
    uint8_t body[BODY];

    say(p->data, HEADER_100, P_UUIDS, body, packet_uuids_encode(&uuids, body));
}

static const struct packet_protocol protocol_c = {.protocol = PROTOCOL_C};
static const struct wire_state new_copy = {
    .role = WIRE_SECONDARY,
    .conn = CONN_WF_CONNECTION,
    .disk = DISK_INCONSISTENT,
    .pdsk = DISK_UNKNOWN,
};

/* What the peer says up to its first state. Without a disk it has no size, and says no generations. */
static void greet(struct peer *p, const struct packet_protocol *protocol, uint64_t current, uint64_t bitmap,
                  const struct wire_state *first)
{
    struct packet_features features = {.protocol_min = 86, .protocol_max = 101, .features = 0xf};
    struct packet_sync_param sync = {.rate = 250, .c_fill_target = 100, .c_max_rate = 102400};
    struct packet_sizes sizes = {
        .device_size = (SIZE + p->grown) / MD_SECTOR,
        .current_size = (SIZE + p->grown) / MD_SECTOR,
        .max_bio = 1 << 20,
        .physical_block = 512,
        .logical_block = 512,
        .io_min = 512,
        .discard_enabled = 1,
    };
    uint8_t body[BODY];

    if (first->disk == DISK_DISKLESS)
        sizes.device_size = sizes.current_size = 0;
    p->data = socket_of(p, P_INITIAL_DATA);
    p->meta = socket_of(p, P_INITIAL_META);
    say(p->data, HEADER_80, P_CONNECTION_FEATURES, body, packet_features_encode(&features, body));
    receive(p->data, HEADER_80, P_CONNECTION_FEATURES, body);
    say(p->data, HEADER_100, P_PROTOCOL, body, packet_protocol_encode(protocol, body));
    say(p->data, HEADER_100, P_SYNC_PARAM89, body, packet_sync_param_encode(&sync, body));
    say(p->data, HEADER_100, P_SIZES, body, packet_sizes_encode(&sizes, true, body));
    if (first->disk != DISK_DISKLESS)
        say_uuids(p, current, bitmap);
    say_state(p, first);
}

/* Everything up to the first states. */
static void shake_hands(struct peer *p, const struct packet_protocol *protocol, uint64_t current,
                        uint64_t bitmap, const struct wire_state *first)
{
    uint8_t body[BODY];

    greet(p, protocol, current, bitmap, first);
    receive(p->data, HEADER_100, P_PROTOCOL, body);
    assert_int_equal(packet_sync_param_decode(
                         body, receive(p->data, HEADER_100, P_SYNC_PARAM89, body), &p->sync),
                     0);
    assert_int_equal(
        packet_sizes_decode(body, receive(p->data, HEADER_100, P_SIZES, body), true, &p->sizes), 0);
    receive(p->data, HEADER_100, P_UUIDS, body);
    receive(p->data, HEADER_100, P_STATE, body);
}

static void connect_new(struct peer *p)
{
    shake_hands(p, &protocol_c, GENERATION_JUST_CREATED, 0, &new_copy);
}

static struct wire_state next_state(struct peer *p)
{
    struct wire_state s = {0};
    uint8_t body[BODY];

    assert_int_equal(packet_state_decode(body, receive(p->data, HEADER_100, P_STATE, body), &s), 0);
    return s;
}

static const struct wire_state connected = {
    .role = WIRE_SECONDARY,
    .peer = WIRE_SECONDARY,
    .conn = CONN_CONNECTED,
    .disk = DISK_INCONSISTENT,
    .pdsk = DISK_INCONSISTENT,
};

static void peer_when_forced_while_connected_then_compared_again(void **state)
{
    struct peer *p = *state;
    struct wire_state forced = connected;
    struct packet_uuids uuids;
    uint8_t body[BODY];

    connect_new(p);
    assert_int_equal(next_state(p).conn, CONN_CONNECTED);
    say_state(p, &connected);
    /* drbdadm primary --force */
    say_uuids(p, 0x4b5bc46a1cbfe8cb, GENERATION_JUST_CREATED);
    forced.role = WIRE_PRIMARY;
    forced.disk = DISK_UP_TO_DATE;
    say_state(p, &forced);
    assert_int_equal(packet_uuids_decode(body, receive(p->data, HEADER_100, P_UUIDS, body), &uuids),
                     0);
    assert_true(generation_equal(uuids.current, GENERATION_JUST_CREATED));
    assert_int_equal(next_state(p).conn, CONN_WF_BITMAP_T);
}

/* DRBD takes the peer's resync parameters over. */
static void parameters_when_no_rate_is_configured_then_none_that_stops_the_peer(void **state)
{
    struct peer *p = *state;

    connect_new(p);
    assert_true(p->sync.rate > 0);
}

/* Who finds the reason later needs an open connection until then. */
static void connection_when_refused_then_open_until_the_peer_has_read_why(void **state)
{
    struct peer *p = *state;
    uint8_t byte;
    struct packet_protocol two = protocol_c;

    two.two_primaries = 1;
    shake_hands(p, &two, GENERATION_JUST_CREATED, 0, &new_copy);
    assert_false(readable(p->meta, 300));
    shutdown(p->data, SHUT_WR);
    assert_true(readable(p->meta, WAIT_MS));
    assert_int_equal(read(p->meta, &byte, 1), 0);
}

/* Both copies new, and equal by order of the peer (drbdadm new-current-uuid --clear-bitmap). */
static void connect_good(struct peer *p)
{
    struct packet_uuids uuids = {.current = 0x4b5bc46a1cbfe8ca, .flags = UUIDS_SKIP_INITIAL_SYNC};
    struct wire_state good = connected;
    uint8_t body[BODY];

    connect_new(p);
    assert_int_equal(next_state(p).conn, CONN_CONNECTED);
    say_state(p, &connected);
    say(p->data, HEADER_100, P_UUIDS, body, packet_uuids_encode(&uuids, body));
    assert_int_equal(next_state(p).disk, DISK_UP_TO_DATE);
    good.disk = good.pdsk = DISK_UP_TO_DATE;
    say_state(p, &good);
}

/* As two drbd.ko of 8.4.11 do it: STATE_CHG_REQ with StartingSyncT or StartingSyncS, reply 1, P_SYNC_UUID, and no maps. */
static void ask_whole(struct peer *p, enum replica_connection conn, int32_t expected)
{
    struct packet_state_request request = {.mask.conn = WIRE_CONN_MASK, .value.conn = (uint8_t)conn};
    uint8_t body[BODY];
    int32_t code;

    say(p->data, HEADER_100, P_STATE_CHG_REQ, body, packet_state_request_encode(&request, body));
    assert_int_equal(
        packet_state_reply_decode(body, receive(p->meta, HEADER_100, P_STATE_CHG_REPLY, body), &code), 0);
    assert_int_equal(code, expected);
}

static void say_sync_uuid(struct peer *p)
{
    uint8_t body[BODY];

    say(p->data, HEADER_100, P_SYNC_UUID, body, packet_sync_uuid_encode(0x1122334455667788, body));
}

/* This node becomes the source: of everything. */
static void expect_source(struct peer *p)
{
    struct wire_state s;
    uint64_t uuid;
    uint8_t body[BODY];

    assert_int_equal(packet_sync_uuid_decode(body, receive(p->data, HEADER_100, P_SYNC_UUID, body), &uuid), 0);
    assert_true(uuid);
    s = next_state(p);
    assert_int_equal(s.conn, CONN_SYNC_SOURCE);
    assert_int_equal(s.disk, DISK_UP_TO_DATE);
    assert_int_equal(s.pdsk, DISK_INCONSISTENT);
    assert_int_equal(rig_status(&p->node).out_of_sync, SIZE);
}

/* This node becomes the target: it asks from the first block on. */
static void expect_target(struct peer *p)
{
    struct packet_block_request request;
    struct wire_state s = next_state(p);
    uint8_t body[BODY];

    assert_int_equal(s.conn, CONN_SYNC_TARGET);
    assert_int_equal(s.disk, DISK_INCONSISTENT);
    assert_int_equal(packet_block_request_decode(body, receive(p->data, HEADER_100, P_RS_DATA_REQUEST, body),
                                                 MESSAGE_MAX_BIO, &request),
                     0);
    assert_int_equal(request.sector, 0);
    assert_int_equal(rig_status(&p->node).out_of_sync, SIZE);
}

static void invalidate_when_the_peer_gives_its_copy_up_then_all_is_served(void **state)
{
    struct peer *p = *state;

    connect_good(p);
    ask_whole(p, CONN_STARTING_SYNC_T, STATE_OK);
    expect_source(p);
}

static void invalidate_when_the_peer_keeps_its_copy_then_all_is_asked_for(void **state)
{
    struct peer *p = *state;

    connect_good(p);
    ask_whole(p, CONN_STARTING_SYNC_S, STATE_OK);
    say_sync_uuid(p);
    expect_target(p);
}

static void invalidate_when_it_cannot_be_then_refused(void **state)
{
    struct peer *p = *state;

    connect_new(p);
    next_state(p);
    say_state(p, &connected);
    ask_whole(p, CONN_STARTING_SYNC_T, STATE_NO_UP_TO_DATE_DISK); /* Inconsistent both */
    ask_whole(p, CONN_STARTING_SYNC_S, STATE_NO_UP_TO_DATE_DISK);
}

static void answer_request(struct peer *p, enum replica_connection conn)
{
    struct packet_state_request request;
    uint8_t body[BODY];

    assert_int_equal(packet_state_request_decode(body, receive(p->data, HEADER_100, P_STATE_CHG_REQ, body), false,
                                                 &request),
                     0);
    assert_int_equal(request.mask.conn, WIRE_CONN_MASK);
    assert_int_equal(request.value.conn, conn);
    say(p->meta, HEADER_100, P_STATE_CHG_REPLY, body, packet_state_reply_encode(STATE_OK, body));
}

static void order(struct peer *p);

static void invalidate_when_ordered_here_then_the_peer_is_asked(void **state)
{
    struct peer *p = *state;

    connect_good(p);
    p->node.answered = false;
    replica_invalidate(p->node.replica, rig_answer, &p->node);
    answer_request(p, CONN_STARTING_SYNC_T);
    order(p);
    assert_int_equal(p->node.error, 0);
    say_sync_uuid(p);
    expect_target(p);
}

static void invalidate_when_ordered_here_for_the_peer_then_it_is_asked(void **state)
{
    struct peer *p = *state;

    connect_good(p);
    p->node.answered = false;
    replica_invalidate_peer(p->node.replica, rig_answer, &p->node);
    answer_request(p, CONN_STARTING_SYNC_S);
    order(p);
    assert_int_equal(p->node.error, 0);
    expect_source(p);
}

/* --- growth --- */

enum { MORE = 24 << 20 };

static void enlarge(struct peer *p)
{
    char path[200];
    struct stat st;

    rig_path(path, p->directory, 0, 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size + MORE), 0);
}

static void say_sizes(struct peer *p, uint64_t current, uint16_t flags)
{
    struct packet_sizes sizes = {
        .device_size = (SIZE + MORE) / MD_SECTOR,
        .current_size = current,
        .flags = flags,
        .max_bio = 1 << 20,
        .physical_block = 512,
        .logical_block = 512,
        .io_min = 512,
        .discard_enabled = 1,
    };
    uint8_t body[BODY];

    say(p->data, HEADER_100, P_SIZES, body, packet_sizes_encode(&sizes, true, body));
}

static struct packet_sizes next_sizes(struct peer *p)
{
    struct packet_sizes sizes = {0};
    uint8_t body[BODY];

    assert_int_equal(packet_sizes_decode(body, receive(p->data, HEADER_100, P_SIZES, body), true, &sizes), 0);
    return sizes;
}

/* The peer is Primary, and drbdadm resize was ordered there: it becomes the source of what is new as soon as it is told
 * of the new size. */
static void grow_when_the_peer_asks_then_what_is_new_is_resynced(void **state)
{
    struct peer *p = *state;
    struct wire_state primary = connected, s;
    struct packet_block_request request;
    uint8_t body[BODY];

    connect_good(p);
    primary.role = WIRE_PRIMARY;
    primary.disk = primary.pdsk = DISK_UP_TO_DATE;
    say_state(p, &primary);
    enlarge(p);
    say_sizes(p, 0, 0);
    assert_int_equal(next_sizes(p).current_size, (SIZE + MORE) / MD_SECTOR);
    say_sync_uuid(p);
    s = next_state(p);
    assert_int_equal(s.conn, CONN_SYNC_TARGET);
    assert_int_equal(s.disk, DISK_INCONSISTENT);
    assert_int_equal(packet_block_request_decode(body, receive(p->data, HEADER_100, P_RS_DATA_REQUEST, body),
                                                 MESSAGE_MAX_BIO, &request),
                     0);
    assert_int_equal(request.sector, SIZE / MD_SECTOR);
    assert_int_equal(rig_status(&p->node).out_of_sync, MORE);
    assert_int_equal(replica_store(p->node.replica, 0)->size, SIZE + MORE);
}

/* drbdadm resize --assume-clean. */
static void grow_when_the_peer_does_not_resync_then_neither_does_this_node(void **state)
{
    struct peer *p = *state;
    struct wire_state primary = connected;

    connect_good(p);
    primary.role = WIRE_PRIMARY;
    primary.disk = primary.pdsk = DISK_UP_TO_DATE;
    say_state(p, &primary);
    enlarge(p);
    say_sizes(p, 0, SIZES_NO_RESYNC);
    assert_int_equal(next_sizes(p).current_size, (SIZE + MORE) / MD_SECTOR);
    assert_int_equal(rig_status(&p->node).connection, CONN_CONNECTED);
    assert_int_equal(rig_status(&p->node).out_of_sync, 0);
}

static void expect_hung_up(struct peer *p)
{
    uint8_t sink[BODY];

    do
        assert_true(readable(p->data, WAIT_MS));
    while (read(p->data, sink, sizeof sink) > 0);
}

static void hang_up(struct peer *p)
{
    close(p->data);
    close(p->meta);
}

/* It became larger while there was no connection, or this node did not hear of it before there was none. */
static void grow_when_the_peer_did_alone_then_this_node_does_when_they_meet(void **state)
{
    struct peer *p = *state;
    struct wire_state alone = new_copy;

    connect_good(p);
    hang_up(p);
    enlarge(p);
    p->grown = MORE;
    alone.role = WIRE_PRIMARY;
    alone.disk = DISK_UP_TO_DATE;
    greet(p, &protocol_c, 0x5b5bc46a1cbfe8cb, 0x4b5bc46a1cbfe8ca, &alone);
    expect_hung_up(p);
    hang_up(p);
    for (unsigned i = 0; replica_store(p->node.replica, 0)->size == SIZE && i < WAIT_MS / 10; i++)
        rig_turn(&p->node, 1, 10);
    shake_hands(p, &protocol_c, 0x5b5bc46a1cbfe8cb, 0x4b5bc46a1cbfe8ca, &alone);
    assert_int_equal(p->sizes.device_size, (SIZE + MORE) / MD_SECTOR);
    assert_int_equal(p->sizes.current_size, (SIZE + MORE) / MD_SECTOR);
    assert_int_equal(next_state(p).conn, CONN_WF_BITMAP_T);
    assert_int_equal(rig_status(&p->node).out_of_sync, MORE);
    assert_int_equal(replica_store(p->node.replica, 0)->size, SIZE + MORE);
}

/* Two new copies: the smaller one says how large both are. */
static void peer_when_new_and_larger_then_this_node_stays_as_it_is(void **state)
{
    struct peer *p = *state;

    enlarge(p);
    p->grown = MORE;
    connect_new(p);
    assert_int_equal(next_state(p).conn, CONN_CONNECTED);
    assert_int_equal(p->sizes.device_size, SIZE / MD_SECTOR);
}

static void grow_when_its_own_device_did_not_then_says_so(void **state)
{
    struct peer *p = *state;

    connect_good(p);
    say_sizes(p, 0, 0);
    assert_int_equal(next_sizes(p).current_size, SIZE / MD_SECTOR);
    assert_int_equal(rig_status(&p->node).connection, CONN_CONNECTED);
}

static void promote_here(struct peer *p)
{
    struct packet_state_request request;
    uint8_t body[BODY];

    p->node.answered = false;
    replica_promote(p->node.replica, false, rig_answer, &p->node);
    assert_int_equal(packet_state_request_decode(body, receive(p->data, HEADER_100, P_STATE_CHG_REQ, body), false,
                                                 &request),
                     0);
    say(p->meta, HEADER_100, P_STATE_CHG_REPLY, body, packet_state_reply_encode(STATE_OK, body));
    order(p);
    assert_int_equal(p->node.error, 0);
    assert_int_equal(next_state(p).role, WIRE_PRIMARY);
}

/* Ordered here: the peer is asked first, and told not to resync; what is new comes as writes. */
static void grow_when_ordered_here_then_what_is_new_is_written(void **state)
{
    struct peer *p = *state;
    uint8_t head[HEADER_LENGTH_MAX], body[PACKET_DATA_LENGTH];
    struct packet_header header;
    struct packet_sizes wanted;
    struct packet_data data;

    connect_good(p);
    promote_here(p);
    enlarge(p);
    p->node.answered = false;
    replica_resize(p->node.replica, false, rig_answer, &p->node);
    wanted = next_sizes(p);
    assert_int_equal(wanted.current_size, 0);
    assert_int_equal(wanted.device_size, (SIZE + MORE) / MD_SECTOR);
    assert_int_equal(wanted.flags, SIZES_NO_RESYNC);
    say_sizes(p, (SIZE + MORE) / MD_SECTOR, 0);
    get(p->data, head, header_length(HEADER_100));
    assert_int_equal(header_decode(HEADER_100, head, &header), 0);
    assert_int_equal(header.command, P_DATA);
    get(p->data, body, sizeof body);
    assert_int_equal(packet_data_decode(body, header.length, &data), 0);
    assert_int_equal(data.sector, SIZE / MD_SECTOR);
    assert_false(p->node.answered);
}

/* --- a peer without a disk --- */

/* The peer is Primary and gives its disk up (drbdadm detach): this copy alone is written to, so it begins a generation. */
static void lose_disk_there(struct peer *p)
{
    struct wire_state primary = connected;
    struct packet_uuids uuids;
    uint8_t body[BODY];

    connect_good(p);
    primary.role = WIRE_PRIMARY;
    primary.pdsk = DISK_UP_TO_DATE;
    primary.disk = DISK_DISKLESS;
    say_state(p, &primary);
    assert_int_equal(packet_uuids_decode(body, receive(p->data, HEADER_100, P_UUIDS, body), &uuids), 0);
    assert_true(generation_equal(uuids.bitmap, 0x4b5bc46a1cbfe8ca));
}

static const struct wire_state attaching = {
    .role = WIRE_PRIMARY,
    .peer = WIRE_SECONDARY,
    .conn = CONN_CONNECTED,
    .disk = DISK_NEGOTIATING,
    .pdsk = DISK_UP_TO_DATE,
};

static void disk_when_the_peer_attaches_it_again_then_resynced_in_the_same_connection(void **state)
{
    struct peer *p = *state;
    struct packet_uuids uuids;
    struct wire_state s;
    uint8_t body[BODY];

    lose_disk_there(p);
    say_uuids(p, 0x4b5bc46a1cbfe8cb, 0);
    say_state(p, &attaching);
    assert_int_equal(packet_uuids_decode(body, receive(p->data, HEADER_100, P_UUIDS, body), &uuids), 0);
    assert_true(generation_equal(uuids.bitmap, 0x4b5bc46a1cbfe8ca));
    s = next_state(p);
    assert_int_equal(s.conn, CONN_WF_BITMAP_S);
    assert_int_equal(s.disk, DISK_UP_TO_DATE);
}

/* Of what was said before its disk was gone nothing is true of the one that it attaches. */
static void disk_when_the_peer_attaches_it_without_its_generations_then_hung_up(void **state)
{
    struct peer *p = *state;

    lose_disk_there(p);
    say_state(p, &attaching);
    expect_hung_up(p);
}

/* A Primary without a disk goes on with this copy when this node is back. */
static void disk_when_the_peer_has_none_then_this_copy_is_what_it_takes_it_for(void **state)
{
    struct peer *p = *state;
    struct wire_state diskless = {
        .role = WIRE_PRIMARY,
        .conn = CONN_WF_CONNECTION,
        .disk = DISK_DISKLESS,
        .pdsk = DISK_UNKNOWN,
    };

    connect_good(p);
    rig_close(&p->node);
    hang_up(p);
    assert_int_equal(rig_open(&p->node, 0, &p->options), 0);
    shake_hands(p, &protocol_c, 0, 0, &diskless);
    assert_int_equal(next_state(p).conn, CONN_CONNECTED);
    assert_int_equal(rig_status(&p->node).disk, DISK_CONSISTENT);
    diskless.conn = CONN_CONNECTED;
    diskless.peer = WIRE_SECONDARY;
    diskless.pdsk = DISK_UP_TO_DATE;
    say_state(p, &diskless);
    assert_int_equal(next_state(p).disk, DISK_UP_TO_DATE);
}

static void this_node_loses(struct config_group *group)
{
    outside(group);
    group->after_sb_0pri = CONFIG_DISCARD_LOCAL;
    group->after_sb_2pri = 1; /* call-pri-lost-after-sb */
}

static void order(struct peer *p)
{
    for (unsigned i = 0; !p->node.answered && i < WAIT_MS / 10; i++)
        rig_turn(&p->node, 1, 10);
    assert_true(p->node.answered);
}

/* Both went on alone, and both are Primary: the policies of both configurations say that this node gives way. */
static void two_primaries_when_this_one_loses_by_policy_then_it_is_told(void **state)
{
    struct peer *p = *state;
    struct packet_protocol protocol = {
        .protocol = PROTOCOL_C,
        .after_sb_0p = AFTER_SB_DISCARD_REMOTE,
        .after_sb_2p = AFTER_SB_CALL_PRI_LOST,
    };
    struct wire_state alone = {
        .role = WIRE_PRIMARY,
        .conn = CONN_WF_CONNECTION,
        .disk = DISK_UP_TO_DATE,
        .pdsk = DISK_UNKNOWN,
    };

    rig_close(&p->node);
    close(p->listener); /* nobody is there when it is promoted */
    p->options.tune = this_node_loses;
    assert_int_equal(rig_open(&p->node, 0, &p->options), 0);
    p->node.answered = false;
    replica_promote(p->node.replica, true, rig_answer, &p->node);
    order(p);
    assert_int_equal(p->node.error, 0);
    listen_there(p);
    shake_hands(p, &protocol, 0x4b5bc46a1cbfe8cb, GENERATION_JUST_CREATED, &alone);
    for (unsigned i = 0; rig_status(&p->node).connection != CONN_STANDALONE && i < WAIT_MS / 10; i++)
        rig_turn(&p->node, 1, 10);
    assert_non_null(strstr(rig_status(&p->node).why, "has lost by after-sb policy"));
    for (unsigned i = 0; !p->node.lost && i < WAIT_MS / 10; i++)
        rig_turn(&p->node, 1, 10);
    assert_int_equal(p->node.lost, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(peer_when_forced_while_connected_then_compared_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            parameters_when_no_rate_is_configured_then_none_that_stops_the_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(
            connection_when_refused_then_open_until_the_peer_has_read_why, setup, teardown),
        cmocka_unit_test_setup_teardown(
            invalidate_when_the_peer_gives_its_copy_up_then_all_is_served, setup, teardown),
        cmocka_unit_test_setup_teardown(
            invalidate_when_the_peer_keeps_its_copy_then_all_is_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(invalidate_when_it_cannot_be_then_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(invalidate_when_ordered_here_then_the_peer_is_asked, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            invalidate_when_ordered_here_for_the_peer_then_it_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(grow_when_the_peer_asks_then_what_is_new_is_resynced, setup, teardown),
        cmocka_unit_test_setup_teardown(grow_when_the_peer_does_not_resync_then_neither_does_this_node, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(grow_when_its_own_device_did_not_then_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(grow_when_the_peer_did_alone_then_this_node_does_when_they_meet, setup, teardown),
        cmocka_unit_test_setup_teardown(peer_when_new_and_larger_then_this_node_stays_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(grow_when_ordered_here_then_what_is_new_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(disk_when_the_peer_attaches_it_again_then_resynced_in_the_same_connection, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(disk_when_the_peer_attaches_it_without_its_generations_then_hung_up, setup, teardown),
        cmocka_unit_test_setup_teardown(disk_when_the_peer_has_none_then_this_copy_is_what_it_takes_it_for, setup, teardown),
        cmocka_unit_test_setup_teardown(
            two_primaries_when_this_one_loses_by_policy_then_it_is_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
