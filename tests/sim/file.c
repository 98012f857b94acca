/* Disks: the files of every host, in memory, with a cache. A write lands in the cache; fsync(2) and FUA bring it to
 * the medium. At a power cut every sector that was not synced keeps its new content or falls back to the old one,
 * each for itself, so that writes are kept, dropped or torn. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/sim/world.h"

enum {
    FILES = 32,
    PAGE = 4096,
    SECTOR = 512,
    PAGES_MAX = 32 << 10, /* 128 MiB */
    WRITE_NS = 80 * US,
    SYNC_NS = 700 * US,
};

struct page {
    uint8_t data[PAGE];
    uint8_t *stable; /* what the medium has; NULL: the same */
    uint64_t stamp;  /* another one whenever what the medium has may have become another */
};

static const char state_dir[] = "/var/lib/halun";
static uint64_t last_stamp;

struct vfile {
    struct host *host;
    char path[96];
    bool folder;
    uint64_t size, stable_size;
    bool named; /* its name is on the medium */
    bool exists;
    bool locked;
    struct page **pages;
    uint32_t page_count; /* room of `pages` */
    uint32_t *dirty;
    uint32_t dirty_count, dirty_room;
    bool state; /* in state_dir */
    int lu; /* whose data it has; -1: none */
};

static struct vfile files[SIM_NODES + 1][FILES];
static unsigned file_count[SIM_NODES + 1];

static struct vfile *find(struct host *host, const char *path)
{
    for (unsigned i = 0; i < file_count[host->id]; i++)
        if (files[host->id][i].exists && !strcmp(files[host->id][i].path, path))
            return &files[host->id][i];
    return NULL;
}

/* Its place is used again: nobody has it open any more when a file of its name is made. */
static struct vfile *unlinked(struct host *host, const char *path)
{
    for (unsigned i = 0; i < file_count[host->id]; i++)
        if (!files[host->id][i].exists && !strcmp(files[host->id][i].path, path))
            return &files[host->id][i];
    return NULL;
}

static bool in_state_dir(const char *path)
{
    return !strncmp(path, state_dir, strlen(state_dir));
}

static struct vfile *make(struct host *host, const char *path)
{
    struct vfile *file = unlinked(host, path);

    if (!file && file_count[host->id] == FILES)
        sim_fail("node%u: more files than the world has", host->id);
    if (!file)
        file = &files[host->id][file_count[host->id]++];
    *file = (struct vfile){.host = host, .exists = true, .lu = -1};
    snprintf(file->path, sizeof file->path, "%s", path);
    file->state = in_state_dir(path);
    for (unsigned lu = 0; lu < sim_config()->lus; lu++) {
        char of_lu[96];
        config_lu_path(lu, host->id, of_lu, sizeof of_lu);
        if (!strcmp(of_lu, path))
            file->lu = (int)lu;
    }
    return file;
}

static struct page *page_at(struct vfile *file, uint64_t number, bool make_it)
{
    if (number >= file->page_count) {
        uint32_t room = file->page_count ? file->page_count : 64;
        if (!make_it)
            return NULL;
        while (room <= number)
            room *= 2;
        if (room > PAGES_MAX)
            sim_fail("node%u: %s is larger than the world's files", file->host->id, file->path);
        file->pages = realloc(file->pages, room * sizeof *file->pages);
        memset(file->pages + file->page_count, 0, (room - file->page_count) * sizeof *file->pages);
        file->page_count = room;
    }
    if (!file->pages[number] && make_it)
        if ((file->pages[number] = calloc(1, sizeof **file->pages)))
            file->pages[number]->stamp = ++last_stamp;
    return file->pages[number];
}

static void forget_dirty(struct vfile *file)
{
    for (uint32_t i = 0; i < file->dirty_count; i++) {
        struct page *page = file->pages[file->dirty[i]];
        free(page->stable);
        page->stable = NULL;
        page->stamp = ++last_stamp;
    }
    file->dirty_count = 0;
}

