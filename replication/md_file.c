#include "replication/md_file.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };

int64_t md_device_bytes(int fd)
{
    struct stat st;
    uint64_t bytes;

    if (fstat(fd, &st))
        return -errno;
    if (S_ISREG(st.st_mode))
        return st.st_size;
    if (!S_ISBLK(st.st_mode))
        return -ENOTBLK;
    if (ioctl(fd, BLKGETSIZE64, &bytes))
        return -errno;
    return (int64_t)bytes;
}

static int read_all(int fd, void *buffer, uint64_t length, uint64_t offset)
{
    uint8_t *p = buffer;

    while (length) {
        ssize_t got = pread(fd, p, length < CHUNK ? length : CHUNK, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (!got)
            return -EIO;
        p += got;
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return 0;
}

static int write_all(int fd, const void *buffer, uint64_t length, uint64_t offset)
{
    const uint8_t *p = buffer;

    while (length) {
        ssize_t put = pwrite(fd, p, length < CHUNK ? length : CHUNK, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        if (!put)
            return -EIO;
        p += put;
        offset += (uint64_t)put;
        length -= (uint64_t)put;
    }
    return 0;
}

static int sync_file(int fd)
{
    return fdatasync(fd) ? -errno : 0;
}

static void *aligned(uint64_t bytes)
{
    void *p;

    return posix_memalign(&p, MD_BLOCK, bytes) ? NULL : p;
}

static int write_zeros(int fd, uint64_t length, uint64_t offset)
{
    uint64_t chunk = length < CHUNK ? length : CHUNK;
    uint8_t *zeros = aligned(chunk);
    int error = 0;

    if (!zeros)
        return -ENOMEM;
    memset(zeros, 0, chunk);
    while (length && !error) {
        uint64_t now = length < chunk ? length : chunk;

        error = write_all(fd, zeros, now, offset);
        offset += now;
        length -= now;
    }
    free(zeros);
    return error;
}

static int write_fresh_log(int fd, const struct metadata_layout *layout)
{
    uint8_t *block = aligned(MD_BLOCK);
    int error = 0;

    if (!block)
        return -ENOMEM;
    al_block_initial(block);
    for (uint32_t i = 0; i < layout->al_blocks && !error; i++)
        error = write_all(fd, block, MD_BLOCK, layout->al + (uint64_t)i * MD_BLOCK);
    free(block);
    return error;
}

/* A sector of zeros, or the one of a fresh log's block that is not. */
static bool is_fresh(const uint8_t *sector, const uint8_t *fresh)
{
    static const uint8_t zeros[MD_SECTOR];

    return !memcmp(sector, zeros, MD_SECTOR) || (fresh && !memcmp(sector, fresh, MD_SECTOR));
}

int md_file_check_free(int fd, const struct metadata_layout *layout, char *why)
{
    uint8_t fresh[MD_BLOCK];
    uint8_t *block = aligned(MD_BLOCK);
    int error = block ? 0 : -ENOMEM;

    al_block_initial(fresh);
    for (uint64_t at = layout->bitmap; !error && at <= layout->superblock; at += MD_BLOCK) {
        bool log = at >= layout->al && at < layout->al + (uint64_t)layout->al_blocks * MD_BLOCK;

        error = read_all(fd, block, MD_BLOCK, at);
        for (unsigned i = 0; !error && i < MD_BLOCK; i += MD_SECTOR)
            if (!is_fresh(block + i, log ? fresh + i : NULL))
                error = -EEXIST;
    }
    free(block);
    if (error)
        snprintf(why, MD_WHY,
                 error == -EEXIST ? "has no metadata, and its end, where they belong, is not empty"
                                  : "its end cannot be read");
    return error;
}

static int write_superblock(int fd, const struct metadata_layout *layout,
                            const struct superblock *superblock)
{
    uint8_t *block = aligned(MD_BLOCK);
    int error;

    if (!block)
        return -ENOMEM;
    superblock_encode(superblock, block);
    error = write_all(fd, block, MD_BLOCK, layout->superblock);
    free(block);
    return error ? error : sync_file(fd);
}

static int read_superblock(int fd, enum metadata_placement placement, uint64_t device_bytes,
                           struct superblock *superblock, char *why)
{
    uint8_t *block = aligned(MD_BLOCK);
    int error = -ENOMEM;

    if (device_bytes < MD_DEVICE_MIN) {
        snprintf(why, MD_WHY, "the device is smaller than 1 MiB");
        free(block);
        return -ENODATA;
    }
    if (block)
        error = read_all(fd, block, MD_BLOCK, metadata_superblock_offset(placement, device_bytes));
    if (error)
        snprintf(why, MD_WHY, "cannot read the superblock: %s", strerror(-error));
    else
        error = superblock_decode(superblock, block, why);
    free(block);
    return error;
}

int md_file_create(int fd, const struct md_create *create, char *why)
{
    struct metadata_layout layout;
    struct superblock superblock;
    unsigned slots;
    int error;

    error = metadata_layout(&layout, create->placement, create->device_bytes, create->data_bytes,
                            create->al_stripes, create->al_stripe_blocks, why);
    if (error)
        return error;
    slots = al_slots_max(layout.al_blocks);
    if (create->al_extents && (create->al_extents < AL_SLOTS_MIN || create->al_extents > slots)) {
        snprintf(why, MD_WHY, "%" PRIu32 " extents do not fit the activity log (%d to %u)",
                 create->al_extents, AL_SLOTS_MIN, slots);
        return -EINVAL;
    }
    superblock_create(&superblock, &layout);
    superblock.al_extents = create->al_extents         ? create->al_extents
                            : slots < AL_SLOTS_DEFAULT ? slots
                                                       : AL_SLOTS_DEFAULT;
    error = write_zeros(fd, layout.bitmap_bytes, layout.bitmap);
    if (!error)
        error = write_fresh_log(fd, &layout);
    if (!error)
        error = sync_file(fd);
    if (!error)
        error = write_superblock(fd, &layout, &superblock);
    if (error)
        snprintf(why, MD_WHY, "cannot write the metadata: %s", strerror(-error));
    return error;
}

int md_file_probe(int fd, enum metadata_placement placement, uint64_t device_bytes, char *why)
{
    struct superblock superblock;

    return read_superblock(fd, placement, device_bytes, &superblock, why);
}

/* The map as it was on disk. A device that was never attached has none. */
static int load_map(struct md_file *file)
{
    uint64_t sectors = file->superblock.effective_sectors;
    uint64_t bytes;
    uint64_t *page_dirty;
    uint8_t *map;
    int error = 0;

    if (!sectors)
        sectors = file->layout.data_sectors;
    bytes = dirty_map_bytes(sectors);
    map = aligned(bytes);
    page_dirty = calloc(dirty_map_page_words(sectors), sizeof *page_dirty);
    if (!map || !page_dirty) {
        free(map);
        free(page_dirty);
        return -ENOMEM;
    }
    if (file->superblock.effective_sectors)
        error = read_all(file->fd, map, bytes, file->layout.bitmap);
    else
        memset(map, 0, bytes);
    dirty_map_init(&file->map, sectors, map, page_dirty);
    return error;
}

static int apply_log(struct md_file *file)
{
    uint64_t bytes = (uint64_t)file->layout.al_blocks * MD_BLOCK;
    uint8_t *ring = aligned(bytes);
    struct al_replay replay;
    int error = -ENOMEM;

    file->log_table = malloc(AL_SLOTS_MAX * sizeof *file->log_table);
    if (ring && file->log_table)
        error = read_all(file->fd, ring, bytes, file->layout.al);
    if (error) {
        free(ring);
        return error;
    }
    if (al_replay(ring, file->layout.al_stripes, file->layout.al_stripe_blocks, file->log_table,
                  &replay))
        file->log_damaged = true;
    free(ring);
    if (file->log_damaged) {
        dirty_map_set_all(&file->map);
        return 0;
    }
    for (unsigned slot = 0; slot < replay.slots; slot++) {
        if (file->log_table[slot] == AL_NO_EXTENT)
            continue;
        file->log_extents++;
        dirty_map_set_extent(&file->map, file->log_table[slot]);
    }
    file->log_applied = true;
    return 0;
}

int md_file_load(struct md_file *file, int fd, enum metadata_placement placement,
                 uint64_t device_bytes, uint64_t data_bytes, char *why)
{
    uint32_t flags;
    int error;

    memset(file, 0, sizeof *file);
    file->fd = fd;
    error = read_superblock(fd, placement, device_bytes, &file->superblock, why);
    if (!error)
        error = superblock_validate(&file->superblock, placement, device_bytes, data_bytes,
                                    &file->layout, why);
    if (error)
        return error;
    flags = file->superblock.flags;
    file->was_clean = file->superblock.clean;
    file->crashed_primary = metadata_crashed_primary(&file->superblock);
    error = load_map(file);
    /* A crashed Secondary has nothing in its log: the Primary knows what it may have missed. */
    if (!error && !file->was_clean && flags & MD_PRIMARY && !(flags & MD_AL_DISABLED))
        error = apply_log(file);
    if (error) {
        snprintf(why, MD_WHY, "cannot read the metadata: %s", strerror(-error));
        md_file_free(file);
        return error;
    }
    file->full_sync = flags & MD_FULL_SYNC ||
                      (file->crashed_primary && !file->was_clean && flags & MD_AL_DISABLED);
    if (file->full_sync || !file->superblock.effective_sectors)
        dirty_map_set_all(&file->map);
    return 0;
}

int md_file_write_superblock(struct md_file *file)
{
    return write_superblock(file->fd, &file->layout, &file->superblock);
}

int md_file_settle(struct md_file *file, bool clean)
{
    int error;

    error = write_all(file->fd, file->map.bytes, dirty_map_bytes(file->map.sectors),
                      file->layout.bitmap);
    if (!error)
        error = sync_file(file->fd);
    if (error)
        return error;
    for (uint64_t page = 0; page < file->map.pages; page++)
        dirty_map_page_clean(&file->map, page);
    error = write_fresh_log(file->fd, &file->layout);
    if (!error)
        error = sync_file(file->fd);
    if (error)
        return error;
    file->superblock.clean = clean;
    file->superblock.flags &= ~(uint32_t)(MD_FULL_SYNC | MD_AL_CLEAN);
    if (clean)
        file->superblock.flags |= MD_AL_CLEAN;
    else if (file->crashed_primary)
        file->superblock.flags |= MD_CRASHED_PRIMARY;
    return md_file_write_superblock(file);
}

void md_file_free(struct md_file *file)
{
    free(file->map.bytes);
    free(file->map.page_dirty);
    free(file->log_table);
    memset(&file->map, 0, sizeof file->map);
    file->log_table = NULL;
}
