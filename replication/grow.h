/* A volume grows while it is in use: the device below is larger than it was, and its metadata move to the new end.
 * Private to replication/; home reactor.
 *
 *   writes are held until nothing needs the activity log -> the larger map, an empty log to their new places -> flush ->
 *   superblock at the new end: from here on the volume is larger -> the old metadata are wiped
 *
 * Until the new superblock is written nothing of the old metadata is touched (growth by less than they take is refused),
 * and behind the old end nobody has data. So after a crash there is either the old volume or the new one. The old one is
 * found by last_place.h, as it is not at the end of the device any more. */
#ifndef HALUN_REPLICATION_GROW_H
#define HALUN_REPLICATION_GROW_H

#include <stdbool.h>
#include <stdint.h>

#include "replication/dirty_map.h"
#include "replication/metadata.h"
#include "target/store/store.h"

struct resource;
struct volume;

/* Growth by less is not worth it: what rounding leaves free is not used. */
enum { GROW_LEAST_SECTORS = (1 << 20) / MD_SECTOR };

enum grow_phase { GROW_NONE, GROW_QUIET, GROW_DATA, GROW_MAP, GROW_LOG, GROW_FLUSH, GROW_SUPERBLOCK, GROW_WIPE };

struct growth {
    enum grow_phase phase;
    uint64_t sectors;     /* that it shall have */
    bool mark;            /* the new sectors are out of sync */
    bool moved;           /* to another place on the device */
    uint64_t device_bytes;
    struct metadata_layout layout;
    struct dirty_map map; /* the larger one */
    struct superblock sb;
    uint64_t next;        /* page or block of the log to write next */
    unsigned in_flight;
    int error;
    struct store_io io;
    void (*done)(struct volume *v, int error, const char *why);
};

/* Sectors that the volume could have: its device may have grown. Its present size when there is no more, and then, if
 * it is because the metadata would overlap, a sentence in why[MD_WHY] (else ""). */
uint64_t grow_room(const struct volume *v, char *why);
/* Begins; done() once, later. `sectors`: at most grow_room(), more than it has. */
void grow_begin(struct volume *v, uint64_t sectors, bool mark,
                void (*done)(struct volume *v, int error, const char *why));
/* Takes the next step if what it waits for has come; at the end of every event. */
void grow_pump(struct volume *v);
static inline bool grow_runs(const struct growth *g)
{
    return g->phase != GROW_NONE;
}
/* Does it keep the rest of the engine from the metadata? */
static inline bool grow_has_metadata(const struct growth *g)
{
    return g->phase > GROW_QUIET;
}
void grow_free(struct volume *v);

#endif
