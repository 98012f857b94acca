#include "tests/bench/initiator.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "target/base/bytes.h"
#include "target/iscsi/iscsi_wire.h"
#include "target/iscsi/pdu.h"

enum { READ_10 = 0x28, WRITE_10 = 0x2a, TEST_UNIT_READY = 0x00, FUA = 0x08, UNIT_ATTENTIONS = 16 };
enum { IN = 0, OUT = 1 }; /* lowest bit of the user data */

struct tag {
    uint64_t began_ns;
    bool write;
    uint16_t lun;
};

/* Data that the target asked for. */
struct burst {
    uint32_t itt, ttt, offset, left, data_sn;
};

struct batch {
    struct iovec iov[LOAD_IOV];
    struct msghdr message;
    unsigned iov_used;
    size_t bytes, heads_used;
    uint8_t heads[LOAD_HEADS];
};

struct session {
    struct load *load;
    struct session *next; /* to be flushed */
    bool listed;
    unsigned number;
    int fd;
    uint64_t random, position;
    /* login */
    uint32_t cmd_sn, exp_stat_sn, max_cmd_sn;
    uint32_t max_send, first_burst, max_burst;
    bool immediate, initial_r2t, header_digest, data_digest;
    /* in */
    uint8_t *in;
    size_t start, end;
    enum { HEADER, DATA, TAIL } state;
    uint8_t bhs[ISCSI_BHS_LENGTH];
    uint32_t left, crc;
    bool receiving, skipping, more;
    /* out */
    struct tag tags[LOAD_DEPTH_MAX];
    uint16_t idle[LOAD_DEPTH_MAX], fifo[LOAD_DEPTH_MAX];
    unsigned idle_count, fifo_head, fifo_tail;
    struct burst bursts[LOAD_DEPTH_MAX * 2];
    unsigned burst_head, burst_tail;
    struct batch *sending, *building;
    bool busy;
};

