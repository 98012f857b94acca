/* Frames that no correct node sends, from a hand-written other side: each closes its link, harms
 * nothing, and leaves nothing behind; then the same forms in order, byte by byte.
 *
 * Not covered: correct traffic in volume (test_peer.c), arbitrary bytes (fuzz_peer_frames.c). */
#include "peer_rig.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "target/base/limits.h"
#include "target/transport/peer_frame.h"

enum { SELF = 1, OTHER = 2, WRITE = 0x8a, READ = 0x88, FRAME = 2048 };

struct frame {
    uint8_t bytes[FRAME];
    uint32_t length;
};

static uint8_t *body(struct frame *frame)
{
    return frame->bytes + PEER_HEADER;
}

static struct frame make(enum peer_type type, uint32_t slot, uint32_t body_length, uint32_t data)
{
    struct frame frame = {.length = PEER_HEADER + body_length};

    peer_frame_write(frame.bytes, type, slot, body_length, data);
    return frame;
}

/* Each is another link of its node; those of the relay are 0 and 1. */
static uint32_t last_link = 100;

static struct frame hello(unsigned node)
{
    struct frame frame = make(PEER_HELLO, 0, PEER_HELLO_BODY, 0);

    put_be32(body(&frame) + PEER_HELLO_VERSION, PEER_VERSION);
    put_be32(body(&frame) + PEER_HELLO_NODE, node);
    memcpy(body(&frame) + PEER_HELLO_CLUSTER, rig->config.cluster_uuid, 16);
    memcpy(body(&frame) + PEER_HELLO_CONFIG, rig->config.digest, 32);
    put_be32(body(&frame) + PEER_HELLO_LINK, ++last_link);
    return frame;
}

static struct frame nexus_frame(uint32_t id)
{
    struct nexus_identity identity;
    struct frame frame;

    identity_from_iscsi(&identity, "iqn.2026-11.example:raw", (const uint8_t[6]){0x40}, 1);
    frame = make(PEER_NEXUS, 0, PEER_NEXUS_TRANSPORT + identity.transport_length, 0);
    put_be32(body(&frame) + PEER_NEXUS_ID, id);
    put_be16(body(&frame) + PEER_NEXUS_RTPI, 1);
    put_be16(body(&frame) + PEER_NEXUS_LENGTH, identity.transport_length);
    memcpy(body(&frame) + PEER_NEXUS_TRANSPORT, identity.transport_id, identity.transport_length);
    return frame;
}

/* Of nexus 1 for one block; `data` is what the header says, up to one block of it follows. */
static struct frame command(uint8_t opcode, uint32_t slot, uint32_t data)
{
    struct frame frame = make(PEER_COMMAND, slot, PEER_COMMAND_BODY, data);

    put_be32(body(&frame) + PEER_COMMAND_NEXUS, 1);
    put_be32(body(&frame) + PEER_COMMAND_LU, RIG_FAR);
    put_be32(body(&frame) + (opcode == READ ? PEER_COMMAND_IN : PEER_COMMAND_OUT), RIG_BLOCK);
    body(&frame)[PEER_COMMAND_CDB_LENGTH] = 16;
    body(&frame)[PEER_COMMAND_CDB] = opcode;
    body(&frame)[PEER_COMMAND_CDB + 13] = 1;
    frame.length += data < RIG_BLOCK ? data : RIG_BLOCK;
    return frame;
}

static void put(int fd, const struct frame *frame)
{
    /* The other side may have closed by now, as it should. */
    if (send(fd, frame->bytes, frame->length, MSG_NOSIGNAL) < 0)
        return;
}

static bool get(int fd, void *to, size_t length)
{
    return !length || recv(fd, to, length, MSG_WAITALL) == (ssize_t)length;
}

/* The next frame of this type; others are read over. False: the link was closed. */
static bool await(int fd, enum peer_type type, struct frame *frame)
{
    do {
        uint32_t rest;
        if (!get(fd, frame->bytes, PEER_HEADER))
            return false;
        rest = frame->bytes[PEER_H_BODY] * 4u + get_be32(frame->bytes + PEER_H_DATA);
        assert_true(rest <= FRAME - PEER_HEADER);
        if (!get(fd, body(frame), rest))
            return false;
        frame->length = PEER_HEADER + rest;
    } while (frame->bytes[PEER_H_TYPE] != (uint8_t)type);
    return true;
}

