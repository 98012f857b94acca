#include "replication/metadata.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "target/base/bytes.h"

enum { /* offsets in the superblock */
       SB_EFFECTIVE = 0x00,
       SB_CURRENT = 0x08,
       SB_BITMAP = 0x10,
       SB_HISTORY_0 = 0x18,
       SB_HISTORY_1 = 0x20,
       SB_DEVICE_UUID = 0x28,
       SB_FLAGS = 0x38,
       SB_MAGIC = 0x3C,
       SB_MD_SIZE = 0x40,
       SB_AL_OFFSET = 0x44,
       SB_AL_EXTENTS = 0x48,
       SB_BM_OFFSET = 0x4C,
       SB_BYTES_PER_BIT = 0x50,
       SB_PEER_MAX_BIO = 0x54,
       SB_AL_STRIPES = 0x58,
       SB_AL_STRIPE_BLOCKS = 0x5C,
};

#define MAGIC_V07     UINT32_C(0x8374026A)
#define MAGIC_CLEAN   UINT32_C(0x8374026B)
#define MAGIC_UNCLEAN UINT32_C(0x8374026C)
#define MAGIC_V09     UINT32_C(0x8374026D)

enum { CREATE_AL_EXTENTS = 257 }; /* what drbdmeta writes; the engine puts its own number there */

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* Bytes of bitmap on disk for that many sectors: whole 64-bit words, whole blocks. */
static uint64_t bitmap_room(uint64_t sectors)
{
    uint64_t bits = round_up((sectors + MD_BLOCK_SECTORS - 1) / MD_BLOCK_SECTORS, 64);

    return round_up(bits / 8, MD_BLOCK);
}

uint64_t metadata_superblock_offset(enum metadata_placement placement, uint64_t device_bytes)
{
    if (placement == METADATA_FLEX_EXTERNAL || device_bytes < MD_BLOCK)
        return 0;
    return (device_bytes - MD_BLOCK) & ~(uint64_t)(MD_BLOCK - 1);
}

static int layout_internal(struct metadata_layout *l, uint64_t device_bytes, char *why)
{
    uint64_t al_bytes = (uint64_t)l->al_blocks * MD_BLOCK;

    if (device_bytes > MD_DATA_MAX) {
        snprintf(why, MD_WHY, "the device is larger than 1 PiB");
        return -EINVAL;
    }
    l->superblock = metadata_superblock_offset(METADATA_INTERNAL, device_bytes);
    l->bitmap_bytes = bitmap_room(device_bytes / MD_SECTOR);
    if (al_bytes + l->bitmap_bytes >= l->superblock) {
        snprintf(why, MD_WHY, "the device has no room for data beside its metadata");
        return -EINVAL;
    }
    l->al = l->superblock - al_bytes;
    l->bitmap = l->al - l->bitmap_bytes;
    l->data_sectors = l->bitmap / MD_SECTOR;
    l->al_offset = -(int32_t)(al_bytes / MD_SECTOR);
    l->bm_offset = -(int32_t)((al_bytes + l->bitmap_bytes) / MD_SECTOR);
    l->md_size_sectors = (uint32_t)((MD_BLOCK + al_bytes + l->bitmap_bytes) / MD_SECTOR);
    return 0;
}

static int layout_external(struct metadata_layout *l, uint64_t device_bytes, uint64_t data_bytes,
                           char *why)
{
    uint64_t al_bytes = (uint64_t)l->al_blocks * MD_BLOCK;
    uint64_t room, sectors;

    l->superblock = 0;
    l->al = MD_BLOCK;
    l->bitmap = l->al + al_bytes;
    if (l->bitmap + MD_BLOCK > device_bytes) {
        snprintf(why, MD_WHY, "the metadata device has no room for a bitmap");
        return -EINVAL;
    }
    room = (device_bytes - l->bitmap) & ~(uint64_t)(MD_BLOCK - 1);
    if (room > MD_DATA_MAX / MD_BLOCK / 8)
        room = MD_DATA_MAX / MD_BLOCK / 8;
    sectors = room * 8 * MD_BLOCK_SECTORS;
    if (data_bytes && data_bytes / MD_SECTOR < sectors)
        sectors = data_bytes / MD_SECTOR;
    if (!sectors) {
        snprintf(why, MD_WHY, "the data device is empty");
        return -EINVAL;
    }
    l->data_sectors = sectors;
    l->bitmap_bytes = bitmap_room(sectors);
    l->al_offset = MD_BLOCK_SECTORS;
    l->bm_offset = (int32_t)(l->bitmap / MD_SECTOR);
    l->md_size_sectors =
        device_bytes / MD_SECTOR > UINT32_MAX ? UINT32_MAX : (uint32_t)(device_bytes / MD_SECTOR);
    return 0;
}

