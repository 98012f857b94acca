/* How large a device was when its metadata were written. They are at its end: when it was made larger while nobody used
 * it, only this tells where they are. One small file for each volume in state_dir; drbdmeta keeps the like. Blocking:
 * control thread. */
#ifndef HALUN_REPLICATION_LAST_PLACE_H
#define HALUN_REPLICATION_LAST_PLACE_H

#include <stdint.h>

/* Bytes; 0: nothing is known. `state_dir` "": nothing is kept. */
uint64_t last_place_read(const char *state_dir, const uint8_t uuid[16]);
/* Durable when it returns 0; else -errno. Writes nothing when it is known already. */
int last_place_write(const char *state_dir, const uint8_t uuid[16], uint64_t device_bytes);

#endif