static void assert_closed(int fd)
{
    struct frame frame;

    assert_false(await(fd, 0, &frame)); /* no such type: to the end */
    close(fd);
}

/* ---- the pure part ---- */

static void header_when_read_then_only_the_known_forms_pass(void **state)
{
    static const struct {
        uint8_t type;
        uint32_t body, data;
        bool good;
    } rows[] = {
        {0, 0, 0, false},
        {PEER_HELLO, 56, 0, true},
        {PEER_HELLO, 60, 0, true},
        {PEER_HELLO, 0, 0, false},
        {PEER_HELLO, 56, 4, false},
        {PEER_NEXUS, 12, 0, true},
        {PEER_NEXUS, 8, 0, false},
        {PEER_NEXUS, 8 + LIMIT_TRANSPORT_ID, 0, true},
        {PEER_NEXUS, 12 + LIMIT_TRANSPORT_ID, 0, false},
        {PEER_NEXUS, 12, 1, false},
        {PEER_NEXUS_GONE, 4, 0, true},
        {PEER_NEXUS_GONE, 8, 0, false},
        {PEER_COMMAND, 60, LIMIT_TRANSFER, true},
        {PEER_COMMAND, 60, LIMIT_TRANSFER + 1, false},
        {PEER_COMMAND, 56, 0, false},
        {PEER_RESPONSE, 8, LIMIT_TRANSFER + LIMIT_SENSE, true},
        {PEER_RESPONSE, 8, LIMIT_TRANSFER + LIMIT_SENSE + 1, false},
        {PEER_RESPONSE, 12, 0, false},
        {PEER_ABORT, 0, 0, true},
        {PEER_ABORT, 4, 0, false},
        {PEER_PING, 0, 0, true},
        {PEER_PONG, 0, 1, false},
        {PEER_SETTLED, 0, 0, true},
        {PEER_SETTLED, 4, 0, false},
        {PEER_SETTLED + 1, 0, 0, false},
        {255, 0, 0, false},
    };
    uint8_t bytes[PEER_HEADER];
    struct peer_head head;

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        peer_frame_write(bytes, rows[i].type, 7, rows[i].body, rows[i].data);
        assert_int_equal(!peer_frame_read(bytes, &head), rows[i].good);
        if (rows[i].good) {
            assert_int_equal(head.type, rows[i].type);
            assert_int_equal(head.slot, 7);
            assert_int_equal(head.body, rows[i].body);
            assert_int_equal(head.data, rows[i].data);
        }
        bytes[PEER_H_MAGIC] ^= 1;
        assert_non_null(peer_frame_read(bytes, &head));
        bytes[PEER_H_MAGIC] ^= 1;
        bytes[PEER_H_ZERO + 3] = 1;
        assert_non_null(peer_frame_read(bytes, &head));
    }
}

static void sense_when_longer_than_possible_then_refused(void **state)
{
    uint8_t response[PEER_RESPONSE_BODY] = {0};
    uint32_t sense;

    response[PEER_RESPONSE_SENSE] = LIMIT_SENSE;
    assert_null(peer_frame_sense(response, LIMIT_SENSE, &sense));
    assert_int_equal(sense, LIMIT_SENSE);
    assert_non_null(peer_frame_sense(response, LIMIT_SENSE - 1, &sense));
    response[PEER_RESPONSE_SENSE] = LIMIT_SENSE + 1;
    assert_non_null(peer_frame_sense(response, 4096, &sense));
    response[PEER_RESPONSE_SENSE] = 8;
    assert_non_null(peer_frame_sense(response, LIMIT_TRANSFER + 9, &sense));
}

/* ---- the owner ---- */

static int dial(void)
{
    const struct config_address *to = &rig->nodes[SELF - 1].peer;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)&to->address, to->length), 0);
    return fd;
}

/* A link with nexus 1. */
static int greet(void)
{
    struct frame frame = hello(OTHER);
    int fd = dial();

    put(fd, &frame);
    assert_true(await(fd, PEER_HELLO, &frame));
    assert_int_equal(get_be32(body(&frame) + PEER_HELLO_NODE), SELF);
    frame = nexus_frame(1);
    put(fd, &frame);
    return fd;
}

