#include "alua/alua.h"

enum {
    /* REPORT TARGET PORT GROUPS, SPC-4 tables 307 and 308 */
    FORMAT_EXTENDED = 0x10,
    /* T_SUP, U_SUP, S_SUP, AN_SUP, AO_SUP: all states that a group can take here */
    SUPPORTED_STATES = 0x80 | 0x08 | 0x04 | 0x02 | 0x01,
    STATUS_BY_COMMAND = 0x01,
    STATUS_IMPLICIT = 0x02,

    /* SET TARGET PORT GROUPS, SPC-4 table 323 */
    SET_HEADER = 4,
    SET_DESCRIPTOR = 4,
    SET_PREFERRED_STATE_MASK = 0x0f,
};

enum alua_state alua_state_of(const struct shared_group *group, unsigned node, bool agreed)
{
    return agreed ? group->states[node] : ALUA_TRANSITIONING;
}

void alua_report(struct writer *w, bool extended, const struct shared_group *group,
                 const struct config *config, bool agreed)
{
    size_t begin = w->used, end;

    write_be32(w, 0);
    if (extended) {
        write_u8(w, FORMAT_EXTENDED);
        write_u8(w, config->transition_s > 255 ? 255 : (uint8_t)config->transition_s);
        write_be16(w, 0);
    }
    for (unsigned i = 0; i < config->node_count; i++) {
        const struct config_node *node = &config->nodes[i];
        if (!node->portal_count)
            continue;
        write_u8(w, alua_state_of(group, node->id, agreed));
        write_u8(w, SUPPORTED_STATES);
        write_be16(w, (uint16_t)node->id);
        write_u8(w, 0);
        write_u8(w, group->explicit_transition ? STATUS_BY_COMMAND : STATUS_IMPLICIT);
        write_u8(w, 0);
        write_u8(w, (uint8_t)node->portal_count);
        for (unsigned j = 0; j < node->portal_count; j++) {
            write_be16(w, 0);
            write_be16(w, node->portals[j].rtpi);
        }
    }
    end = w->used;
    w->used = begin; /* RETURN DATA LENGTH counts from behind itself */
    write_be32(w, (uint32_t)(end - begin - 4));
    w->used = end;
}

enum scsi_reason alua_read_request(struct alua_request *request, const uint8_t *data,
                                   uint32_t length, uint16_t *field)
{
    request->node = 0;
    if (!length)
        return REASON_GOOD;
    if (length < SET_HEADER || (length - SET_HEADER) % SET_DESCRIPTOR)
        return REASON_PARAMETER_LIST_LENGTH;
    for (uint32_t at = SET_HEADER; at < length; at += SET_DESCRIPTOR) {
        unsigned state = data[at] & SET_PREFERRED_STATE_MASK;
        unsigned node = get_be16(data + at + 2);

        *field = (uint16_t)at;
        /* Offline and transitioning cannot be set (SPC-4 6.45). */
        if (state > ALUA_UNAVAILABLE)
            return REASON_INVALID_FIELD_IN_PARAMETERS;
        if (!node || node > LIMIT_NODES) {
            *field = (uint16_t)(at + 2);
            return REASON_INVALID_FIELD_IN_PARAMETERS;
        }
        if (state != ALUA_ACTIVE_OPTIMIZED)
            continue;
        if (request->node && request->node != node) /* a group has one owner */
            return REASON_INVALID_FIELD_IN_PARAMETERS;
        request->node = node;
    }
    return REASON_GOOD;
}
