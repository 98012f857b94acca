/* How the frames of a peer link leave: those of a turn together, without an event of their own, in
 * order through a full socket. Not covered: what frames mean (test_peer.c, test_peer_frames.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "target/base/container.h"
#include "target/transport/peer_link.h"

enum { WAIT_NS = 100000000, FRAMES = 8, LARGE = LIMIT_TRANSFER };
static const uint64_t LONG_NS = 1000000000; /* longer than a busy machine keeps this thread waiting */

struct item {
    struct peer_frame frame;
    struct fixture *fixture;
    struct item *follower; /* sent when this one is */
    unsigned sent;
};

struct fixture {
    struct reactor reactor;
    struct peer_link link;
    struct item items[FRAMES];
    struct post post;
    unsigned closed;
    int there;
};

static struct payload *head(struct peer_link *link, enum peer_type type, uint32_t slot,
                            const uint8_t *body, uint32_t body_length, uint32_t data)
{
    return NULL;
}

static void complete(struct peer_link *link, enum peer_type type, uint32_t slot)
{
}

static void closed(struct peer_link *link, const char *why)
{
    container_of(link, struct fixture, link)->closed++;
}

static const struct peer_link_callbacks callbacks = {head, complete, closed};

static void item_sent(struct peer_frame *frame)
{
    struct item *item = container_of(frame, struct item, frame);

    item->sent++;
    if (item->follower)
        peer_link_send(&item->fixture->link, &item->follower->frame);
}

static int open_link(void **state, int type)
{
    struct fixture *f = calloc(1, sizeof *f);
    int pair[2];

    assert_non_null(f);
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
    f->there = pair[1];
    assert_int_equal(reactor_init(&f->reactor, 0, 16), 0);
    assert_int_equal(peer_link_start(&f->link, &f->reactor, pair[0], &callbacks), 0);
    /* Nothing is ever heard from there, which ends the link after a while: not here. */
    reactor_timer_cancel(&f->reactor, &f->link.timer);
    reactor_turn(&f->reactor, 0);
    for (unsigned i = 0; i < FRAMES; i++) {
        f->items[i].fixture = f;
        f->items[i].frame.sent = item_sent;
        peer_frame_init(&f->items[i].frame, PEER_ABORT, i, 0, 0);
    }
    *state = f;
    return 0;
}

/* Each sendmsg is one packet at the other end. */
static int setup_packets(void **state)
{
    return open_link(state, SOCK_SEQPACKET);
}

static int setup_stream(void **state)
{
    return open_link(state, SOCK_STREAM);
}

static void close_link(struct fixture *f)
{
    peer_link_close(&f->link, "end of the case");
    for (unsigned i = 0; i < 10 && !f->closed; i++)
        reactor_turn(&f->reactor, WAIT_NS);
    assert_int_equal(f->closed, 1);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (!f->closed)
        close_link(f);
    reactor_done(&f->reactor);
    close(f->there);
    free(f);
    return 0;
}

static void send_items(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        peer_link_send(&f->link, &f->items[i].frame);
}

static void frames_when_queued_in_one_turn_then_leave_in_one_message(void **state)
{
    struct fixture *f = *state;
    uint8_t got[FRAMES * PEER_HEADER + 1];
    struct peer_head frame;

    send_items(f, FRAMES);
    for (unsigned i = 0; i < 2; i++) /* queued between turns: at the end of the first */
        reactor_turn(&f->reactor, 0);
    assert_int_equal(recv(f->there, got, sizeof got, MSG_DONTWAIT), FRAMES * PEER_HEADER);
    for (unsigned i = 0; i < FRAMES; i++) {
        assert_null(peer_frame_read(got + (size_t)i * PEER_HEADER, &frame));
        assert_int_equal(frame.slot, i);
        assert_int_equal(f->items[i].sent, 1);
    }
}

static void send_first(struct post *post)
{
    struct fixture *f = container_of(post, struct fixture, post);

    peer_link_send(&f->link, &f->items[0].frame);
}

/* Sent out of a turn, as everything in the daemon: the next one submits it and waits. */
static void frame_when_all_of_it_is_sent_then_wakes_nobody(void **state)
{
    struct fixture *f = *state;
    uint64_t began;

    f->post.run = send_first;
    reactor_defer(&f->reactor, &f->post);
    reactor_turn(&f->reactor, 0);
    began = monotonic_ns();
    reactor_turn(&f->reactor, WAIT_NS);
    assert_true(monotonic_ns() - began >= WAIT_NS);
    assert_int_equal(f->items[0].sent, 1);
}

/* What waits for the end of a send must not wait for an event of somebody else. */
static void frame_when_it_follows_another_then_waits_for_no_event(void **state)
{
    struct fixture *f = *state;
    uint8_t got[2 * PEER_HEADER];
    uint64_t began = monotonic_ns();

    send_items(f, 1);
    reactor_turn(&f->reactor, 0); /* handed to the ring */
    peer_link_send(&f->link, &f->items[1].frame);
    for (unsigned i = 0; i < 4 && !f->items[1].sent; i++)
        reactor_turn(&f->reactor, LONG_NS);
    assert_int_equal(recv(f->there, got, sizeof got, MSG_DONTWAIT), PEER_HEADER);
    assert_int_equal(recv(f->there, got, sizeof got, MSG_DONTWAIT), PEER_HEADER);
    assert_int_equal(f->items[1].sent, 1);
    assert_true(monotonic_ns() - began < 2 * LONG_NS); /* one is slept through: the last send wakes nobody */
}

