#include "iscsi_rig.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <qb/qblog.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "target/base/container.h"
#include "target/command/identity.h"
#include "target/iscsi/pdu.h"
#include "target/nexus/nexus.h"
#include "target/nexus/tmf.h"

struct rig rig;

static pthread_t threads_of[RIG_REACTORS];
static struct answer login_answer;
static sem_t stopped;

/* ---- the configuration ---- */

const struct config_host *config_host_for(const struct config *config, const char *initiator)
{
    for (unsigned i = 0; i < config->host_count; i++)
        if (!strcmp(config->hosts[i].initiators[0], initiator))
            return &config->hosts[i];
    return NULL;
}

void identity_from_iscsi(struct nexus_identity *identity, const char *initiator_name,
                         const uint8_t isid[6], uint16_t rtpi)
{
    memset(identity, 0, sizeof *identity);
    identity->rtpi = rtpi;
    identity->transport_length = 12;
    memcpy(identity->transport_id, isid, 6);
}

/* ---- nexuses: one list for all reactors, under a lock, as the control thread would keep it ----
 */

static struct {
    pthread_mutex_t lock;
    struct entry {
        struct nexus *nexus;
        void (*ready)(struct nexus *nexus);
        void (*gone)(struct nexus *nexus);
        struct post ready_post, drop_post, gone_post;
        bool used, removed;
        struct entry *waits; /* the old session this one replaces */
    } entries[64];
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void run_ready(struct post *post)
{
    struct entry *entry = container_of(post, struct entry, ready_post);

    if (!entry->removed)
        entry->ready(entry->nexus);
}

static void run_drop(struct post *post)
{
    struct entry *entry = container_of(post, struct entry, drop_post);

    if (entry->used && !entry->removed)
        entry->nexus->transport->drop(entry->nexus, "reinstated");
}

static void run_gone(struct post *post)
{
    struct entry *entry = container_of(post, struct entry, gone_post);
    void (*gone)(struct nexus * nexus) = entry->gone;
    struct nexus *nexus = entry->nexus;

    pthread_mutex_lock(&registry.lock);
    for (unsigned i = 0; i < 64; i++) {
        struct entry *other = &registry.entries[i];
        if (other->used && other->waits == entry) {
            other->waits = NULL;
            reactor_post(other->nexus->reactor, &other->ready_post);
        }
    }
    entry->used = false;
    pthread_mutex_unlock(&registry.lock);
    atomic_fetch_sub(&rig.nexuses, 1);
    gone(nexus);
}

int nexus_add(struct nexus *nexus, void (*ready)(struct nexus *nexus))
{
    struct entry *entry = NULL, *old = NULL;

    pthread_mutex_lock(&registry.lock);
    for (unsigned i = 0; i < 64; i++) {
        struct entry *other = &registry.entries[i];
        if (!other->used) {
            entry = entry ? entry : other;
        } else if (!memcmp(other->nexus->isid, nexus->isid, 6) &&
                   !strcmp(other->nexus->initiator_name, nexus->initiator_name)) {
            old = other;
        }
    }
    assert(entry);
    *entry = (struct entry){.nexus = nexus, .ready = ready, .used = true, .waits = old};
    entry->ready_post.run = run_ready;
    entry->drop_post.run = run_drop;
    entry->gone_post.run = run_gone;
    qb_list_init(&nexus->tasks);
    nexus->lus = (struct nexus_lu *)entry;
    atomic_fetch_add(&rig.nexuses, 1);
    if (old) {
        atomic_fetch_add(&rig.drops, 1);
        reactor_post(old->nexus->reactor, &old->drop_post);
    } else {
        reactor_post(nexus->reactor, &entry->ready_post);
    }
    pthread_mutex_unlock(&registry.lock);
    return 0;
}

void nexus_remove(struct nexus *nexus, void (*gone)(struct nexus *nexus))
{
    struct entry *entry = (struct entry *)nexus->lus;

    assert(qb_list_empty(&nexus->tasks));
    entry->removed = true;
    entry->gone = gone;
    reactor_post(nexus->reactor, &entry->gone_post);
}

/* ---- the command layer ---- */

static void finish(struct task *task, uint8_t status)
{
    task->status = status;
    if (status)
        task->data_in_length = 0;
    if (status == 2) {
        memset(task->sense, 0, 18);
        task->sense[0] = 0x70;
        task->sense[2] = 5;
        task->sense[7] = 10;
        task->sense[12] = 0x20;
        task->sense_length = 18;
    }
    task->state = TASK_DONE;
    qb_list_del(&task->nexus_link);
    atomic_fetch_sub(&rig.tasks, 1);
    task->transport->complete(task);
}

static int data_in(struct task *task, uint32_t length)
{
    if (payload_alloc(task->reactor->payloads, &task->data_in, length))
        return -1;
    payload_zero(&task->data_in, 0, length);
    task->data_in_length = length;
    task->data_wanted = length;
    return 0;
}

static void answer(struct task *task, const void *data, uint32_t length)
{
    if (data_in(task, length)) {
        finish(task, 0x28);
        return;
    }
    payload_write(&task->data_in, 0, data, length);
    finish(task, 0);
}

static void read_disk(struct task *task, uint64_t lba, uint32_t blocks)
{
    if (data_in(task, blocks * RIG_BLOCK)) {
        finish(task, 0x28);
        return;
    }
    payload_write(&task->data_in, 0, rig.disk + lba * RIG_BLOCK, blocks * RIG_BLOCK);
    finish(task, 0);
}

static void ask(struct task *task)
{
    uint32_t wanted = (uint32_t)task->blocks * RIG_BLOCK;
    uint32_t length = wanted < task->expected_out ? wanted : task->expected_out;

    task->data_wanted = wanted;
    if (payload_alloc(task->reactor->payloads, &task->data_out, length)) {
        finish(task, 0x28);
        return;
    }
    task->state = TASK_DATA_OUT;
    task->transport->receive_data(task, length);
}

static void late(struct post *post)
{
    struct task *task = container_of(post, struct task, post);

    if (task->aborted)
        finish(task, 0x40);
    else
        ask(task);
}

void task_execute(struct task *task)
{
    const uint8_t *cdb = task->cdb;
    static const uint8_t inquiry[36] = {0, 0, 5, 2, 31, 0, 0, 2, 'R', 'I', 'G', ' '};
    uint8_t capacity[8];

    assert(task->state == TASK_NEW);
    atomic_fetch_add(&rig.tasks, 1);
    atomic_fetch_add(&rig.executed, 1);
    qb_list_add_tail(&task->nexus_link, &task->nexus->tasks);
    task->lba = get_be32(cdb + 2);
    task->blocks = get_be16(cdb + 7);
    if ((cdb[0] == 0x28 || cdb[0] == 0x2a || cdb[0] == RIG_WRITE_LATE) &&
        task->lba + task->blocks > RIG_BLOCKS) {
        finish(task, 2);
        return;
    }
    switch (cdb[0]) {
    case 0x00:
        finish(task, 0);
        break;
    case 0x12:
        answer(task, inquiry, cdb[4] < sizeof inquiry ? cdb[4] : sizeof inquiry);
        break;
    case 0x25:
        put_be32(capacity, RIG_BLOCKS - 1);
        put_be32(capacity + 4, RIG_BLOCK);
        answer(task, capacity, sizeof capacity);
        break;
    case 0x28:
        read_disk(task, task->lba, (uint32_t)task->blocks);
        break;
    case 0x2a:
        ask(task);
        break;
    case RIG_NEVER:
        task->state = TASK_HELD;
        break;
    case RIG_WRITE_LATE:
        task->state = TASK_RUNNING;
        task->post.run = late;
        reactor_post(task->reactor, &task->post);
        break;
    case RIG_MORE:
        if (data_in(task, get_be32(cdb + 2))) {
            finish(task, 0x28);
            break;
        }
        task->data_wanted = get_be32(cdb + 6);
        finish(task, 0);
        break;
    default:
        finish(task, 2);
        break;
    }
}

void task_data_ready(struct task *task)
{
    assert(task->state == TASK_DATA_OUT);
    task->state = TASK_RUNNING;
    payload_read(&task->data_out, 0, rig.disk + task->lba * RIG_BLOCK, task->data_out.length);
    finish(task, 0);
}

void task_abort(struct task *task, bool silent)
{
    if (task->state == TASK_DONE)
        return;
    task->aborted = true;
    task->silent |= silent;
    if (task->state == TASK_DATA_OUT || task->state == TASK_HELD)
        finish(task, 0x40);
}

void tmf_execute(struct tmf *tmf)
{
    struct qb_list_head *at, *next;
    bool any = tmf->function != TMF_ABORT_TASK;

    qb_list_for_each_safe(at, next, &tmf->nexus->tasks)
    {
        struct task *task = qb_list_entry(at, struct task, nexus_link);
        if (tmf->function == TMF_ABORT_TASK && task->tag != tmf->tag)
            continue;
        any = true;
        task_abort(task, true);
    }
    tmf->done(tmf, any ? TMF_COMPLETE : TMF_NO_TASK);
}

/* ---- running it ---- */

static void *run_reactor(void *argument)
{
    reactor_run(argument);
    return NULL;
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void set_defaults(void)
{
    struct config_target *target = &rig.target;
    struct config_portal *portal = &rig.node.portals[0];
    struct sockaddr_in *address = (struct sockaddr_in *)&portal->address.address;

    memset(&rig, 0, sizeof rig);
    snprintf(target->name, sizeof target->name, "%s", RIG_TARGET);
    target->max_recv_data_segment = 262144;
    target->first_burst = 262144;
    target->max_burst = 1048576;
    target->max_outstanding_r2t = 8;
    target->immediate_data = true;
    target->header_digest = target->data_digest = 1;
    target->queue_depth = 32;
    target->nop_interval_s = 10;
    target->nop_timeout_s = 10;
    target->login_timeout_s = 15;
    rig.node.id = 3;
    rig.node.portal_count = 1;
    rig.port = free_port();
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address->sin_port = htons(rig.port);
    portal->address.length = sizeof *address;
    portal->rtpi = 7;
    snprintf(rig.names[0], sizeof rig.names[0], "%s", RIG_INITIATOR);
    snprintf(rig.names[1], sizeof rig.names[1], "%s", RIG_CHAP_INITIATOR);
    for (unsigned i = 0; i < 2; i++) {
        rig.hosts[i].initiators = &rig.names[i];
        rig.hosts[i].initiator_count = 1;
    }
    snprintf(rig.hosts[1].chap.user, sizeof rig.hosts[1].chap.user, "user");
    snprintf(rig.hosts[1].chap.secret, sizeof rig.hosts[1].chap.secret, "initiatorsecret");
    snprintf(rig.hosts[1].chap_mutual.user, sizeof rig.hosts[1].chap_mutual.user, "array");
    snprintf(rig.hosts[1].chap_mutual.secret, sizeof rig.hosts[1].chap_mutual.secret,
             "targetsecret12");
    rig.config.nodes = &rig.node;
    rig.config.node_count = 1;
    rig.config.targets = target;
    rig.config.target_count = 1;
    rig.config.hosts = rig.hosts;
    rig.config.host_count = 2;
}

void rig_start(void (*change)(struct rig *rig))
{
    char why[256] = "";

    if (getenv("RIG_LOG")) {
        qb_log_init("rig", LOG_USER, LOG_EMERG);
        qb_log_filter_ctl(QB_LOG_STDERR, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_DEBUG);
        qb_log_ctl(QB_LOG_STDERR, QB_LOG_CONF_ENABLED, 1);
    }
    set_defaults();
    if (change)
        change(&rig);
    rig.disk = calloc(RIG_BLOCKS, RIG_BLOCK);
    assert_non_null(rig.disk);
    sem_init(&stopped, 0, 0);
    for (unsigned i = 0; i < RIG_REACTORS; i++) {
        assert_int_equal(reactor_init(&rig.reactors[i], i, 256), 0);
        rig.reactors[i].payloads = payload_pool_new(32 << 20);
        assert_non_null(rig.reactors[i].payloads);
        rig.reactor_list[i] = &rig.reactors[i];
    }
    if (iscsi_server_start(&rig.server, &rig.config, rig.reactor_list, RIG_REACTORS, why))
        fail_msg("%s", why);
    iscsi_server_gate(rig.server, true);
    for (unsigned i = 0; i < RIG_REACTORS; i++)
        pthread_create(&threads_of[i], NULL, run_reactor, &rig.reactors[i]);
}

static void server_stopped(void *context)
{
    iscsi_server_free(rig.server);
    sem_post(&stopped);
}

static void stop_reactor(struct post *post)
{
    reactor_stop(reactor_self());
}

void rig_stop(void)
{
    struct post posts[RIG_REACTORS];

    iscsi_server_stop(rig.server, server_stopped, NULL);
    sem_wait(&stopped);
    for (unsigned i = 0; i < RIG_REACTORS; i++) {
        posts[i].run = stop_reactor;
        reactor_post(&rig.reactors[i], &posts[i]);
        pthread_join(threads_of[i], NULL);
        assert_int_equal(payload_pool_free_permille(rig.reactors[i].payloads), 1000);
        payload_pool_free(rig.reactors[i].payloads);
        reactor_done(&rig.reactors[i]);
    }
    assert_int_equal(atomic_load(&rig.nexuses), 0);
    assert_int_equal(atomic_load(&rig.tasks), 0);
    free(rig.disk);
}

/* ---- the client ---- */

void client_connect(struct client *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(rig.port)};
    struct timeval limit = {10, 0};

    memset(client, 0, sizeof *client);
    client->cmd_sn = 100;
    client->itt = 1;
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

void client_close(struct client *client)
{
    close(client->fd);
    client->fd = -1;
}

void client_raw(struct client *client, const void *data, size_t length)
{
    const uint8_t *p = data;

    while (length) {
        ssize_t n = send(client->fd, p, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* the target may have closed: the test sees that when it receives */
        p += n;
        length -= (size_t)n;
    }
}

static uint32_t digest_of(const void *data, size_t length, const void *more, size_t more_length)
{
    uint32_t crc = pdu_crc_feed(PDU_CRC_START, data, length);
    return pdu_crc_finish(pdu_crc_feed(crc, more, more_length));
}

void client_send(struct client *client, uint8_t *bhs, const void *data, uint32_t length)
{
    static const uint8_t zeros[4];
    uint8_t digest[4], buffer[ISCSI_BHS_LENGTH + 4];
    size_t head = ISCSI_BHS_LENGTH;

    put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, length);
    memcpy(buffer, bhs, ISCSI_BHS_LENGTH);
    if (client->header_digest) {
        put_le32(buffer + head, digest_of(bhs, ISCSI_BHS_LENGTH, NULL, 0));
        head += 4;
    }
    client_raw(client, buffer, head);
    if (!length)
        return;
    client_raw(client, data, length);
    client_raw(client, zeros, pdu_padding(length));
    if (client->data_digest) {
        put_le32(digest, digest_of(data, length, zeros, pdu_padding(length)));
        client_raw(client, digest, sizeof digest);
    }
}

static bool receive_bytes(struct client *client, void *to, size_t n)
{
    uint8_t *p = to;

    while (n) {
        ssize_t got = recv(client->fd, p, n, 0);
        if (got < 0 && errno == EINTR) /* rings of earlier cases are still being taken down */
            continue;
        if (got < 0 && errno == EAGAIN)
            fail_msg("the target says nothing");
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

bool client_receive(struct client *client, struct answer *answer)
{
    uint8_t digest[4];
    uint32_t whole;

    if (!receive_bytes(client, answer->bhs, ISCSI_BHS_LENGTH))
        return false;
    if (client->header_digest) {
        assert_true(receive_bytes(client, digest, 4));
        assert_int_equal(get_le32(digest), digest_of(answer->bhs, ISCSI_BHS_LENGTH, NULL, 0));
    }
    assert_int_equal(pdu_ahs_length(answer->bhs), 0);
    answer->length = pdu_data_length(answer->bhs);
    whole = answer->length + pdu_padding(answer->length);
    assert_true(whole <= sizeof answer->data);
    if (!receive_bytes(client, answer->data, whole))
        return false;
    if (client->data_digest && whole) {
        assert_true(receive_bytes(client, digest, 4));
        assert_int_equal(get_le32(digest), digest_of(answer->data, whole, NULL, 0));
    }
    return true;
}

void client_expect(struct client *client, struct answer *answer, uint8_t opcode)
{
    if (!client_receive(client, answer))
        fail_msg("closed instead of opcode %02x", opcode);
    assert_int_equal(answer->bhs[0], opcode);
}

void client_expect_end(struct client *client)
{
    static struct answer answer;

    while (client_receive(client, &answer))
        ;
}

uint16_t client_login_pdu(struct client *client, uint8_t flags, const char *text, size_t length,
                          struct answer *answer)
{
    uint8_t bhs[ISCSI_BHS_LENGTH];

    pdu_init(bhs, ISCSI_LOGIN_REQUEST | BHS_OPCODE_IMMEDIATE, flags);
    bhs[LOGIN_ISID] = 0x80;
    bhs[LOGIN_ISID + 5] = (uint8_t)client->itt;
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, 0x1234);
    put_be32(bhs + BHS_CMD_SN, client->cmd_sn);
    put_be32(bhs + BHS_EXP_STAT_SN, client->exp_stat_sn);
    client_send(client, bhs, text, (uint32_t)length);
    client_expect(client, answer, ISCSI_LOGIN_RESPONSE);
    client->exp_stat_sn = get_be32(answer->bhs + BHS_STAT_SN) + 1;
    return get_be16(answer->bhs + LOGIN_STATUS_CLASS);
}

void client_login(struct client *client, uint8_t isid, const char *keys)
{
    struct answer *answer = &login_answer;
    char text[2048];
    int n = snprintf(text, sizeof text, "InitiatorName=%s%cTargetName=%s%cSessionType=Normal",
                     RIG_INITIATOR, 0, RIG_TARGET, 0) +
            1;

    client_connect(client);
    client->itt = isid;
    for (; *keys; keys += strlen(keys) + 1) {
        memcpy(text + n, keys, strlen(keys) + 1);
        n += (int)strlen(keys) + 1;
    }
    /* T, operational -> full feature */
    assert_int_equal(client_login_pdu(client, 0x87, text, (size_t)n, answer), 0);
    assert_int_equal(answer->bhs[BHS_FLAGS] & 0x83, 0x83);
    for (uint32_t at = 0; at < answer->length;
         at += (uint32_t)strlen((char *)answer->data + at) + 1) {
        client->header_digest |= !strcmp((char *)answer->data + at, "HeaderDigest=CRC32C");
        client->data_digest |= !strcmp((char *)answer->data + at, "DataDigest=CRC32C");
    }
    client->itt = 1;
}

uint32_t client_command(struct client *client, uint8_t *bhs, uint8_t flags, uint32_t expected,
                        const uint8_t *cdb, unsigned cdb_length)
{
    pdu_init(bhs, ISCSI_SCSI_COMMAND, flags | 1);
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, client->itt);
    put_be32(bhs + COMMAND_EXPECTED_LENGTH, expected);
    put_be32(bhs + BHS_CMD_SN, client->cmd_sn++);
    put_be32(bhs + BHS_EXP_STAT_SN, client->exp_stat_sn);
    memcpy(bhs + COMMAND_CDB, cdb, cdb_length < 16 ? cdb_length : 16);
    return client->itt++;
}

void rig_cdb10(uint8_t cdb[16], uint8_t opcode, uint32_t lba, uint16_t blocks)
{
    memset(cdb, 0, 16);
    cdb[0] = opcode;
    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, blocks);
}
