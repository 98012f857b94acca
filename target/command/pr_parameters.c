#include "target/command/pr_parameters.h"

#include <assert.h>

enum {
    /* PERSISTENT RESERVE OUT parameter list, SPC-4 table 209 */
    OUT_KEY = 0,
    OUT_ACTION_KEY = 8,
    OUT_BITS = 20,
    OUT_SPEC_I_PT = 0x08,
    OUT_ALL_TG_PT = 0x04,
    OUT_APTPL = 0x01,
    OUT_LENGTH = 24,
    OUT_IDS_LENGTH = 24, /* with SPEC_I_PT */
    OUT_IDS = 28,

    /* REGISTER AND MOVE, SPC-4 table 212 */
    MOVE_BITS = 17,
    MOVE_UNREG = 0x02,
    MOVE_APTPL = 0x01,
    MOVE_RTPI = 18,
    MOVE_ID_LENGTH = 20,
    MOVE_ID = 24,
};

static enum scsi_reason wrong(uint16_t *field, uint32_t byte)
{
    *field = (uint16_t)byte;
    return REASON_INVALID_FIELD_IN_PARAMETERS;
}

static enum scsi_reason read_move(struct shared_op *op, const uint8_t *data, uint32_t length,
                                  uint16_t *field)
{
    uint32_t id_length = get_be32(data + MOVE_ID_LENGTH);

    if (id_length != length - MOVE_ID)
        return REASON_PARAMETER_LIST_LENGTH;
    if (data[MOVE_BITS] & ~(MOVE_UNREG | MOVE_APTPL))
        return wrong(field, MOVE_BITS);
    op->unreg = data[MOVE_BITS] & MOVE_UNREG;
    op->aptpl = data[MOVE_BITS] & MOVE_APTPL;
    op->move_rtpi = get_be16(data + MOVE_RTPI);
    if (!id_length)
        return wrong(field, MOVE_ID_LENGTH);
    if (identity_transport_length(data + MOVE_ID, id_length) != id_length)
        return wrong(field, MOVE_ID);
    op->transport_ids = data + MOVE_ID;
    op->transport_ids_length = id_length;
    return REASON_GOOD;
}

static enum scsi_reason read_ids(struct shared_op *op, const uint8_t *data, uint32_t length,
                                 uint16_t *field)
{
    uint32_t at = OUT_IDS;

    if (length < OUT_IDS || get_be32(data + OUT_IDS_LENGTH) != length - OUT_IDS)
        return REASON_PARAMETER_LIST_LENGTH;
    while (at < length) {
        unsigned id_length = identity_transport_length(data + at, length - at);
        if (!id_length)
            return wrong(field, at);
        at += id_length;
    }
    op->transport_ids = data + OUT_IDS;
    op->transport_ids_length = length - OUT_IDS;
    return REASON_GOOD;
}

enum scsi_reason pr_out_read(struct shared_op *op, const uint8_t *data, uint32_t length,
                             uint16_t *field)
{
    uint8_t bits;

    if (length < OUT_LENGTH)
        return REASON_PARAMETER_LIST_LENGTH;
    op->key = get_be64(data + OUT_KEY);
    op->action_key = get_be64(data + OUT_ACTION_KEY);
    if (op->action == PR_OUT_REGISTER_AND_MOVE)
        return read_move(op, data, length, field);
    bits = data[OUT_BITS];
    if (!(bits & OUT_SPEC_I_PT) && length != OUT_LENGTH)
        return REASON_PARAMETER_LIST_LENGTH;
    /* Other bits than these are ignored where they mean nothing, but SPEC_I_PT comes with bytes
     * that only REGISTER can use (SPC-4 6.16.3). */
    if (bits & OUT_SPEC_I_PT && op->action != PR_OUT_REGISTER)
        return wrong(field, OUT_BITS);
    if (op->action == PR_OUT_REGISTER || op->action == PR_OUT_REGISTER_AND_IGNORE) {
        op->all_tg_pt = bits & OUT_ALL_TG_PT;
        op->aptpl = bits & OUT_APTPL;
    }
    op->spec_i_pt = bits & OUT_SPEC_I_PT;
    return op->spec_i_pt ? read_ids(op, data, length, field) : REASON_GOOD;
}

/* ---- PERSISTENT RESERVE IN ---- */

enum { IN_HEADER = 8 };

static bool all_registrants(const struct shared_lu *lu)
{
    return lu->pr_type == PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS ||
           lu->pr_type == PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
}

static void write_keys(struct writer *w, const struct shared_lu *lu)
{
    for (uint32_t i = 0; i < lu->registrant_count; i++)
        write_be64(w, lu->registrants[i].key);
}

static void write_reservation(struct writer *w, const struct shared_lu *lu)
{
    if (lu->pr_type == PR_NONE)
        return;
    write_be64(w,
               all_registrants(lu) || lu->pr_holder < 0 ? 0 : lu->registrants[lu->pr_holder].key);
    write_be32(w, 0);
    write_u8(w, 0);
    write_u8(w, lu->pr_type); /* LU_SCOPE */
    write_be16(w, 0);
}

/* SPC-4 table 204: CRH, SIP_C, ATP_C, PTPL_C; TMV, ALLOW COMMANDS 001b, PTPL_A; all six types. */
static void write_capabilities(struct writer *w, const struct shared_lu *lu)
{
    write_be16(w, 8);
    write_u8(w, 0x10 | 0x08 | 0x04 | 0x01);
    write_u8(w, 0x80 | 0x10 | (lu->pr_aptpl ? 0x01 : 0));
    write_be16(w, 0xea01);
    write_be16(w, 0);
}

static void write_full_status(struct writer *w, const struct shared_lu *lu)
{
    for (uint32_t i = 0; i < lu->registrant_count; i++) {
        const struct shared_registrant *registrant = &lu->registrants[i];
        bool holder =
            lu->pr_type != PR_NONE && (all_registrants(lu) || lu->pr_holder == (int32_t)i);

        write_be64(w, registrant->key);
        write_be32(w, 0);
        write_u8(w, holder ? 0x01 : 0x00); /* ALL_TG_PT 0: each port has a registrant of its own */
        write_u8(w, holder ? lu->pr_type : 0);
        write_be32(w, 0);
        write_be16(w, registrant->nexus.rtpi);
        write_be32(w, registrant->nexus.transport_length);
        write_bytes(w, registrant->nexus.transport_id, registrant->nexus.transport_length);
    }
}

void pr_in_write(struct writer *w, enum pr_in_action action, const struct shared_lu *lu)
{
    size_t begin = w->used;
    uint8_t length[4];

    if (action == PR_IN_REPORT_CAPABILITIES) {
        write_capabilities(w, lu);
        return;
    }
    write_be32(w, lu->pr_generation);
    write_be32(w, 0);
    if (action == PR_IN_READ_KEYS)
        write_keys(w, lu);
    else if (action == PR_IN_READ_RESERVATION)
        write_reservation(w, lu);
    else
        write_full_status(w, lu);
    put_be32(length, (uint32_t)(w->used - begin - IN_HEADER));
    for (unsigned i = 0; i < sizeof length; i++) {
        if (begin + 4 + i < w->size)
            w->data[begin + 4 + i] = length[i];
    }
}
