/* Operations and states as bytes: round trips, refusals, digest. Not covered: arbitrary input (the
 * fuzz targets), who sends what when. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cluster/shared_state.h"

enum { LUS = 3, GROUPS = 2, ROOM = 1 << 17 };

static struct shared_effects effects;
static uint8_t bytes[ROOM];

static struct nexus_identity nexus(unsigned number)
{
    static const uint8_t isid[6] = {0x80, 1, 2, 3, 4, 5};
    struct nexus_identity identity;
    char name[64];

    snprintf(name, sizeof name, "iqn.2001-04.com.example:host%u", number);
    identity_from_iscsi(&identity, name, isid, 1);
    return identity;
}

static struct shared_state *state_new(void)
{
    struct shared_state *state = shared_state_new(LUS, GROUPS);

    assert_non_null(state);
    for (unsigned i = 0; i < LUS; i++)
        state->lus[i].uuid[0] = (uint8_t)(i + 1);
    for (unsigned i = 0; i < GROUPS; i++) {
        state->groups[i].nodes = 6;
        snprintf(state->groups[i].name, sizeof state->groups[i].name, "group%u", i);
    }
    return state;
}

/* A state in which everything is something. */
static struct shared_state *state_full(void)
{
    struct shared_state *state = state_new();
    struct shared_op op = {.kind = SHARED_OP_PR_OUT, .action_key = 7, .aptpl = true};

    shared_members(state, 6, 0, 0, &effects);
    for (unsigned i = 0; i < 20; i++) {
        op.nexus = nexus(i);
        shared_apply(state, &op, &effects);
    }
    op.action = 1;
    op.key = 7;
    op.type = PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY;
    shared_apply(state, &op, &effects);
    op = (struct shared_op){.kind = SHARED_OP_RESERVE, .node = 2, .lu = 1, .nexus = nexus(1)};
    shared_apply(state, &op, &effects);
    op = (struct shared_op){.kind = SHARED_OP_MODE_SELECT, .lu = 2, .mode = {1, 0, 1, 1}};
    shared_apply(state, &op, &effects);
    op = (struct shared_op){.kind = SHARED_OP_CAPACITY, .lu = 2, .capacity = 1ull << 40};
    shared_apply(state, &op, &effects);
    op = (struct shared_op){.kind = SHARED_OP_CURRENT, .node = 2, .group = 1};
    shared_apply(state, &op, &effects);
    op.kind = SHARED_OP_GROUP_ACQUIRE;
    op.action = 1;
    shared_apply(state, &op, &effects);
    assert_int_equal(effects.reason, REASON_GOOD);
    assert_int_equal(state->lus[0].registrant_count, 20);
    return state;
}

static size_t encode(const struct shared_state *state)
{
    struct writer w = {bytes, sizeof bytes, 0};

    shared_state_encode(state, &w);
    assert_true(w.used <= w.size);
    return w.used;
}

static int decode(struct shared_state *state, size_t length)
{
    struct reader r = {bytes, length, 0};
    int error = shared_state_decode(state, &r);

    if (!error)
        assert_int_equal(r.left, 0);
    return error;
}

static void state_when_round_trip_then_same_digest(void **context)
{
    struct shared_state *full = state_full(), *other = state_new();
    size_t length = encode(full);

    assert_int_not_equal(shared_state_digest(full), shared_state_digest(other));
    for (int again = 0; again < 2; again++) { /* into a new one, and over itself */
        assert_int_equal(decode(other, length), 0);
        assert_int_equal(shared_state_digest(full), shared_state_digest(other));
        assert_int_equal(other->registrant_total, 20);
        assert_int_equal(other->lus[0].pr_holder, full->lus[0].pr_holder);
        assert_memory_equal(&other->lus[1].legacy_holder, &full->lus[1].legacy_holder,
                            sizeof full->lus[1].legacy_holder);
        assert_memory_equal(&other->groups[1], &full->groups[1], sizeof full->groups[1]);
    }
    shared_state_free(full);
    shared_state_free(other);
}

static void digest_when_any_field_differs_then_differs(void **context)
{
    struct shared_state *state = state_full();
    uint64_t digest = shared_state_digest(state);

#define DIFFERS(field)                                                                             \
    do {                                                                                           \
        state->field ^= 1;                                                                         \
        assert_int_not_equal(shared_state_digest(state), digest);                                  \
        state->field ^= 1;                                                                         \
        assert_int_equal(shared_state_digest(state), digest);                                      \
    } while (0)
    DIFFERS(version);
    DIFFERS(members);
    DIFFERS(lus[2].uuid[15]);
    DIFFERS(lus[0].pr_generation);
    DIFFERS(lus[0].pr_type);
    DIFFERS(lus[0].pr_aptpl);
    DIFFERS(lus[0].pr_holder);
    DIFFERS(lus[0].registrants[19].key);
    DIFFERS(lus[0].registrants[0].nexus.rtpi);
    DIFFERS(lus[1].legacy_node);
    DIFFERS(lus[1].legacy_holder.transport_id[20]);
    DIFFERS(lus[2].mode.tas);
    DIFFERS(lus[2].capacity);
    DIFFERS(lus[2].epoch);
    DIFFERS(groups[0].current);
    DIFFERS(groups[1].owner);
    DIFFERS(groups[1].nodes);
    DIFFERS(groups[1].states[LIMIT_NODES]);
    DIFFERS(groups[1].explicit_transition);
    DIFFERS(groups[1].epoch);
    shared_state_free(state);
}

