/* The owner's side of the peer link: any bytes on a link, with the real lanes, checks and rows
 * behind them. The first byte says whether the link is greeted and has a nexus before the rest of
 * the bytes come. */
#undef NDEBUG /* a fuzz target without its asserts finds nothing */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/device/device.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/nexus_table.h"
#include "target/transport/peer.h"
#include "target/transport/peer_private.h"

enum { SIZE = 1 << 20, INPUT_MAX = 64 << 10, TURNS_MAX = 100000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct reactor reactor;
static struct config config;
static struct config_node nodes[2] = {{.id = 1}, {.id = 2}};
static struct lu unit;

static void open_gate(void)
{
    struct lane_change *change = lane_change_new(NULL, NULL);

    lane_change_group(change, 0, GATE_EXECUTE, 1, ALUA_ACTIVE_OPTIMIZED, false);
    lane_change_run(change);
    reactor_turn(&reactor, 0);
    mailbox_run(&threads.control);
}

static void start(void)
{
    struct store_options options = {.size = SIZE, .block_size = 512};
    char why[256];

    command_index_build();
    assert(!reactor_init(&reactor, 0, 64));
    reactor.payloads = payload_pool_new(16 << 20);
    assert(!mailbox_init(&threads.control));
    threads.reactor_count = 1;
    threads.reactors[0] = &reactor;
    reactor_turn(&reactor, 0);
    nexus_table_init();
    lanes_init(1, 1000);
    assert(!memory_store_open(&options, &unit.store, why));
    unit.block_size = 512;
    atomic_init(&unit.blocks, SIZE / 512);
    lanes_init_lu(&unit, 0);
    device_lus[0] = &unit;
    device_lu_count = 1;
    config.nodes = nodes;
    config.node_count = 2;
    assert(!peer_start(&config, why));
    open_gate();
}

static size_t greeting(uint8_t *to)
{
    struct nexus_identity identity;
    size_t at = PEER_HEADER + PEER_HELLO_BODY;
    uint8_t *body = to + PEER_HEADER;

    peer_frame_write(to, PEER_HELLO, 0, PEER_HELLO_BODY, 0);
    memset(body, 0, PEER_HELLO_BODY);
    put_be32(body + PEER_HELLO_VERSION, PEER_VERSION);
    put_be32(body + PEER_HELLO_NODE, 2);
    identity_from_iscsi(&identity, "iqn.2026-11.example:fuzz", (const uint8_t[6]){0x40}, 1);
    peer_frame_write(to + at, PEER_NEXUS, 0, PEER_NEXUS_TRANSPORT + identity.transport_length, 0);
    body = to + at + PEER_HEADER;
    put_be32(body + PEER_NEXUS_ID, 1);
    put_be16(body + PEER_NEXUS_RTPI, 1);
    put_be16(body + PEER_NEXUS_LENGTH, identity.transport_length);
    memcpy(body + PEER_NEXUS_TRANSPORT, identity.transport_id, identity.transport_length);
    return at + PEER_HEADER + PEER_NEXUS_TRANSPORT + identity.transport_length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[1024 + INPUT_MAX];
    size_t length = 0;
    unsigned turns = 0;
    int fds[2];

    if (!size || size > INPUT_MAX)
        return 0;
    if (!threads.reactor_count)
        start();
    if (data[0] & 1)
        length = greeting(bytes);
    memcpy(bytes + length, data + 1, size - 1);
    length += size - 1;
    assert(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    assert(!length || send(fds[1], bytes, length, MSG_NOSIGNAL) == (ssize_t)length);
    shutdown(fds[1], SHUT_WR);
    peer_server_take(&reactor, fds[0]);
    while (!peer_server_idle()) {
        reactor_turn(&reactor, 1000000);
        assert(++turns < TURNS_MAX);
    }
    close(fds[1]);
    assert(payload_pool_free_permille(reactor.payloads) == 1000);
    return 0;
}