static void write_block(int fd)
{
    struct frame frame = command(WRITE, 3, RIG_BLOCK);

    put(fd, &frame);
    assert_true(await(fd, PEER_RESPONSE, &frame));
    assert_int_equal(get_be32(frame.bytes + PEER_H_SLOT), 3);
    assert_int_equal(body(&frame)[PEER_RESPONSE_STATUS], 0);
    assert_int_equal(body(&frame)[PEER_RESPONSE_OUTCOME], PEER_ENDED);
}

static void refused(const struct frame *frame)
{
    int fd = greet();

    write_block(fd); /* it is in order until now */
    put(fd, frame);
    assert_closed(fd);
}

static void poke(struct frame frame, uint32_t at, uint8_t value)
{
    frame.bytes[at] = value;
    refused(&frame);
}

static void owner_when_frames_are_malformed_then_closes(void **state)
{
    enum { B = PEER_HEADER };
    struct frame frame;

    poke(command(WRITE, 0, RIG_BLOCK), PEER_H_MAGIC, 0);
    poke(command(WRITE, 0, RIG_BLOCK), PEER_H_ZERO, 1);
    poke(command(WRITE, 0, RIG_BLOCK), PEER_H_TYPE, 0);
    poke(command(WRITE, 0, RIG_BLOCK), PEER_H_TYPE, 0x80);
    poke(command(WRITE, 0, RIG_BLOCK), PEER_H_BODY, 255);
    poke(command(WRITE, 0, RIG_BLOCK), PEER_H_DATA, 0x7f);
    poke(command(WRITE, 0, RIG_BLOCK), B + PEER_COMMAND_NEXUS, 1);
    poke(command(WRITE, 0, RIG_BLOCK), B + PEER_COMMAND_LU, 1);
    poke(command(WRITE, 0, RIG_BLOCK), B + PEER_COMMAND_LU + 3, RIG_FAR + 1);
    poke(command(WRITE, 0, RIG_BLOCK), B + PEER_COMMAND_CDB_LENGTH, LIMIT_CDB + 1);
    poke(command(WRITE, 0, RIG_BLOCK), B + PEER_COMMAND_CDB, 0x5f); /* is not for others */
    poke(command(WRITE, 0, RIG_BLOCK), B + PEER_COMMAND_CDB, 0x12);
    poke(command(WRITE, PEER_SLOTS, RIG_BLOCK), 0, PEER_MAGIC >> 8);
    poke(command(WRITE, 0, 0), 0, PEER_MAGIC >> 8); /* less data than it needs, or more */
    poke(command(WRITE, 0, 64), 0, PEER_MAGIC >> 8);
    poke(command(WRITE, 0, LIMIT_TRANSFER), 0, PEER_MAGIC >> 8);
    poke(nexus_frame(1), 0, PEER_MAGIC >> 8); /* is declared already */
    poke(nexus_frame(2), B + PEER_NEXUS_LENGTH + 1, 4);
    poke(nexus_frame(2), B + PEER_NEXUS_LENGTH, 0xff);
    poke(nexus_frame(2), B + PEER_NEXUS_TRANSPORT, 0x7f); /* no TransportID */
    poke(nexus_frame(2), PEER_H_DATA + 3, 1);
    frame = hello(OTHER);
    refused(&frame);
    frame = make(PEER_RESPONSE, 0, PEER_RESPONSE_BODY, 0);
    refused(&frame);
    frame = make(PEER_NEXUS_GONE, 0, PEER_GONE_BODY + 4, 0);
    refused(&frame);
    frame = make(PEER_ABORT, 0, 4, 0);
    refused(&frame);
    rig_write(&rig->nexuses[0][0], 0, 65536, 1);
}

static void owner_when_a_slot_is_used_twice_then_closes(void **state)
{
    unsigned held = rig_now(&spy.held);
    struct frame frame = command(WRITE, 5, RIG_BLOCK);
    int fd = greet();

    spy_hold(true);
    put(fd, &frame);
    rig_wait(&spy.held, held + 1);
    put(fd, &frame);
    assert_closed(fd);
    spy_release();
}

