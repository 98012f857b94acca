/* Opening a file or block device as a store: everything that can be refused is refused here, with a
 * sentence that says what to do. Control thread; blocks. */
#include <fcntl.h>
#include <libgen.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "target/store/file.h"

/* The attempt to open one; all steps return 0 or -errno with the sentence in `why`. */
struct attempt {
    const struct store_options *options;
    char *why;
    int fd;
    bool created;
    bool empty; /* a file that was created, and got no size before the power was cut */
    bool block_device;
    dev_t rdev;
    uint64_t size;      /* of the file or device */
    unsigned alignment; /* logical block of a block device, 1 for files */
    bool can_punch, can_zero;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct attempt *a, int error,
                                                        const char *format, ...)
{
    va_list args;
    int used = snprintf(a->why, STORE_WHY, "%.150s: ", a->options->path);

    va_start(args, format);
    vsnprintf(a->why + used, (size_t)(STORE_WHY - used), format, args);
    va_end(args);
    return error;
}

static int open_flags(const struct attempt *a)
{
    return (a->options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY |
           (a->options->direct ? O_DIRECT : 0);
}

/* Makes the missing file. Never below /dev: a device that is not there is not made up as a file in
 * memory. */
static int create(struct attempt *a)
{
    if (a->options->read_only)
        return refuse(a, -ENOENT, "does not exist, and is read-only here");
    if (!a->options->size)
        return refuse(a, -ENOENT, "does not exist, and no size is given to create it with");
    if (!strncmp(a->options->path, "/dev/", 5))
        return refuse(a, -ENOENT, "no such device");
    a->fd = open(a->options->path, open_flags(a) | O_CREAT | O_EXCL, 0600);
    if (a->fd < 0)
        return refuse(a, -errno, "cannot be created%s: %s",
                      a->options->direct && errno == EINVAL ? " for direct I/O" : "",
                      strerror(errno));
    a->created = true;
    return 0;
}

static int open_path(struct attempt *a)
{
    struct stat st;
    int exclusive = 0;

    if (stat(a->options->path, &st))
        return errno == ENOENT ? create(a) : refuse(a, -errno, "%s", strerror(errno));
    if (S_ISBLK(st.st_mode)) {
        a->block_device = true;
        a->rdev = st.st_rdev;
        /* Claims the device: the kernel refuses while it is mounted or part of something. */
        exclusive = a->options->read_only ? 0 : O_EXCL;
    } else if (!S_ISREG(st.st_mode)) {
        return refuse(a, -EINVAL, "is neither a file nor a block device");
    } else {
        a->empty = !st.st_size && a->options->size && !a->options->read_only;
    }
    a->fd = open(a->options->path, open_flags(a) | exclusive);
    if (a->fd >= 0)
        return 0;
    if (errno == EBUSY && a->block_device)
        return refuse(a, -EBUSY,
                      "the device is in use (mounted, part of RAID or LVM, or exported)");
    if (errno == EINVAL && a->options->direct)
        return refuse(a, -EINVAL, "its filesystem has no direct I/O; set direct to false");
    return refuse(a, -errno, "cannot be opened: %s", strerror(errno));
}

static int lock(struct attempt *a)
{
    struct flock whole = {
        .l_type = a->options->read_only ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
    };

    if (!fcntl(a->fd, F_OFD_SETLK, &whole))
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return refuse(a, -EBUSY, "is locked: another daemon or another unit uses it");
    return refuse(a, -errno, "cannot be locked: %s", strerror(errno));
}

/* A file that is new here has its size and its name on stable storage before anything is kept in it. */
static int size_created(struct attempt *a)
{
    char *copy;
    int directory, rc = 0;

    if (ftruncate(a->fd, (off_t)a->options->size))
        return refuse(a, -errno, "cannot be made %llu bytes long: %s",
                      (unsigned long long)a->options->size, strerror(errno));
    copy = strdup(a->options->path);
    if (!copy)
        return refuse(a, -ENOMEM, "out of memory");
    directory = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || fsync(a->fd) || fsync(directory))
        rc = refuse(a, -errno, "cannot be made durable: %s", strerror(errno));
    if (directory >= 0)
        close(directory);
    free(copy);
    return rc;
}

static int measure(struct attempt *a)
{
    struct stat st;
    int logical;

    a->alignment = 1;
    if (a->block_device) {
        if (ioctl(a->fd, BLKGETSIZE64, &a->size) || ioctl(a->fd, BLKSSZGET, &logical))
            return refuse(a, -errno, "the device does not tell its size: %s", strerror(errno));
        a->alignment = (unsigned)logical;
        return 0;
    }
    if (fstat(a->fd, &st))
        return refuse(a, -errno, "%s", strerror(errno));
    a->size = (uint64_t)st.st_size;
    return 0;
}