static void empty(struct vfile *file)
{
    forget_dirty(file);
    for (uint32_t i = 0; i < file->page_count; i++)
        free(file->pages[i]);
    free(file->pages);
    free(file->dirty);
    file->pages = NULL;
    file->dirty = NULL;
    file->page_count = file->dirty_room = 0;
}

void files_begin(void)
{
    memset(file_count, 0, sizeof file_count);
}

void files_end(void)
{
    for (unsigned node = 1; node <= SIM_NODES; node++) {
        for (unsigned i = 0; i < file_count[node]; i++)
            empty(&files[node][i]);
        file_count[node] = 0;
    }
}

void files_unlock(struct host *host)
{
    for (unsigned i = 0; i < file_count[host->id]; i++)
        files[host->id][i].locked = false;
}

/* ---- content ---- */

static void make_dirty(struct vfile *file, struct page *page, uint64_t number)
{
    if (page->stable)
        return;
    page->stable = malloc(PAGE);
    memcpy(page->stable, page->data, PAGE);
    if (file->dirty_count == file->dirty_room) {
        file->dirty_room = file->dirty_room ? file->dirty_room * 2 : 64;
        file->dirty = realloc(file->dirty, file->dirty_room * sizeof *file->dirty);
    }
    file->dirty[file->dirty_count++] = (uint32_t)number;
}

/* from NULL: zeros. */
static void change(struct vfile *file, const uint8_t *from, uint64_t n, uint64_t offset, bool durable)
{
    while (n) {
        uint64_t number = offset / PAGE;
        uint32_t at = offset % PAGE, piece = n < PAGE - at ? (uint32_t)n : PAGE - at;
        struct page *page = page_at(file, number, from != NULL);

        if (page) {
            if (!durable)
                make_dirty(file, page, number);
            if (from)
                memcpy(page->data + at, from, piece);
            else
                memset(page->data + at, 0, piece);
            if (durable && page->stable)
                memcpy(page->stable + at, page->data + at, piece);
            if (durable)
                page->stamp = ++last_stamp;
        }
        from = from ? from + piece : NULL;
        offset += piece;
        n -= piece;
    }
}

static void read_from(struct vfile *file, uint8_t *to, uint64_t n, uint64_t offset, bool stable)
{
    while (n) {
        uint32_t at = offset % PAGE, piece = n < PAGE - at ? (uint32_t)n : PAGE - at;
        const struct page *page = page_at(file, offset / PAGE, false);

        if (!page)
            memset(to, 0, piece);
        else
            memcpy(to, (stable && page->stable ? page->stable : page->data) + at, piece);
        to += piece;
        offset += piece;
        n -= piece;
    }
}

static void tell_checkers(struct vfile *file, uint64_t offset, uint64_t n, const void *bytes)
{
    for (unsigned i = 0; file->lu >= 0 && sim_checkers[i]; i++)
        if (sim_checkers[i]->medium_write)
            sim_checkers[i]->medium_write(file->host->id, (unsigned)file->lu, offset, n, bytes);
}

int file_error(struct vfile *file, bool write)
{
    if (file->lu < 0)
        return write && file->state ? -file->host->state_error : 0;
    return write ? -file->host->disk_error : -file->host->read_error;
}

int64_t file_read(struct vfile *file, void *to, uint64_t n, uint64_t offset)
{
    if (offset >= file->size)
        return 0;
    if (n > file->size - offset)
        n = file->size - offset;
    read_from(file, to, n, offset, false);
    return (int64_t)n;
}

int64_t file_write(struct vfile *file, const void *from, uint64_t n, uint64_t offset, bool durable)
{
    change(file, from, n, offset, durable);
    if (offset + n > file->size)
        file->size = offset + n;
    tell_checkers(file, offset, n, from);
    return (int64_t)n;
}

int file_zero(struct vfile *file, uint64_t offset, uint64_t n)
{
    if (offset >= file->size)
        return 0;
    if (n > file->size - offset)
        n = file->size - offset;
    change(file, NULL, n, offset, false);
    tell_checkers(file, offset, n, NULL);
    return 0;
}

void file_sync(struct vfile *file)
{
    forget_dirty(file);
    file->stable_size = file->size;
}

