/* What peer_rig.c needs of its relay. */
#ifndef HALUN_TESTS_PEER_RELAY_H
#define HALUN_TESTS_PEER_RELAY_H

#include "peer_rig.h"

/* Takes over a listening socket; forwards its connections to `server`. */
void relay_start(int listener, const struct config_address *server);
void relay_stop(void);

#endif
