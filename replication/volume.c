/* A volume: attaching its backing store, and what every change of its state entails. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replication/last_place.h"
#include "replication/resource.h"
#include "target/base/container.h"

/* --- attach; control thread, blocks --- */

static int expand(const char *path, const char *node, char *out, size_t room)
{
    size_t used = 0;

    for (; *path; path++) {
        int n = path[0] == '%' && path[1] == 'n' ? snprintf(out + used, room - used, "%s", node)
                                                 : snprintf(out + used, room - used, "%c", *path);
        if (n < 0 || (size_t)n >= room - used)
            return -ENAMETOOLONG;
        used += (size_t)n;
        path += path[0] == '%' && path[1] == 'n';
    }
    return 0;
}

/* Bytes of a new backing file so that `size` bytes can be exported. */
static uint64_t bytes_with_metadata(uint64_t size)
{
    uint64_t total = (size + MD_BLOCK - 1) & ~(uint64_t)(MD_BLOCK - 1);
    struct metadata_layout layout;
    char why[MD_WHY];

    total += (2 + MD_AL_STRIPES * MD_AL_STRIPE_BLOCKS) * (uint64_t)MD_BLOCK;
    if (total < MD_DEVICE_MIN)
        total = MD_DEVICE_MIN;
    /* Each round adds what is missing; the map grows by 4 KiB per 128 MiB, so few are needed. */
    while (!metadata_layout(&layout, METADATA_INTERNAL, total, 0, 0, 0, why) &&
           layout.data_sectors * MD_SECTOR < size) {
        uint64_t missing = size - layout.data_sectors * MD_SECTOR;

        total += (missing + MD_BLOCK - 1) & ~(uint64_t)(MD_BLOCK - 1);
    }
    return total;
}

void volume_keep_place(const struct volume *v)
{
    int rc = last_place_write(v->resource->public.options.config->state_dir, v->uuid, v->device_bytes);

    if (rc)
        qb_log(LOG_ERR, "group \"%s\" volume %u: state_dir: the size of its device cannot be kept: %s: do not make it "
                        "larger while halund does not run",
               v->resource->group->name, v->number, strerror(-rc));
}

/* Metadata are at the end of the device as it was when they were written: it may have grown. */
static uint64_t size_with_metadata(const struct volume *v, int fd, uint64_t device_bytes, uint64_t last)
{
    char why[MD_WHY];

    if (last && last < device_bytes && md_file_probe(fd, METADATA_INTERNAL, device_bytes, why) == -ENODATA &&
        !md_file_probe(fd, METADATA_INTERNAL, last, why)) {
        qb_log(LOG_NOTICE, "group \"%s\" volume %u: its device has grown from %" PRIu64 " to %" PRIu64
                           " bytes: used as before until \"halunctl replica resize\"",
               v->resource->group->name, v->number, last, device_bytes);
        return last;
    }
    return device_bytes;
}

static int load(struct volume *v, int fd, uint64_t device_bytes, char *why)
{
    int rc = md_file_probe(fd, METADATA_INTERNAL, device_bytes, why);

    if (rc == -ENODATA) {
        struct md_create create = {.device_bytes = device_bytes};
        struct metadata_layout layout;

        rc = metadata_layout(&layout, METADATA_INTERNAL, device_bytes, 0, 0, 0, why);
        if (!rc)
            rc = md_file_check_free(fd, &layout, why);
        if (!rc)
            rc = md_file_create(fd, &create, why);
    }
    return rc ? rc : md_file_load(&v->file, fd, METADATA_INTERNAL, device_bytes, 0, why);
}