static struct session *listed;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
    va_list arguments;

    fputs("load: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void list(struct session *session)
{
    if (session->listed)
        return;
    session->listed = true;
    session->next = listed;
    listed = session;
}

struct session *session_next(void)
{
    struct session *session = listed;

    if (session) {
        listed = session->next;
        session->listed = false;
    }
    return session;
}

/* Login: blocking, one PDU at a time. */

static void write_all(struct session *session, const void *data, size_t n)
{
    const uint8_t *from = data;

    while (n) {
        ssize_t part = send(session->fd, from, n, MSG_NOSIGNAL);
        if (part < 0 && errno == EINTR)
            continue;
        if (part <= 0)
            fail("session %u: send: %s", session->number, strerror(errno));
        from += part;
        n -= (size_t)part;
    }
}

static void read_all(struct session *session, void *data, size_t n)
{
    ssize_t got = n ? recv(session->fd, data, n, MSG_WAITALL) : 0;

    if (got != (ssize_t)n)
        fail("session %u: the target closed the connection", session->number);
}

/* A PDU of the target's; returns the length of its data (room `size`). Digests are not checked. */
static uint32_t read_pdu(struct session *session, uint8_t *bhs, uint8_t *data, uint32_t size)
{
    uint8_t digest[ISCSI_DIGEST_LENGTH];
    uint32_t length, padded;

    read_all(session, bhs, ISCSI_BHS_LENGTH);
    if (session->header_digest)
        read_all(session, digest, sizeof digest);
    length = pdu_data_length(bhs);
    padded = length + pdu_padding(length);
    if (padded > size)
        fail("session %u: a PDU of %u bytes during login", session->number, length);
    read_all(session, data, padded);
    if (length && session->data_digest)
        read_all(session, digest, sizeof digest);
    return length;
}

static void text_number(const char *key, const char *wanted, const char *value, uint32_t *number)
{
    if (!strcmp(key, wanted))
        *number = (uint32_t)strtoul(value, NULL, 10);
}

static void text_flag(const char *key, const char *wanted, const char *value, const char *yes,
                      bool *flag)
{
    if (!strcmp(key, wanted))
        *flag = !strcmp(value, yes);
}

static void take_text(struct session *session, char *text, uint32_t length)
{
    for (char *key = text; key < text + length; key += strlen(key) + 1) {
        char *value = strchr(key, '=');
        if (!value)
            continue;
        *value++ = 0;
        text_number(key, "MaxRecvDataSegmentLength", value, &session->max_send);
        text_number(key, "FirstBurstLength", value, &session->first_burst);
        text_number(key, "MaxBurstLength", value, &session->max_burst);
        text_flag(key, "ImmediateData", value, "Yes", &session->immediate);
        text_flag(key, "InitialR2T", value, "Yes", &session->initial_r2t);
        text_flag(key, "HeaderDigest", value, "CRC32C", &session->header_digest);
        text_flag(key, "DataDigest", value, "CRC32C", &session->data_digest);
        key = value;
    }
}

static void login(struct session *session)
{
    const char *digest = session->load->digests ? "CRC32C" : "None";
    uint8_t bhs[ISCSI_BHS_LENGTH];
    bool header_digest, data_digest;
    char text[16 << 10];
    uint32_t length;
    int n;

    /* What a modern initiator offers; the largest that both peers' own limits leave standing. */
    n = snprintf(
        text, sizeof text,
        "InitiatorName=%s-%u%cTargetName=%s%cSessionType=Normal%c"
        "HeaderDigest=%s%cDataDigest=%s%cInitialR2T=No%cImmediateData=Yes%c"
        "MaxRecvDataSegmentLength=262144%cFirstBurstLength=262144%cMaxBurstLength=1048576%c"
        "MaxOutstandingR2T=8%cDefaultTime2Wait=0%cDefaultTime2Retain=0%c"
        "ErrorRecoveryLevel=0%cMaxConnections=1%c",
        session->load->initiator, session->number, 0, session->load->target, 0, 0, digest, 0,
        digest, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    length = (uint32_t)n;
    memset(bhs, 0, sizeof bhs);
    bhs[BHS_OPCODE] = ISCSI_LOGIN_REQUEST | BHS_OPCODE_IMMEDIATE;
    bhs[BHS_FLAGS] =
        LOGIN_TRANSIT | LOGIN_STAGE_OPERATIONAL << LOGIN_CSG_SHIFT | LOGIN_STAGE_FULL_FEATURE;
    bhs[LOGIN_ISID] = 0x80; /* random */
    put_be32(bhs + LOGIN_ISID + 1, session->number);
    put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, length);
    put_be32(bhs + BHS_CMD_SN, session->cmd_sn);
    write_all(session, bhs, sizeof bhs);
    memset(text + length, 0, 4);
    write_all(session, text, length + pdu_padding(length));
    session->max_send = ISCSI_DEFAULT_DATA_SEGMENT;
    session->first_burst = 65536;
    session->max_burst = 262144;
    session->immediate = session->initial_r2t = true;
    length = read_pdu(session, bhs, (uint8_t *)text, sizeof text - 1);
    if (pdu_opcode(bhs) != ISCSI_LOGIN_RESPONSE || bhs[LOGIN_STATUS_CLASS] ||
        (bhs[BHS_FLAGS] & LOGIN_STAGE_MASK) != LOGIN_STAGE_FULL_FEATURE)
        fail("session %u: login refused: status %02x%02x", session->number, bhs[LOGIN_STATUS_CLASS],
             bhs[LOGIN_STATUS_DETAIL]);
    text[length] = 0;
    take_text(session, text, length);
    header_digest = session->header_digest;
    data_digest = session->data_digest;
    if (session->load->digests && !(header_digest && data_digest))
        fail("session %u: the target refuses digests", session->number);
    session->exp_stat_sn = get_be32(bhs + BHS_STAT_SN) + 1;
    session->max_cmd_sn = get_be32(bhs + BHS_MAX_CMD_SN);
}

static void put_lun(uint8_t *bhs, unsigned lun)
{
    put_be64(bhs + BHS_LUN, lun < 256 ? (uint64_t)lun << 48 : (uint64_t)(0x4000 | lun) << 48);
}

static uint8_t test_unit_ready(struct session *session, unsigned lun)
{
    uint8_t bhs[ISCSI_BHS_LENGTH] = {0}, digest[ISCSI_DIGEST_LENGTH], data[4096];

    bhs[BHS_OPCODE] = ISCSI_SCSI_COMMAND;
    bhs[BHS_FLAGS] = BHS_FLAG_FINAL;
    put_lun(bhs, lun);
    put_be32(bhs + BHS_CMD_SN, session->cmd_sn++);
    put_be32(bhs + BHS_EXP_STAT_SN, session->exp_stat_sn);
    bhs[COMMAND_CDB] = TEST_UNIT_READY;
    write_all(session, bhs, sizeof bhs);
    if (session->header_digest) {
        put_le32(digest, pdu_crc_finish(pdu_crc_feed(PDU_CRC_START, bhs, sizeof bhs)));
        write_all(session, digest, sizeof digest);
    }
    read_pdu(session, bhs, data, sizeof data);
    if (pdu_opcode(bhs) != ISCSI_SCSI_RESPONSE || bhs[BHS_RESPONSE])
        fail("session %u: PDU %02xh instead of a response", session->number, pdu_opcode(bhs));
    session->exp_stat_sn = get_be32(bhs + BHS_STAT_SN) + 1;
    session->max_cmd_sn = get_be32(bhs + BHS_MAX_CMD_SN);
    return bhs[BHS_STATUS];
}

static int dial(const struct load *load)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list_of = NULL;
    int rc = getaddrinfo(load->host, load->port, &hints, &list_of), fd, one = 1;

    if (rc)
        fail("%s port %s: %s", load->host, load->port, gai_strerror(rc));
    fd = socket(list_of->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, list_of->ai_addr, list_of->ai_addrlen))
        fail("%s port %s: %s", load->host, load->port, strerror(errno));
    freeaddrinfo(list_of);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

