#include "replica_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replication/resource.h"
#include "target/base/container.h"

struct rig *the_rig;

void pair_fail(const char *condition, const char *file, int line)
{
    for (unsigned i = 0; i < 2; i++) {
        struct replica_status s;

        if (!the_rig->n[i].replica)
            continue;
        s = rig_status(&the_rig->n[i]);
        print_error("node %u: role %d/%d disk %s/%s %s%s dirty %llu why \"%s\" asked %u\n", i,
                    s.role, s.peer_role, replica_disk_name(s.disk), replica_disk_name(s.peer_disk),
                    replica_connection_name(s.connection), s.suspended ? " suspended" : "",
                    (unsigned long long)s.out_of_sync, s.why, the_rig->n[i].asked);
    }
    print_error("waiting for %s\n", condition);
    _fail(file, line);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

/* Stands for the cluster: the peer's copy is outdated by its own node if that can be asked. */
static void peer_marked(void *context, int error, const char *why)
{
    struct rig_node *node = context;

    if (node->replica) /* it may have been closed meanwhile */
        replica_peer_outdated(node->replica, !error);
}

static void cluster_outdates(struct rig_node *node)
{
    struct rig_node *peer = &the_rig->n[!node->index];

    if (!the_rig->agree)
        return;
    if (peer->replica)
        replica_outdate(peer->replica, peer_marked, node);
    else
        replica_peer_outdated(node->replica, true);
}

static void cluster_outdates_self(struct rig_node *node)
{
    if (the_rig->agree)
        replica_self_outdated(node->replica, true);
}

void open_node(struct rig *rig, unsigned i)
{
    if (rig_open(&rig->n[i], i, &rig->options))
        fail_msg("%s", rig->n[i].why);
    rig->n[i].on_outdate = cluster_outdates;
    rig->n[i].on_outdate_self = cluster_outdates_self;
}

int pair_setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);

    strcpy(rig->directory, "/tmp/test_replica.XXXXXX");
    assert_non_null(mkdtemp(rig->directory));
    rig->options = (struct rig_options){
        .directory = rig->directory,
        .port = rig_port(),
        .lus = 1,
        .size = SIZE,
    };
    rig->agree = true;
    rig->seed = 1;
    the_rig = rig;
    *state = rig;
    return 0;
}

