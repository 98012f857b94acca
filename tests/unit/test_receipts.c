/* Datagrams between nodes, over loopback. Not covered: IPv6. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <qb/qbdefs.h>

#include "cluster/receipts.h"

enum { SENTINEL = 0x7e };

static struct {
    qb_loop_t *loop;
    unsigned count, from[8];
    uint8_t first[8];
    bool late;
} seen;

static void set_address(struct config_address *address, unsigned host, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address->address;

    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(0x7f000000 + host);
    v4->sin_port = htons(port);
    address->length = sizeof *v4;
}

static void came(void *context, unsigned node, const void *bytes, size_t size)
{
    assert_true(seen.count < 8);
    seen.from[seen.count] = node;
    seen.first[seen.count++] = *(const uint8_t *)bytes;
    if (*(const uint8_t *)bytes == SENTINEL)
        qb_loop_stop(seen.loop);
}

static void too_late(void *data)
{
    seen.late = true;
    qb_loop_stop(seen.loop);
}

static int plain_socket(unsigned host, uint16_t port, struct config_address *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    set_address(address, host, port);
    if (!bind(fd, (struct sockaddr *)&address->address, address->length))
        return fd;
    close(fd);
    return -1;
}

/* A port that is free on both addresses; all nodes have the same. */
static uint16_t free_port(void)
{
    for (uint16_t port = (uint16_t)(20000 + getpid() % 8000);; port++) {
        struct config_address a, b;
        int one = plain_socket(2, port, &a), two = plain_socket(3, port, &b);

        if (one >= 0)
            close(one);
        if (two >= 0)
            close(two);
        if (one >= 0 && two >= 0)
            return port;
    }
}

static void datagram_when_from_a_node_then_its_id_is_told_and_strangers_are_not_heard(void **state)
{
    struct config_node nodes[2] = {{.id = 1}, {.id = 2}};
    struct config configs[2] = {{.nodes = nodes, .node_count = 2, .self = 0}, {.nodes = nodes, .node_count = 2, .self = 1}};
    const uint8_t word = 1, last = SENTINEL;
    uint16_t port = free_port();
    struct receipts *r[2];
    struct config_address stranger;
    qb_loop_timer_handle timer;
    int fd;

    memset(&seen, 0, sizeof seen);
    seen.loop = qb_loop_create();
    set_address(&nodes[0].peer, 2, port);
    set_address(&nodes[1].peer, 3, port);
    for (unsigned i = 0; i < 2; i++)
        assert_non_null(r[i] = receipts_open(seen.loop, &configs[i], came, NULL));
    assert_null(receipts_open(seen.loop, &configs[0], came, NULL)); /* the address is in use */
    fd = plain_socket(2, 0, &stranger); /* a node's host, another port */
    assert_true(fd >= 0);
    assert_int_equal(sendto(fd, &word, 1, 0, (struct sockaddr *)&nodes[1].peer.address, nodes[1].peer.length), 1);
    receipts_send(r[0], 2, &word, 1);
    receipts_send(r[0], 3, &word, 1); /* nobody */
    receipts_send(NULL, 2, &word, 1);
    receipts_send(r[0], 2, &last, 1);
    qb_loop_timer_add(seen.loop, QB_LOOP_HIGH, 10 * QB_TIME_NS_IN_SEC, NULL, too_late, &timer);
    qb_loop_run(seen.loop);
    assert_false(seen.late);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.from[0], 1);
    assert_int_equal(seen.first[0], word);
    close(fd);
    receipts_close(r[0]);
    receipts_close(r[1]);
    receipts_close(NULL);
    qb_loop_destroy(seen.loop);
}

static void node_when_without_a_peer_address_then_there_are_none(void **state)
{
    struct config_node node = {.id = 1};
    struct config config = {.nodes = &node, .node_count = 1};

    assert_null(receipts_open(NULL, &config, came, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagram_when_from_a_node_then_its_id_is_told_and_strangers_are_not_heard),
        cmocka_unit_test(node_when_without_a_peer_address_then_there_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
