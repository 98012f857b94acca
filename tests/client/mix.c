#include "tests/client/mix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "target/base/bytes.h"

enum {
    OP_RESERVE6 = 0x16,
    OP_RELEASE6 = 0x17,
    OP_MODE_SELECT10 = 0x55,
    OP_MODE_SENSE10 = 0x5a,
    OP_PR_IN = 0x5e,
    OP_PR_OUT = 0x5f,
    OP_READ16 = 0x88,
    OP_COMPARE_AND_WRITE = 0x89,
    OP_WRITE16 = 0x8a,

    PAGE_CACHING = 0x08,
    PAGE_CONTROL = 0x0a,
    SECTOR = 512,
    MODE_HEADER = 8,

    ACTION_REGISTER = 0,
    ACTION_RESERVE = 1,
    ACTION_RELEASE = 2,
    ACTION_CLEAR = 3,
    ACTION_PREEMPT = 4,
    ACTION_REGISTER_AND_IGNORE = 6,
    ACTION_REGISTER_AND_MOVE = 7,
};

uint64_t mix_random(struct mix *mix)
{
    mix->seed ^= mix->seed << 13;
    mix->seed ^= mix->seed >> 7;
    mix->seed ^= mix->seed << 17;
    return mix->seed * 0x2545f4914f6cdd1du >> 16;
}

static bool chance(struct mix *mix, unsigned percent)
{
    return mix_random(mix) % 100 < percent;
}

int mix_init(struct mix *mix, unsigned initiators, unsigned ports, unsigned lus, uint64_t seed)
{
    static const char *const names[MIX_INITIATORS] = {
        "iqn.2026-11.org.halun:history.a", "iqn.2026-11.org.halun:history.b",
        "iqn.2026-11.org.halun:history.c", "iqn.2026-11.org.halun:history.d",
        "iqn.2026-11.org.halun:history.e", "iqn.2026-11.org.halun:history.f",
        "iqn.2026-11.org.halun:history.g", "iqn.2026-11.org.halun:history.h",
    };
    static const char *const isids[MIX_INITIATORS] = {
        "0x400000010000", "0x400000020000", "0x400000030000", "0x400000040000",
        "0x400000050000", "0x400000060000", "0x400000070000", "0x400000080000",
    };

    memset(mix, 0, sizeof *mix);
    mix->initiators = initiators;
    mix->ports = ports;
    mix->lus = lus;
    mix->seed = seed | 1;
    memcpy(mix->names, names, sizeof names);
    memcpy(mix->isids, isids, sizeof isids);
    return ledger_init(&mix->ledger, lus * MIX_BLOCKS, 0x68697374);
}

void mix_done(struct mix *mix)
{
    ledger_done(&mix->ledger);
}

/* ---- commands ---- */

static void transport_id(const struct mix *mix, unsigned initiator, uint8_t *to, unsigned *length)
{
    int text = snprintf((char *)to + 4, 256, "%s,i,%s", mix->names[initiator], mix->isids[initiator]);
    unsigned size = ((unsigned)text + 1 + 3) / 4 * 4;

    to[0] = 0x45; /* SPC-4 7.6.4.6: format 01b, protocol iSCSI */
    put_be16(to + 2, (uint16_t)size);
    *length = 4 + size;
}

void mix_pr_out(const struct mix *mix, const struct model_op *op, struct mix_command *command)
{
    uint8_t *list = command->data;
    unsigned length = 24;

    memset(command, 0, sizeof *command);
    command->cdb[0] = OP_PR_OUT;
    command->cdb[1] = op->action;
    command->cdb[2] = (uint8_t)(op->scope << 4 | op->type);
    command->cdb_length = 10;
    put_be64(list, op->key);
    put_be64(list + 8, op->action_key);
    if (op->action == ACTION_REGISTER_AND_MOVE) {
        unsigned id;
        list[17] = (uint8_t)(op->unreg << 1 | op->aptpl);
        put_be16(list + 18, (uint16_t)((unsigned)op->move_to % mix->ports + 1));
        transport_id(mix, (unsigned)op->move_to / mix->ports, list + 24, &id);
        put_be32(list + 20, id);
        length += id;
    } else {
        list[20] = (uint8_t)(op->spec_i_pt << 3 | op->all_tg_pt << 2 | op->aptpl);
        if (op->spec_i_pt) {
            length = 28;
            for (unsigned i = 0; i < mix->initiators; i++)
                if (op->named >> i & 1) {
                    unsigned id;
                    transport_id(mix, i, list + length, &id);
                    length += id;
                }
            put_be32(list + 24, length - 28);
        }
    }
    put_be32(command->cdb + 5, length);
    command->out = length;
}