struct session *session_open(struct load *load, unsigned number)
{
    struct session *session = calloc(1, sizeof *session);

    if (!session || !(session->in = malloc(LOAD_IN)) ||
        !(session->building = calloc(1, sizeof *session->building)) ||
        !(session->sending = calloc(1, sizeof *session->sending)))
        fail("out of memory");
    session->load = load;
    session->number = number;
    session->random = 0x9e3779b97f4a7c15u * (number + 1);
    session->position = load->size / 16 * (number % 16) / load->block * load->block;
    session->cmd_sn = 1;
    session->fd = dial(load);
    if (load->echo) {
        session->max_cmd_sn = 0x7fffffff;
        session->immediate = true;
        session->max_send = session->first_burst = session->max_burst = LOAD_BLOCK_MAX;
        return session;
    }
    login(session);
    for (unsigned lun = load->first_lun; lun < load->first_lun + load->luns; lun++) {
        unsigned tries = 0;
        while (test_unit_ready(session, lun))
            if (++tries == UNIT_ATTENTIONS)
                fail("session %u: LUN %u is not ready", number, lun);
    }
    return session;
}

void session_close(struct session *session)
{
    close(session->fd);
    free(session->in);
    free(session->building);
    free(session->sending);
    free(session);
}

/* Out */

static void put(struct batch *batch, const void *data, size_t n)
{
    struct iovec *last = batch->iov_used ? &batch->iov[batch->iov_used - 1] : NULL;

    batch->bytes += n;
    if (last && (const uint8_t *)last->iov_base + last->iov_len == data)
        last->iov_len += n;
    else
        batch->iov[batch->iov_used++] = (struct iovec){(void *)(uintptr_t)data, n};
}

static uint8_t *put_head(struct batch *batch, const void *data, size_t n)
{
    uint8_t *to = batch->heads + batch->heads_used;

    memcpy(to, data, n);
    batch->heads_used += n;
    put(batch, to, n);
    return to;
}

static void put_pdu(struct session *session, uint8_t *bhs, uint32_t offset, uint32_t length)
{
    struct batch *batch = session->building;
    uint8_t digest[ISCSI_DIGEST_LENGTH];
    uint32_t crc = session->load->data_crc;

    put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, length);
    put_be32(bhs + BHS_EXP_STAT_SN, session->exp_stat_sn);
    put_head(batch, bhs, ISCSI_BHS_LENGTH);
    if (session->header_digest) {
        put_le32(digest, pdu_crc_finish(pdu_crc_feed(PDU_CRC_START, bhs, ISCSI_BHS_LENGTH)));
        put_head(batch, digest, sizeof digest);
    }
    if (!length)
        return;
    put(batch, session->load->data + offset, length);
    if (session->data_digest) {
        if (offset || length != session->load->block)
            crc = pdu_crc_feed(PDU_CRC_START, session->load->data + offset, length);
        put_le32(digest, pdu_crc_finish(crc));
        put_head(batch, digest, sizeof digest);
    }
}