static void owner_when_nexuses_have_no_end_then_closes(void **state)
{
    int fd = greet();

    for (uint32_t id = 2; id <= PEER_NEXUSES + 1; id++) {
        struct frame frame = nexus_frame(id);
        put(fd, &frame);
    }
    assert_closed(fd);
}

/* A link of the other node with this number, from its HELLO on; `settled`: and to its SETTLED. */
static int greet_as(uint32_t number, bool settled)
{
    struct frame frame = hello(OTHER);
    int fd = dial();

    put_be32(body(&frame) + PEER_HELLO_LINK, number);
    put(fd, &frame);
    assert_true(await(fd, settled ? PEER_SETTLED : PEER_HELLO, &frame));
    return fd;
}

static bool readable(int fd)
{
    uint8_t byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* The next link of a number ends the one before, and is told when that has let go of the medium; other links are not
 * concerned. */
static void owner_when_the_next_link_comes_then_ends_the_last_and_says_when(void **state)
{
    struct frame frame = nexus_frame(1);
    unsigned held = rig_now(&spy.held);
    int fd = greet_as(50, true), other, next;

    put(fd, &frame);
    spy_hold(true);
    frame = command(WRITE, 0, RIG_BLOCK);
    put(fd, &frame);
    rig_wait(&spy.held, held + 1);
    other = greet_as(51, true);
    next = greet_as(50, false);
    assert_closed(fd);
    assert_false(readable(next));
    assert_false(readable(other));
    spy_release();
    assert_true(await(next, PEER_SETTLED, &frame));
    close(next);
    close(other);
}

static void refused_hello(struct frame frame)
{
    int fd = dial();

    put(fd, &frame);
    assert_closed(fd);
}

static void owner_when_greeted_wrongly_then_closes(void **state)
{
    struct frame frame = hello(OTHER);

    body(&frame)[PEER_HELLO_VERSION + 3]++;
    refused_hello(frame);
    frame = hello(OTHER);
    body(&frame)[PEER_HELLO_CLUSTER]++;
    refused_hello(frame);
    frame = hello(OTHER);
    body(&frame)[PEER_HELLO_CONFIG + 31]++;
    refused_hello(frame);
    refused_hello(hello(SELF));
    refused_hello(hello(4));
    refused_hello(hello(0));
    refused_hello(make(PEER_HELLO, 0, PEER_HELLO_BODY - 4, 0));
    refused_hello(make(PEER_PING, 0, 0, 0));
    refused_hello(make(PEER_PONG, 0, 0, 0));
    refused_hello(nexus_frame(1));
    refused_hello(command(WRITE, 0, RIG_BLOCK));
}

static void owner_when_not_greeted_then_does_not_wait_for_ever(void **state)
{
    int one = dial(), two = dial();
    uint8_t some[20] = {PEER_MAGIC >> 8, PEER_MAGIC & 0xff, PEER_HELLO, 14};

    assert_int_equal(send(two, some, sizeof some, MSG_NOSIGNAL), sizeof some);
    assert_closed(one);
    assert_closed(two);
}

static void owner_when_frames_concern_nothing_then_ignores_them(void **state)
{
    struct frame frame = make(PEER_ABORT, 17, 0, 0);
    int fd = greet();

    put(fd, &frame);
    frame = make(PEER_ABORT, UINT32_MAX, 0, 0);
    put(fd, &frame);
    frame = make(PEER_NEXUS_GONE, 0, PEER_GONE_BODY, 0);
    put_be32(body(&frame), 99);
    put(fd, &frame);
    write_block(fd);
    frame = make(PEER_PING, 0, 0, 0);
    put(fd, &frame);
    assert_true(await(fd, PEER_PONG, &frame));
    close(fd);
}

static void owner_when_bytes_come_one_by_one_then_understands_them(void **state)
{
    struct frame frames[] = {hello(OTHER), nexus_frame(1), command(WRITE, 0, RIG_BLOCK),
                             command(READ, 1, 0)};
    struct frame answer;
    int fd = dial();

    memset(frames[2].bytes + PEER_HEADER + PEER_COMMAND_BODY, 0x3c, RIG_BLOCK);
    for (unsigned i = 0; i < 4; i++) {
        for (uint32_t at = 0; at < frames[i].length; at++)
            assert_int_equal(send(fd, frames[i].bytes + at, 1, MSG_NOSIGNAL), 1);
        if (i == 2)
            assert_true(await(fd, PEER_RESPONSE, &answer));
    }
    assert_true(await(fd, PEER_RESPONSE, &answer));
    assert_int_equal(get_be32(answer.bytes + PEER_H_DATA), RIG_BLOCK);
    assert_memory_equal(body(&answer) + PEER_RESPONSE_BODY,
                        frames[2].bytes + PEER_HEADER + PEER_COMMAND_BODY, RIG_BLOCK);
    close(fd);
}

static void owner_when_unknown_commands_come_then_says_so(void **state)
{
    struct frame frame = command(0xd5, 0, 0);
    int fd = greet();

    put(fd, &frame);
    assert_true(await(fd, PEER_RESPONSE, &frame));
    assert_int_equal(body(&frame)[PEER_RESPONSE_STATUS], 2);
    assert_int_equal(body(&frame)[PEER_RESPONSE_BODY + 12], 0x20);
    close(fd);
}

/* ---- the forwarding side, against a server of the test ---- */

static int answer_call(void)
{
    int fd = accept(rig->raw_listener, NULL, NULL);

    assert_true(fd >= 0);
    return fd;
}

static int answer_greeting(struct frame *told)
{
    struct frame frame;
    int fd = answer_call();

    assert_true(await(fd, PEER_HELLO, &frame));
    frame = hello(RIG_RAW_NODE);
    put(fd, &frame);
    assert_true(await(fd, PEER_COMMAND, told));
    return fd;
}

static struct frame response(const struct frame *told, uint32_t sense, uint32_t data)
{
    struct frame frame =
        make(PEER_RESPONSE, get_be32(told->bytes + PEER_H_SLOT), PEER_RESPONSE_BODY, sense + data);

    body(&frame)[PEER_RESPONSE_SENSE] = (uint8_t)sense;
    put_be32(body(&frame) + PEER_RESPONSE_WANTED, RIG_BLOCK);
    frame.length += sense + data < 1024 ? sense + data : 1024;
    return frame;
}

static struct rig_io *ask(void)
{
    struct rig_io *io = rig_new(&rig->nexuses[0][0], READ, 0, 1, RIG_BLOCK);

    rig_start(io);
    return io;
}

/* The command comes again, over a new link; this time it is answered. */
static void served(struct rig_io *io)
{
    struct frame told, frame;
    int fd = answer_greeting(&told);

    frame = response(&told, 0, RIG_BLOCK);
    memset(body(&frame) + PEER_RESPONSE_BODY, 0xab, RIG_BLOCK);
    put(fd, &frame);
    assert_int_equal(rig_codes(rig_end(io)), 0);
    assert_int_equal(io->came, RIG_BLOCK);
    assert_int_equal(io->data[0], 0xab);
    rig_free(io);
    close(fd);
}

static void sender_when_responses_are_malformed_then_closes_and_asks_again(void **state)
{
    enum { BAD = 14 };

    rig_gate(RIG_NEAR, GATE_FORWARD, RIG_RAW_NODE);
    for (unsigned i = 0; i < BAD; i++) {
        struct rig_io *io = ask();
        struct frame told, frame;
        int fd = answer_greeting(&told);

        frame = response(&told, 0, i == 0 ? RIG_BLOCK + 1 : RIG_BLOCK); /* 0: more than asked for */
        if (i == 1)
            put_be32(frame.bytes + PEER_H_SLOT, 900); /* nothing is asked there */
        if (i == 2)
            put_be32(frame.bytes + PEER_H_SLOT, UINT32_MAX);
        if (i == 3)
            body(&frame)[PEER_RESPONSE_OUTCOME] = PEER_LOST + 1;
        if (i == 4)
            body(&frame)[PEER_RESPONSE_SENSE] = LIMIT_SENSE + 1;
        if (i == 5) {
            frame = response(&told, 64, 0);
            put_be32(frame.bytes + PEER_H_DATA, 63);
        }
        if (i == 6)
            frame.bytes[PEER_H_BODY]++;
        if (i == 7)
            frame.bytes[PEER_H_DATA] = 0x40;
        if (i == 8)
            frame = command(WRITE, 0, RIG_BLOCK);
        if (i == 9)
            frame = hello(RIG_RAW_NODE);
        if (i == 10)
            frame = make(PEER_PING, 0, 0, 8);
        if (i == 11)
            frame.bytes[PEER_H_MAGIC]++;
        if (i == 12)
            frame.length -= 100; /* and no more */
        if (i == 13)
            frame = nexus_frame(1);
        put(fd, &frame);
        if (i == 12)
            close(fd);
        else
            assert_closed(fd);
        served(io);
    }
    rig_gate(RIG_NEAR, GATE_FORWARD, OTHER);
}

static void sender_when_answered_twice_then_once_counts(void **state)
{
    struct rig_io *io;
    struct frame told, frame;
    int fd;

    rig_gate(RIG_NEAR, GATE_FORWARD, RIG_RAW_NODE);
    io = ask();
    fd = answer_greeting(&told);
    frame = response(&told, 0, RIG_BLOCK);
    put(fd, &frame);
    put(fd, &frame);
    assert_int_equal(rig_codes(rig_end(io)), 0);
    rig_free(io);
    assert_closed(fd);
    rig_gate(RIG_NEAR, GATE_FORWARD, OTHER);
}

static void sender_when_greeted_wrongly_then_tries_again(void **state)
{
    rig_gate(RIG_NEAR, GATE_FORWARD, RIG_RAW_NODE);
    for (unsigned i = 0; i < 5; i++) {
        struct rig_io *io = ask();
        struct frame frame;
        int fd = answer_call();

        assert_true(await(fd, PEER_HELLO, &frame));
        frame = hello(i == 0 ? OTHER : RIG_RAW_NODE); /* 0: somebody else */
        if (i == 1)
            body(&frame)[PEER_HELLO_VERSION]++;
        if (i == 2)
            body(&frame)[PEER_HELLO_CLUSTER]++;
        if (i == 3)
            frame = make(PEER_PING, 0, 0, 0);
        if (i < 4) /* 4: says nothing */
            put(fd, &frame);
        assert_closed(fd);
        served(io);
    }
    rig_gate(RIG_NEAR, GATE_FORWARD, OTHER);
}

/* A write that the raw node got, and whose link it has closed without an answer. */
static struct rig_io *lost_write(void)
{
    struct rig_io *io = rig_new(&rig->nexuses[0][0], WRITE, 0, 1, RIG_BLOCK);
    struct frame told;
    int fd;

    rig_gate(RIG_NEAR, GATE_FORWARD, RIG_RAW_NODE);
    rig_start(io);
    fd = answer_greeting(&told);
    close(fd);
    return io;
}

/* The next link, greeted but not settled. */
static int next_link(void)
{
    struct frame frame;
    int fd = answer_call();

    assert_true(await(fd, PEER_HELLO, &frame));
    frame = hello(RIG_RAW_NODE);
    put(fd, &frame);
    return fd;
}

static void say_settled(int fd)
{
    struct frame frame = make(PEER_SETTLED, 0, 0, 0);

    put(fd, &frame);
}

/* Has the client been heard after what was sent to it before? */
static void heard(int fd)
{
    struct frame frame = make(PEER_PING, 0, 0, 0);

    put(fd, &frame);
    assert_true(await(fd, PEER_PONG, &frame));
}

static void sender_when_a_write_is_lost_then_ends_it_when_the_owner_has(void **state)
{
    struct rig_io *io = lost_write();
    int fd = next_link();

    heard(fd);
    assert_int_equal(rig_now(&io->done), 0);
    say_settled(fd);
    assert_int_equal(rig_codes(rig_end(io)), 0x020b0000);
    rig_free(io);
    close(fd);
    rig_gate(RIG_NEAR, GATE_FORWARD, OTHER);
}

static void sender_when_a_lost_write_is_aborted_then_waits_for_the_owner(void **state)
{
    struct rig_io *io = lost_write();
    int fd = next_link();

    rig_abort(io, false);
    heard(fd);
    assert_int_equal(rig_now(&io->done), 0);
    say_settled(fd);
    rig_end(io);
    assert_int_equal(io->status, 0x40); /* TASK ABORTED */
    rig_free(io);
    close(fd);
    rig_gate(RIG_NEAR, GATE_FORWARD, OTHER);
}

static void sender_when_a_group_moves_then_its_lost_writes_end(void **state)
{
    struct rig_io *io = lost_write();
    int fd = next_link(); /* says nothing more */

    heard(fd);
    assert_int_equal(rig_now(&io->done), 0);
    rig_gate(RIG_NEAR, GATE_FORWARD, OTHER);
    assert_int_equal(rig_codes(rig_end(io)), 0x020b0000);
    rig_free(io);
    close(fd);
}

static void set_hold(void *ms)
{
    rig->config.hold_ms = *(const unsigned *)ms;
}

/* A link that comes and breaks, and never says SETTLED, does not begin the wait anew. */
static void sender_when_links_only_flap_then_lost_writes_end_after_the_hold_time(void **state)
{
    enum { TIMES = 60 };
    const unsigned usual = rig->config.hold_ms;
    struct rig_io *io = lost_write();
    struct pollfd call = {.fd = rig->raw_listener, .events = POLLIN};

    rig_on(rig->reactors[0], set_hold, &(unsigned){400});
    for (unsigned i = 0; i < TIMES && !rig_now(&io->done); i++)
        if (poll(&call, 1, 100) > 0)
            close(next_link());
    assert_int_equal(rig_now(&io->done), 1);
    assert_int_equal(rig_codes(rig_end(io)), 0x020b0000);
    rig_free(io);
    rig_on(rig->reactors[0], set_hold, &(unsigned){usual});
    rig_gate(RIG_NEAR, GATE_FORWARD, OTHER);
}

/* Sense data comes as it is, with data beside it. */
static void sender_when_given_sense_and_data_then_takes_both(void **state)
{
    struct rig_io *io;
    struct frame told, frame;
    int fd;

    rig_gate(RIG_NEAR, GATE_FORWARD, RIG_RAW_NODE);
    io = ask();
    fd = answer_greeting(&told);
    frame = response(&told, LIMIT_SENSE, 100);
    body(&frame)[PEER_RESPONSE_STATUS] = 2;
    body(&frame)[PEER_RESPONSE_BODY] = 0x70;
    body(&frame)[PEER_RESPONSE_BODY + 2] = 0x01;
    put(fd, &frame);
    assert_int_equal(rig_codes(rig_end(io)), 0x02010000);
    assert_int_equal(io->sense_length, LIMIT_SENSE);
    assert_int_equal(io->came, 100);
    rig_free(io);
    close(fd);
    rig_gate(RIG_NEAR, GATE_FORWARD, OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_when_read_then_only_the_known_forms_pass),
        cmocka_unit_test(sense_when_longer_than_possible_then_refused),
        cmocka_unit_test(owner_when_frames_are_malformed_then_closes),
        cmocka_unit_test(owner_when_a_slot_is_used_twice_then_closes),
        cmocka_unit_test(owner_when_nexuses_have_no_end_then_closes),
        cmocka_unit_test(owner_when_the_next_link_comes_then_ends_the_last_and_says_when),
        cmocka_unit_test(owner_when_greeted_wrongly_then_closes),
        cmocka_unit_test(owner_when_not_greeted_then_does_not_wait_for_ever),
        cmocka_unit_test(owner_when_frames_concern_nothing_then_ignores_them),
        cmocka_unit_test(owner_when_bytes_come_one_by_one_then_understands_them),
        cmocka_unit_test(owner_when_unknown_commands_come_then_says_so),
        cmocka_unit_test(sender_when_responses_are_malformed_then_closes_and_asks_again),
        cmocka_unit_test(sender_when_answered_twice_then_once_counts),
        cmocka_unit_test(sender_when_greeted_wrongly_then_tries_again),
        cmocka_unit_test(sender_when_a_write_is_lost_then_ends_it_when_the_owner_has),
        cmocka_unit_test(sender_when_a_lost_write_is_aborted_then_waits_for_the_owner),
        cmocka_unit_test(sender_when_a_group_moves_then_its_lost_writes_end),
        cmocka_unit_test(sender_when_links_only_flap_then_lost_writes_end_after_the_hold_time),
        cmocka_unit_test(sender_when_given_sense_and_data_then_takes_both),
    };

    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