static void pr_in(unsigned action, struct mix_command *command)
{
    memset(command, 0, sizeof *command);
    command->cdb[0] = OP_PR_IN;
    command->cdb[1] = (uint8_t)action;
    put_be16(command->cdb + 7, MIX_IN);
    command->cdb_length = 10;
    command->in = MIX_IN;
}

void mix_read_keys(struct mix_command *command)
{
    pr_in(0, command);
}

void mix_mode_sense(uint8_t page, struct mix_command *command)
{
    memset(command, 0, sizeof *command);
    command->cdb[0] = OP_MODE_SENSE10;
    command->cdb[1] = 0x08; /* DBD */
    command->cdb[2] = page;
    put_be16(command->cdb + 7, 255);
    command->cdb_length = 10;
    command->in = 255;
}

static uint8_t with_bit(uint8_t byte, uint8_t mask, bool on)
{
    return (uint8_t)(on ? byte | mask : byte & ~mask);
}

void mix_mode_select(const struct mix *mix, unsigned lu, unsigned pages, const struct shared_mode *mode,
                     struct mix_command *command)
{
    uint8_t *at = command->data + MODE_HEADER;

    memset(command, 0, sizeof *command);
    if (pages & MODEL_PAGE_CACHING) {
        unsigned length = mix->caching[lu][1] + 2u;
        memcpy(at, mix->caching[lu], length);
        at[2] = with_bit(at[2], 0x04, mode->wce);
        at += length;
    }
    if (pages & MODEL_PAGE_CONTROL) {
        unsigned length = mix->control[lu][1] + 2u;
        memcpy(at, mix->control[lu], length);
        at[2] = with_bit(at[2], 0x04, mode->d_sense);
        at[4] = with_bit(at[4], 0x08, mode->swp);
        at[5] = with_bit(at[5], 0x40, mode->tas);
        at += length;
    }
    command->out = (unsigned)(at - command->data);
    command->cdb[0] = OP_MODE_SELECT10;
    command->cdb[1] = 0x10; /* PF */
    put_be16(command->cdb + 7, (uint16_t)command->out);
    command->cdb_length = 10;
}

static const uint8_t *mode_page(uint8_t page, const uint8_t *in, unsigned length)
{
    const uint8_t *at = in + MODE_HEADER + (length >= MODE_HEADER ? get_be16(in + 6) : 0);

    if (length < MODE_HEADER || at + 2 > in + length || (at[0] & 0x3f) != page ||
        at + 2 + at[1] > in + length || at[1] + 2u > MIX_MODE_PAGE || at[1] < 8)
        return NULL;
    return at;
}

int mix_mode_page(struct mix *mix, unsigned lu, uint8_t page, const uint8_t *in, unsigned length)
{
    const uint8_t *from = mode_page(page, in, length);
    uint8_t *to = page == PAGE_CACHING ? mix->caching[lu] : mix->control[lu];

    if (!from)
        return -1;
    memcpy(to, from, from[1] + 2u);
    to[0] &= 0x3f; /* PS is reserved with MODE SELECT */
    return 0;
}

static void medium(uint8_t opcode, unsigned block, struct mix_command *command)
{
    memset(command->cdb, 0, sizeof command->cdb);
    command->cdb[0] = opcode;
    put_be64(command->cdb + 2, (uint64_t)block * (LEDGER_BLOCK / SECTOR));
    command->cdb[13] = LEDGER_BLOCK / SECTOR;
    command->cdb_length = 16;
    command->in = command->out = 0;
}

static uint32_t pattern_block(int lu, unsigned block)
{
    return (uint32_t)lu * MIX_BLOCKS + block;
}

void mix_write(struct mix *mix, unsigned block, struct history_op *op, struct mix_command *command)
{
    medium(OP_WRITE16, block, command);
    op->op.kind = MODEL_WRITE;
    op->block = block;
    op->value = mix->ledger.next++;
    ledger_fill(&mix->ledger, pattern_block(op->lu, block), op->value, command->data);
    command->out = LEDGER_BLOCK;
}

