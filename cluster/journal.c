#include "cluster/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "target/base/bytes.h"

/* Head of a file (big-endian): magic 8, format 4, length of the record 4, generation 8, cluster uuid 16,
 * CRC32C of head (this field 0) and record 4, zero 20. */
enum {
    HEAD = 64,
    HEAD_FORMAT = 8,
    HEAD_LENGTH = 12,
    HEAD_GENERATION = 16,
    HEAD_UUID = 24,
    HEAD_CRC = 40,
    FORMAT = 1,
    RECORD_MAX = 64 << 20,
    SLOTS = 2,
};

static const char magic[8] = "HALUNJNL";
static const char *const names[SLOTS] = {"shared-0.journal", "shared-1.journal"};

struct journal {
    int folder, event;
    int files[SLOTS];
    uint8_t uuid[16];
    uint64_t generation;
    unsigned next; /* slot to be written */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under the lock */
    const void *record;
    size_t size;
    bool stop;
    int result; /* of the write that ended: 1 or -errno; 0 = none */
};

static uint32_t checksum(const uint8_t head[HEAD], const void *record, size_t size)
{
    uint8_t zeroed[HEAD];
    uint32_t crc;

    memcpy(zeroed, head, HEAD);
    memset(zeroed + HEAD_CRC, 0, 4);
    crc = crc32_iscsi(zeroed, HEAD, 0xffffffff);
    return ~crc32_iscsi((unsigned char *)record, (int)size, crc);
}