/* The exported size: as configured, else as last agreed, else what there is room for. */
static int choose_size(struct volume *v, const struct config_lu *lu, char *why)
{
    struct md_file *file = &v->file;
    uint64_t sectors = lu->size / MD_SECTOR;
    uint64_t unit = v->backing->block_size / MD_SECTOR;

    if (file->superblock.effective_sectors >= sectors)
        sectors = file->superblock.effective_sectors; /* it may have grown since it was configured */
    if (!sectors)
        sectors = file->layout.data_sectors / unit * unit;
    if (sectors > file->layout.data_sectors) {
        snprintf(why, MD_WHY,
                 "has room for %" PRIu64 " bytes beside the metadata: expected %" PRIu64,
                 file->layout.data_sectors * MD_SECTOR, sectors * MD_SECTOR);
        return -ENOSPC;
    }
    if (file->superblock.effective_sectors && sectors != file->superblock.effective_sectors) {
        snprintf(why, MD_WHY,
                 "was used with %" PRIu64 " bytes: %" PRIu64 " is more, which \"halunctl replica resize\" makes of it",
                 file->superblock.effective_sectors * MD_SECTOR, sectors * MD_SECTOR);
        return -EINVAL;
    }
    if (!file->superblock.effective_sectors) {
        /* Never used: the map covers all there is, now cut to what is exported. */
        dirty_map_init(&file->map, sectors, file->map.bytes, file->map.page_dirty);
        file->superblock.effective_sectors = sectors;
    }
    v->sectors = sectors;
    return 0;
}

static int attach(struct volume *v, const struct config_lu *lu, int fd, char *why)
{
    const struct config_group *group = v->resource->group;
    uint64_t last = last_place_read(v->resource->public.options.config->state_dir, v->uuid);
    int64_t device_bytes = md_device_bytes(fd);
    unsigned slots;
    int rc;

    if (device_bytes < 0) {
        snprintf(why, MD_WHY, "its size is unknown");
        return (int)device_bytes;
    }
    if ((uint64_t)device_bytes < last) { /* not the disk that it was, or what is left of it */
        snprintf(why, MD_WHY, "has %" PRIi64 " bytes, and had %" PRIu64, device_bytes, last);
        return -ENOMEDIUM;
    }
    device_bytes = (int64_t)size_with_metadata(v, fd, (uint64_t)device_bytes, last);
    rc = load(v, fd, (uint64_t)device_bytes, why);
    if (rc)
        return rc;
    v->device_bytes = (uint64_t)device_bytes;
    rc = choose_size(v, lu, why);
    if (rc)
        return rc;
    slots = group->al_extents ? group->al_extents : AL_SLOTS_DEFAULT;
    if (slots > al_slots_max(v->file.layout.al_blocks))
        slots = al_slots_max(v->file.layout.al_blocks);
    if (slots < AL_SLOTS_MIN)
        slots = AL_SLOTS_MIN;
    v->file.superblock.al_extents = slots;
    generation_set_role(&v->file.superblock.generations, false);
    rc = md_file_settle(&v->file, false);
    if (rc) {
        snprintf(why, MD_WHY, "metadata cannot be written: %s", strerror(-rc));
        return rc;
    }
    v->al_memory = malloc(al_memory(slots));
    if (!v->al_memory || md_io_init(v)) {
        snprintf(why, MD_WHY, "out of memory");
        return -ENOMEM;
    }
    v->al =
        al_init(v->al_memory, slots, v->file.layout.al_stripes, v->file.layout.al_stripe_blocks, 0);
    v->sb = v->file.superblock;
    v->map = &v->file.map;
    v->state.disk = metadata_disk_state(v->sb.flags, false);
    v->state.peer_disk = v->sb.flags & MD_PEER_OUTDATED ? DISK_OUTDATED : DISK_UNKNOWN;
    v->state.conn = CONN_UNCONNECTED;
    v->complete = v->resource->public.options.kept && v->state.disk >= DISK_CONSISTENT;
    if (v->file.log_applied || v->file.log_damaged)
        qb_log(LOG_NOTICE, "group \"%s\" volume %u: activity log applied, %u extents%s",
               group->name, v->number, v->file.log_extents,
               v->file.log_damaged ? ", damaged: all blocks are taken as changed" : "");
    return 0;
}

