/* What the files of the module that are the simulator's own ask of the world. */
#ifndef HALUN_TESTS_SIM_NODE_NODE_H
#define HALUN_TESTS_SIM_NODE_NODE_H

#include <stdint.h>

/* control.c: a descriptor that can be read when a request waits; the oldest one that waits (NULL: none), with
 * texts that stay until it is answered; its answer. */
int world_control_open(void);
void *world_control_next(const char **method, const char **arguments);
void world_control_answer(void *call, int code, const char *reply);

/* transport.c: towards the initiator. Everything is copied before these return. */
void world_login_answer(void *nexus, int ok);
void world_answer(void *command, int silent, uint8_t status, const uint8_t *sense, uint8_t sense_length,
                  const void *data, uint32_t data_length);
void world_tmf_answer(void *tmf, int response);
/* The target ended the session, or has ended it in order. */
void world_session_over(void *nexus);

/* canary.c: is this bug planted? */
int world_canary_early_answer(void);
int world_canary_no_drain(void);
int world_canary_outdated(void);
int world_canary_flush_alone(void);

#endif