static int write_slot(struct journal *j, const void *record, size_t size)
{
    uint8_t head[HEAD] = {0};
    struct iovec parts[2] = {{head, HEAD}, {(void *)record, size}};
    int fd = j->files[j->next];
    off_t at = 0;

    memcpy(head, magic, sizeof magic);
    put_be32(head + HEAD_FORMAT, FORMAT);
    put_be32(head + HEAD_LENGTH, (uint32_t)size);
    put_be64(head + HEAD_GENERATION, j->generation + 1);
    memcpy(head + HEAD_UUID, j->uuid, sizeof j->uuid);
    put_be32(head + HEAD_CRC, checksum(head, record, size));
    for (unsigned i = 0; i < 2;) {
        ssize_t n = pwritev(fd, parts + i, (int)(2 - i), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += n;
        for (; i < 2 && (size_t)n >= parts[i].iov_len; i++)
            n -= (ssize_t)parts[i].iov_len;
        if (i < 2) {
            parts[i].iov_base = (uint8_t *)parts[i].iov_base + n;
            parts[i].iov_len -= (size_t)n;
        }
    }
    if (fdatasync(fd) < 0)
        return -errno;
    j->generation++;
    j->next = (j->next + 1) % SLOTS;
    return 1;
}

static void *write_loop(void *argument)
{
    struct journal *j = argument;
    uint64_t one = 1;

    pthread_mutex_lock(&j->lock);
    while (true) {
        while (!j->stop && !j->record)
            pthread_cond_wait(&j->wake, &j->lock);
        if (!j->record)
            break;
        const void *record = j->record;
        size_t size = j->size;
        pthread_mutex_unlock(&j->lock);
        int result = write_slot(j, record, size);
        pthread_mutex_lock(&j->lock);
        j->record = NULL;
        j->result = result;
        if (write(j->event, &one, sizeof one) < 0)
            j->result = -errno;
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* What a slot holds: 1 a good record (*record, *generation), 0 nothing or torn, -errno. */
static int read_slot(struct journal *j, unsigned slot, uint8_t **record, size_t *size,
                     uint64_t *generation, bool *empty)
{
    uint8_t head[HEAD];
    struct stat info;
    uint32_t length;

    if (fstat(j->files[slot], &info) < 0)
        return -errno;
    *empty = info.st_size == 0;
    if (info.st_size < HEAD || pread(j->files[slot], head, HEAD, 0) != HEAD)
        return 0;
    length = get_be32(head + HEAD_LENGTH);
    if (memcmp(head, magic, sizeof magic) || length > RECORD_MAX || length > info.st_size - HEAD)
        return 0;
    *record = malloc(length ? length : 1);
    if (!*record)
        return -ENOMEM;
    if (pread(j->files[slot], *record, length, HEAD) != (ssize_t)length ||
        checksum(head, *record, length) != get_be32(head + HEAD_CRC)) {
        free(*record);
        return 0;
    }
    *size = length;
    *generation = get_be64(head + HEAD_GENERATION);
    if (get_be32(head + HEAD_FORMAT) != FORMAT || memcmp(head + HEAD_UUID, j->uuid, 16)) {
        free(*record);
        return get_be32(head + HEAD_FORMAT) != FORMAT ? -EPROTONOSUPPORT : -EXDEV;
    }
    return 1;
}

static int load(struct journal *j, uint8_t **record, size_t *size, const char *path, char *why)
{
    uint8_t *slots[SLOTS] = {NULL};
    size_t sizes[SLOTS] = {0};
    uint64_t generations[SLOTS] = {0};
    bool empty[SLOTS];
    int good[SLOTS], best = -1;

    for (unsigned i = 0; i < SLOTS; i++) {
        good[i] = read_slot(j, i, &slots[i], &sizes[i], &generations[i], &empty[i]);
        if (good[i] < 0) {
            snprintf(why, 256, "%.150s/%s: %s", path, names[i],
                     good[i] == -EXDEV ? "belongs to another cluster (cluster uuid)"
                     : good[i] == -EPROTONOSUPPORT ? "was written by a newer version"
                                                   : strerror(-good[i]));
            for (unsigned k = 0; k < i; k++)
                if (good[k] == 1)
                    free(slots[k]);
            return good[i];
        }
        if (good[i] == 1 && (best < 0 || generations[i] > generations[best]))
            best = (int)i;
    }
    /* One write is torn at a time, and only the first ever has no older record beside it. */
    if (best < 0 && !empty[0] && !empty[1]) {
        snprintf(why, 256, "%.150s: both copies of the journal are damaged", path);
        return -EBADMSG;
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (good[i] == 1 && (int)i != best)
            free(slots[i]);
    if (best >= 0) {
        *record = slots[best];
        *size = sizes[best];
        j->generation = generations[best];
        j->next = (unsigned)(best + 1) % SLOTS;
    }
    return 0;
}

/* The thread that waits for the disk must not inherit the real-time priority of the control thread. */
static int start_thread(struct journal *j)
{
    struct sched_param normal = {0};
    pthread_attr_t attributes;
    int error;

    pthread_attr_init(&attributes);
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
    pthread_attr_setschedparam(&attributes, &normal);
    error = pthread_create(&j->thread, &attributes, write_loop, j);
    pthread_attr_destroy(&attributes);
    j->started = !error;
    return -error;
}

int journal_open(struct journal **result, const char *path, const uint8_t cluster_uuid[16],
                 uint8_t **record, size_t *size, char *why)
{
    struct journal *j = calloc(1, sizeof *j);
    int error;

    *record = NULL;
    *size = 0;
    if (!j)
        return -ENOMEM;
    memcpy(j->uuid, cluster_uuid, sizeof j->uuid);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->wake, NULL);
    for (unsigned i = 0; i < SLOTS; i++)
        j->files[i] = -1;
    j->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    j->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->event < 0 || j->folder < 0)
        goto fail;
    if (flock(j->folder, LOCK_EX | LOCK_NB) < 0) {
        error = errno == EWOULDBLOCK ? -EBUSY : -errno;
        snprintf(why, 256, "%.150s: %s", path,
                 error == -EBUSY ? "in use by another halund" : strerror(-error));
        journal_close(j);
        return error;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        j->files[i] = openat(j->folder, names[i], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (j->files[i] < 0)
            goto fail;
    }
    if (fsync(j->folder) < 0)
        goto fail;
    error = load(j, record, size, path, why);
    if (!error && (error = start_thread(j)) != 0)
        snprintf(why, 256, "no thread for the journal: %s", strerror(-error));
    if (error) {
        free(*record);
        *record = NULL;
        journal_close(j);
        return error;
    }
    *result = j;
    return 0;
fail:
    error = -errno;
    snprintf(why, 256, "%.150s: %s", path, strerror(-error));
    journal_close(j);
    return error;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->started) {
        pthread_mutex_lock(&j->lock);
        j->stop = true;
        pthread_cond_signal(&j->wake);
        pthread_mutex_unlock(&j->lock);
        pthread_join(j->thread, NULL);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (j->files[i] >= 0)
            close(j->files[i]);
    if (j->folder >= 0)
        close(j->folder);
    if (j->event >= 0)
        close(j->event);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->wake);
    free(j);
}

int journal_fd(const struct journal *j)
{
    return j->event;
}

void journal_write(struct journal *j, const void *record, size_t size)
{
    pthread_mutex_lock(&j->lock);
    j->record = record;
    j->size = size;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
}

int journal_done(struct journal *j)
{
    uint64_t count;
    int result;

    if (read(j->event, &count, sizeof count) < 0)
        return errno == EAGAIN ? 0 : -errno;
    pthread_mutex_lock(&j->lock);
    result = j->result;
    j->result = 0;
    pthread_mutex_unlock(&j->lock);
    return result;
}
