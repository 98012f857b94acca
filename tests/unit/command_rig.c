#include "command_rig.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"
#include "target/transport/peer.h"

struct rig *rig;

struct lu *device_lus[LIMIT_LUS];
unsigned device_lu_count;

/* ---- doubles ---- */

bool lane_admit(struct task *task, bool media)
{
    assert_true(media);
    if (rig->hold) {
        task->state = TASK_HELD;
        qb_list_add_tail(&task->lane_link, &rig->group.held);
        return false;
    }
    rig->admitted++;
    task->state = TASK_RUNNING;
    qb_list_add_tail(&task->lane_link, &task->lane->running);
    return true;
}

bool lane_wait_lease(struct task *task)
{
    return false; /* was held as long as may be; test_execute_lane has the real one */
}

bool lane_wait_settled(struct task *task)
{
    return false; /* test_execute_lane has the real one */
}

bool lane_wait_ready(struct task *task)
{
    if (!rig->hold || task->lane->group->state != ALUA_TRANSITIONING)
        return false;
    task->state = TASK_HELD;
    qb_list_add_tail(&task->lane_link, &rig->group.held);
    return true;
}

void lane_leave(struct task *task)
{
    assert_int_equal(task->state, TASK_RUNNING);
    rig->left++;
    qb_list_del(&task->lane_link);
    qb_list_init(&task->lane_link);
}

void lane_retry(struct task *task)
{
    lane_leave(task);
    task->state = TASK_HELD;
    qb_list_add_tail(&task->lane_link, &rig->group.held);
}

void lane_unhold(struct task *task)
{
    assert_int_equal(task->state, TASK_HELD);
    rig->unheld++;
    qb_list_del(&task->lane_link);
    qb_list_init(&task->lane_link);
    task->state = TASK_NEW;
}

bool lane_lease_valid(const struct reactor *reactor)
{
    assert_ptr_equal(reactor, &rig->reactor);
    return rig->lease;
}

void peer_forward(struct task *task, unsigned owner)
{
    assert_int_equal(owner, rig->group.owner);
    assert_int_equal(task->state, TASK_RUNNING);
    rig->forwarded++;
    task->forward_slot = 1;
}

void peer_abort(struct task *task)
{
    rig->peer_aborted++;
}

static void refresh_lanes(void)
{
    for (unsigned i = 0; i < RIG_LUS; i++) {
        const struct shared_lu *shared = &rig->state->lus[i];
        struct lane *lane = &device_lus[i]->lanes[0];

        lane->pr_type = shared->pr_type;
        lane->legacy_reserved = shared->legacy_reserved;
        lane->legacy_holder = shared->legacy_holder;
        lane->mode = shared->mode;
        for (unsigned j = 0; j < RIG_NEXUSES; j++)
            shared_lookup(shared, &rig->nexuses[j].identity, &rig->nexuses[j].lus[i].registered,
                          &rig->nexuses[j].lus[i].holder);
    }
}

static void carry_out(void)
{
    for (unsigned i = 0; i < rig->effects->count; i++) {
        const struct shared_effect *effect = &rig->effects->effects[i];
        if (effect->kind != SHARED_EFFECT_UA || effect->lu == SHARED_NO_LU)
            continue;
        for (unsigned j = 0; j < RIG_NEXUSES; j++) {
            if (shared_effect_selects(rig->effects, effect, &rig->nexuses[j].identity))
                ua_establish(&rig->nexuses[j].lus[effect->lu].unit_attentions, effect->ua);
        }
    }
    refresh_lanes();
}

void rig_commit(void)
{
    struct task *task = rig->committing;

    assert_non_null(task);
    rig->committing = NULL;
    shared_apply(rig->state, &rig->op, rig->effects);
    if (rig->effects->reason == REASON_GOOD)
        carry_out();
    if (rig->effects->reason == REASON_INVALID_FIELD_IN_PARAMETERS &&
        rig->effects->field_pointer != 0xff)
        field_in_parameters(task, rig->effects->field_pointer, -1);
    task_complete(task, rig->effects->reason);
}

static const uint16_t ports[RIG_NODES] = {1, 2};

static void commit_posted(struct post *post)
{
    if (!rig->keep_commits)
        rig_commit();
}

