/* Operations and the whole state as bytes; the digest. Big-endian throughout.
 *
 * operation: length(4: of what follows) magic(2) version(1) kind(1), then by kind, in this order:
 *   node(4); lu(4) unless the kind is about a group or a whole target; group(4); nexus;
 *   PR OUT: action(1) type(1) scope(1) flags(1) key(8) action_key(8) move_rtpi(2)
 *           length(4) TransportIDs, count(2) ports(2 each);
 *   MODE SELECT: mode(4); CAPACITY: blocks(8); GROUP_*: action(1); CONFIGURATION: digest(32);
 *   MODE PAGES: mode(4) selected(4)
 * nexus: rtpi(2) length(2) TransportID
 * state: magic(4) version(1) zero(3) length(4: of what follows), then
 *   version(8) members(4) lu_count(4) group_count(4), the LUs, the groups; see lu_encode() and
 *   group_encode(). Pure. */
#include <assert.h>
#include <errno.h>

#include "cluster/shared_internal.h"

enum {
    OP_MAGIC = 0x484f, /* "HO" */
    OP_VERSION = 1,
    OP_LENGTH_MAX = LIMIT_PARAMETER_LIST + 2 * SHARED_PORTS + 1024,
    OP_APTPL = 1, /* flags of PR OUT */
    OP_ALL_TG_PT = 2,
    OP_SPEC_I_PT = 4,
    OP_UNREG = 8,
    OP_FLAGS = 15,

    STATE_MAGIC = 0x48535354, /* "HSST" */
    STATE_VERSION = 1,
    STATE_HEADER = 12,
    LU_APTPL = 1,
    LU_LEGACY = 2,
    LU_FLAGS = 3,
    LU_NO_HOLDER = -1,
    PIECE = 512, /* largest part of a state that is encoded at once */
};

static_assert(PIECE >= LIMIT_TRANSPORT_ID + LIMIT_NAME + 128, "an LU's head fits a piece");

static void nexus_write(struct writer *w, const struct nexus_identity *nexus)
{
    write_be16(w, nexus->rtpi);
    write_be16(w, nexus->transport_length);
    write_bytes(w, nexus->transport_id, nexus->transport_length);
}

static void nexus_read(struct reader *r, struct nexus_identity *nexus)
{
    memset(nexus, 0, sizeof *nexus);
    nexus->rtpi = read_be16(r);
    nexus->transport_length = read_be16(r);
    if (nexus->transport_length > LIMIT_TRANSPORT_ID) {
        nexus->transport_length = 0;
        r->bad = 1;
    }
    read_bytes(r, nexus->transport_id, nexus->transport_length);
}

static void mode_write(struct writer *w, const struct shared_mode *mode)
{
    write_u8(w, mode->d_sense);
    write_u8(w, mode->swp);
    write_u8(w, mode->wce);
    write_u8(w, mode->tas);
}

static void mode_read(struct reader *r, struct shared_mode *mode)
{
    mode->d_sense = read_u8(r);
    mode->swp = read_u8(r);
    mode->wce = read_u8(r);
    mode->tas = read_u8(r);
    if (mode->d_sense > 1 || mode->swp > 1 || mode->wce > 1 || mode->tas > 1)
        r->bad = 1;
}

/* The next `n` bytes where they lie, or NULL (and bad). */
static const uint8_t *read_in_place(struct reader *r, size_t n)
{
    const uint8_t *at = r->data;

    if (n > r->left) {
        r->bad = 1;
        r->left = 0;
        return NULL;
    }
    r->data += n;
    r->left -= n;
    return at;
}

