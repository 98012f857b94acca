/* Who is at the other end: the identity of an I_T nexus as persistent reservations and the cluster
 * know it (SPC-4 5.12.1: initiator port TransportID + relative target port identifier). It never
 * contains an address or a connection. Pure. */
#ifndef HALUN_COMMAND_IDENTITY_H
#define HALUN_COMMAND_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "target/base/limits.h"

struct nexus_identity {
    uint16_t rtpi;             /* of the target port, 1..65535 */
    uint16_t transport_length; /* bytes of transport_id used, multiple of 4 */
    uint8_t transport_id[LIMIT_TRANSPORT_ID]; /* SPC-4 7.6.4 as on the wire, zero padded */
};

static inline bool identity_same_initiator(const struct nexus_identity *a,
                                           const struct nexus_identity *b)
{
    return a->transport_length == b->transport_length &&
           !memcmp(a->transport_id, b->transport_id, a->transport_length);
}

static inline bool identity_equal(const struct nexus_identity *a, const struct nexus_identity *b)
{
    return a->rtpi == b->rtpi && identity_same_initiator(a, b);
}

/* Makes the iSCSI TransportID of an initiator port, format 01b: name + ",i,0x" + ISID (SPC-4
 * 7.6.4.6). `isid` is 6 bytes. */
void identity_from_iscsi(struct nexus_identity *identity, const char *initiator_name,
                         const uint8_t isid[6], uint16_t rtpi);
/* Length in bytes of the TransportID at `data` (at most `size`), or 0 if it is malformed, of an unknown
 * protocol or longer than LIMIT_TRANSPORT_ID. iSCSI format 00b (no ISID) is accepted as well. */
unsigned identity_transport_length(const uint8_t *data, unsigned size);

#endif
