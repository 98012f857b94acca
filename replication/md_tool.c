/* halun-md: metadata of a backing store that is not in use, for operators and tests. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replication/md_file.h"
#include "target/base/bytes.h"

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_NO_METADATA };

struct tool {
    const char *data_path; /* external: the data device */
    bool external, force, bitmap, log;
    uint32_t al_stripes, al_stripe_kb, al_extents;
    int fd;
    uint64_t device_bytes, data_bytes;
};

static const char usage[] =
    "Usage: halun-md [options] COMMAND DEVICE\n"
    "\n"
    "Works on the replication metadata (DRBD v08) of a file or block device that is not in use.\n"
    "\n"
    "Commands:\n"
    "  create      write fresh metadata (asks for --force when there is some already)\n"
    "  dump        print the superblock and what an attach would do\n"
    "  apply-al    replay the activity log into the bitmap and mark the metadata clean\n"
    "  outdate     mark a consistent copy as outdated\n"
    "  wipe        destroy the superblock (needs --force)\n"
    "\n"
    "Options:\n"
    "  -x, --external[=DATA]         DEVICE holds the metadata only (flex-external); DATA is the "
    "device\n"
    "                                with the data (only its size is looked at)\n"
    "      --al-stripes=N            create: stripes of the activity log (1)\n"
    "      --al-stripe-size-kB=N     create: size of a stripe (32)\n"
    "      --al-extents=N            create: slots of the activity log (1237)\n"
    "  -b, --bitmap                  dump: print the bitmap, 64-bit words (little-endian)\n"
    "  -l, --log                     dump: print the extents of the activity log\n"
    "  -f, --force                   go on where halun-md would refuse\n"
    "  -h, --help                    this text\n"
    "  -V, --version                 print the version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no metadata found.\n";

static int fail(const char *path, const char *why)
{
    fprintf(stderr, "halun-md: %s: %s\n", path, why);
    return EXIT_FAILED;
}

static enum metadata_placement placement(const struct tool *tool)
{
    return tool->external ? METADATA_FLEX_EXTERNAL : METADATA_INTERNAL;
}

static int do_create(struct tool *tool, const char *path)
{
    struct md_create create = {
        .placement = placement(tool),
        .device_bytes = tool->device_bytes,
        .data_bytes = tool->data_bytes,
        .al_extents = tool->al_extents,
    };
    char why[MD_WHY];
    int error;

    if (tool->al_stripes || tool->al_stripe_kb) {
        create.al_stripes = tool->al_stripes ? tool->al_stripes : MD_AL_STRIPES;
        create.al_stripe_blocks =
            tool->al_stripe_kb ? tool->al_stripe_kb / (MD_BLOCK / 1024) : MD_AL_STRIPE_BLOCKS;
        if (tool->al_stripe_kb % (MD_BLOCK / 1024))
            return fail(path, "the size of a stripe must be a multiple of 4 kB");
    }
    error = md_file_probe(tool->fd, placement(tool), tool->device_bytes, why);
    if (!error && !tool->force)
        return fail(path, "there is metadata already; --force replaces it");
    if (error && error != -ENODATA)
        return fail(path, why);
    if (md_file_create(tool->fd, &create, why))
        return fail(path, why);
    return EXIT_OK;
}

static int load(struct tool *tool, const char *path, struct md_file *file)
{
    char why[MD_WHY];
    int error =
        md_file_load(file, tool->fd, placement(tool), tool->device_bytes, tool->data_bytes, why);

    if (!error)
        return EXIT_OK;
    fail(path, why);
    return error == -ENODATA ? EXIT_NO_METADATA : EXIT_FAILED;
}

static void print_flags(uint32_t flags)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {
        {MD_CONSISTENT, "consistent"},
        {MD_WAS_UP_TO_DATE, "was-up-to-date"},
        {MD_PRIMARY, "primary"},
        {MD_CONNECTED, "connected"},
        {MD_PEER_OUTDATED, "peer-outdated"},
        {MD_CRASHED_PRIMARY, "crashed-primary"},
        {MD_FULL_SYNC, "full-sync"},
        {MD_AL_CLEAN, "al-clean"},
        {MD_AL_DISABLED, "al-disabled"},
    };

    printf("flags: 0x%08" PRIx32, flags);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (flags & names[i].flag)
            printf(" %s", names[i].name);
    putchar('\n');
}