uint64_t file_latency(struct vfile *file, bool sync)
{
    return world_latency(sync ? SYNC_NS : WRITE_NS) +
           (file->host->disk_extra_ns ? world_between(0, 2 * file->host->disk_extra_ns) : 0);
}

/* What is written whole or not at all: a logical block where there is data; 512 bytes elsewhere, in metadata and
 * journals. */
static unsigned sector_at(const struct vfile *file, uint32_t page)
{
    uint64_t blocks = (uint64_t)sim_config()->lu_blocks * sim_config()->block_size / PAGE;

    return file->lu >= 0 && page < blocks ? sim_config()->block_size : SECTOR;
}

/* `all`: nothing that was not synced is kept. Else sector by sector, with a mood for each file so that "all kept" and "all lost" happen as well. */
void files_power_cut(struct host *host, bool all)
{
    for (unsigned i = 0; i < file_count[host->id]; i++) {
        struct vfile *file = &files[host->id][i];
        unsigned keep = all ? 0 : sim_random(4) * 333;

        if (!file->exists)
            continue;
        if (!file->named && sim_random(2)) {
            file->exists = false;
            empty(file);
            continue;
        }
        for (uint32_t k = 0; k < file->dirty_count; k++) {
            struct page *page = file->pages[file->dirty[k]];
            unsigned sector = sector_at(file, file->dirty[k]);
            for (unsigned at = 0; at < PAGE; at += sector)
                if (!sim_chance(keep))
                    memcpy(page->data + at, page->stable + at, sector);
        }
        if (file->size != file->stable_size && !sim_chance(keep))
            file->size = file->stable_size;
        file_sync(file);
        file->named = true;
    }
}

void file_put(struct host *host, const char *path, const char *text)
{
    struct vfile *file = find(host, path);

    if (!file)
        file = make(host, path);
    file->size = 0;
    file_write(file, text, strlen(text), 0, false);
    file->named = true;
    file_sync(file);
}

void file_unlock(struct vfile *file)
{
    file->locked = false;
}

static bool read_lu(unsigned node, unsigned lu, uint64_t offset, void *to, size_t n, bool stable)
{
    for (unsigned i = 0; i < file_count[node]; i++)
        if (files[node][i].lu == (int)lu && files[node][i].exists) {
            read_from(&files[node][i], to, n, offset, stable);
            return true;
        }
    return false;
}

bool sim_disk_read(unsigned node, unsigned lu, uint64_t offset, void *to, size_t n)
{
    return read_lu(node, lu, offset, to, n, false);
}

uint64_t sim_disk_size(unsigned node, unsigned lu)
{
    for (unsigned i = 0; i < file_count[node]; i++)
        if (files[node][i].lu == (int)lu && files[node][i].exists)
            return files[node][i].stable_size;
    return 0;
}

uint64_t sim_disk_stamp(unsigned node, unsigned lu, uint64_t offset)
{
    for (unsigned i = 0; i < file_count[node]; i++)
        if (files[node][i].lu == (int)lu && files[node][i].exists) {
            const struct page *page = page_at(&files[node][i], offset / PAGE, false);
            return page ? page->stamp : 0;
        }
    return 0;
}

bool sim_disk_read_stable(unsigned node, unsigned lu, uint64_t offset, void *to, size_t n)
{
    return read_lu(node, lu, offset, to, n, true);
}

void sim_disk_slow(unsigned node, uint64_t extra_ns)
{
    hosts[node].disk_extra_ns = extra_ns;
    sim_trace(node, "disk: every operation takes %u us more", (unsigned)(extra_ns / US));
}

void sim_disk_fail(unsigned node, int error)
{
    hosts[node].disk_error = error;
    hosts[node].disk_failed |= error != 0;
    sim_trace(node, "disk: writes end with %d", -error);
}

bool sim_disk_failed(void)
{
    for (unsigned n = 1; n <= sim_config()->nodes; n++)
        if (hosts[n].disk_failed)
            return true;
    return false;
}

void sim_disk_unread(unsigned node, int error)
{
    hosts[node].read_error = error;
    sim_trace(node, "disk: reads end with %d", -error);
}

