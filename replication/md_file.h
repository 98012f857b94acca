/* Metadata on an opened file or block device, with blocking I/O: for attach time (on the control
 * thread or a helper, never on a reactor), for halun-md and for tests.
 *
 * Attaching: md_file_load() checks the superblock, reads the map and replays the log into it if the
 * last user crashed as Primary; nothing is written.
 *
 * md_file_settle() then writes the map and a fresh log, the superblock last: safe to repeat after a
 * crash anywhere. From here on the engine writes pages, log blocks and the superblock by itself, at
 * file->layout.
 *
 * md_file_free() frees memory; the descriptor stays the caller's. */
#ifndef HALUN_REPLICATION_MD_FILE_H
#define HALUN_REPLICATION_MD_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "replication/activity_log.h"
#include "replication/dirty_map.h"
#include "replication/metadata.h"

struct md_file {
    int fd; /* caller's; I/O is 4 KiB aligned, so O_DIRECT is fine */
    struct metadata_layout layout;
    struct superblock superblock; /* as on disk */
    struct dirty_map map; /* over memory of this structure; covers effective_sectors, or when that
                           * is 0 (never attached) layout.data_sectors, then with all bits set */
    bool was_clean;       /* the last user detached cleanly */
    bool crashed_primary; /* PRIMARY or CRASHED_PRIMARY was set */
    bool log_applied;     /* the log's extents were set in the map */
    bool log_damaged;     /* the log could not be trusted: all bits were set */
    bool full_sync;       /* all bits set because of MD_FULL_SYNC (or no log while crashed) */
    unsigned log_extents; /* extents the replay found */
    uint32_t *log_table;  /* by slot: AL_SLOTS_MAX entries; NULL when clean and not read */
};

struct md_create {
    enum metadata_placement placement;
    uint64_t device_bytes;                 /* of the device that holds the metadata */
    uint64_t data_bytes;                   /* external only */
    uint32_t al_stripes, al_stripe_blocks; /* both 0 = default */
    uint32_t al_extents;                   /* slots; 0 = 1237 or what fits */
};

/* Size in bytes of a regular file or block device, or -errno. */
int64_t md_device_bytes(int fd);

/* May md_file_create() write at that place? 0 when nothing is there: zeros, or what a creation wrote that was cut short (by
 * an error, or by power: each sector is there or is not) before it came to the superblock. -EEXIST or another -errno, and
 * why. Asks for no superblock: md_file_probe(). */
int md_file_check_free(int fd, const struct metadata_layout *layout, char *why);

/* Writes fresh metadata ("just created", map zero, log initialised), superblock last, and syncs.
 * Existing metadata at that place is overwritten: ask before. Returns 0 or -errno and a sentence in
 * why[MD_WHY]. */
int md_file_create(int fd, const struct md_create *create, char *why);

/* Is there a v08 superblock? 0 yes, -ENODATA no, other -errno. */
int md_file_probe(int fd, enum metadata_placement placement, uint64_t device_bytes, char *why);

/* Reads and checks everything into `file` (see above). `data_bytes` for external only. Returns 0 or
 * -errno and why; on failure nothing is left allocated. */
int md_file_load(struct md_file *file, int fd, enum metadata_placement placement,
                 uint64_t device_bytes, uint64_t data_bytes, char *why);

/* Writes the whole map, an initialised log, then the superblock `file->superblock` with `clean`
 * deciding magic and MD_AL_CLEAN; each step is synced before the next. Clean: like apply-al, or a
 * clean detach. Not clean: what an attached engine has on disk (CRASHED_PRIMARY is set in the flags
 * if file->crashed_primary). Returns 0 or -errno. */
int md_file_settle(struct md_file *file, bool clean);

/* Writes only the superblock and syncs. Returns 0 or -errno. */
int md_file_write_superblock(struct md_file *file);

/* Frees what md_file_load() allocated. */
void md_file_free(struct md_file *file);

#endif