static void state_decode_when_truncated_or_flipped_then_untouched(void **context)
{
    struct shared_state *full = state_full(), *other = state_new();
    size_t length = encode(full);
    uint64_t digest = shared_state_digest(other);

    for (size_t i = 0; i < length; i++) {
        assert_int_equal(decode(other, i), -EINVAL);
        assert_int_equal(shared_state_digest(other), digest);
    }
    for (size_t i = 0; i < 12; i++) { /* the header: magic, version, zeros, length */
        bytes[i] ^= 0x40;
        assert_int_equal(decode(other, length), -EINVAL);
        bytes[i] ^= 0x40;
        assert_int_equal(shared_state_digest(other), digest);
    }
    shared_state_free(full);
    shared_state_free(other);
}

static void state_decode_when_configuration_differs_then_enoent_or_reset(void **context)
{
    struct shared_state *full = state_full(), *other = state_new();
    size_t length = encode(full);
    uint64_t digest;

    other->lus[2].uuid[0] = 99; /* not configured here */
    digest = shared_state_digest(other);
    assert_int_equal(decode(other, length), -ENOENT);
    other->lus[2].uuid[0] = 3;
    snprintf(other->groups[1].name, sizeof other->groups[1].name, "renamed");
    assert_int_equal(decode(other, length), -ENOENT);
    snprintf(other->groups[1].name, sizeof other->groups[1].name, "group1");
    other->lus[2].uuid[0] = 99;
    assert_int_equal(shared_state_digest(other), digest);
    shared_state_free(other);

    /* More is configured than is encoded, and in another order of groups. */
    other = shared_state_new(LUS + 1, GROUPS + 1);
    for (unsigned i = 0; i < LUS + 1; i++)
        other->lus[i].uuid[0] = (uint8_t)i;
    other->lus[0].legacy_reserved = true;
    other->groups[2].nodes = other->groups[0].nodes = other->groups[1].nodes = 6;
    strcpy(other->groups[0].name, "group1");
    strcpy(other->groups[1].name, "new");
    strcpy(other->groups[2].name, "group0");
    other->groups[1].owner = 1;
    assert_int_equal(decode(other, length), 0);
    assert_int_equal(other->lus[1].registrant_count, 20);
    assert_false(other->lus[0].legacy_reserved);
    assert_int_equal(other->groups[0].owner, 2);
    assert_int_equal(other->groups[1].owner, 0);

    other->groups[0].nodes = 2; /* node 2 has no copy any more, so it cannot be the owner */
    assert_int_equal(decode(other, length), 0);
    assert_int_equal(other->groups[0].current, 0);
    assert_int_equal(other->groups[0].owner, 0);
    assert_int_equal(other->groups[0].states[2], ALUA_TRANSITIONING);
    shared_state_free(full);
    shared_state_free(other);
}

static void state_decode_when_contents_impossible_then_einval(void **context)
{
    struct shared_state *full = state_full(), *other = state_new();

#define REFUSED(change, undo)                                                                      \
    do {                                                                                           \
        change;                                                                                    \
        assert_int_equal(decode(other, encode(full)), -EINVAL);                                    \
        undo;                                                                                      \
    } while (0)
    REFUSED(full->lus[0].pr_holder = 20, full->lus[0].pr_holder = 0);
    REFUSED(full->lus[0].pr_holder = -1, full->lus[0].pr_holder = 0);
    REFUSED(full->lus[0].pr_type = 2, full->lus[0].pr_type = 5);
    REFUSED(full->lus[0].pr_type = 7, full->lus[0].pr_type = 5);
    REFUSED(full->lus[0].pr_type = 0, full->lus[0].pr_type = 5);
    REFUSED(full->lus[0].registrants[3].key = 0, full->lus[0].registrants[3].key = 7);
    REFUSED(full->lus[0].registrants[3].nexus.rtpi = 0, full->lus[0].registrants[3].nexus.rtpi = 1);
    REFUSED(full->lus[1].legacy_node = 9, full->lus[1].legacy_node = 2);
    REFUSED(full->lus[1].registrant_count = LIMIT_REGISTRANTS_LU + 1;
            full->lus[1].registrants = full->lus[0].registrants, full->lus[1].registrant_count = 0);
    REFUSED(full->lus[2].mode.wce = 2, full->lus[2].mode.wce = 1);
    REFUSED(full->members |= 1, full->members &= ~1u);
    REFUSED(full->groups[1].owner = 9, full->groups[1].owner = 2);
    REFUSED(full->groups[1].states[3] = 7, full->groups[1].states[3] = ALUA_UNAVAILABLE);
    REFUSED(full->groups[1].current |= 1, full->groups[1].current &= ~1u);
    struct shared_registrant first = full->lus[0].registrants[0];
    REFUSED(full->lus[0].registrants[0] = full->lus[0].registrants[1],
            full->lus[0].registrants[0] = first);
    assert_int_equal(decode(other, encode(full)), 0);
    shared_state_free(full);
    shared_state_free(other);
}