static int check_size(struct attempt *a)
{
    const struct store_options *options = a->options;

    if (options->size && a->size < options->size)
        return refuse(a, -EINVAL, "has %llu bytes: expected at least %llu",
                      (unsigned long long)a->size, (unsigned long long)options->size);
    a->size = options->size ? options->size : a->size - a->size % options->block_size;
    if (!a->size)
        return refuse(a, -EINVAL, "is shorter than one block of %u bytes", options->block_size);
    return 0;
}

/* Direct I/O in units of block_size must work: a read of one block at the least aligned place
 * tells, whatever file system and device are below. */
static int check_direct(struct attempt *a)
{
    uint32_t block = a->options->block_size;
    void *memory;
    ssize_t got;

    if (!a->options->direct)
        return 0;
    memory = aligned_alloc(4096, 4096);
    if (!memory)
        return refuse(a, -ENOMEM, "out of memory");
    got = pread(a->fd, memory, block, a->size >= 2 * (uint64_t)block ? block : 0);
    free(memory);
    if (got == (ssize_t)block)
        return 0;
    if (got < 0 && errno == EINVAL)
        return refuse(
            a, -EINVAL,
            "direct I/O is not possible in blocks of %u bytes here; set block_size to 4096 "
            "or direct to false",
            block);
    return refuse(a, got < 0 ? -errno : -EIO, "cannot be read: %s",
                  got < 0 ? strerror(errno) : "it ends early");
}

/* A limit of the device's queue; 0 when unknown. A partition has its queue in the disk above it. */
static unsigned long long queue_limit(const struct attempt *a, const char *name)
{
    static const char *const formats[] = {
        "/sys/dev/block/%u:%u/queue/%s",
        "/sys/dev/block/%u:%u/../queue/%s",
    };
    unsigned long long value = 0;

    for (unsigned i = 0; i < sizeof formats / sizeof *formats; i++) {
        char path[128];
        FILE *file;

        snprintf(path, sizeof path, formats[i], major(a->rdev), minor(a->rdev), name);
        file = fopen(path, "re");
        if (!file)
            continue;
        if (fscanf(file, "%llu", &value) != 1)
            value = 0;
        fclose(file);
        break;
    }
    return value;
}

/* Can space be given back so that it reads as zeros? Asked beyond the end of a file, where the
 * answer changes nothing. */
static void find_abilities(struct attempt *a)
{
    struct stat st;

    if (a->options->read_only)
        return;
    if (a->block_device) {
        /* A block smaller than the device's own cannot be cleared by the device. */
        a->can_zero = a->alignment <= a->options->block_size;
        a->can_punch = a->can_zero && queue_limit(a, "discard_max_bytes") &&
                       queue_limit(a, "write_zeroes_max_bytes");
        return;
    }
    a->can_zero = true;
    a->can_punch =
        !fstat(a->fd, &st) && !fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                         (st.st_size + 4095) / 4096 * 4096, 4096);
}

static int attempt(struct attempt *a)
{
    int rc = open_path(a);

    if (!rc)
        rc = lock(a);
    if (!rc && (a->created || a->empty))
        rc = size_created(a);
    if (!rc)
        rc = measure(a);
    if (!rc)
        rc = check_size(a);
    if (!rc)
        rc = check_direct(a);
    if (!rc)
        find_abilities(a);
    return rc;
}

int file_store_open(const struct store_options *options, struct store **store, char *why)
{
    struct attempt a = {.options = options, .why = why, .fd = -1};
    struct file_store *file;
    int rc;

    if (!options->path || !*options->path) {
        snprintf(why, STORE_WHY, "file store: no path is given");
        return -EINVAL;
    }
    rc = store_options_check(options, options->path, why);
    if (rc)
        return rc;
    file = calloc(1, sizeof *file);
    if (file)
        file->path = strdup(options->path);
    rc = file && file->path ? attempt(&a) : refuse(&a, -ENOMEM, "out of memory");
    if (rc) {
        if (a.fd >= 0)
            close(a.fd);
        if (a.created)
            unlink(options->path);
        if (file)
            free(file->path);
        free(file);
        return rc;
    }
    file->fd = a.fd;
    file->buffered = !options->direct;
    file->cannot_zero = !a.can_zero;
    file->cannot_punch = !a.can_punch;
    file->store = (struct store){
        .operations = &file_store_operations,
        .size = a.size,
        .block_size = options->block_size,
        .read_only = options->read_only,
        .volatile_cache = true,
        .can_unmap = a.can_punch,
    };
    *store = &file->store;
    return 0;
}
