#include "tests/history/model.h"

#include <assert.h>
#include <string.h>

static bool is_ro(uint8_t type)
{
    return type == 5 || type == 6;
}

static bool is_ar(uint8_t type)
{
    return type == 7 || type == 8;
}

static bool type_ok(uint8_t type)
{
    return type == 1 || type == 3 || is_ro(type) || is_ar(type);
}

int model_registered(const struct model *m)
{
    int count = 0;
    for (int n = 0; n < model_nexuses(m); n++)
        count += m->key[n] != 0;
    return count;
}

bool model_is_holder(const struct model *m, int nexus)
{
    return m->key[nexus] && m->type && (is_ar(m->type) || m->holder == nexus);
}

void model_init(struct model *m, unsigned initiators, unsigned ports)
{
    assert(initiators && ports && initiators * ports <= MODEL_NEXUSES);
    memset(m, 0, sizeof *m);
    m->initiators = (uint8_t)initiators;
    m->ports = (uint8_t)ports;
    m->holder = m->legacy = MODEL_NOBODY;
    m->mode = SHARED_MODE_DEFAULTS;
}

/* 5.12.11.2.3: the reservation goes with its holder; with the last registrant for all registrants.
 */
static void after_removal(struct model *m, int asker, struct model_result *r)
{
    uint8_t type = m->type;

    if (!type)
        return;
    if (is_ar(type) ? model_registered(m) > 0 : m->key[m->holder] != 0)
        return;
    m->type = 0;
    m->holder = MODEL_NOBODY;
    for (int n = 0; n < model_nexuses(m); n++)
        if (n != asker && m->key[n] && (is_ro(type) || is_ar(type)))
            r->ua[n] = UA_RESERVATIONS_RELEASED;
}

/* Tables 50 and 51. */
static enum scsi_reason do_register(struct model *m, const struct model_op *op, bool ignore,
                                    struct model_result *r)
{
    int initiator = op->nexus / m->ports;
    uint64_t mine = m->key[op->nexus];
    struct model next = *m;
    bool executed = false;

    if (!ignore && op->key != mine)
        return REASON_RESERVATION_CONFLICT;
    if (ignore ? op->spec_i_pt : mine && op->spec_i_pt)
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (!ignore && !mine && !op->action_key)
        return REASON_GOOD;
    for (int p = 0; p < m->ports; p++) {
        int n = initiator * m->ports + p;
        if (n != op->nexus && !op->all_tg_pt)
            continue;
        if (!ignore && m->key[n] && m->key[n] != op->key)
            return REASON_RESERVATION_CONFLICT;
        executed = executed || op->action_key || m->key[n];
        next.key[n] = op->action_key;
    }
    if (op->spec_i_pt && op->action_key)
        for (int n = 0; n < model_nexuses(m); n++) {
            if (!(op->named >> n / m->ports & 1))
                continue;
            if (!op->all_tg_pt && n % m->ports != op->nexus % m->ports)
                continue;
            if (m->key[n])
                return REASON_INVALID_FIELD_IN_PARAMETERS;
            next.key[n] = op->action_key;
        }
    if (!executed)
        return REASON_GOOD;
    *m = next;
    m->aptpl = op->aptpl;
    m->generation++;
    after_removal(m, op->nexus, r);
    return REASON_GOOD;
}

static enum scsi_reason do_reserve(struct model *m, const struct model_op *op)
{
    if (op->scope || !type_ok(op->type))
        return REASON_INVALID_FIELD_IN_CDB;
    if (m->type)
        return model_is_holder(m, op->nexus) && m->type == op->type ? REASON_GOOD
                                                                    : REASON_RESERVATION_CONFLICT;
    m->type = op->type;
    m->holder = is_ar(op->type) ? MODEL_NOBODY : (int16_t)op->nexus;
    return REASON_GOOD;
}

static enum scsi_reason do_release(struct model *m, const struct model_op *op,
                                   struct model_result *r)
{
    if (!model_is_holder(m, op->nexus))
        return REASON_GOOD;
    if (op->scope || op->type != m->type)
        return REASON_INVALID_RELEASE;
    for (int n = 0; n < model_nexuses(m); n++)
        if (m->key[n] && n != op->nexus && (is_ro(m->type) || is_ar(m->type)))
            r->ua[n] = UA_RESERVATIONS_RELEASED;
    m->type = 0;
    m->holder = MODEL_NOBODY;
    return REASON_GOOD;
}

static enum scsi_reason do_clear(struct model *m, const struct model_op *op, struct model_result *r)
{
    for (int n = 0; n < model_nexuses(m); n++) {
        if (m->key[n] && n != op->nexus)
            r->ua[n] = UA_RESERVATIONS_PREEMPTED;
        m->key[n] = 0;
    }
    m->type = 0;
    m->holder = MODEL_NOBODY;
    m->generation++;
    return REASON_GOOD;
}