static void op_body_write(const struct shared_op *op, struct writer *w)
{
    unsigned parts = shared_op_parts((unsigned)op->kind);

    write_be16(w, OP_MAGIC);
    write_u8(w, OP_VERSION);
    write_u8(w, (uint8_t)op->kind);
    write_be32(w, op->node);
    if (parts & (SHARED_PART_LU | SHARED_PART_LU_OR_ALL))
        write_be32(w, op->lu);
    if (parts & SHARED_PART_GROUP) {
        write_be32(w, op->group);
        write_u8(w, op->action);
    }
    if (parts & (SHARED_PART_NEXUS | SHARED_PART_NEXUS_OR_NOBODY))
        nexus_write(w, &op->nexus);
    if (parts & SHARED_PART_PR) {
        write_u8(w, op->action);
        write_u8(w, op->type);
        write_u8(w, op->scope);
        write_u8(w, (uint8_t)((op->aptpl ? OP_APTPL : 0) | (op->all_tg_pt ? OP_ALL_TG_PT : 0) |
                              (op->spec_i_pt ? OP_SPEC_I_PT : 0) | (op->unreg ? OP_UNREG : 0)));
        write_be64(w, op->key);
        write_be64(w, op->action_key);
        write_be16(w, op->move_rtpi);
        write_be32(w, op->transport_ids_length);
        write_bytes(w, op->transport_ids, op->transport_ids_length);
        write_be16(w, (uint16_t)op->port_count);
        for (uint32_t i = 0; i < op->port_count; i++)
            write_be16(w, (uint16_t)shared_port(op, i));
    }
    if (parts & SHARED_PART_MODE)
        mode_write(w, &op->mode);
    if (parts & SHARED_PART_CAPACITY)
        write_be64(w, op->capacity);
    if (parts & SHARED_PART_DIGEST)
        write_bytes(w, op->digest, sizeof op->digest);
    if (parts & SHARED_PART_MODE_SELECTED)
        mode_write(w, &op->mode_selected);
    if (parts & SHARED_PART_EPOCH)
        write_be32(w, op->epoch);
}

void shared_op_encode(const struct shared_op *op, struct writer *w)
{
    struct writer counter = {NULL, 0, 0};

    assert(shared_op_parts((unsigned)op->kind));
    assert(op->nexus.transport_length <= LIMIT_TRANSPORT_ID);
    assert(op->transport_ids_length <= LIMIT_PARAMETER_LIST && op->port_count <= SHARED_PORTS);
    op_body_write(op, &counter);
    write_be32(w, (uint32_t)counter.used);
    op_body_write(op, w);
}

static void op_pr_read(struct shared_op *op, struct reader *r)
{
    op->action = read_u8(r);
    op->type = read_u8(r);
    op->scope = read_u8(r);
    uint8_t flags = read_u8(r);
    op->aptpl = flags & OP_APTPL;
    op->all_tg_pt = flags & OP_ALL_TG_PT;
    op->spec_i_pt = flags & OP_SPEC_I_PT;
    op->unreg = flags & OP_UNREG;
    if (flags & ~OP_FLAGS)
        r->bad = 1;
    op->key = read_be64(r);
    op->action_key = read_be64(r);
    op->move_rtpi = read_be16(r);
    op->transport_ids_length = read_be32(r);
    op->transport_ids = read_in_place(r, op->transport_ids_length);
    op->port_count = read_be16(r);
    op->ports_wire = read_in_place(r, (size_t)op->port_count * 2);
}

int shared_op_decode(struct shared_op *op, struct reader *r, const struct shared_state *state)
{
    uint32_t length = read_be32(r);

    memset(op, 0, sizeof *op);
    op->lu = SHARED_NO_LU;
    op->group = SHARED_NO_GROUP;
    if (r->bad || length > OP_LENGTH_MAX || length > r->left)
        return -EINVAL;
    struct reader body = {read_in_place(r, length), length, 0};
    if (read_be16(&body) != OP_MAGIC || read_u8(&body) != OP_VERSION)
        return -EINVAL;
    uint8_t kind = read_u8(&body);
    unsigned parts = shared_op_parts(kind);
    if (!parts)
        return -EINVAL;
    op->kind = (enum shared_op_kind)kind;
    op->node = read_be32(&body);
    if (parts & (SHARED_PART_LU | SHARED_PART_LU_OR_ALL))
        op->lu = read_be32(&body);
    if (parts & SHARED_PART_GROUP) {
        op->group = read_be32(&body);
        op->action = read_u8(&body);
    }
    if (parts & (SHARED_PART_NEXUS | SHARED_PART_NEXUS_OR_NOBODY))
        nexus_read(&body, &op->nexus);
    if (parts & SHARED_PART_PR)
        op_pr_read(op, &body);
    if (parts & SHARED_PART_MODE)
        mode_read(&body, &op->mode);
    if (parts & SHARED_PART_CAPACITY)
        op->capacity = read_be64(&body);
    if (parts & SHARED_PART_DIGEST)
        read_bytes(&body, op->digest, sizeof op->digest);
    if (parts & SHARED_PART_MODE_SELECTED)
        mode_read(&body, &op->mode_selected);
    if (parts & SHARED_PART_EPOCH)
        op->epoch = read_be32(&body);
    if (body.bad || body.left || shared_op_check(state, op) != REASON_GOOD)
        return -EINVAL;
    return 0;
}

