/* On-disk metadata "v08" of DRBD 8.4: where it lies and its superblock. Pure.
 *
 * All metadata is read and written in 4 KiB blocks, 4 KiB aligned. A sector is 512 bytes
 * everywhere. The superblock has no checksum: validity means that its numbers are exactly those
 * computed from the size of the device. Functions work on the caller's memory, on any thread. */
#ifndef HALUN_REPLICATION_METADATA_H
#define HALUN_REPLICATION_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replication/generation.h"
#include "replication/message.h"

enum {
    MD_BLOCK = 4096, /* unit of metadata I/O, and bytes per bit of the dirty map */
    MD_SECTOR = 512,
    MD_BLOCK_SECTORS = MD_BLOCK / MD_SECTOR,
    MD_AL_STRIPES = 1, /* activity log default: one stripe of 8 blocks, 32 KiB */
    MD_AL_STRIPE_BLOCKS = 8,
    MD_AL_BLOCKS_MIN = 8,       /* 32 KiB */
    MD_AL_BLOCKS_MAX = 1 << 16, /* 256 MiB: our bound on what an untrusted superblock may ask for */
    MD_WHY = 160,               /* room for a refusal's sentence, with its NUL */
};
#define MD_DEVICE_MIN UINT64_C(0x100000)  /* 1 MiB: smallest device with metadata */
#define MD_DATA_MAX   (UINT64_C(1) << 50) /* 1 PiB of data */

enum metadata_placement {
    METADATA_INTERNAL,      /* at the end of the data device */
    METADATA_FLEX_EXTERNAL, /* alone on a device of its own, from byte 0 */
};

/* Where everything is. Offsets and sizes in bytes on the device that holds the metadata, all
 * multiples of MD_BLOCK, unless the name says sectors. */
struct metadata_layout {
    enum metadata_placement placement;
    uint32_t al_stripes, al_stripe_blocks; /* both at least 1 */
    uint32_t al_blocks;                    /* al_stripes x al_stripe_blocks */
    uint64_t superblock;
    uint64_t al; /* al_blocks x MD_BLOCK bytes */
    uint64_t bitmap;
    uint64_t bitmap_bytes; /* what the largest map may use; that of the exported data may be less */
    uint64_t data_sectors; /* largest size that can be exported */
    /* as they stand in the superblock */
    int32_t al_offset, bm_offset; /* sectors, relative to the superblock */
    uint32_t md_size_sectors;
};

/* Byte offset of the superblock on a metadata device of `device_bytes`. */
uint64_t metadata_superblock_offset(enum metadata_placement placement, uint64_t device_bytes);

/* Computes a layout. `device_bytes` is the size of the device that holds the metadata; `data_bytes`
 * that of the data device (external only; 0 = unknown, then only the room limits; ignored for
 * internal). al_stripes and al_stripe_blocks both 0 mean the default. Returns 0, or -EINVAL and a
 * sentence in why[MD_WHY] (too small, too large, bad log). */
int metadata_layout(struct metadata_layout *layout, enum metadata_placement placement,
                    uint64_t device_bytes, uint64_t data_bytes, uint32_t al_stripes,
                    uint32_t al_stripe_blocks, char *why);

/* Flags of the superblock. */
enum {
    MD_CONSISTENT = 0x01,
    MD_PRIMARY = 0x02, /* Primary when last written: set at attach = crashed Primary */
    MD_CONNECTED = 0x04,
    MD_FULL_SYNC = 0x08, /* brackets "set all bits and write the map" */
    MD_WAS_UP_TO_DATE = 0x10,
    MD_PEER_OUTDATED = 0x20,
    MD_CRASHED_PRIMARY = 0x40,
    MD_AL_CLEAN = 0x80, /* only while not attached */
    MD_AL_DISABLED = 0x100,
};

/* The superblock, in host order. */
struct superblock {
    uint64_t effective_sectors; /* last agreed exported size; 0 = never attached */
    struct generations generations;
    uint64_t device_uuid; /* often 0 */
    uint32_t flags;       /* MD_*; unknown bits are kept */
    bool clean;           /* magic: the activity log needs no replay */
    uint32_t md_size_sectors;
    int32_t al_offset, bm_offset;
    uint32_t al_extents;                   /* slots of the activity log */
    uint32_t bytes_per_bit;                /* 4096 */
    uint32_t peer_max_bio;                 /* bytes; 0 = unknown */
    uint32_t al_stripes, al_stripe_blocks; /* as on disk; both 0 = default */
};

/* Decodes one block. Returns 0; -ENODATA when there is no v08 superblock (other magic; why names
 * v07 or v09 when it is one of those). Says nothing about whether the numbers are right. */
int superblock_decode(struct superblock *sb, const uint8_t block[MD_BLOCK], char *why);

/* Encodes into one block, unused bytes zero. `clean` decides the magic. */
void superblock_encode(const struct superblock *sb, uint8_t block[MD_BLOCK]);

/* Computes the layout the superblock must have been written for (device and data sizes as in
 * metadata_layout()) and checks every number against it, also that the map covers effective_sectors
 * and that effective_sectors fits the data device. Returns 0 or -EINVAL and a sentence in
 * why[MD_WHY]. */
int superblock_validate(const struct superblock *sb, enum metadata_placement placement,
                        uint64_t device_bytes, uint64_t data_bytes, struct metadata_layout *layout,
                        char *why);

/* A fresh superblock for a layout: generation "just created", no flags but AL_CLEAN as drbdmeta
 * writes it, clean. */
void superblock_create(struct superblock *sb, const struct metadata_layout *layout);

/* The disk state the flags stand for when attaching: Inconsistent, Outdated, Consistent or
 * UpToDate; Consistent is raised to UpToDate when `fencing_dont_care` or when the peer's copy is
 * known as outdated. (drbdmeta's dstate is this with fencing_dont_care false.) */
enum replica_disk metadata_disk_state(uint32_t flags, bool fencing_dont_care);

/* The flags for a state; `old` gives what is sticky: FULL_SYNC, AL_DISABLED, CRASHED_PRIMARY until
 * both disks are UpToDate, CONSISTENT and WAS_UP_TO_DATE while the own disk is below Inconsistent
 * (attaching, negotiating, failed). To be called at every state change while attached; AL_CLEAN is
 * never in the result. */
uint32_t metadata_flags(uint32_t old, const struct wire_state *state);

/* True when this node was Primary when it stopped without a clean detach: then the activity log has
 * to be applied and P_UUIDS must say crashed-primary. */
bool metadata_crashed_primary(const struct superblock *sb);

#endif