/* ---- drawing ---- */

static uint64_t some_key(struct mix *mix)
{
    return 0xa0 + mix_random(mix) % 5;
}

/* The key that the nexus has registered, as far as it knows; sometimes a wrong one. */
static uint64_t own_key(struct mix *mix, const struct history_op *op)
{
    uint64_t key = mix->keys[op->lu][op->op.nexus];

    return key && !chance(mix, 5) ? key : some_key(mix);
}

/* A key that somebody has. */
static uint64_t victim_key(struct mix *mix, const struct history_op *op)
{
    unsigned nexuses = mix->initiators * mix->ports;

    for (int tries = 0; tries < 8; tries++) {
        uint64_t key = mix->keys[op->lu][mix_random(mix) % nexuses];
        if (key)
            return key;
    }
    return some_key(mix);
}

static uint8_t some_type(struct mix *mix)
{
    static const uint8_t types[] = {1, 3, 5, 5, 6, 7, 8};

    return types[mix_random(mix) % sizeof types];
}

static void draw_register(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    op->op.action = chance(mix, 50) ? ACTION_REGISTER : ACTION_REGISTER_AND_IGNORE;
    if (op->op.action == ACTION_REGISTER)
        op->op.key = chance(mix, 90) ? mix->keys[op->lu][op->op.nexus] : some_key(mix);
    op->op.action_key = chance(mix, 15) ? 0 : some_key(mix);
    op->op.aptpl = chance(mix, 40);
    op->op.all_tg_pt = chance(mix, 15);
    if (op->op.action == ACTION_REGISTER && chance(mix, 10)) {
        op->op.spec_i_pt = true;
        op->op.named = (uint64_t)1 << mix_random(mix) % mix->initiators;
    }
}

static void draw_reserve(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    op->op.action = ACTION_RESERVE;
    op->op.key = own_key(mix, op);
    op->op.type = some_type(mix);
}

static void draw_release(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    op->op.action = ACTION_RELEASE;
    op->op.key = own_key(mix, op);
    op->op.type = mix->types[op->lu] && !chance(mix, 10) ? mix->types[op->lu] : some_type(mix);
}

static void draw_preempt(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    op->op.action = (uint8_t)(ACTION_PREEMPT + chance(mix, 50)); /* or PREEMPT AND ABORT */
    op->op.key = own_key(mix, op);
    op->op.action_key = chance(mix, 5) ? 0 : victim_key(mix, op);
    op->op.type = some_type(mix);
}

static void draw_clear(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    op->op.action = ACTION_CLEAR;
    op->op.key = own_key(mix, op);
}

static void draw_move(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    op->op.action = ACTION_REGISTER_AND_MOVE;
    op->op.key = own_key(mix, op);
    op->op.action_key = some_key(mix);
    op->op.aptpl = chance(mix, 40);
    op->op.unreg = chance(mix, 50);
    op->op.move_to = (int)(mix_random(mix) % (mix->initiators * mix->ports));
}

static void draw_pr_in(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    unsigned what = (unsigned)(mix_random(mix) % 4);

    op->op.kind = what == 0   ? MODEL_READ_KEYS
                  : what == 1 ? MODEL_READ_RESERVATION
                              : MODEL_READ_FULL_STATUS;
    pr_in(what == 0 ? 0 : what == 1 ? 1 : 3, command);
}

static void draw_legacy(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    bool release = chance(mix, 60); /* a reservation stands in everybody's way */

    op->op.kind = release ? MODEL_RELEASE : MODEL_RESERVE;
    memset(command, 0, sizeof *command);
    command->cdb[0] = release ? OP_RELEASE6 : OP_RESERVE6;
    command->cdb_length = 6;
}

static void draw_reset(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    op->op.kind = MODEL_LU_RESET;
    memset(command, 0, sizeof *command);
}

static void draw_mode_select(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    op->op.kind = MODEL_MODE_SELECT;
    op->op.pages = chance(mix, 50) ? MODEL_PAGE_CACHING : MODEL_PAGE_CONTROL;
    if (op->op.pages == MODEL_PAGE_CACHING) {
        op->op.mode.wce = chance(mix, 50);
    } else {
        op->op.mode.swp = chance(mix, 15);
        op->op.mode.d_sense = chance(mix, 50);
        op->op.mode.tas = chance(mix, 80);
    }
    mix_mode_select(mix, (unsigned)op->lu, op->op.pages, &op->op.mode, command);
}