/* Where an encoded state goes: to a writer, into a digest, or both; in pieces, so that a digest
 * needs no memory for the whole. */
struct sink {
    struct writer *writer;
    uint64_t hash; /* FNV-1a */
    uint8_t bytes[PIECE];
    struct writer piece;
};

static void sink_init(struct sink *sink, struct writer *w)
{
    sink->writer = w;
    sink->hash = 0xcbf29ce484222325u;
    sink->piece = (struct writer){sink->bytes, sizeof sink->bytes, 0};
}

static void sink_flush(struct sink *sink)
{
    assert(sink->piece.used <= sink->piece.size);
    if (sink->writer)
        write_bytes(sink->writer, sink->bytes, sink->piece.used);
    else
        for (size_t i = 0; i < sink->piece.used; i++)
            sink->hash = (sink->hash ^ sink->bytes[i]) * 0x100000001b3u;
    sink->piece.used = 0;
}

static void lu_encode(const struct shared_lu *lu, struct sink *sink)
{
    struct writer *w = &sink->piece;

    write_bytes(w, lu->uuid, sizeof lu->uuid);
    write_be32(w, lu->epoch);
    write_be64(w, lu->capacity);
    mode_write(w, &lu->mode);
    write_be32(w, lu->pr_generation);
    write_u8(w, lu->pr_type);
    write_u8(w, (uint8_t)((lu->pr_aptpl ? LU_APTPL : 0) | (lu->legacy_reserved ? LU_LEGACY : 0)));
    write_be32(w, (uint32_t)lu->pr_holder);
    if (lu->legacy_reserved) {
        nexus_write(w, &lu->legacy_holder);
        write_be32(w, lu->legacy_node);
    }
    write_be16(w, (uint16_t)lu->registrant_count);
    sink_flush(sink);
    for (uint32_t i = 0; i < lu->registrant_count; i++) {
        nexus_write(w, &lu->registrants[i].nexus);
        write_be64(w, lu->registrants[i].key);
        sink_flush(sink);
    }
}

static void group_encode(const struct shared_group *group, struct sink *sink)
{
    struct writer *w = &sink->piece;
    size_t length = strnlen(group->name, LIMIT_NAME);

    write_u8(w, (uint8_t)length);
    write_bytes(w, group->name, length);
    write_be32(w, group->epoch);
    write_be32(w, group->owner);
    write_be32(w, group->current);
    write_be32(w, group->nodes);
    write_u8(w, group->explicit_transition);
    write_bytes(w, group->states + 1, LIMIT_NODES);
    sink_flush(sink);
}

static void body_encode(const struct shared_state *state, struct sink *sink)
{
    write_be64(&sink->piece, state->version);
    write_be32(&sink->piece, state->members);
    write_be32(&sink->piece, state->lu_count);
    write_be32(&sink->piece, state->group_count);
    sink_flush(sink);
    for (uint32_t i = 0; i < state->lu_count; i++)
        lu_encode(&state->lus[i], sink);
    for (uint32_t i = 0; i < state->group_count; i++)
        group_encode(&state->groups[i], sink);
}

void shared_state_encode(const struct shared_state *state, struct writer *w)
{
    struct writer counter = {NULL, 0, 0};
    struct sink sink;

    sink_init(&sink, &counter);
    body_encode(state, &sink);
    write_be32(w, STATE_MAGIC);
    write_u8(w, STATE_VERSION);
    write_u8(w, 0);
    write_be16(w, 0);
    write_be32(w, (uint32_t)counter.used);
    sink_init(&sink, w);
    body_encode(state, &sink);
}