void task_commit(struct task *task, const struct shared_op *op, const void *bytes, uint32_t length)
{
    assert_null(rig->committing);
    assert_true(op->node >= 1);
    assert_true(identity_valid(&op->nexus));
    rig->commits++;
    rig->committing = task;
    rig->op = *op;
    if (length) {
        assert_ptr_equal(op->transport_ids, bytes);
        assert_int_equal(op->transport_ids_length, length);
        memcpy(rig->op_bytes, bytes, length);
        rig->op.transport_ids = rig->op_bytes;
    }
    rig->op.ports = ports;
    rig->op.port_count = RIG_NODES;
    task->post.run = commit_posted;
    reactor_post(task->reactor, &task->post);
}

static void (*filler)(struct task *task, const struct shared_state *state,
                      const struct config *config);

static void read_posted(struct post *post)
{
    struct task *task = container_of(post, struct task, post);

    filler(task, rig->state, &rig->config);
    task_complete(task, REASON_GOOD);
}

void task_read_state(struct task *task,
                     void (*fill)(struct task *task, const struct shared_state *state,
                                  const struct config *config))
{
    assert_true(task->data_in.count > 0);
    filler = fill;
    task->post.run = read_posted;
    reactor_post(task->reactor, &task->post);
}

/* Media rows that only count. */

static enum scsi_reason media(struct task *task)
{
    rig->media_runs++;
    rig->media_blocks = task->blocks;
    if (rig->keep_media)
        return REASON_PENDING;
    return task->command->data == DATA_IN ? task_data_in(task, task->data_wanted) : REASON_GOOD;
}

static enum scsi_reason one_block(struct task *task, uint64_t *length)
{
    *length = task->lu->block_size;
    return REASON_GOOD;
}

static enum scsi_reason two_blocks(struct task *task, uint64_t *length)
{
    *length = 2ull * task->lu->block_size;
    return REASON_GOOD;
}

static const struct scsi_command disk_rows[] = {
    {
        .name = "READ(10)",
        .opcode = 0x28,
        .service_action = COMMAND_NO_ACTION,
        .length = 10,
        .usage = {0x28, 0x1a, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff},
        .data = DATA_IN,
        .flags = COMMAND_MEDIA | COMMAND_BLOCKS,
        .access = PR_READ,
        .lba = {2, 4},
        .count = {7, 2},
        .run = media,
    },
    {
        .name = "WRITE(10)",
        .opcode = 0x2a,
        .service_action = COMMAND_NO_ACTION,
        .length = 10,
        .usage = {0x2a, 0x1a, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff},
        .data = DATA_OUT,
        .flags = COMMAND_MEDIA | COMMAND_WRITES | COMMAND_BLOCKS,
        .access = PR_WRITE,
        .lba = {2, 4},
        .count = {7, 2},
        .run = media,
    },
    {
        .name = "WRITE SAME(10)",
        .opcode = 0x41,
        .service_action = COMMAND_NO_ACTION,
        .length = 10,
        .usage = {0x41, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff},
        .data = DATA_OUT,
        .flags = COMMAND_MEDIA | COMMAND_WRITES | COMMAND_BLOCKS,
        .access = PR_WRITE,
        .lba = {2, 4},
        .count = {7, 2},
        .run = media,
        .decode = one_block,
    },
    {
        .name = "COMPARE AND WRITE",
        .opcode = 0x89,
        .service_action = COMMAND_NO_ACTION,
        .length = 16,
        .usage = {0x89, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff},
        .data = DATA_OUT,
        .flags = COMMAND_MEDIA | COMMAND_WRITES | COMMAND_BLOCKS,
        .access = PR_WRITE,
        .lba = {2, 8},
        .count = {13, 1},
        .run = media,
        .decode = two_blocks,
    },
};

const struct command_table disk_commands = {disk_rows, sizeof disk_rows / sizeof disk_rows[0]};

void tmf_commit(struct tmf *tmf, enum shared_op_kind kind)
{
    rig->tmf_kind = kind;
    tmf->done(tmf, TMF_COMPLETE);
}

bool alua_wish(unsigned group_index, unsigned node)
{
    assert_int_equal(group_index, 0);
    rig->wish_node = node;
    return !rig->wish_refused;
}

/* ---- transport ---- */

static void receive_data(struct task *task, uint32_t length)
{
    struct rig_task *own = container_of(task, struct rig_task, task);

    assert_int_equal(task->state, TASK_DATA_OUT);
    assert_int_equal(task->data_out.length, length);
    assert_true(length <= task->expected_out);
    own->wants_data = true;
}