int metadata_layout(struct metadata_layout *layout, enum metadata_placement placement,
                    uint64_t device_bytes, uint64_t data_bytes, uint32_t al_stripes,
                    uint32_t al_stripe_blocks, char *why)
{
    uint64_t al_blocks;

    if (!al_stripes && !al_stripe_blocks) {
        al_stripes = MD_AL_STRIPES;
        al_stripe_blocks = MD_AL_STRIPE_BLOCKS;
    }
    al_blocks = (uint64_t)al_stripes * al_stripe_blocks;
    memset(layout, 0, sizeof *layout);
    if (al_blocks < MD_AL_BLOCKS_MIN || al_blocks > MD_AL_BLOCKS_MAX) {
        snprintf(why, MD_WHY,
                 "an activity log of %" PRIu32 " stripes of %" PRIu32
                 " blocks is not between 32 KiB and 256 MiB",
                 al_stripes, al_stripe_blocks);
        return -EINVAL;
    }
    if (device_bytes < MD_DEVICE_MIN) {
        snprintf(why, MD_WHY, "the device is smaller than 1 MiB");
        return -EINVAL;
    }
    layout->placement = placement;
    layout->al_stripes = al_stripes;
    layout->al_stripe_blocks = al_stripe_blocks;
    layout->al_blocks = (uint32_t)al_blocks;
    if (placement == METADATA_INTERNAL)
        return layout_internal(layout, device_bytes, why);
    return layout_external(layout, device_bytes, data_bytes, why);
}

int superblock_decode(struct superblock *sb, const uint8_t block[MD_BLOCK], char *why)
{
    uint32_t magic = get_be32(block + SB_MAGIC);

    memset(sb, 0, sizeof *sb);
    if (magic != MAGIC_CLEAN && magic != MAGIC_UNCLEAN) {
        snprintf(why, MD_WHY,
                 magic == MAGIC_V07   ? "the metadata is v07, not v08"
                 : magic == MAGIC_V09 ? "the metadata is v09, not v08"
                                      : "there is no v08 metadata");
        return -ENODATA;
    }
    *sb = (struct superblock){
        .effective_sectors = get_be64(block + SB_EFFECTIVE),
        .generations =
            {
                .current = get_be64(block + SB_CURRENT),
                .bitmap = get_be64(block + SB_BITMAP),
                .history = {get_be64(block + SB_HISTORY_0), get_be64(block + SB_HISTORY_1)},
            },
        .device_uuid = get_be64(block + SB_DEVICE_UUID),
        .flags = get_be32(block + SB_FLAGS),
        .clean = magic == MAGIC_CLEAN,
        .md_size_sectors = get_be32(block + SB_MD_SIZE),
        .al_offset = (int32_t)get_be32(block + SB_AL_OFFSET),
        .bm_offset = (int32_t)get_be32(block + SB_BM_OFFSET),
        .al_extents = get_be32(block + SB_AL_EXTENTS),
        .bytes_per_bit = get_be32(block + SB_BYTES_PER_BIT),
        .peer_max_bio = get_be32(block + SB_PEER_MAX_BIO),
        .al_stripes = get_be32(block + SB_AL_STRIPES),
        .al_stripe_blocks = get_be32(block + SB_AL_STRIPE_BLOCKS),
    };
    return 0;
}

void superblock_encode(const struct superblock *sb, uint8_t block[MD_BLOCK])
{
    memset(block, 0, MD_BLOCK);
    put_be64(block + SB_EFFECTIVE, sb->effective_sectors);
    put_be64(block + SB_CURRENT, sb->generations.current);
    put_be64(block + SB_BITMAP, sb->generations.bitmap);
    put_be64(block + SB_HISTORY_0, sb->generations.history[0]);
    put_be64(block + SB_HISTORY_1, sb->generations.history[1]);
    put_be64(block + SB_DEVICE_UUID, sb->device_uuid);
    put_be32(block + SB_FLAGS, sb->flags);
    put_be32(block + SB_MAGIC, sb->clean ? MAGIC_CLEAN : MAGIC_UNCLEAN);
    put_be32(block + SB_MD_SIZE, sb->md_size_sectors);
    put_be32(block + SB_AL_OFFSET, (uint32_t)sb->al_offset);
    put_be32(block + SB_AL_EXTENTS, sb->al_extents);
    put_be32(block + SB_BM_OFFSET, (uint32_t)sb->bm_offset);
    put_be32(block + SB_BYTES_PER_BIT, sb->bytes_per_bit);
    put_be32(block + SB_PEER_MAX_BIO, sb->peer_max_bio);
    put_be32(block + SB_AL_STRIPES, sb->al_stripes);
    put_be32(block + SB_AL_STRIPE_BLOCKS, sb->al_stripe_blocks);
}