/* When a daemon is killed, the kernel finishes its writes and only then gives up its lock: wait for
 * that. */
static int open_backing(const struct store_options *options, struct store **store, char *why)
{
    enum { TRIES = 100, PAUSE_MS = 20 };
    int rc = 0;

    for (unsigned i = 0; i < TRIES; i++) {
        rc = file_store_open(options, store, why);
        if (rc != -EBUSY)
            break;
        usleep(PAUSE_MS * 1000);
    }
    return rc;
}

/* Is no file there, or an empty one, which a start had created that was cut short? */
static bool to_be_made(const char *path)
{
    struct stat st;

    return stat(path, &st) ? errno == ENOENT : S_ISREG(st.st_mode) && !st.st_size;
}

/* Is it the disk that is to blame, and not who configured it? As the kernel's block layer tells of a disk that fails, does not
 * answer or has been taken out. */
static bool disk_lost(int error, const char *path)
{
    static const int errors[] = {EIO, ENXIO, ENODEV, ENOMEDIUM, EREMOTEIO, ETIMEDOUT, ENODATA, EILSEQ};

    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++)
        if (error == -errors[i])
            return true;
    return error == -ENOENT && !strncmp(path, "/dev/", 5);
}

int volume_open(struct resource *r, const struct config_lu *lu, struct volume **volume, char *why)
{
    const struct config *config = r->public.options.config;
    char path[512] = "", reason[MD_WHY] = "";
    struct store_options options = {
        .path = path,
        .block_size = lu->block_size,
        .direct = lu->direct,
    };
    struct volume *v = calloc(1, sizeof *v);
    int rc, fd;

    if (!v) {
        snprintf(why, 256, "out of memory");
        return -ENOMEM;
    }
    v->resource = r;
    v->number = lu->volume;
    memcpy(v->uuid, lu->uuid, sizeof v->uuid);
    range_table_init(&v->ranges);
    qb_list_init(&v->al_wait);
    qb_list_init(&v->al_busy);
    qb_list_init(&v->held);
    qb_list_init(&v->waiting);
    rc = expand(lu->path, config->nodes[config->self].name, path, sizeof path);
    if (rc) {
        snprintf(why, 256, "LU \"%s\": its path is too long", lu->name);
        goto failed;
    }
    /* The size is of the file to be made; an existing one is taken as it is, metadata are at its
     * end. */
    if (to_be_made(path) && lu->size)
        options.size = bytes_with_metadata(lu->size);
    rc = open_backing(&options, &v->backing, why);
    if (rc)
        goto failed;
    fd = open(path, O_RDWR | O_CLOEXEC | (lu->direct ? O_DIRECT : 0));
    if (fd < 0) {
        rc = -errno;
        snprintf(why, 256, "%.150s: %s", path, strerror(errno));
        goto failed;
    }
    rc = attach(v, lu, fd, reason);
    close(fd);
    if (rc) {
        snprintf(why, 256, "%.120s: %s", path, reason);
        goto failed;
    }
    v->store = (struct store){
        .operations = &replicated_store_operations,
        .size = v->sectors * MD_SECTOR,
        .block_size = v->backing->block_size,
        .volatile_cache = true,
        .can_unmap = v->backing->can_unmap,
    };
    volume_keep_place(v);
    *volume = v;
    return 0;
failed:
    volume_free(v);
    return disk_lost(rc, path) ? -ENOMEDIUM : rc;
}

void volume_free(struct volume *v)
{
    if (!v)
        return;
    read_pools_free(v);
    md_io_free(v);
    grow_free(v);
    md_file_free(&v->file);
    free(v->al_memory);
    store_close(v->backing);
    free(v);
}

/* --- home --- */

void volume_wire_state(const struct volume *v, struct wire_state *s)
{
    const struct resource *r = v->resource;

    *s = (struct wire_state){
        .role = r->primary ? WIRE_PRIMARY : WIRE_SECONDARY,
        .peer = (uint8_t)r->peer_role,
        .conn = (uint8_t)v->state.conn,
        .disk = (uint8_t)v->state.disk,
        .pdsk = (uint8_t)v->state.peer_disk,
        .user_isp = v->user_isp,
        .peer_isp = v->peer_isp,
    };
}