static const char *disk_name(uint32_t flags)
{
    switch (metadata_disk_state(flags, false)) {
    case DISK_INCONSISTENT:
        return "Inconsistent";
    case DISK_OUTDATED:
        return "Outdated";
    case DISK_UP_TO_DATE:
        return "UpToDate";
    default:
        return "Consistent";
    }
}

static void print_bitmap(const struct dirty_map *map)
{
    for (uint64_t word = 0; word < map->words; word++)
        printf("%s0x%016" PRIX64 ";%s", word % 4 ? " " : "    ", get_le64(map->bytes + word * 8),
               word % 4 == 3 || word + 1 == map->words ? "\n" : "");
}

static int do_dump(struct tool *tool, const char *path)
{
    struct md_file file;
    const struct superblock *sb = &file.superblock;
    int status = load(tool, path, &file);

    if (status)
        return status;
    printf("version: v08\nplacement: %s\nclean: %s\n",
           tool->external ? "flex-external" : "internal", sb->clean ? "yes" : "no");
    printf("effective-sectors: %" PRIu64 "\ndata-sectors: %" PRIu64 "\n", sb->effective_sectors,
           file.layout.data_sectors);
    printf("current: %016" PRIX64 "\nbitmap: %016" PRIX64 "\nhistory: %016" PRIX64 " %016" PRIX64
           "\n",
           sb->generations.current, sb->generations.bitmap, sb->generations.history[0],
           sb->generations.history[1]);
    printf("device-uuid: %016" PRIX64 "\n", sb->device_uuid);
    print_flags(sb->flags);
    printf("disk: %s\n", disk_name(sb->flags));
    printf("md-size-sectors: %" PRIu32 "\nsuperblock-offset: %" PRIu64 "\nal-offset: %" PRIu64
           "\nbitmap-offset: %" PRIu64 "\nbitmap-bytes: %" PRIu64 "\n",
           sb->md_size_sectors, file.layout.superblock, file.layout.al, file.layout.bitmap,
           file.layout.bitmap_bytes);
    printf("al-extents: %" PRIu32 "\nal-stripes: %" PRIu32 "\nal-stripe-size-4k: %" PRIu32 "\n",
           sb->al_extents, file.layout.al_stripes, file.layout.al_stripe_blocks);
    printf("peer-max-bio: %" PRIu32 "\n", sb->peer_max_bio);
    printf("activity-log: %s\n", file.log_damaged   ? "damaged, all blocks count as out of sync"
                                 : file.log_applied ? "applied"
                                                    : "not needed");
    printf("activity-log-extents: %u\nout-of-sync-bits: %" PRIu64 "\n", file.log_extents,
           file.map.set);
    if (tool->log && file.log_applied)
        for (unsigned slot = 0; slot < AL_SLOTS_MAX; slot++)
            if (file.log_table[slot] != AL_NO_EXTENT)
                printf("extent: slot %u number %" PRIu32 "\n", slot, file.log_table[slot]);
    if (tool->bitmap)
        print_bitmap(&file.map);
    md_file_free(&file);
    return EXIT_OK;
}

static int settled(struct tool *tool, const char *path, struct md_file *file)
{
    int error = md_file_settle(file, true);

    (void)tool;
    md_file_free(file);
    return error ? fail(path, strerror(-error)) : EXIT_OK;
}

static int do_apply(struct tool *tool, const char *path)
{
    struct md_file file;
    int status = load(tool, path, &file);

    if (status)
        return status;
    if (file.was_clean) { /* nothing to do, and nothing is written */
        md_file_free(&file);
        return EXIT_OK;
    }
    if (file.log_damaged)
        fprintf(stderr,
                "halun-md: %s: the activity log is damaged: all blocks marked out of sync\n", path);
    return settled(tool, path, &file);
}

static int do_outdate(struct tool *tool, const char *path)
{
    struct md_file file;
    int status = load(tool, path, &file);

    if (status)
        return status;
    if (!(file.superblock.flags & MD_CONSISTENT)) {
        md_file_free(&file);
        return fail(path, "the copy is inconsistent, which is less than outdated");
    }
    file.superblock.flags &= ~(uint32_t)MD_WAS_UP_TO_DATE;
    if (!file.was_clean)
        return settled(tool, path, &file);
    status = md_file_write_superblock(&file);
    md_file_free(&file);
    return status ? fail(path, strerror(-status)) : EXIT_OK;
}

