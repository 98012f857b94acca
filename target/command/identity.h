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
 * 7.6.4.6), in the one form that identities are compared in: letters small (RFC 7143 4.2.7.2), 12
 * digits, least padding. `initiator_name`: 1..LIMIT_ISCSI_NAME bytes; `isid` is 6 bytes. */
void identity_from_iscsi(struct nexus_identity *identity, const char *initiator_name,
                         const uint8_t isid[6], uint16_t rtpi);
/* Length in bytes of the TransportID at `data` (at most `size`), or 0 if it is malformed, of an unknown
 * protocol or longer than LIMIT_TRANSPORT_ID. iSCSI format 00b (no ISID) is accepted as well. */
unsigned identity_transport_length(const uint8_t *data, unsigned size);
/* Makes an identity of the TransportID at `data` (at most `size` bytes), brought into the form of
 * identity_from_iscsi(). Returns the bytes it took, or 0 if identity_transport_length() refuses it or it
 * names no port (iSCSI format 00b); the identity is undefined then. */
unsigned identity_from_transport(struct nexus_identity *identity, const uint8_t *data, unsigned size,
                                 uint16_t rtpi);
/* Is this the identity of a nexus: a port number and a TransportID in the form above, zero padded? */
bool identity_valid(const struct nexus_identity *identity);
/* The order of registrants: TransportID, then port number. <0, 0, >0. */
int identity_compare(const struct nexus_identity *a, const struct nexus_identity *b);

#endif