/* Table 54: row by row. */
static enum scsi_reason do_preempt(struct model *m, const struct model_op *op, bool and_abort,
                                   struct model_result *r)
{
    enum { REFUSE, REGISTRATIONS, RESERVATION } what;
    uint8_t old_type = m->type;
    bool any = false;

    if (is_ar(m->type))
        what = op->action_key ? REGISTRATIONS : RESERVATION;
    else if (!op->action_key)
        what = REFUSE;
    else if (m->type && m->key[m->holder] == op->action_key)
        what = RESERVATION;
    else
        what = REGISTRATIONS;
    if (what == REFUSE)
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (what == RESERVATION && (op->scope || !type_ok(op->type)))
        return REASON_INVALID_FIELD_IN_CDB;
    for (int n = 0; n < model_nexuses(m); n++)
        any = any || (op->action_key && m->key[n] == op->action_key);
    if (what == REGISTRATIONS && !any)
        return REASON_RESERVATION_CONFLICT;

    for (int n = 0; n < model_nexuses(m); n++) {
        bool named = m->key[n] && (!op->action_key || m->key[n] == op->action_key);
        if (!named || (what == RESERVATION && n == op->nexus))
            continue;
        m->key[n] = 0;
        if (n == op->nexus)
            continue;
        r->ua[n] = UA_REGISTRATIONS_PREEMPTED;
        r->aborted[n] = and_abort;
    }
    m->generation++;
    if (what == REGISTRATIONS) {
        after_removal(m, op->nexus, r);
        return REASON_GOOD;
    }
    m->type = op->type;
    m->holder = is_ar(op->type) ? MODEL_NOBODY : (int16_t)op->nexus;
    if (old_type != m->type)
        for (int n = 0; n < model_nexuses(m); n++)
            if (m->key[n] && n != op->nexus)
                r->ua[n] = UA_RESERVATIONS_RELEASED;
    return REASON_GOOD;
}

static enum scsi_reason do_move(struct model *m, const struct model_op *op)
{
    if (!m->type)
        return REASON_INVALID_FIELD_IN_CDB;
    if (is_ar(m->type) || m->holder != op->nexus)
        return REASON_RESERVATION_CONFLICT;
    if (!op->action_key || op->move_to == op->nexus)
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    m->key[op->move_to] = op->action_key;
    m->holder = (int16_t)op->move_to;
    m->aptpl = op->aptpl;
    if (op->unreg)
        m->key[op->nexus] = 0;
    m->generation++;
    return REASON_GOOD;
}

static enum scsi_reason do_pr_out(struct model *m, const struct model_op *op,
                                  struct model_result *r)
{
    if (op->action > 7)
        return REASON_INVALID_FIELD_IN_CDB;
    if (m->legacy != MODEL_NOBODY)
        return REASON_RESERVATION_CONFLICT;
    if (op->action != 0 && op->action != 6 && (!m->key[op->nexus] || m->key[op->nexus] != op->key))
        return REASON_RESERVATION_CONFLICT;
    switch (op->action) {
    case 0:
        return do_register(m, op, false, r);
    case 1:
        return do_reserve(m, op);
    case 2:
        return do_release(m, op, r);
    case 3:
        return do_clear(m, op, r);
    case 4:
        return do_preempt(m, op, false, r);
    case 5:
        return do_preempt(m, op, true, r);
    case 6:
        return do_register(m, op, true, r);
    default:
        return do_move(m, op);
    }
}

/* SPC-2 5.5.1 with the exceptions of SPC-4 5.12.3. */
static enum scsi_reason do_legacy(struct model *m, const struct model_op *op)
{
    int n = op->nexus;

    if (model_registered(m))
        return model_is_holder(m, n) || (m->key[n] && (is_ro(m->type) || is_ar(m->type)))
                   ? REASON_GOOD
                   : REASON_RESERVATION_CONFLICT;
    if (op->kind == MODEL_RELEASE) {
        if (m->legacy == n)
            m->legacy = MODEL_NOBODY;
        return REASON_GOOD;
    }
    if (m->legacy != MODEL_NOBODY && m->legacy != n)
        return REASON_RESERVATION_CONFLICT;
    m->legacy = (int16_t)n;
    return REASON_GOOD;
}

/* SPC-4 6.11; shared by all nexuses, who learn of a change by a unit attention (SPC-4 5.9). */
static enum scsi_reason do_mode_select(struct model *m, const struct model_op *op,
                                       struct model_result *r)
{
    struct shared_mode next = m->mode;

    if (model_conflicts(m, op->nexus, true))
        return REASON_RESERVATION_CONFLICT;
    if (op->pages & MODEL_PAGE_CACHING)
        next.wce = op->mode.wce;
    if (op->pages & MODEL_PAGE_CONTROL) {
        next.d_sense = op->mode.d_sense;
        next.swp = op->mode.swp;
        next.tas = op->mode.tas;
    }
    if (!memcmp(&next, &m->mode, sizeof next))
        return REASON_GOOD;
    m->mode = next;
    for (int n = 0; n < model_nexuses(m); n++)
        if (n != op->nexus)
            r->ua[n] = UA_MODE_PARAMETERS_CHANGED;
    return REASON_GOOD;
}