static void draw_mode_sense(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    op->op.kind = MODEL_MODE_SENSE;
    op->op.pages = chance(mix, 30) ? MODEL_PAGE_CACHING : MODEL_PAGE_CONTROL;
    mix_mode_sense(op->op.pages == MODEL_PAGE_CACHING ? PAGE_CACHING : PAGE_CONTROL, command);
}

static void draw_write(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    mix_write(mix, (unsigned)(mix_random(mix) % MIX_BLOCKS), op, command);
}

static void draw_read(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    op->op.kind = MODEL_READ;
    op->block = (unsigned)(mix_random(mix) % MIX_BLOCKS);
    medium(OP_READ16, op->block, command);
    command->in = LEDGER_BLOCK;
}

static void draw_compare_and_write(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    draw_write(mix, op, command);
    op->op.kind = MODEL_COMPARE_AND_WRITE;
    op->compare = mix->values[op->lu][op->block];
    command->cdb[0] = OP_COMPARE_AND_WRITE;
    memcpy(command->data + LEDGER_BLOCK, command->data, LEDGER_BLOCK);
    ledger_fill(&mix->ledger, pattern_block(op->lu, op->block), op->compare, command->data);
    command->out = 2 * LEDGER_BLOCK;
}

static const struct {
    unsigned weight;
    void (*draw)(struct mix *mix, struct history_op *op, struct mix_command *command);
} rows[] = {
    {14, draw_register},  {9, draw_reserve},     {6, draw_release},     {7, draw_preempt},
    {1, draw_clear},      {2, draw_move},        {16, draw_pr_in},      {3, draw_legacy},
    {1, draw_reset},      {1, draw_mode_select}, {2, draw_mode_sense},  {18, draw_write},
    {18, draw_read},      {2, draw_compare_and_write},
};

void mix_draw(struct mix *mix, struct history_op *op, struct mix_command *command)
{
    unsigned total = 0, at = 0, drawn;

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        total += rows[i].weight;
    drawn = (unsigned)(mix_random(mix) % total);
    while (drawn >= rows[at].weight)
        drawn -= rows[at++].weight;
    op->op.kind = MODEL_PR_OUT;
    rows[at].draw(mix, op, command);
    if (op->op.kind == MODEL_PR_OUT)
        mix_pr_out(mix, &op->op, command);
}

/* ---- answers ---- */

static const char *answer_keys(struct mix *mix, struct history_op *op, const uint8_t *in, unsigned length)
{
    unsigned count;

    if (length < 8 || get_be32(in + 4) % 8 || get_be32(in + 4) + 8 > length)
        return "READ KEYS: the length is wrong";
    count = get_be32(in + 4) / 8;
    op->generation = get_be32(in) - mix->generation[op->lu];
    op->registrations = calloc(count + 1, sizeof *op->registrations);
    if (!op->registrations)
        abort();
    for (unsigned i = 0; i < count; i++)
        op->registrations[op->registration_count++] = (struct history_registration){
            .nexus = MODEL_NOBODY, .key = get_be64(in + 8 + 8 * i)};
    return NULL;
}

static const char *answer_reservation(struct mix *mix, struct history_op *op, const uint8_t *in,
                                      unsigned length)
{
    if (length < 8 || (get_be32(in + 4) && (get_be32(in + 4) != 16 || length < 24)))
        return "READ RESERVATION: the length is wrong";
    op->generation = get_be32(in) - mix->generation[op->lu];
    if (get_be32(in + 4)) {
        op->read_key = get_be64(in + 8);
        op->read_type = in[21] & 0x0f;
    }
    mix->types[op->lu] = op->read_type;
    return NULL;
}