static void op_when_every_kind_then_round_trip(void **context)
{
    struct shared_state *state = state_new();
    static const uint16_t ports[] = {1, 2, 300};
    struct nexus_identity listed = nexus(9);

    for (unsigned kind = 1; kind < SHARED_OP_KIND_COUNT; kind++) {
        struct shared_op op = {.kind = (enum shared_op_kind)kind,
                               .node = 2,
                               .lu = 1,
                               .group = 1,
                               .nexus = nexus(4),
                               .action = 1,
                               .type = 5,
                               .scope = 3,
                               .key = 1,
                               .action_key = ~0ull,
                               .aptpl = true,
                               .all_tg_pt = kind % 2,
                               .spec_i_pt = true,
                               .unreg = true,
                               .move_rtpi = 300,
                               .transport_ids = listed.transport_id,
                               .transport_ids_length = listed.transport_length,
                               .ports = ports,
                               .port_count = 3,
                               .mode = {1, 1, 0, 1},
                               .mode_selected = {0, 1, 1, 0},
                               .capacity = 1ull << 50,
                               .epoch = 77};
        struct shared_op decoded;
        struct writer first = {bytes, 4096, 0}, second = {bytes + 4096, 4096, 0};

        shared_op_encode(&op, &first);
        bytes[first.used] = 0xaa; /* the next message */
        struct reader r = {bytes, first.used + 1, 0};
        assert_int_equal(shared_op_decode(&decoded, &r, state), 0);
        assert_int_equal(r.left, 1);
        shared_op_encode(&decoded, &second);
        assert_int_equal(first.used, second.used);
        assert_memory_equal(bytes, bytes + 4096, first.used);
        assert_int_equal(decoded.kind, kind);
        assert_int_equal(decoded.epoch, kind == SHARED_OP_REINSTATE ? 77 : 0);
        if (kind == SHARED_OP_PR_OUT) {
            assert_memory_equal(decoded.transport_ids, listed.transport_id,
                                listed.transport_length);
            assert_int_equal(decoded.move_rtpi, 300);
            assert_int_equal(decoded.action_key, ~0ull);
            assert_true(decoded.all_tg_pt && decoded.unreg && decoded.aptpl && decoded.spec_i_pt);
        }
        for (size_t i = 0; i < first.used; i++) {
            r = (struct reader){bytes, i, 0};
            assert_int_equal(shared_op_decode(&decoded, &r, state), -EINVAL);
        }
    }
    shared_state_free(state);
}

static void op_decode_when_out_of_range_then_einval(void **context)
{
    struct shared_state *state = state_new();
    struct shared_op good = {.kind = SHARED_OP_RESERVE, .node = 1, .nexus = nexus(1)};
    struct shared_op bad[5], decoded;

    for (unsigned i = 0; i < 5; i++)
        bad[i] = good;
    bad[0].lu = LUS;
    bad[1].node = 0;
    bad[2].node = LIMIT_NODES + 1;
    bad[3].nexus.rtpi = 0;
    bad[4] = (struct shared_op){.kind = SHARED_OP_GROUP_ACQUIRE, .node = 1, .group = GROUPS};
    for (unsigned i = 0; i < 5; i++) {
        struct writer w = {bytes, sizeof bytes, 0};
        shared_op_encode(&bad[i], &w);
        struct reader r = {bytes, w.used, 0};
        assert_int_equal(shared_op_decode(&decoded, &r, state), -EINVAL);
    }
    struct writer w = {bytes, sizeof bytes, 0};
    shared_op_encode(&good, &w);
    for (unsigned i = 0; i < 8; i++) { /* length, magic, version, kind */
        bytes[i] ^= 0x80;
        struct reader r = {bytes, w.used, 0};
        assert_int_equal(shared_op_decode(&decoded, &r, state), -EINVAL);
        bytes[i] ^= 0x80;
    }
    shared_state_free(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_when_round_trip_then_same_digest),
        cmocka_unit_test(digest_when_any_field_differs_then_differs),
        cmocka_unit_test(state_decode_when_truncated_or_flipped_then_untouched),
        cmocka_unit_test(state_decode_when_configuration_differs_then_enoent_or_reset),
        cmocka_unit_test(state_decode_when_contents_impossible_then_einval),
        cmocka_unit_test(op_when_every_kind_then_round_trip),
        cmocka_unit_test(op_decode_when_out_of_range_then_einval),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
