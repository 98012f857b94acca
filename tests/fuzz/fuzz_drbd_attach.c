/* What a node finds on a device when it starts: the first byte chooses the size of the device, the rest lies at its end
 * (map, activity log, superblock) or, for metadata on a device of their own, at its begin. Read, replayed and settled as
 * the engine does it; then it must be what a second reader finds, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replication/md_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void settled(int fd, enum metadata_placement placement, uint64_t device_bytes, uint64_t data_bytes)
{
    struct md_file file, again;
    char why[MD_WHY];

    if (md_file_load(&file, fd, placement, device_bytes, data_bytes, why))
        return;
    if (file.map.set != dirty_map_count(&file.map, 0, file.map.bits) || file.map.sectors > file.layout.data_sectors ||
        (file.log_damaged && file.map.set != file.map.bits))
        abort();
    file.superblock.effective_sectors = file.map.sectors;
    if (md_file_settle(&file, true) || md_file_load(&again, fd, placement, device_bytes, data_bytes, why))
        abort();
    if (!again.was_clean || again.map.set != file.map.set ||
        memcmp(again.map.bytes, file.map.bytes, dirty_map_bytes(file.map.sectors)) != 0)
        abort();
    md_file_free(&again);
    md_file_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t devices[] = {1 << 20, (1 << 20) + 512, 4 << 20, (130 << 20) + 4096, 300 << 20};
    uint64_t device_bytes;
    bool external;
    int fd;

    if (!size)
        return 0;
    external = data[0] & 0x80;
    device_bytes = devices[(data[0] & 0x7f) % (sizeof devices / sizeof *devices)];
    fd = memfd_create("device", 0);
    if (fd < 0 || ftruncate(fd, (off_t)device_bytes))
        abort();
    data++;
    size--;
    if (size > device_bytes)
        size = device_bytes;
    /* What is at the end of the input lies where the superblock ends. */
    if (pwrite(fd, data, size, external ? 0 : (off_t)((device_bytes & ~(uint64_t)(MD_BLOCK - 1)) - size)) !=
        (ssize_t)size)
        abort();
    settled(fd, external ? METADATA_FLEX_EXTERNAL : METADATA_INTERNAL, device_bytes, external ? 64 << 20 : 0);
    close(fd);
    return 0;
}