static bool has_room(const struct batch *batch)
{
    return batch->iov_used + 8 <= LOAD_IOV && batch->heads_used + 256 <= LOAD_HEADS;
}

static uint64_t next_random(struct session *session)
{
    session->random ^= session->random << 13;
    session->random ^= session->random >> 7;
    session->random ^= session->random << 17;
    return session->random;
}

static uint64_t next_offset(struct session *session)
{
    const struct load *load = session->load;
    uint64_t at;

    if (!load->sequential)
        return next_random(session) % (load->size / load->block) * load->block;
    at = session->position;
    session->position += load->block;
    if (session->position + load->block > load->size)
        session->position = 0;
    return at;
}

static void issue(struct session *session)
{
    struct load *load = session->load;
    uint16_t number = session->idle[--session->idle_count];
    struct tag *tag = &session->tags[number];
    uint8_t bhs[ISCSI_BHS_LENGTH] = {0};
    uint32_t immediate = 0;

    tag->began_ns = load->now_ns;
    tag->write = load->read_percent < 100 &&
                 (!load->read_percent || next_random(session) % 100 >= load->read_percent);
    bhs[BHS_OPCODE] = ISCSI_SCSI_COMMAND;
    bhs[BHS_FLAGS] = BHS_FLAG_FINAL | (tag->write ? COMMAND_WRITE : COMMAND_READ) | 1; /* SIMPLE */
    tag->lun = (uint16_t)load->first_lun;
    if (load->luns > 1)
        tag->lun += (uint16_t)(next_random(session) % load->luns);
    put_lun(bhs, tag->lun);
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, number);
    put_be32(bhs + COMMAND_EXPECTED_LENGTH, load->block);
    put_be32(bhs + BHS_CMD_SN, session->cmd_sn++);
    bhs[COMMAND_CDB] = tag->write ? WRITE_10 : READ_10;
    bhs[COMMAND_CDB + 1] = tag->write && load->fua ? FUA : 0;
    put_be32(bhs + COMMAND_CDB + 2, (uint32_t)(next_offset(session) / LOAD_SECTOR));
    put_be16(bhs + COMMAND_CDB + 7, (uint16_t)(load->block / LOAD_SECTOR));
    if (tag->write && session->immediate) {
        immediate = load->block;
        if (immediate > session->first_burst)
            immediate = session->first_burst;
        if (immediate > session->max_send)
            immediate = session->max_send;
    }
    if (load->echo)
        session->fifo[session->fifo_tail++ % LOAD_DEPTH_MAX] = number;
    load->outstanding++;
    /* The rest comes by R2T: an unsolicited burst of several PDUs is not made here. */
    put_pdu(session, bhs, 0, immediate);
}

/* One Data-Out PDU. */
static void answer_r2t(struct session *session)
{
    struct burst *burst = &session->bursts[session->burst_head % (LOAD_DEPTH_MAX * 2)];
    uint32_t n = burst->left < session->max_send ? burst->left : session->max_send;
    uint8_t bhs[ISCSI_BHS_LENGTH] = {0};

    bhs[BHS_OPCODE] = ISCSI_SCSI_DATA_OUT;
    bhs[BHS_FLAGS] = n == burst->left ? BHS_FLAG_FINAL : 0;
    put_lun(bhs, session->tags[burst->itt].lun);
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, burst->itt);
    put_be32(bhs + BHS_TARGET_TRANSFER_TAG, burst->ttt);
    put_be32(bhs + DATA_DATA_SN, burst->data_sn++);
    put_be32(bhs + DATA_BUFFER_OFFSET, burst->offset);
    put_pdu(session, bhs, burst->offset, n);
    burst->offset += n;
    burst->left -= n;
    if (!burst->left)
        session->burst_head++;
}

static void send_batch(struct session *session, int flags)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&session->load->ring);
    struct batch *batch = session->sending;

    if (!sqe)
        fail("the ring is full");
    batch->message = (struct msghdr){.msg_iov = batch->iov, .msg_iovlen = batch->iov_used};
    io_uring_prep_sendmsg(sqe, session->fd, &batch->message, (unsigned)flags | MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, (uintptr_t)session | OUT);
    session->busy = true;
    if (flags & MSG_DONTWAIT)
        session->load->expected++;
}