int pair_teardown(void **state)
{
    struct rig *rig = *state;

    rig->agree = true;
    fault_end_all(); /* a test that failed may have left something held */
    for (unsigned i = 0; i < 2; i++)
        if (rig->n[i].replica)
            rig_close(&rig->n[i]);
    nftw(rig->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(rig);
    return 0;
}

struct fault *pair_fault(struct rig *rig, unsigned node, unsigned lu)
{
    char path[200];
    struct fault *fault;

    rig_path(path, rig->directory, node, lu);
    fault = fault_of(path);
    assert_non_null(fault);
    return fault;
}

struct metadata_layout pair_layout(struct rig *rig, unsigned node, unsigned lu)
{
    struct metadata_layout layout;
    char path[200], why[MD_WHY];
    struct stat st;

    rig_path(path, rig->directory, node, lu);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(
        metadata_layout(&layout, METADATA_INTERNAL, (uint64_t)st.st_size, 0, 0, 0, why), 0);
    return layout;
}

bool connection(unsigned i, enum replica_connection conn)
{
    return rig_status(&the_rig->n[i]).connection == conn;
}

bool good(unsigned i)
{
    struct replica_status s = rig_status(&the_rig->n[i]);

    return s.connection == CONN_CONNECTED && s.disk == DISK_UP_TO_DATE &&
           s.peer_disk == DISK_UP_TO_DATE && !s.out_of_sync;
}

void start_both(struct rig *rig)
{
    open_node(rig, 0);
    open_node(rig, 1);
    WAIT(connection(0, CONN_CONNECTED) && connection(1, CONN_CONNECTED));
}

void promote(struct rig_node *node)
{
    ORDER(node, replica_promote(node->replica, false, rig_answer, node));
    if (node->error)
        fail_msg("promote: %s", node->why);
}

void start_primary(struct rig *rig)
{
    start_both(rig);
    ORDER(&rig->n[0], replica_new_current(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    WAIT(good(0) && good(1));
    promote(&rig->n[0]);
}

void fill(struct rig *rig, uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(rand_r(&rig->seed) >> 3);
}

int run_io(struct rig_node *node, unsigned lu, enum store_operation operation, unsigned flags,
           uint64_t offset, void *data, uint64_t length)
{
    struct rig_io io = {0};

    rig_submit(node, &io, lu, operation, flags, offset, data, length);
    WAIT(io.done);
    return io.error;
}

void churn(struct rig *rig, unsigned node, unsigned count)
{
    enum { PARALLEL = 32, LARGEST = 2 << 20 };
    static uint8_t buffers[PARALLEL][LARGEST];
    struct rig_io io[PARALLEL] = {0};
    unsigned issued = 0, i = 0;

    for (i = 0; i < PARALLEL; i++)
        io[i].done = true;
    while (issued < count) {
        for (i = 0; i < PARALLEL && issued < count; i++) {
            unsigned kind = (unsigned)rand_r(&rig->seed) % 16, lu;
            uint64_t length, offset;

            if (!io[i].done)
                continue;
            assert_int_equal(io[i].error, 0);
            lu = (unsigned)rand_r(&rig->seed) % rig->options.lus;
            length = ((unsigned)rand_r(&rig->seed) % (kind == 0 ? LARGEST / 512 : 64) + 1) * 512;
            offset = (unsigned)rand_r(&rig->seed) % ((SIZE - length) / 512 + 1) * 512;
            if (kind == 1)
                rig_submit(&rig->n[node], &io[i], lu, STORE_FLUSH, 0, 0, NULL, 0);
            else if (kind == 2 || kind == 3)
                rig_submit(&rig->n[node], &io[i], lu, kind == 2 ? STORE_ZERO : STORE_UNMAP, 0,
                           offset, NULL, length * 8 < SIZE - offset ? length * 8 : length);
            else {
                fill(rig, buffers[i], length);
                rig_submit(&rig->n[node], &io[i], lu, STORE_WRITE, kind == 4 ? STORE_FUA : 0,
                           offset, buffers[i], length);
            }
            issued++;
        }
        rig_turn(rig->n, 2, 5);
    }
    for (i = 0; i < PARALLEL; i++) {
        WAIT(io[i].done);
        assert_int_equal(io[i].error, 0);
    }
}

void read_file(struct rig *rig, unsigned node, unsigned lu, uint8_t *data)
{
    char path[200];
    int fd;

    rig_path(path, rig->directory, node, lu);
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, data, SIZE, 0), SIZE);
    close(fd);
}

void assert_equal_up_to(struct rig *rig, unsigned lu, uint64_t size)
{
    static uint8_t data[2][1 << 20]; /* the same pages again and again: new ones cost more than the comparison */
    int fd[2];

    for (unsigned i = 0; i < 2; i++) {
        char path[200];

        rig_path(path, rig->directory, i, lu);
        fd[i] = open(path, O_RDONLY);
        assert_true(fd[i] >= 0);
    }
    for (uint64_t at = 0; at < size; at += sizeof data[0]) {
        size_t length = size - at < sizeof data[0] ? size - at : sizeof data[0];

        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(pread(fd[i], data[i], length, (off_t)at), length);
        for (size_t i = 0; i < length; i += 512)
            if (memcmp(data[0] + i, data[1] + i, 512))
                fail_msg("LU %u differs at sector %zu", lu, (size_t)(at + i) / 512);
    }
    close(fd[0]);
    close(fd[1]);
}

void assert_equal_copies(struct rig *rig)
{
    for (unsigned lu = 0; lu < rig->options.lus; lu++)
        assert_equal_up_to(rig, lu, SIZE);
}

void spoil(struct rig *rig, unsigned node, uint64_t offset)
{
    static const char text[] = "a difference";
    char path[200];
    int fd;

    rig_path(path, rig->directory, node, 0);
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, sizeof text, (off_t)offset), sizeof text);
    close(fd);
}

struct look {
    struct post post;
    const struct resource *resource;
    bool rest;
    sem_t done;
};

static void look_at(struct post *post)
{
    struct look *look = container_of(post, struct look, post);

    look->rest = true;
    for (unsigned i = 0; i < look->resource->volume_count; i++) {
        const struct volume *v = look->resource->volumes[i];
        const struct md_io *md = &v->md;

        look->rest &= !md->running && !md->pass && qb_list_empty(&md->pass_next) &&
                      (md->wanted == md->durable || md->wanted == v->mark);
    }
    sem_post(&look->done);
}

bool metadata_rest(struct rig *rig, unsigned node)
{
    struct look look = {.post.run = look_at};

    look.resource = container_of(rig->n[node].replica, struct resource, public);
    sem_init(&look.done, 0, 0);
    reactor_post(&rig->n[node].reactor, &look.post);
    sem_wait(&look.done);
    sem_destroy(&look.done);
    return look.rest;
}