static void do_reset(struct model *m, struct model_result *r)
{
    m->legacy = MODEL_NOBODY;
    for (int n = 0; n < model_nexuses(m); n++) {
        r->aborted[n] = true;
        r->ua[n] = UA_LU_RESET;
    }
}

/* SPC-4 5.12.4.3: without APTPL nothing of it outlives a loss of power; PRgeneration never does
 * (6.15.2). */
static void do_cold_start(struct model *m)
{
    if (!m->aptpl) {
        memset(m->key, 0, sizeof m->key);
        m->type = 0;
        m->holder = MODEL_NOBODY;
    }
    m->legacy = MODEL_NOBODY;
    m->generation = 0;
    m->mode = SHARED_MODE_DEFAULTS;
}

/* SPC-4 table 63: who may go on while a reservation of this type is held. */
bool model_conflicts(const struct model *m, int nexus, bool write)
{
    if (m->legacy != MODEL_NOBODY)
        return m->legacy != nexus;
    switch (m->type) {
    case 1:
        return write && !model_is_holder(m, nexus);
    case 3:
        return !model_is_holder(m, nexus);
    case 5:
    case 7:
        return write && !m->key[nexus];
    case 6:
    case 8:
        return !m->key[nexus];
    default:
        return false;
    }
}

enum scsi_reason model_io(const struct model *m, const struct model_op *op)
{
    bool write = op->kind == MODEL_WRITE || op->kind == MODEL_COMPARE_AND_WRITE;

    if (model_conflicts(m, op->nexus, write))
        return REASON_RESERVATION_CONFLICT;
    return write && m->mode.swp ? REASON_WRITE_PROTECTED : REASON_GOOD;
}

void model_apply(struct model *m, const struct model_op *op, struct model_result *r)
{
    r->reason = REASON_GOOD;
    for (int n = 0; n < model_nexuses(m); n++) {
        r->ua[n] = UA_COUNT;
        r->aborted[n] = false;
    }
    switch (op->kind) {
    case MODEL_PR_OUT:
        r->reason = do_pr_out(m, op, r);
        break;
    case MODEL_RESERVE:
    case MODEL_RELEASE:
        r->reason = do_legacy(m, op);
        break;
    case MODEL_LU_RESET:
        do_reset(m, r);
        break;
    case MODEL_NEXUS_LOSS:
        if (m->legacy == op->nexus)
            m->legacy = MODEL_NOBODY;
        break;
    case MODEL_COLD_START:
        do_cold_start(m);
        break;
    case MODEL_MODE_SELECT:
        r->reason = do_mode_select(m, op, r);
        break;
    case MODEL_READ_KEYS: /* SPC-2 table 10 */
    case MODEL_READ_RESERVATION:
    case MODEL_READ_FULL_STATUS:
        if (m->legacy != MODEL_NOBODY && m->legacy != op->nexus)
            r->reason = REASON_RESERVATION_CONFLICT;
        break;
    case MODEL_MODE_SENSE: /* reads, for a reservation (SPC-4 table 63) */
    case MODEL_READ:
    case MODEL_WRITE:
    case MODEL_COMPARE_AND_WRITE:
        r->reason = model_io(m, op);
        break;
    default:
        break;
    }
}

bool model_equal(const struct model *a, const struct model *b)
{
    return a->type == b->type && a->aptpl == b->aptpl && a->holder == b->holder &&
           a->legacy == b->legacy && a->generation == b->generation &&
           !memcmp(&a->mode, &b->mode, sizeof a->mode) &&
           !memcmp(a->key, b->key, (size_t)model_nexuses(a) * sizeof *a->key);
}

uint64_t model_hash(const struct model *m)
{
    uint64_t hash = 0xcbf29ce484222325u;
    uint64_t head[] = {m->type,
                       m->aptpl,
                       (uint64_t)m->holder,
                       (uint64_t)m->legacy,
                       m->generation,
                       m->mode.d_sense | m->mode.swp << 1 | m->mode.wce << 2 | m->mode.tas << 3};

    for (unsigned i = 0; i < sizeof head / sizeof *head; i++)
        hash = (hash ^ head[i]) * 0x100000001b3u;
    for (int n = 0; n < model_nexuses(m); n++)
        hash = ((hash ^ m->key[n]) * 0x9e3779b97f4a7c15u) ^ hash >> 29;
    return hash;
}

const char *model_type_name(uint8_t type)
{
    static const char *const names[] = {
        "none",
        "WRITE EXCLUSIVE",
        "?",
        "EXCLUSIVE ACCESS",
        "?",
        "WRITE EXCLUSIVE, REGISTRANTS ONLY",
        "EXCLUSIVE ACCESS, REGISTRANTS ONLY",
        "WRITE EXCLUSIVE, ALL REGISTRANTS",
        "EXCLUSIVE ACCESS, ALL REGISTRANTS",
    };

    return type < sizeof names / sizeof *names ? names[type] : "?";
}
