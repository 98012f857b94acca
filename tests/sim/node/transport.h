/* The simulator's transport: sessions of simulated initiators in place of target/iscsi. Implements iscsi.h for the
 * daemon, and for the world what entry.h says. */
#ifndef HALUN_TESTS_SIM_NODE_TRANSPORT_H
#define HALUN_TESTS_SIM_NODE_TRANSPORT_H

#include <stdint.h>

struct session;

struct session *transport_login(void *nexus, const char *initiator, const uint8_t isid[6]);
void transport_command(struct session *session, void *command, uint64_t tag, unsigned lun,
                       const uint8_t *cdb, uint8_t cdb_length, unsigned attribute, const void *data,
                       uint32_t data_length, uint32_t expected_in);
void transport_tmf(struct session *session, void *tmf, unsigned function, unsigned lun, uint64_t tag);
void transport_hang_up(struct session *session);

#endif