void sim_state_fail(unsigned node, int error)
{
    hosts[node].state_error = error;
    sim_trace(node, "state_dir: writes end with %d", -error);
}

void sim_enlarge(unsigned lu, uint64_t bytes)
{
    for (unsigned node = 1; node <= sim_config()->nodes; node++) {
        struct vfile *file;
        char path[96];

        config_lu_path(lu, node, path, sizeof path);
        file = find(&hosts[node], path);
        if (file)
            file->size = file->stable_size = file->size + bytes;
    }
    sim_trace(0, "the files of lu%u are made %u KiB larger", lu, (unsigned)(bytes >> 10));
}

/* ---- the calls of the module ---- */

int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int folder, const char *name, int flags, ...);
int __wrap_close(int fd);
ssize_t __wrap_read(int fd, void *to, size_t n);
ssize_t __wrap_write(int fd, const void *from, size_t n);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int count, off_t offset);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);
int __wrap_access(const char *path, int mode);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t n);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_flock(int fd, int operation);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_unlink(const char *path);
int __wrap_ioctl(int fd, unsigned long request, ...);
FILE *__wrap_fopen(const char *path, const char *mode);
int __wrap_eventfd(unsigned count, int flags);

static int fail(int error)
{
    errno = error;
    return -1;
}

static struct vfile *file_of(int fd)
{
    struct vfd *vfd = fd_get(current->host, fd);

    if (!vfd || vfd->kind != FD_FILE) {
        errno = EBADF;
        return NULL;
    }
    return vfd->object;
}

int __wrap_open(const char *path, int flags, ...)
{
    struct host *host = current->host;
    struct vfile *file = find(host, path);

    if (flags & O_DIRECTORY)
        return fd_new(host, FD_FOLDER, NULL);
    if (file && flags & O_CREAT && flags & O_EXCL)
        return fail(EEXIST);
    if (!file && !(flags & O_CREAT))
        return fail(ENOENT);
    if (!file && host->state_error && in_state_dir(path))
        return fail(host->state_error);
    if (!file)
        file = make(host, path);
    return fd_new(host, FD_FILE, file);
}

/* The daemon has one folder of state, so a name in it says enough. */
int __wrap_openat(int folder, const char *name, int flags, ...)
{
    char path[96];

    snprintf(path, sizeof path, "%s/%s", state_dir, name);
    return __wrap_open(path, flags);
}

int __wrap_close(int fd)
{
    return fd_close(current->host, fd);
}

ssize_t __wrap_read(int fd, void *to, size_t n)
{
    struct vfd *vfd = fd_get(current->host, fd);

    if (!vfd)
        return fail(EBADF);
    switch (vfd->kind) {
    case FD_EVENT:
    case FD_TIMER:
        if (!vfd->count)
            return fail(EAGAIN);
        memcpy(to, &vfd->count, sizeof vfd->count);
        vfd->count = 0;
        return sizeof vfd->count;
    case FD_PIPE: {
        long got = fencer_read(vfd, to, n);
        return got < 0 ? fail((int)-got) : got;
    }
    case FD_FILE: { /* a whole configuration at once; the position is kept in count */
        int64_t got = file_read(vfd->object, to, n, vfd->count);
        vfd->count += (uint64_t)got;
        return got;
    }
    default:
        return fail(EBADF);
    }
}

ssize_t __wrap_write(int fd, const void *from, size_t n)
{
    struct host *host = current ? current->host : world_inside;
    struct vfd *vfd = fd_get(host, fd);
    uint64_t count;

    if (!vfd)
        return fail(EBADF);
    if (vfd->kind == FD_FILE && file_error(vfd->object, true))
        return fail(-file_error(vfd->object, true));
    if (vfd->kind == FD_FILE)
        return file_write(vfd->object, from, n, 0, false);
    if (vfd->kind != FD_EVENT)
        return fail(EBADF);
    memcpy(&count, from, sizeof count);
    vfd->count += count;
    fd_ready(host, vfd);
    return (ssize_t)n;
}