static void sent(struct session *session, int32_t res)
{
    struct batch *batch = session->sending;
    size_t n = res == -EAGAIN ? 0 : (size_t)res;
    unsigned at = 0;

    if (res < 0 && res != -EAGAIN)
        fail("session %u: send: %s", session->number, strerror(-res));
    session->busy = false;
    batch->bytes -= n;
    if (batch->bytes) {
        while (n >= batch->iov[at].iov_len)
            n -= batch->iov[at++].iov_len;
        batch->iov[at].iov_base = (uint8_t *)batch->iov[at].iov_base + n;
        batch->iov[at].iov_len -= n;
        memmove(batch->iov, batch->iov + at, (batch->iov_used -= at) * sizeof *batch->iov);
        send_batch(session, MSG_WAITALL);
        return;
    }
    batch->iov_used = 0;
    batch->heads_used = 0;
}

/* In */

static void finish_tag(struct session *session, uint32_t number)
{
    struct load *load = session->load;

    if (load->echo)
        number = session->fifo[session->fifo_head++ % LOAD_DEPTH_MAX];
    if (number >= load->depth)
        fail("session %u: an answer to a tag that was never used", session->number);
    histogram_add(&load->latency, load->now_ns - session->tags[number].began_ns);
    load->done++;
    load->outstanding--;
    session->idle[session->idle_count++] = (uint16_t)number;
}

static void answer_ping(struct session *session)
{
    uint8_t bhs[ISCSI_BHS_LENGTH] = {0};

    bhs[BHS_OPCODE] = ISCSI_NOP_OUT | BHS_OPCODE_IMMEDIATE;
    bhs[BHS_FLAGS] = BHS_FLAG_FINAL;
    memcpy(bhs + BHS_LUN, session->bhs + BHS_LUN, 8);
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, ISCSI_RESERVED_TAG);
    memcpy(bhs + BHS_TARGET_TRANSFER_TAG, session->bhs + BHS_TARGET_TRANSFER_TAG, 4);
    put_be32(bhs + BHS_CMD_SN, session->cmd_sn);
    put_pdu(session, bhs, 0, 0);
}

static void take_window(struct session *session)
{
    uint32_t max = get_be32(session->bhs + BHS_MAX_CMD_SN);

    if (!session->load->echo && (int32_t)(max - session->max_cmd_sn) > 0)
        session->max_cmd_sn = max;
}

static void pdu_complete(struct session *session)
{
    const uint8_t *bhs = session->bhs;
    uint32_t itt = get_be32(bhs + BHS_INITIATOR_TASK_TAG);

    session->state = HEADER;
    take_window(session);
    switch (pdu_opcode(bhs)) {
    case ISCSI_SCSI_DATA_IN:
        if (!(bhs[BHS_FLAGS] & DATA_STATUS))
            return;
        break;
    case ISCSI_SCSI_RESPONSE:
        break;
    case ISCSI_R2T:
        if (itt >= session->load->depth)
            fail("session %u: R2T for a tag that was never used", session->number);
        session->bursts[session->burst_tail++ % (LOAD_DEPTH_MAX * 2)] = (struct burst){
            .itt = itt,
            .ttt = get_be32(bhs + BHS_TARGET_TRANSFER_TAG),
            .offset = get_be32(bhs + R2T_BUFFER_OFFSET),
            .left = get_be32(bhs + R2T_DESIRED_LENGTH),
        };
        return;
    case ISCSI_NOP_IN:
        if (get_be32(bhs + BHS_TARGET_TRANSFER_TAG) != ISCSI_RESERVED_TAG)
            answer_ping(session);
        return;
    default:
        fail("session %u: unexpected PDU %02xh", session->number, pdu_opcode(bhs));
    }
    if (bhs[BHS_STATUS] || (pdu_opcode(bhs) == ISCSI_SCSI_RESPONSE && bhs[BHS_RESPONSE]))
        fail("session %u: a command ended with response %02xh status %02xh", session->number,
             bhs[BHS_RESPONSE], bhs[BHS_STATUS]);
    session->exp_stat_sn = get_be32(bhs + BHS_STAT_SN) + 1;
    finish_tag(session, itt);
}