static void complete(struct task *task)
{
    struct rig_task *own = container_of(task, struct rig_task, task);

    assert_int_equal(task->state, TASK_DONE);
    assert_false(own->completed);
    own->completed = true;
    own->order = ++rig->completed;
    own->in_length = task->data_in_length;
    assert_true(task->data_in_length <= task->data_in.length);
    assert_true(own->in_length <= sizeof own->in);
    if (own->in_length)
        payload_read(&task->data_in, 0, own->in, own->in_length);
    payload_free(rig->reactor.payloads, &task->data_in);
    payload_free(rig->reactor.payloads, &task->data_out);
}

static const struct task_transport transport = {"rig", receive_data, complete};

/* ---- the rig ---- */

static void new_nexus(struct nexus *nexus, const char *name, unsigned node,
                      const struct config_host *host)
{
    static const uint8_t isid[6] = {0x40, 0, 0, 1, 0, 0};

    nexus->reactor = &rig->reactor;
    snprintf(nexus->initiator_name, sizeof nexus->initiator_name, "%s", name);
    snprintf(nexus->target_name, sizeof nexus->target_name, "iqn.2026-11.example:array");
    identity_from_iscsi(&nexus->identity, name, isid, (uint16_t)node);
    nexus->tpgt = (uint16_t)node;
    nexus->lun_map = lun_map_new(host);
    nexus->lus = calloc(LIMIT_LUS, sizeof *nexus->lus);
    qb_list_init(&nexus->tasks);
}

int rig_setup(void **state)
{
    struct config_lun luns[RIG_LUS] = {{.lun = 0, .lu_index = 0}, {.lun = 1, .lu_index = 1}};
    struct config_host host = {.luns = luns, .lun_count = RIG_LUS};

    rig = aligned_alloc(alignof(struct rig), sizeof *rig);
    assert_non_null(rig);
    memset(rig, 0, sizeof *rig);
    assert_int_equal(reactor_init(&rig->reactor, 0, 16), 0);
    rig->reactor.payloads = payload_pool_new(16 << 20);
    rig->lease = true;
    rig->effects = calloc(1, sizeof *rig->effects);
    rig->state = shared_state_new(RIG_LUS, 1);
    rig->group =
        (struct group_lane){.gate = GATE_EXECUTE, .owner = 1, .state = ALUA_ACTIVE_OPTIMIZED};
    qb_list_init(&rig->group.held);
    rig->state->groups[0].owner = 1;
    rig->state->groups[0].states[1] = ALUA_ACTIVE_OPTIMIZED;
    rig->state->groups[0].states[2] = ALUA_ACTIVE_NON_OPTIMIZED;
    rig->state->members = 6;
    for (unsigned i = 0; i < RIG_NODES; i++) {
        rig->nodes[i].id = i + 1;
        rig->portals[i].rtpi = (uint16_t)(i + 1);
        memcpy(rig->nodes[i].portals, &rig->portals[i], sizeof rig->portals[i]);
        rig->nodes[i].portal_count = 1;
    }
    rig->config.nodes = rig->nodes;
    rig->config.node_count = RIG_NODES;
    rig->config.transition_s = 20;
    device_lu_count = RIG_LUS;
    for (unsigned i = 0; i < RIG_LUS; i++) {
        struct lu *lu = device_lus[i] = device_new();
        struct lane *lane = &lu->lanes[0];
        lu->index = i;
        lu->block_size = RIG_BLOCK;
        lu->blocks = RIG_BLOCKS;
        memset(lu->config.uuid, 0x11 * (i + 1), 16);
        memcpy(rig->state->lus[i].uuid, lu->config.uuid, 16);
        lu->config.thin = true;
        lu->config.physical_block = 4096;
        strcpy(lu->config.vendor, "HALUN");
        strcpy(lu->config.product, "VDISK");
        strcpy(lu->config.revision, "0.1");
        memset(lu->naa, 0x60 + i, sizeof lu->naa);
        strcpy(lu->serial, "11111111-1111-1111-1111-111111111111");
        lane->lu = lu;
        lane->reactor = &rig->reactor;
        lane->group = &rig->group;
        qb_list_init(&lane->running);
    }
    new_nexus(&rig->nexuses[0], "iqn.2026-11.example:a", 1, &host);
    new_nexus(&rig->nexuses[2], "iqn.2026-11.example:a", 2, &host);
    luns[1].read_only = true;
    new_nexus(&rig->nexuses[1], "iqn.2026-11.example:b", 1, &host);
    command_index_build();
    return 0;
}