uint64_t shared_state_digest(const struct shared_state *state)
{
    struct sink sink;

    sink_init(&sink, NULL);
    body_encode(state, &sink);
    return sink.hash;
}

/* Decoding runs twice over the same code: first `state` is only read (and everything checked), then
 * the input is known to be good and is carried out. */
struct decoder {
    struct shared_state *state;
    struct reader *r;
    bool commit;
    uint32_t registrants; /* seen so far */
};

static bool holder_valid(uint8_t type, int32_t holder, uint32_t count)
{
    if (type == PR_NONE)
        return holder == LU_NO_HOLDER;
    if (!shared_pr_type_valid(type))
        return false;
    if (shared_all_registrants(type))
        return holder == LU_NO_HOLDER && count > 0;
    return holder >= 0 && (uint32_t)holder < count;
}

static int registrants_decode(struct decoder *d, struct shared_lu *lu, uint32_t count)
{
    struct shared_registrant last = {0}, next;

    for (uint32_t i = 0; i < count; i++, last = next) {
        nexus_read(d->r, &next.nexus);
        next.key = read_be64(d->r);
        if (d->r->bad || !next.key || !identity_valid(&next.nexus) ||
            (i && identity_compare(&last.nexus, &next.nexus) >= 0))
            return -EINVAL;
        if (d->commit)
            shared_registrant_add(d->state, lu, &next.nexus, next.key);
    }
    return 0;
}

/* One LU; `*at`: index of the first configured LU that it may be (both are in the same order). */
static int lu_decode(struct decoder *d, uint32_t *at)
{
    struct shared_lu lu = {.pr_holder = LU_NO_HOLDER};
    struct reader *r = d->r;

    read_bytes(r, lu.uuid, sizeof lu.uuid);
    lu.epoch = read_be32(r);
    lu.capacity = read_be64(r);
    mode_read(r, &lu.mode);
    lu.pr_generation = read_be32(r);
    lu.pr_type = read_u8(r);
    uint8_t flags = read_u8(r);
    lu.pr_aptpl = flags & LU_APTPL;
    lu.legacy_reserved = flags & LU_LEGACY;
    int32_t holder = (int32_t)read_be32(r);
    if (lu.legacy_reserved) {
        nexus_read(r, &lu.legacy_holder);
        lu.legacy_node = read_be32(r);
    }
    uint32_t count = read_be16(r);
    d->registrants += count;
    if (r->bad || flags & ~LU_FLAGS || !holder_valid(lu.pr_type, holder, count) ||
        count > LIMIT_REGISTRANTS_LU || d->registrants > LIMIT_REGISTRANTS)
        return -EINVAL;
    if (lu.legacy_reserved &&
        (count || !shared_node_valid(lu.legacy_node) || !identity_valid(&lu.legacy_holder)))
        return -EINVAL;
    while (*at < d->state->lu_count &&
           memcmp(d->state->lus[*at].uuid, lu.uuid, sizeof lu.uuid) != 0)
        ++*at;
    if (*at == d->state->lu_count)
        return -ENOENT;
    struct shared_lu *to = &d->state->lus[(*at)++];
    if (d->commit) { /* its run is empty: the state was cleared */
        lu.registrants = to->registrants;
        lu.registrant_room = to->registrant_room;
        *to = lu;
    }
    int error = registrants_decode(d, to, count);
    if (d->commit)
        to->pr_holder = holder;
    return error;
}

static bool states_valid(const uint8_t states[LIMIT_NODES + 1])
{
    for (unsigned i = 1; i <= LIMIT_NODES; i++)
        if (states[i] > ALUA_UNAVAILABLE && states[i] != ALUA_OFFLINE &&
            states[i] != ALUA_TRANSITIONING)
            return false;
    return true;
}