static int do_wipe(struct tool *tool, const char *path)
{
    uint64_t at = metadata_superblock_offset(placement(tool), tool->device_bytes);
    char why[MD_WHY];
    uint8_t *zero;
    int status = EXIT_OK;

    if (md_file_probe(tool->fd, placement(tool), tool->device_bytes, why)) {
        fail(path, why);
        return EXIT_NO_METADATA;
    }
    if (!tool->force)
        return fail(path, "wiping forgets what differs between the copies; --force does it");
    if (posix_memalign((void **)&zero, MD_BLOCK, MD_BLOCK))
        return fail(path, strerror(ENOMEM));
    memset(zero, 0, MD_BLOCK);
    if (pwrite(tool->fd, zero, MD_BLOCK, (off_t)at) != MD_BLOCK || fdatasync(tool->fd))
        status = fail(path, strerror(errno));
    free(zero);
    return status;
}

static const struct command {
    const char *name;
    int (*run)(struct tool *tool, const char *path);
    bool writes;
} commands[] = {
    {"create", do_create, true},   {"dump", do_dump, false}, {"apply-al", do_apply, true},
    {"outdate", do_outdate, true}, {"wipe", do_wipe, true},
};

/* Exclusive, so that a device in use by the daemon or a mounted one is refused. */
static int open_device(struct tool *tool, const char *path, bool writes)
{
    int flags = (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC;
    struct stat st;
    int64_t bytes;

    if (stat(path, &st))
        return fail(path, strerror(errno));
    if (S_ISBLK(st.st_mode))
        flags |= O_EXCL;
    tool->fd = open(path, flags);
    if (tool->fd < 0)
        return fail(path, errno == EBUSY ? "the device is in use" : strerror(errno));
    if (flock(tool->fd, LOCK_EX | LOCK_NB))
        return fail(path,
                    errno == EWOULDBLOCK ? "it is locked by another program" : strerror(errno));
    bytes = md_device_bytes(tool->fd);
    if (bytes < 0)
        return fail(path, bytes == -ENOTBLK ? "neither a file nor a block device"
                                            : strerror((int)-bytes));
    tool->device_bytes = (uint64_t)bytes;
    if (tool->data_path) {
        int fd = open(tool->data_path, O_RDONLY | O_CLOEXEC);

        bytes = fd < 0 ? -errno : md_device_bytes(fd);
        if (fd >= 0)
            close(fd);
        if (bytes <= 0)
            return fail(tool->data_path, bytes ? strerror((int)-bytes) : "it is empty");
        tool->data_bytes = (uint64_t)bytes;
    }
    return EXIT_OK;
}

static bool number(const char *text, uint32_t *value)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || !n || n > INT32_MAX)
        return false;
    *value = (uint32_t)n;
    return true;
}

static int usage_error(const char *what)
{
    fprintf(stderr, "halun-md: %s; see halun-md --help\n", what);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    enum { OPT_STRIPES = 256, OPT_STRIPE_KB, OPT_EXTENTS };
    static const struct option options[] = {
        {"external", optional_argument, NULL, 'x'},
        {"al-stripes", required_argument, NULL, OPT_STRIPES},
        {"al-stripe-size-kB", required_argument, NULL, OPT_STRIPE_KB},
        {"al-extents", required_argument, NULL, OPT_EXTENTS},
        {"bitmap", no_argument, NULL, 'b'},
        {"log", no_argument, NULL, 'l'},
        {"force", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    struct tool tool = {.fd = -1};
    int option, status;

    while ((option = getopt_long(argc, argv, "x::blfhV", options, NULL)) != -1) {
        bool good = true;

        switch (option) {
        case 'x':
            tool.external = true;
            tool.data_path = optarg;
            break;
        case OPT_STRIPES:
            good = number(optarg, &tool.al_stripes);
            break;
        case OPT_STRIPE_KB:
            good = number(optarg, &tool.al_stripe_kb);
            break;
        case OPT_EXTENTS:
            good = number(optarg, &tool.al_extents);
            break;
        case 'b':
            tool.bitmap = true;
            break;
        case 'l':
            tool.log = true;
            break;
        case 'f':
            tool.force = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_OK;
        case 'V':
            printf("halun-md %s\n", HALUN_VERSION);
            return EXIT_OK;
        default:
            return usage_error("unknown option");
        }
        if (!good)
            return usage_error("a positive number is expected");
    }
    if (argc - optind != 2)
        return usage_error("a command and a device are expected");
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, argv[optind]))
            continue;
        status = open_device(&tool, argv[optind + 1], commands[i].writes);
        if (!status)
            status = commands[i].run(&tool, argv[optind + 1]);
        if (tool.fd >= 0)
            close(tool.fd);
        return status;
    }
    return usage_error("unknown command");
}