int superblock_validate(const struct superblock *sb, enum metadata_placement placement,
                        uint64_t device_bytes, uint64_t data_bytes, struct metadata_layout *layout,
                        char *why)
{
    int error;

    if (sb->bytes_per_bit != MD_BLOCK) {
        snprintf(why, MD_WHY, "%" PRIu32 " bytes per bitmap bit instead of 4096",
                 sb->bytes_per_bit);
        return -EINVAL;
    }
    error = metadata_layout(layout, placement, device_bytes, data_bytes, sb->al_stripes,
                            sb->al_stripe_blocks, why);
    if (error)
        return error;
    if (sb->al_offset != layout->al_offset) {
        snprintf(why, MD_WHY, "activity log at %" PRId32 " instead of %" PRId32 " sectors",
                 sb->al_offset, layout->al_offset);
        return -EINVAL;
    }
    if (sb->bm_offset != layout->bm_offset) {
        snprintf(why, MD_WHY, "bitmap at %" PRId32 " instead of %" PRId32 " sectors", sb->bm_offset,
                 layout->bm_offset);
        return -EINVAL;
    }
    if (placement == METADATA_INTERNAL && sb->md_size_sectors != layout->md_size_sectors) {
        snprintf(why, MD_WHY, "metadata of %" PRIu32 " instead of %" PRIu32 " sectors",
                 sb->md_size_sectors, layout->md_size_sectors);
        return -EINVAL;
    }
    if (sb->effective_sectors > layout->data_sectors) {
        snprintf(why, MD_WHY,
                 "the data had %" PRIu64 " sectors, there is room for %" PRIu64 " only",
                 sb->effective_sectors, layout->data_sectors);
        return -EINVAL;
    }
    return 0;
}

void superblock_create(struct superblock *sb, const struct metadata_layout *layout)
{
    *sb = (struct superblock){
        .flags = MD_AL_CLEAN,
        .clean = true,
        .md_size_sectors = layout->md_size_sectors,
        .al_offset = layout->al_offset,
        .bm_offset = layout->bm_offset,
        .al_extents = CREATE_AL_EXTENTS,
        .bytes_per_bit = MD_BLOCK,
        .al_stripes = layout->al_stripes,
        .al_stripe_blocks = layout->al_stripe_blocks,
    };
    generation_create(&sb->generations);
}

enum replica_disk metadata_disk_state(uint32_t flags, bool fencing_dont_care)
{
    if (!(flags & MD_CONSISTENT))
        return DISK_INCONSISTENT;
    if (!(flags & MD_WAS_UP_TO_DATE))
        return DISK_OUTDATED;
    /* The second: how a survivor whose peer was fenced starts alone. */
    if (fencing_dont_care || flags & MD_PEER_OUTDATED)
        return DISK_UP_TO_DATE;
    return DISK_CONSISTENT;
}

uint32_t metadata_flags(uint32_t old, const struct wire_state *s)
{
    uint32_t flags = old & ~(uint32_t)(MD_PRIMARY | MD_CONNECTED | MD_PEER_OUTDATED | MD_AL_CLEAN);

    /* Below Inconsistent the state says nothing about the content, which is what it was. */
    if (s->disk >= DISK_INCONSISTENT) {
        flags &= ~(uint32_t)(MD_CONSISTENT | MD_WAS_UP_TO_DATE);
        if (s->disk > DISK_INCONSISTENT)
            flags |= MD_CONSISTENT;
        if (s->disk > DISK_OUTDATED)
            flags |= MD_WAS_UP_TO_DATE;
    }
    if (s->role == WIRE_PRIMARY || (s->peer == WIRE_PRIMARY && s->pdsk < DISK_INCONSISTENT))
        flags |= MD_PRIMARY;
    if (s->conn > CONN_WF_REPORT_PARAMS)
        flags |= MD_CONNECTED;
    if (s->pdsk == DISK_INCONSISTENT || s->pdsk == DISK_OUTDATED)
        flags |= MD_PEER_OUTDATED;
    if (s->disk == DISK_UP_TO_DATE && s->pdsk == DISK_UP_TO_DATE)
        flags &= ~(uint32_t)MD_CRASHED_PRIMARY;
    return flags;
}

bool metadata_crashed_primary(const struct superblock *sb)
{
    return sb->flags & (MD_PRIMARY | MD_CRASHED_PRIMARY);
}