static struct shared_group *group_named(struct shared_state *state, const char *name, uint32_t from)
{
    for (uint32_t i = 0; i < state->group_count; i++) { /* the usual one first */
        struct shared_group *group = &state->groups[(from + i) % state->group_count];
        if (!strncmp(group->name, name, LIMIT_NAME))
            return group;
    }
    return NULL;
}

static int group_decode(struct decoder *d, uint32_t index, uint8_t seen[LIMIT_GROUPS])
{
    struct shared_group group = {.owner = 0};
    struct reader *r = d->r;
    uint8_t length = read_u8(r);

    if (length > LIMIT_NAME)
        return -EINVAL;
    read_bytes(r, group.name, length);
    group.epoch = read_be32(r);
    group.owner = read_be32(r);
    group.current = read_be32(r);
    group.nodes = read_be32(r);
    uint8_t explicit_transition = read_u8(r);
    group.explicit_transition = explicit_transition;
    group.states[0] = ALUA_TRANSITIONING;
    read_bytes(r, group.states + 1, LIMIT_NODES);
    if (r->bad || explicit_transition > 1 || !states_valid(group.states) ||
        strnlen(group.name, length) != length || (group.owner && !shared_node_valid(group.owner)) ||
        (group.current | group.nodes) & ~shared_node_bits())
        return -EINVAL;
    struct shared_group *to = group_named(d->state, group.name, index);
    if (!to)
        return -ENOENT;
    if (seen[to - d->state->groups]++)
        return -EINVAL;
    if (d->commit) {
        group.nodes = to->nodes;
        group.replicated = to->replicated;
        group.current &= to->nodes;
        if (group.owner && !(to->nodes & shared_node_bit(group.owner))) {
            group.owner = 0;
            memset(group.states, ALUA_TRANSITIONING, sizeof group.states);
        }
        *to = group;
    }
    return 0;
}

static void clear(struct shared_state *state)
{
    for (uint32_t i = 0; i < state->lu_count; i++) {
        struct shared_lu *lu = &state->lus[i];

        shared_registrant_clear(state, lu);
        lu->pr_generation = 0;
        lu->pr_aptpl = false;
        lu->legacy_reserved = false;
        memset(&lu->legacy_holder, 0, sizeof lu->legacy_holder);
        lu->legacy_node = 0;
        lu->epoch++;
    }
    for (uint32_t i = 0; i < state->group_count; i++) {
        struct shared_group *group = &state->groups[i];

        group->owner = 0;
        group->current = 0;
        group->explicit_transition = false;
        memset(group->states, ALUA_TRANSITIONING, sizeof group->states);
        group->epoch++;
    }
}

static int body_decode(struct decoder *d)
{
    uint8_t seen[LIMIT_GROUPS] = {0};
    uint32_t at = 0;
    int error = 0;

    uint64_t version = read_be64(d->r);
    uint32_t members = read_be32(d->r);
    uint32_t lu_count = read_be32(d->r);
    uint32_t group_count = read_be32(d->r);
    if (d->r->bad || members & ~shared_node_bits())
        return -EINVAL;
    if (d->commit) {
        clear(d->state);
        d->state->version = version;
        d->state->members = members;
    }
    for (uint32_t i = 0; i < lu_count && !error; i++)
        error = lu_decode(d, &at);
    for (uint32_t i = 0; i < group_count && !error; i++)
        error = group_decode(d, i, seen);
    return error ? error : d->r->left ? -EINVAL : 0;
}

int shared_state_decode(struct shared_state *state, struct reader *r)
{
    uint32_t magic = read_be32(r);
    uint8_t version = read_u8(r);
    uint8_t zero = read_u8(r);
    uint16_t zeros = read_be16(r);
    uint32_t length = read_be32(r);

    if (r->bad || magic != STATE_MAGIC || version != STATE_VERSION || zero || zeros ||
        length > r->left)
        return -EINVAL;
    const uint8_t *body = read_in_place(r, length);
    for (int commit = 0; commit <= 1; commit++) {
        struct reader bounded = {body, length, 0};
        struct decoder d = {state, &bounded, commit, 0};
        int error = body_decode(&d);
        assert(!commit || !error);
        if (error)
            return error;
    }
    return 0;
}