/* The nexus of a full status descriptor, or MODEL_NOBODY. */
static int find_nexus(const struct mix *mix, const uint8_t *descriptor, unsigned length)
{
    unsigned port = get_be16(descriptor + 18) - 1u, size = get_be32(descriptor + 20);
    char text[256];

    if (port >= mix->ports || size < 8 || 24 + size > length || descriptor[24] != 0x45)
        return MODEL_NOBODY;
    snprintf(text, sizeof text, "%.*s", (int)(size - 4), (const char *)descriptor + 28);
    for (unsigned i = 0; i < mix->initiators; i++) {
        char own[256];
        snprintf(own, sizeof own, "%s,i,%s", mix->names[i], mix->isids[i]);
        if (!strcasecmp(own, text))
            return (int)(i * mix->ports + port);
    }
    return MODEL_NOBODY;
}

static const char *answer_full_status(struct mix *mix, struct history_op *op, const uint8_t *in,
                                      unsigned length)
{
    unsigned end;

    if (length < 8 || get_be32(in + 4) + 8 > length)
        return "READ FULL STATUS: the length is wrong";
    end = get_be32(in + 4) + 8;
    op->generation = get_be32(in) - mix->generation[op->lu];
    op->registrations = calloc(MIX_NEXUSES + 1, sizeof *op->registrations);
    if (!op->registrations)
        abort();
    memset(mix->keys[op->lu], 0, sizeof mix->keys[op->lu]);
    mix->types[op->lu] = 0;
    for (unsigned at = 8; at < end; at += 24 + get_be32(in + at + 20)) {
        struct history_registration *to = &op->registrations[op->registration_count];
        if (at + 24 > end || op->registration_count == MIX_NEXUSES)
            return "READ FULL STATUS: a descriptor does not end";
        to->nexus = find_nexus(mix, in + at, end - at);
        if (to->nexus == MODEL_NOBODY)
            return "READ FULL STATUS: a nexus that nobody knows, or with ALL_TG_PT";
        to->key = get_be64(in + at);
        to->holder = in[at + 12] & 1;
        if (to->holder)
            mix->types[op->lu] = op->read_type = in[at + 13] & 0x0f;
        mix->keys[op->lu][to->nexus] = to->key;
        op->registration_count++;
    }
    return NULL;
}

static const char *answer_mode_sense(struct history_op *op, const uint8_t *in, unsigned length)
{
    const uint8_t *page =
        mode_page(op->op.pages == MODEL_PAGE_CACHING ? PAGE_CACHING : PAGE_CONTROL, in, length);

    if (!page)
        return "MODE SENSE: not the page that was asked for";
    if (op->op.pages == MODEL_PAGE_CACHING) {
        op->read_mode.wce = page[2] >> 2 & 1;
    } else {
        op->read_mode.d_sense = page[2] >> 2 & 1;
        op->read_mode.swp = page[4] >> 3 & 1;
        op->read_mode.tas = page[5] >> 6 & 1;
    }
    return NULL;
}

static const char *answer_read(struct mix *mix, struct history_op *op, const uint8_t *in, unsigned length)
{
    if (length != LEDGER_BLOCK)
        return "READ: fewer bytes than asked for";
    op->value = ledger_read(&mix->ledger, pattern_block(op->lu, op->block), in);
    if (op->value >= mix->ledger.next) {
        op->value = HISTORY_NO_VALUE;
        return "READ: a block that nobody wrote";
    }
    mix->values[op->lu][op->block] = op->value;
    return NULL;
}

const char *mix_answer(struct mix *mix, struct history_op *op, const uint8_t *in, unsigned length)
{
    switch (op->op.kind) {
    case MODEL_PR_OUT:
        if (op->op.action == ACTION_REGISTER || op->op.action == ACTION_REGISTER_AND_IGNORE)
            mix->keys[op->lu][op->op.nexus] = op->op.action_key;
        if (op->op.action == ACTION_RESERVE || op->op.action == ACTION_PREEMPT)
            mix->types[op->lu] = op->op.type;
        return NULL;
    case MODEL_READ_KEYS:
        return answer_keys(mix, op, in, length);
    case MODEL_READ_RESERVATION:
        return answer_reservation(mix, op, in, length);
    case MODEL_READ_FULL_STATUS:
        return answer_full_status(mix, op, in, length);
    case MODEL_MODE_SENSE:
        return answer_mode_sense(op, in, length);
    case MODEL_READ:
        return answer_read(mix, op, in, length);
    case MODEL_WRITE:
    case MODEL_COMPARE_AND_WRITE:
        mix->values[op->lu][op->block] = op->value;
        return NULL;
    default:
        return NULL;
    }
}
