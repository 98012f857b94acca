/* Asymmetric logical unit access as initiators see it: made from the agreed state and the
 * configuration alone, so that every node answers the same bytes (SPC-4 5.15, 6.37). Pure. */
#ifndef HALUN_ALUA_ALUA_H
#define HALUN_ALUA_ALUA_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/shared_state.h"
#include "config/config.h"
#include "target/base/bytes.h"

/* Access state of the ports of `node` for the LUs of `group`. With `agreed` false (this node has no
 * lease, so its copy of the state may be old) everything is in transition. */
enum alua_state alua_state_of(const struct shared_group *group, unsigned node, bool agreed);

/* Parameter data of REPORT TARGET PORT GROUPS, whole: one group for each node that has ports.
 * `extended`: the header with the implicit transition time. */
void alua_report(struct writer *w, bool extended, const struct shared_group *group,
                 const struct config *config, bool agreed);

/* What SET TARGET PORT GROUPS asks for: the node whose ports are to be active/optimized. */
struct alua_request {
    unsigned node; /* 0: none is named, nothing to do */
};
/* Reads its parameter list. Returns GOOD, PARAMETER_LIST_LENGTH, or INVALID_FIELD_IN_PARAMETERS
 * with *field = the byte. */
enum scsi_reason alua_read_request(struct alua_request *request, const uint8_t *data,
                                   uint32_t length, uint16_t *field);

#endif