/* The blocking calls are made by threads that may wait: they take their time. */
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t offset)
{
    struct vfile *file = file_of(fd);

    if (file && file_error(file, false))
        return fail(-file_error(file, false));
    return file ? file_read(file, to, n, (uint64_t)offset) : -1;
}

ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t offset)
{
    struct vfile *file = file_of(fd);

    if (!file)
        return -1;
    if (file_error(file, true))
        return fail(-file_error(file, true));
    return file_write(file, from, n, (uint64_t)offset, false);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    struct vfile *file = file_of(fd);
    ssize_t done = 0;

    if (!file)
        return -1;
    thread_sleep(file_latency(file, false));
    if (file_error(file, true))
        return fail(-file_error(file, true));
    for (int i = 0; i < count; i++)
        done += file_write(file, iov[i].iov_base, iov[i].iov_len, (uint64_t)(offset + done), false);
    return done;
}

static int sync_fd(int fd)
{
    struct vfd *vfd = fd_get(current->host, fd);
    struct vfile *file;

    if (vfd && vfd->kind == FD_FOLDER && current->host->state_error == EIO)
        return fail(EIO);
    if (vfd && vfd->kind == FD_FOLDER) {
        for (unsigned i = 0; i < file_count[current->host->id]; i++)
            files[current->host->id][i].named = true;
        return 0;
    }
    file = file_of(fd);
    if (!file)
        return -1;
    thread_sleep(file_latency(file, true));
    if (file->state && file_error(file, true))
        return fail(-file_error(file, true));
    file_sync(file);
    return 0;
}

int __wrap_fsync(int fd)
{
    return sync_fd(fd);
}

int __wrap_fdatasync(int fd)
{
    return sync_fd(fd);
}

static void fill(struct stat *st, const struct vfile *file)
{
    memset(st, 0, sizeof *st);
    st->st_mode = file->folder ? S_IFDIR | 0750 : S_IFREG | 0600;
    st->st_size = (off_t)file->size;
    st->st_nlink = 1;
}

int __wrap_fstat(int fd, struct stat *st)
{
    struct vfile *file = file_of(fd);

    if (!file)
        return -1;
    fill(st, file);
    return 0;
}

int __wrap_stat(const char *path, struct stat *st)
{
    struct vfile *file = find(current->host, path);

    if (!file)
        return fail(ENOENT);
    fill(st, file);
    return 0;
}

int __wrap_access(const char *path, int mode)
{
    return find(current->host, path) ? 0 : fail(ENOENT);
}

int __wrap_ftruncate(int fd, off_t size)
{
    struct vfile *file = file_of(fd);

    if (!file)
        return -1;
    if ((uint64_t)size < file->size)
        change(file, NULL, file->size - (uint64_t)size, (uint64_t)size, false);
    file->size = (uint64_t)size;
    return 0;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t n)
{
    struct vfile *file = file_of(fd);

    return file ? file_zero(file, (uint64_t)offset, (uint64_t)n) : -1;
}

static int lock(struct vfile *file, struct vfd *fd)
{
    if (file->locked && !fd->locks)
        return fail(EAGAIN);
    file->locked = fd->locks = true;
    return 0;
}

int __wrap_fcntl(int fd, int command, ...)
{
    struct vfile *file = file_of(fd);

    if (!file)
        return -1;
    if (command != F_SETLK && command != F_OFD_SETLK)
        return fail(EINVAL);
    return lock(file, fd_get(current->host, fd));
}

/* Of the folder of state: one daemon runs on a host, so nobody else has it. */
int __wrap_flock(int fd, int operation)
{
    return 0;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return 0;
}

int __wrap_unlink(const char *path)
{
    struct host *host = current->host;
    struct vfile *file = find(host, path);

    if (!file)
        return fail(ENOENT);
    if (file->state && host->state_error == EIO) /* where the disk is full there is still what can be taken away */
        return fail(EIO);
    file->exists = false;
    empty(file);
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    return fail(ENOTTY);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
    errno = ENOENT;
    return NULL;
}

int __wrap_eventfd(unsigned count, int flags)
{
    int fd = fd_new(current->host, FD_EVENT, NULL);

    current->host->fds[fd].count = count;
    return fd;
}