static void frame_when_sent_from_the_end_of_another_then_leaves(void **state)
{
    struct fixture *f = *state;
    uint8_t got[2 * PEER_HEADER];

    f->items[0].follower = &f->items[1];
    send_items(f, 1);
    for (unsigned i = 0; i < 4 && !f->items[1].sent; i++)
        reactor_turn(&f->reactor, WAIT_NS);
    assert_int_equal(f->items[1].sent, 1);
    assert_int_equal(recv(f->there, got, sizeof got, MSG_DONTWAIT), PEER_HEADER);
    assert_int_equal(recv(f->there, got, sizeof got, MSG_DONTWAIT), PEER_HEADER);
}

static void add_data(struct item *item, struct payload *payload, uint8_t *bytes)
{
    *payload = (struct payload){.length = LARGE, .count = 1, .iov[0] = {bytes, LARGE}};
    peer_frame_init(&item->frame, PEER_COMMAND, 0, PEER_COMMAND_BODY, LARGE);
    item->frame.payload = payload;
    item->frame.payload_length = LARGE;
}

static void frames_when_the_socket_is_full_then_come_whole_and_in_order(void **state)
{
    struct fixture *f = *state;
    static struct payload payloads[FRAMES];
    size_t each = PEER_HEADER + PEER_COMMAND_BODY + LARGE, total = 0, have = 0;
    uint8_t *bytes = malloc((size_t)FRAMES * LARGE), *got = malloc(FRAMES * each);
    ssize_t n;

    assert_non_null(bytes);
    assert_non_null(got);
    for (unsigned i = 0; i < FRAMES; i++) {
        memset(bytes + (size_t)i * LARGE, (int)i + 1, LARGE);
        add_data(&f->items[i], &payloads[i], bytes + (size_t)i * LARGE);
        total += each;
    }
    send_items(f, FRAMES);
    for (unsigned i = 0; i < 4; i++) /* until it can only wait */
        reactor_turn(&f->reactor, 0);
    assert_int_equal(f->items[FRAMES - 1].sent, 0);
    while (have < total) {
        n = recv(f->there, got + have, total - have, MSG_DONTWAIT);
        assert_int_not_equal(n, 0); /* the link has ended */
        if (n > 0)
            have += (size_t)n;
        else
            reactor_turn(&f->reactor, WAIT_NS);
    }
    reactor_turn(&f->reactor, 0);
    for (unsigned i = 0; i < FRAMES; i++) {
        assert_int_equal(f->items[i].sent, 1);
        assert_memory_equal(got + i * each, f->items[i].frame.head, PEER_HEADER);
        assert_memory_equal(got + i * each + PEER_HEADER + PEER_COMMAND_BODY,
                            bytes + (size_t)i * LARGE, LARGE);
    }
    free(bytes);
    free(got);
}

static void link_when_closed_with_frames_in_every_state_then_each_is_given_back_once(void **state)
{
    struct fixture *f = *state;
    static struct payload payload;
    uint8_t *bytes = calloc(1, LARGE);

    assert_non_null(bytes);
    add_data(&f->items[0], &payload, bytes);
    for (unsigned i = 1; i < FRAMES - 2; i++) {
        f->items[i].frame.payload = f->items[0].frame.payload;
        f->items[i].frame.payload_length = LARGE;
    }
    send_items(f, FRAMES - 2);
    for (unsigned i = 0; i < 4; i++)
        reactor_turn(&f->reactor, 0);
    peer_link_send(&f->link, &f->items[FRAMES - 2].frame); /* behind a full socket */
    close_link(f);
    peer_link_send(&f->link, &f->items[FRAMES - 1].frame);
    for (unsigned i = 0; i < FRAMES; i++)
        assert_int_equal(f->items[i].sent, 1);
    free(bytes);
}

static void link_when_closed_in_the_turn_of_a_frame_then_ends_soon(void **state)
{
    struct fixture *f = *state;
    uint64_t began = monotonic_ns();

    send_items(f, 2);
    reactor_turn(&f->reactor, 0);
    close_link(f);
    assert_int_equal(f->items[0].sent + f->items[1].sent, 2);
    assert_true(monotonic_ns() - began < WAIT_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_when_queued_in_one_turn_then_leave_in_one_message,
                                        setup_packets, teardown),
        cmocka_unit_test_setup_teardown(frame_when_all_of_it_is_sent_then_wakes_nobody,
                                        setup_packets, teardown),
        cmocka_unit_test_setup_teardown(frame_when_it_follows_another_then_waits_for_no_event,
                                        setup_packets, teardown),
        cmocka_unit_test_setup_teardown(frame_when_sent_from_the_end_of_another_then_leaves,
                                        setup_packets, teardown),
        cmocka_unit_test_setup_teardown(frames_when_the_socket_is_full_then_come_whole_and_in_order,
                                        setup_stream, teardown),
        cmocka_unit_test_setup_teardown(
            link_when_closed_with_frames_in_every_state_then_each_is_given_back_once, setup_stream,
            teardown),
        cmocka_unit_test_setup_teardown(link_when_closed_in_the_turn_of_a_frame_then_ends_soon,
                                        setup_packets, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