int rig_teardown(void **state)
{
    for (unsigned i = 0; i < RIG_NEXUSES; i++) {
        assert_true(qb_list_empty(&rig->nexuses[i].tasks));
        assert_int_equal(rig->nexuses[i].ordered_tasks, 0);
        assert_int_equal(rig->nexuses[i].order_waiters, 0);
        lun_map_free(rig->nexuses[i].lun_map);
        free(rig->nexuses[i].lus);
    }
    assert_int_equal(rig->admitted, rig->left);
    assert_int_equal(payload_pool_free_permille(rig->reactor.payloads), 1000);
    for (unsigned i = 0; i < RIG_LUS; i++) {
        free(device_lus[i]);
        device_lus[i] = NULL;
    }
    payload_pool_free(rig->reactor.payloads);
    reactor_done(&rig->reactor);
    shared_state_free(rig->state);
    free(rig->effects);
    free(rig);
    return 0;
}

void rig_turn(void)
{
    while (mailbox_run(&rig->reactor.mailbox))
        ;
}

struct rig_task *rig_new(unsigned nexus, unsigned lun, const void *cdb, unsigned length,
                         uint32_t in, uint32_t out)
{
    static uint64_t tag;

    for (unsigned i = 0; i < RIG_TASKS; i++) {
        struct rig_task *own = &rig->tasks[i];
        if (own->used)
            continue;
        memset(own, 0, sizeof *own);
        own->used = true;
        own->task.transport = &transport;
        own->task.nexus = &rig->nexuses[nexus];
        own->task.reactor = &rig->reactor;
        own->task.lun = lun_encode(lun);
        own->task.tag = ++tag;
        own->task.attribute = TASK_SIMPLE;
        memcpy(own->task.cdb, cdb, length);
        own->task.cdb_length = (uint8_t)(length < 16 ? 16 : length);
        own->task.expected_in = in;
        own->task.expected_out = out;
        return own;
    }
    fail_msg("the rig has no more tasks");
    return NULL;
}

void rig_go(struct rig_task *own, const void *data)
{
    task_execute(&own->task);
    if (own->wants_data && data) {
        own->wants_data = false;
        payload_write(&own->task.data_out, 0, data, own->task.data_out.length);
        task_data_ready(&own->task);
    }
    rig_turn();
}

struct rig_task *rig_run(unsigned nexus, unsigned lun, const void *cdb, unsigned length,
                         uint32_t in, const void *out, uint32_t out_length)
{
    struct rig_task *own = rig_new(nexus, lun, cdb, length, in, out_length);

    rig_go(own, out);
    assert_true(own->completed);
    own->used = false; /* may be used again by later tasks, still readable until then */
    return own;
}

void assert_status(const struct rig_task *own, unsigned status)
{
    assert_int_equal(own->task.status, status);
}

void assert_good(const struct rig_task *own)
{
    assert_status(own, 0);
    assert_int_equal(own->task.sense_length, 0);
}

void assert_sense(const struct rig_task *own, unsigned key, unsigned asc, unsigned ascq)
{
    const uint8_t *sense = own->task.sense;

    assert_status(own, 2);
    if ((sense[0] & 0x7f) == 0x70) {
        assert_int_equal(own->task.sense_length, 18);
        assert_int_equal(sense[2], key);
        assert_int_equal(sense[12], asc);
        assert_int_equal(sense[13], ascq);
    } else {
        assert_int_equal(sense[0], 0x72);
        assert_int_equal(own->task.sense_length, 8 + sense[7]);
        assert_int_equal(sense[1], key);
        assert_int_equal(sense[2], asc);
        assert_int_equal(sense[3], ascq);
    }
}

void assert_field(const struct rig_task *own, bool cdb, unsigned byte, int bit)
{
    const uint8_t *p = own->task.sense + 15;

    assert_int_equal(own->task.sense[0] & 0x7f, 0x70);
    assert_int_equal(p[0], 0x80 | (cdb ? 0x40 : 0) | (bit >= 0 ? 0x08 | bit : 0));
    assert_int_equal(get_be16(p + 1), byte);
}