static bool digest_right(uint32_t crc, const uint8_t *digest)
{
    return pdu_crc_finish(crc) == get_le32(digest);
}

static bool step(struct session *session)
{
    const uint8_t *at = session->in + session->start;
    size_t have = session->end - session->start;
    size_t need = ISCSI_BHS_LENGTH + (session->header_digest ? ISCSI_DIGEST_LENGTH : 0);

    switch (session->state) {
    case HEADER:
        if (have < need)
            return false;
        memcpy(session->bhs, at, ISCSI_BHS_LENGTH);
        if (session->header_digest &&
            !digest_right(pdu_crc_feed(PDU_CRC_START, at, ISCSI_BHS_LENGTH), at + ISCSI_BHS_LENGTH))
            fail("session %u: header digest error", session->number);
        session->start += need;
        session->left = pdu_data_length(session->bhs);
        session->left += pdu_padding(session->left);
        session->crc = PDU_CRC_START;
        if (session->left)
            session->state = DATA;
        else
            pdu_complete(session);
        return true;
    case DATA:
        if (have > session->left)
            have = session->left;
        if (session->data_digest)
            session->crc = pdu_crc_feed(session->crc, at, have);
        session->start += have;
        session->left -= (uint32_t)have;
        if (session->left)
            return false;
        if (session->data_digest)
            session->state = TAIL;
        else
            pdu_complete(session);
        return true;
    default:
        if (have < ISCSI_DIGEST_LENGTH)
            return false;
        if (!digest_right(session->crc, at))
            fail("session %u: data digest error", session->number);
        session->start += ISCSI_DIGEST_LENGTH;
        pdu_complete(session);
        return true;
    }
}

static void received(struct session *session, int32_t res, uint32_t flags)
{
    session->receiving = false;
    session->more = flags & IORING_CQE_F_SOCK_NONEMPTY;
    if (res == -EAGAIN || res == -EINTR)
        return;
    if (res <= 0)
        fail("session %u: %s", session->number, res ? strerror(-res) : "closed by the target");
    if (session->skipping) {
        session->skipping = false;
        session->left -= (uint32_t)res;
        if (!session->left)
            pdu_complete(session);
    } else {
        session->end += (size_t)res;
    }
    while (step(session))
        ;
}

/* recv with MSG_TRUNC takes the bytes from the stream without copying them. */
static void receive(struct session *session)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&session->load->ring);

    if (!sqe)
        fail("the ring is full");
    if (session->start)
        memmove(session->in, session->in + session->start, session->end - session->start);
    session->end -= session->start;
    session->start = 0;
    session->skipping = session->state == DATA && !session->data_digest && !session->end &&
                        session->left >= LOAD_SKIP;
    if (session->skipping)
        io_uring_prep_recv(sqe, session->fd, session->in, session->left, MSG_TRUNC);
    else
        io_uring_prep_recv(sqe, session->fd, session->in + session->end, LOAD_IN - session->end, 0);
    if (!session->more)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    io_uring_sqe_set_data64(sqe, (uintptr_t)session | IN);
    session->receiving = true;
}

void session_event(struct load *load, const struct io_uring_cqe *cqe)
{
    struct session *session = (struct session *)(uintptr_t)(cqe->user_data & ~1ull);

    if (cqe->user_data & OUT)
        sent(session, cqe->res);
    else
        received(session, cqe->res, cqe->flags);
    list(session);
}

void session_flush(struct session *session)
{
    struct batch *batch = session->building;

    if (!session->busy) {
        while (session->burst_head != session->burst_tail && has_room(batch))
            answer_r2t(session);
        while (!session->load->stopping && session->idle_count && has_room(batch) &&
               (int32_t)(session->max_cmd_sn - session->cmd_sn) >= 0)
            issue(session);
        if (batch->iov_used) {
            session->building = session->sending;
            session->sending = batch;
            send_batch(session, MSG_DONTWAIT);
        }
    }
    if (!session->receiving)
        receive(session);
}

void session_start(struct session *session)
{
    for (unsigned i = session->load->depth; i; i--)
        session->idle[session->idle_count++] = (uint16_t)(i - 1);
    session->more = false;
    list(session);
}