bool volume_alone(const struct volume *v)
{
    return v->resource->agreed && v->alone_durable;
}

enum write_mode volume_mode(const struct volume *v)
{
    return write_mode(v->state.conn, v->state.peer_disk);
}

void volume_role_changed(struct volume *v, bool tell_peer)
{
    struct resource *r = v->resource;
    struct wire_state s;
    uint32_t flags;

    if (tell_peer && conn_established(v->state.conn))
        send_state(v);
    r->publish_roles = true;
    mirror_only_copy(v);
    volume_wire_state(v, &s);
    flags = metadata_flags(v->sb.flags, &s);
    if (v->unmarking)
        flags |= MD_PRIMARY;
    if (v->only_copy)
        flags |= MD_PRIMARY; /* until the map is on disk: a crash has to look at the log */
    atomic_store(&v->readable, v->state.disk == DISK_UP_TO_DATE);
    atomic_store(&v->elsewhere, v->peer_only);
    if (flags == v->sb.flags || r->closing)
        return;
    v->sb.flags = flags;
    if (volume_usable(v))
        md_request(v, NULL);
}

void volume_changed(struct volume *v, bool tell_peer)
{
    v->resource->publish = true;
    volume_role_changed(v, tell_peer);
}

bool volume_through_peer(const struct volume *v)
{
    return v->peer_only && v->peer_usable && write_mode_replicates(volume_mode(v)) &&
           link_alive(&v->resource->link);
}

/* What was acknowledged and not on its stable storage may be gone with a crash of the peer, and
 * cannot be sent again: then it is not used again by this node. */
void volume_peer_gone(struct volume *v)
{
    v->peer_usable = false;
}

void volume_peer_back(struct volume *v, enum replica_disk peer_disk)
{
    const struct packet_uuids *p = &v->peer_uuids;

    if (!v->peer_only)
        return;
    if (peer_disk < DISK_INCONSISTENT) {
        v->peer_only = false; /* no copy is left */
        return;
    }
    v->peer_usable =
        !v->unstable && peer_disk == DISK_UP_TO_DATE &&
        (generation_equal(p->current, v->exposed) || generation_equal(p->bitmap, v->exposed));
    if (v->peer_usable)
        v->exposed = p->current;
}

/* Does the peer have all that was acknowledged, and does it get what comes? */
static bool peer_has_all(const struct volume *v)
{
    const struct resource *r = v->resource;

    return r->primary && r->link.phase == LINK_UP && !r->link.failing &&
           volume_mode(v) == WRITE_REPLICATED && !v->resync.catching_up && !v->unstable;
}

/* The disk is not used any more. A Primary goes on with the peer's copy, once its own is agreed to
 * be outdated, if that has all; else it answers -EIO. It can never be promoted again; the cluster
 * moves the group to the other node. */
void volume_failed(struct volume *v, int error, const char *what)
{
    struct resource *r = v->resource;

    if (!volume_usable(v))
        return;
    qb_log(LOG_ERR, "group \"%s\" volume %u: %s: %s: the disk is given up", r->group->name,
           v->number, what, strerror(-error));
    resource_say(r, "volume %u: %s: %s", v->number, what, strerror(-error));
    v->peer_only = v->peer_usable = peer_has_all(v);
    v->exposed = v->sb.generations.current;
    v->complete = false;
    verify_end(v, false);
    v->state.disk = DISK_FAILED;
    atomic_store(&v->failed, true);
    volume_changed(v, true);
    if (v->peer_only) {
        qb_log(LOG_NOTICE, "group \"%s\" volume %u: going on with the peer's copy", r->group->name,
               v->number);
        resource_ask_self_outdate(r);
    }
    write_volume_failed(v);
}
