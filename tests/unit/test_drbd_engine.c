/* The engine over the kernel's DRBD, with shell scripts as drbdsetup and drbdadm, which die, hang, refuse and talk
 * nonsense as each test wants, and a file as /dev/drbd0. The real ones are tests/vm/drbd-below's part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replication/drbd_replica.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "tests/unit/fault_store.h"

enum { SIZE = 1 << 20, PATIENCE_MS = 20000 };

static char folder[64];
static int stream = -1; /* what the fake drbdsetup goes on to tell */
static qb_loop_t *loop;
static pthread_t reactor_thread;
static struct reactor reactor;
static struct config config;
static struct config_group group;
static struct config_node nodes[2];
static struct config_lu lu;
static struct replica *replica;

static struct {
    unsigned outdate_peer, outdate_self, current, changed, node;
    bool outdated;
} asked;

/* ---- the world ---- */

static const char *path(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *to = paths[turn++ % 4];

    snprintf(to, sizeof paths[0], "%s/%s", folder, name);
    return to;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path(name), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void script(const char *name, const char *text)
{
    write_file(name, text);
    assert_int_equal(0, chmod(path(name), 0755));
}

/* Lines of the log that begin so: how often a command was called. */
static unsigned called(const char *command)
{
    FILE *file = fopen(path("log"), "r");
    char line[300];
    unsigned n = 0;

    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        n += !strcmp(line, command);
    }
    if (file)
        fclose(file);
    return n;
}

static void say(const char *text)
{
    assert_int_equal((ssize_t)strlen(text), write(stream, text, strlen(text)));
}

static pid_t fake_pid(void)
{
    FILE *file = fopen(path("pid"), "r");
    int pid = 0;

    if (file) {
        if (fscanf(file, "%d", &pid) != 1)
            pid = 0;
        fclose(file);
    }
    return pid;
}

static int32_t on_mailbox(int32_t fd, int32_t events, void *data)
{
    uint64_t count;

    if (read(fd, &count, sizeof count) < 0)
        assert_int_equal(EAGAIN, errno);
    mailbox_run(&threads.control);
    return 0;
}

static struct {
    bool (*holds)(void);
    uint64_t deadline;
    bool good;
} awaited;

static void look(void *data)
{
    qb_loop_timer_handle handle;

    awaited.good = awaited.holds();
    if (awaited.good || monotonic_ns() > awaited.deadline)
        qb_loop_stop(loop);
    else
        qb_loop_timer_add(loop, QB_LOOP_LOW, 2000000, NULL, look, &handle);
}

/* Runs the control thread's loop until something is so. */
static bool until(bool (*holds)(void))
{
    awaited.holds = holds;
    awaited.deadline = monotonic_ns() + PATIENCE_MS * 1000000ull;
    awaited.good = false;
    qb_loop_job_add(loop, QB_LOOP_LOW, NULL, look);
    qb_loop_run(loop);
    return awaited.good;
}

static void *run_reactor(void *unused)
{
    reactor_run(&reactor);
    return NULL;
}

static void on_outdate_peer(void *context, struct replica *r, unsigned node)
{
    asked.outdate_peer++;
    asked.node = node;
}

static void on_outdate_self(void *context, struct replica *r)
{
    asked.outdate_self++;
}

static void on_current(void *context, struct replica *r, unsigned node)
{
    asked.current++;
    asked.node = node;
}

static void on_changed(void *context, struct replica *r)
{
    asked.changed++;
}

static bool on_outdated(void *context, struct replica *r)
{
    return asked.outdated;
}

static const struct replica_callbacks callbacks = {
    .outdate_peer = on_outdate_peer,
    .outdate_self = on_outdate_self,
    .current = on_current,
    .changed = on_changed,
    .outdated = on_outdated,
};

#define DUMP(role)                                                                                                     \
    "exists resource name:r0 role:" role " suspended:no\n"                                                             \
    "exists connection name:r0 peer-node-id:0 conn-name:there connection:Connected role:Secondary\n"                    \
    "exists device name:r0 volume:0 minor:0 disk:UpToDate size:1024\n"                                                 \
    "exists peer-device name:r0 peer-node-id:0 conn-name:there volume:0 replication:Established peer-disk:UpToDate "     \
    "resync-suspended:no out-of-sync:0\n"                                                                              \
    "exists -\n"

static int set_up(void **state)
{
    char file_path[512];

    strcpy(folder, "/tmp/test_drbd_engine.XXXXXX");
    assert_non_null(mkdtemp(folder));
    setenv("FAKE", folder, 1);
    snprintf(file_path, sizeof file_path, "%s:/usr/bin:/bin", folder);
    setenv("PATH", file_path, 1);
    assert_int_equal(0, mkfifo(path("stream"), 0600));
    stream = open(path("stream"), O_RDWR | O_CLOEXEC);
    assert_true(stream >= 0);
    write_file("log", "");
    write_file("dump", DUMP("Secondary"));
    script("drbdsetup", "#!/bin/sh\necho \"drbdsetup $*\" >>\"$FAKE/log\"\n"
                        "[ -e \"$FAKE/absent\" ] && { cat \"$FAKE/absent\" >&2; exit 20; }\n"
                        "case \"$*\" in *--now*) exec cat \"$FAKE/snapshot\" ;; esac\n"
                        "echo $$ >\"$FAKE/pid\"\ncat \"$FAKE/dump\"\nexec cat \"$FAKE/stream\"\n");
    script("drbdadm", "#!/bin/sh\necho \"drbdadm $*\" >>\"$FAKE/log\"\n"
                      "[ -e \"$FAKE/do.$1\" ] && . \"$FAKE/do.$1\"\nexit 0\n");
    write_file("do.primary", "echo 'change resource name:r0 role:Primary' >\"$FAKE/stream\"\n");
    write_file("do.secondary", "echo 'change resource name:r0 role:Secondary' >\"$FAKE/stream\"\n");
    write_file("device", "");
    assert_int_equal(0, truncate(path("device"), SIZE));

    memset(&asked, 0, sizeof asked);
    memset(&group, 0, sizeof group);
    memset(&lu, 0, sizeof lu);
    nodes[0] = (struct config_node){.name = "here", .id = 1};
    nodes[1] = (struct config_node){.name = "there", .id = 2};
    strcpy(group.name, "r0");
    group.replication = REPLICATION_DRBD;
    group.drbd_role = CONFIG_DRBD_ROLE_HALUND;
    group.nodes[0] = 1;
    group.nodes[1] = 2;
    group.node_count = 2;
    strcpy(lu.name, "disk");
    snprintf(lu.path, sizeof lu.path, "%s", path("device"));
    lu.size = SIZE;
    lu.block_size = 512;
    config = (struct config){
        .nodes = nodes, .node_count = 2, .groups = &group, .group_count = 1, .lus = &lu, .lu_count = 1};

    loop = qb_loop_create();
    assert_int_equal(0, mailbox_init(&threads.control));
    qb_loop_poll_add(loop, QB_LOOP_HIGH, threads.control.wake_fd, POLLIN, NULL, on_mailbox);
    memset(&reactor, 0, sizeof reactor);
    assert_int_equal(0, reactor_init(&reactor, 0, 64));
    threads.reactors[0] = &reactor;
    threads.reactor_count = 1;
    assert_int_equal(0, pthread_create(&reactor_thread, NULL, run_reactor, NULL));
    return 0;
}

static void at_reactor_stop(struct post *post)
{
    reactor_stop(&reactor);
}

static bool closed;

static void on_closed(void *context, int error, const char *why)
{
    closed = true;
}

static bool is_closed(void)
{
    return closed;
}

static int tear_down(void **state)
{
    static struct post post = {.run = at_reactor_stop};
    char command[100];
    pid_t pid = fake_pid();

    closed = !replica;
    if (replica)
        replica_close(replica, on_closed, NULL);
    assert_true(until(is_closed));
    if (pid > 0) /* nothing stays behind */
        assert_true(kill(pid, 0) && errno == ESRCH);
    replica = NULL;
    reactor_post(&reactor, &post);
    pthread_join(reactor_thread, NULL);
    reactor_done(&reactor);
    qb_loop_poll_del(loop, threads.control.wake_fd);
    mailbox_done(&threads.control);
    qb_loop_destroy(loop);
    close(stream);
    snprintf(command, sizeof command, "/bin/rm -r %s", folder);
    return system(command);
}

static void open_replica(void)
{
    const struct replica_options options = {
        .config = &config,
        .group = &group,
        .home = &reactor,
        .control = &threads.control,
        .callbacks = &callbacks,
        .loop = loop,
    };
    char why[256] = "";

    if (replica_open(&options, &replica, why))
        fail_msg("%s", why);
}

static struct drbd_replica *engine(void)
{
    return (struct drbd_replica *)replica;
}

static struct replica_status status(void)
{
    struct replica_status s;

    replica_get_status(replica, &s);
    return s;
}

static bool is_known(void)
{
    return engine()->known;
}

static void open_known(void)
{
    open_replica();
    assert_true(until(is_known));
}

/* ---- orders and I/O ---- */

static struct {
    bool over;
    int error;
    char why[256];
} answer;

static void on_done(void *context, int error, const char *why)
{
    answer.over = true;
    answer.error = error;
    snprintf(answer.why, sizeof answer.why, "%s", why);
}

static bool is_over(void)
{
    return answer.over;
}

static int wait_order(void)
{
    assert_true(until(is_over));
    return answer.error;
}

static int promote(bool force)
{
    answer.over = false;
    replica_promote(replica, force, on_done, NULL);
    return wait_order();
}

static int demote(void)
{
    answer.over = false;
    replica_demote(replica, on_done, NULL);
    return wait_order();
}

static struct {
    struct post post;
    struct store_io io;
    uint8_t *memory;
    struct iovec iov;
    uint64_t offset; /* 0: 8192 */
    _Atomic bool over;
    int error;
} one;

static void io_done(struct store_io *io, int error)
{
    one.error = error;
    atomic_store(&one.over, true);
}

static void at_reactor_submit(struct post *post)
{
    store_submit(replica_store(replica, 0), &one.io);
}

static void submit(enum store_operation operation, uint8_t byte)
{
    if (!one.memory)
        one.memory = aligned_alloc(4096, 4096);
    if (operation == STORE_WRITE)
        memset(one.memory, byte, 4096);
    one.iov = (struct iovec){one.memory, 4096};
    one.io = (struct store_io){
        .operation = operation, .offset = one.offset ? one.offset : 8192, .length = 4096, .iov = &one.iov,
        .iov_count = 1, .done = io_done};
    atomic_store(&one.over, false);
    one.post.run = at_reactor_submit;
    reactor_post(&reactor, &one.post);
}

static bool io_over(void)
{
    return atomic_load(&one.over);
}

static int do_io(enum store_operation operation, uint8_t byte)
{
    submit(operation, byte);
    assert_true(until(io_over));
    return one.error;
}

/* ---- following ---- */

static bool peer_is_outdated(void)
{
    return status().peer_disk == DISK_OUTDATED;
}

static void followed(void **state)
{
    open_known();
    assert_int_equal(1, called("drbdsetup events2 --statistics r0"));
    assert_int_equal(REPLICA_SECONDARY, status().role);
    assert_int_equal(DISK_UP_TO_DATE, status().disk);
    assert_int_equal(CONN_CONNECTED, status().connection);
    assert_string_equal("", status().why);
    assert_int_equal(1, asked.current); /* both are equal: so is the peer's copy */
    assert_int_equal(2, asked.node);
    say("change peer-device name:r0 peer-node-id:0 conn-name:there volume:0 peer-disk:Outdated\n");
    assert_true(until(peer_is_outdated));
    assert_int_equal(1, asked.outdate_peer); /* this node's is better */
}

static bool has_trouble(void)
{
    return engine()->trouble[0];
}

static void module_missing(void **state)
{
    write_file("absent", "Failed to modprobe drbd (No such file or directory)\n");
    open_replica();
    assert_true(until(has_trouble));
    assert_string_equal("the kernel module drbd is not there: drbdsetup: Failed to modprobe drbd (No such file or "
                        "directory)",
                        status().why);
    assert_int_equal(DISK_UNKNOWN, status().disk);
    assert_int_equal(-EAGAIN, promote(false));
    assert_string_equal(status().why, answer.why);
    assert_int_equal(0, called("drbdadm primary r0"));
    unlink(path("absent")); /* loaded now */
    assert_true(until(is_known));
    assert_string_equal("", status().why);
    assert_true(called("drbdsetup events2 --statistics r0") >= 2);
}

static void tools_missing(void **state)
{
    unlink(path("drbdsetup"));
    setenv("PATH", folder, 1);
    open_replica();
    assert_true(until(has_trouble));
    assert_string_equal("drbd-utils: drbdsetup: is not installed, or not in PATH", status().why);
}

static void resource_not_up(void **state)
{
    write_file("dump", "exists -\n");
    open_known();
    assert_string_equal("DRBD's resource r0 is not up", status().why);
    assert_int_equal(-EAGAIN, promote(false));
    assert_string_equal("DRBD's resource r0 to be up", answer.why);
}

static bool is_unknown(void)
{
    return !engine()->known;
}

static bool restarted(void)
{
    return engine()->known && called("drbdsetup events2 --statistics r0") >= 2;
}

/* drbdsetup dies while this node is Primary: I/O goes on, the state is known again soon. */
static void dies(void **state)
{
    open_known();
    assert_int_equal(0, promote(false));
    write_file("dump", DUMP("Primary"));
    assert_int_equal(0, kill(fake_pid(), SIGKILL));
    assert_true(until(is_unknown));
    assert_string_equal("drbdsetup events2 ended with status 137", status().why);
    assert_int_equal(0, do_io(STORE_WRITE, 0x11));
    assert_true(until(restarted));
    assert_int_equal(REPLICA_PRIMARY, status().role);
    assert_int_equal(0, do_io(STORE_READ, 0));
    assert_int_equal(0x11, one.memory[100]);
    assert_int_equal(0, called("drbdadm secondary r0"));
    assert_int_equal(0, demote());
}

static bool told_unknown(void)
{
    return engine()->told_unknown;
}

static bool is_lost(void)
{
    return status().connection == CONN_NETWORK_FAILURE;
}

static void garbage(void **state)
{
    open_known();
    say("\n\x01\x02 what is this\nexists\nchange device name:other volume:0 disk:Failed\n");
    assert_true(until(told_unknown));
    assert_int_equal(DISK_UP_TO_DATE, status().disk);
    for (unsigned i = 0; i < 600; i++)
        say("a line that does not come to its end, ");
    say("\nchange connection name:r0 peer-node-id:0 conn-name:there connection:NetworkFailure role:Unknown\n");
    assert_true(until(is_lost));
}

/* ---- roles ---- */

static void promotes_and_demotes(void **state)
{
    open_known();
    assert_int_equal(-EAGAIN, do_io(STORE_READ, 0)); /* no device is open on a Secondary */
    assert_int_equal(0, promote(false));
    assert_int_equal(1, called("drbdadm primary r0"));
    assert_int_equal(REPLICA_PRIMARY, status().role);
    assert_int_equal(0, do_io(STORE_WRITE, 0x5a));
    memset(one.memory, 0, 4096);
    assert_int_equal(0, do_io(STORE_READ, 0));
    assert_int_equal(0x5a, one.memory[4095]);
    assert_int_equal(0, do_io(STORE_FLUSH, 0));
    assert_int_equal(0, promote(false)); /* is so already */
    assert_int_equal(1, called("drbdadm primary r0"));
    assert_int_equal(0, demote());
    assert_int_equal(1, called("drbdadm secondary r0"));
    assert_int_equal(REPLICA_SECONDARY, status().role);
    assert_int_equal(-EAGAIN, do_io(STORE_WRITE, 1));
    assert_int_equal(0, promote(false)); /* and again */
    assert_int_equal(0, do_io(STORE_READ, 0));
    assert_int_equal(0x5a, one.memory[0]);
    assert_int_equal(0, demote());
}

static void promotion_refused(void **state)
{
    open_known();
    write_file("do.primary", "echo 'State change failed: (-1) Multiple primaries not allowed by config' >&2\nexit 11\n");
    assert_int_equal(-EAGAIN, promote(false));
    assert_string_equal("drbdadm primary: State change failed: (-1) Multiple primaries not allowed by config (status 11)",
                        answer.why);
    write_file("do.primary", "sleep 100\n");
    engine()->command_ms = 200;
    assert_int_equal(-ETIMEDOUT, promote(false));
    assert_string_equal("drbdadm primary did not end in 200 ms", answer.why);
    assert_int_equal(-EAGAIN, do_io(STORE_READ, 0));
}

/* drbdadm says that all is well, events2 does not. */
static void promotion_not_seen(void **state)
{
    open_known();
    write_file("do.primary", "");
    assert_int_equal(-EAGAIN, promote(false));
    assert_string_equal("events2 to tell that DRBD's resource r0 is Primary", answer.why);
}

static void device_too_small(void **state)
{
    open_known();
    assert_int_equal(0, truncate(path("device"), SIZE / 2));
    assert_true(promote(false) < 0);
    assert_non_null(strstr(answer.why, "has 524288 bytes: expected at least 1048576"));
    assert_int_equal(1, called("drbdadm secondary r0")); /* given back */
    unlink(path("device"));
    assert_int_equal(-ENOENT, promote(false));
    assert_int_equal(2, called("drbdadm secondary r0"));
}

static void volume_missing(void **state)
{
    write_file("dump", "exists resource name:r0 role:Secondary suspended:no\n"
                       "exists device name:r0 volume:1 minor:1 disk:UpToDate\nexists -\n");
    open_known();
    assert_int_equal(-ENODEV, promote(false));
    assert_string_equal("DRBD's resource r0 has no volume 0", answer.why);
    assert_int_equal(1, called("drbdadm secondary r0"));
}

/* udev has the device open for a moment. */
static void demotion_tried_again(void **state)
{
    open_known();
    assert_int_equal(0, promote(false));
    write_file("do.secondary", "n=$(grep -c secondary \"$FAKE/log\")\n"
                               "[ $n -lt 3 ] && { echo 'Device is held open by someone' >&2; exit 11; }\n"
                               "echo 'change resource name:r0 role:Secondary' >\"$FAKE/stream\"\n");
    assert_int_equal(0, demote());
    assert_int_equal(3, called("drbdadm secondary r0"));
}

static bool one_held(void)
{
    return fault_held(fault_of(path("device"))) == 1;
}

static bool demote_waits(void)
{
    return engine()->changing;
}

/* What is under way ends before the device is closed and the role given up. */
static void demotion_drains(void **state)
{
    open_known();
    assert_int_equal(0, promote(false));
    fault_hold(fault_of(path("device")), STORE_WRITE, 0, SIZE);
    submit(STORE_WRITE, 0x77);
    assert_true(until(one_held));
    answer.over = false;
    replica_demote(replica, on_done, NULL);
    assert_true(until(demote_waits));
    assert_false(answer.over);
    assert_int_equal(0, called("drbdadm secondary r0"));
    fault_release(fault_of(path("device")));
    assert_int_equal(0, wait_order());
    assert_true(io_over());
    assert_int_equal(0, one.error);
    assert_int_equal(1, called("drbdadm secondary r0"));
}

static void pacemaker_promotes(void **state)
{
    group.drbd_role = CONFIG_DRBD_ROLE_PACEMAKER;
    open_known();
    assert_int_equal(-EAGAIN, promote(false));
    assert_string_equal("Pacemaker to make DRBD's resource r0 Primary (ocf:linbit:drbd)", answer.why);
    assert_int_equal(0, promote(true)); /* a first start of a copy that is good */
    say("change resource name:r0 role:Primary\n");
    answer.error = -1;
    while (promote(false) == -EAGAIN)
        continue;
    assert_int_equal(0, answer.error);
    assert_int_equal(0, do_io(STORE_WRITE, 3));
    assert_int_equal(0, demote());
    assert_int_equal(-EAGAIN, do_io(STORE_WRITE, 4));
    assert_int_equal(0, called("drbdadm primary r0") + called("drbdadm secondary r0"));
}

static bool suspended(void)
{
    return status().suspended;
}

/* Opening a device whose I/O is held back would not return. */
static void suspended_is_not_opened(void **state)
{
    open_known();
    say("change resource name:r0 suspended:quorum\n");
    assert_true(until(suspended));
    assert_string_equal("DRBD holds I/O back (quorum)", status().why);
    assert_int_equal(-EAGAIN, promote(false));
    assert_string_equal("DRBD to go on: it holds I/O back (quorum)", answer.why);
    assert_false(drbd_store_is_open(engine()->stores[0]));
}

static bool is_secondary(void)
{
    return is_known() && status().role == REPLICA_SECONDARY;
}

/* The daemon was killed while it was the owner. */
static void left_primary(void **state)
{
    write_file("dump", DUMP("Primary"));
    open_replica();
    assert_true(until(is_secondary));
    assert_int_equal(1, called("drbdadm secondary r0"));
}

static void first_start(void **state)
{
    write_file("dump", "exists resource name:r0 role:Secondary suspended:no\n"
                       "exists connection name:r0 peer-node-id:0 conn-name:there connection:Connected role:Secondary\n"
                       "exists device name:r0 volume:0 minor:0 disk:Inconsistent\n"
                       "exists peer-device name:r0 peer-node-id:0 conn-name:there volume:0 replication:Established "
                       "peer-disk:Inconsistent resync-suspended:no\nexists -\n");
    write_file("do.new-current-uuid",
               "echo 'change device name:r0 volume:0 minor:0 disk:UpToDate' >\"$FAKE/stream\"\n"
               "echo 'change peer-device name:r0 peer-node-id:0 conn-name:there volume:0 peer-disk:UpToDate' "
               ">\"$FAKE/stream\"\n");
    open_known();
    assert_int_equal(0, asked.current);
    assert_int_equal(0, promote(true));
    assert_int_equal(1, called("drbdadm primary --force r0"));
    assert_int_equal(0, demote());
    answer.over = false;
    replica_new_current(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    assert_int_equal(1, called("drbdadm new-current-uuid --clear-bitmap r0/0"));
    assert_int_equal(1, asked.current);
    /* a pair that is in use needs no new generation */
    answer.over = false;
    replica_new_current(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    assert_int_equal(1, called("drbdadm new-current-uuid --clear-bitmap r0/0"));
}

/* ---- the cluster's record ---- */

static bool equal_again(void)
{
    return asked.current == 2;
}

static bool asked_again(void)
{
    return asked.outdate_peer == 2;
}

static void link_lost(void **state)
{
    open_known();
    assert_int_equal(0, promote(false));
    assert_int_equal(0, asked.outdate_peer);
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:NetworkFailure role:Unknown\n");
    assert_true(until(is_lost));
    assert_int_equal(1, asked.outdate_peer);
    assert_int_equal(2, asked.node);
    replica_peer_outdated(replica, true);
    say("change peer-device name:r0 peer-node-id:0 conn-name:there volume:0 replication:Off peer-disk:Outdated\n");
    assert_true(until(peer_is_outdated));
    assert_int_equal(1, asked.outdate_peer); /* once is enough */
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:Connected role:Secondary\n"
        "change peer-device name:r0 peer-node-id:0 conn-name:there volume:0 replication:SyncSource peer-disk:Inconsistent\n"
        "change peer-device name:r0 peer-node-id:0 conn-name:there volume:0 replication:Established peer-disk:UpToDate\n");
    assert_true(until(equal_again));
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:BrokenPipe role:Unknown\n");
    assert_true(until(asked_again));
    assert_int_equal(0, demote());
}

static bool told_thrice(void)
{
    return asked.current == 3;
}

/* It was equal again before the cluster agreed to the outdating, or its daemon alone was lost: it would stay recorded
 * as outdated for ever. Not at once: events2 may be behind the cluster. */
static void equal_before_agreed(void **state)
{
    open_known();
    assert_int_equal(0, promote(false));
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:NetworkFailure role:Unknown\n");
    assert_true(until(is_lost));
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:Connected role:Secondary\n");
    assert_true(until(equal_again));
    replica_peer_outdated(replica, true);
    replica_set_standing(replica, REPLICA_BETTER);
    assert_int_equal(2, asked.current);
    assert_true(until(told_thrice));
    assert_true(monotonic_ns() - engine()->standing_ns >= 2000000000u);
    replica_set_standing(replica, REPLICA_EQUAL);
    assert_int_equal(0, demote());
}

/* The outdating was refused, as the cluster did not serve. */
static void asked_until_recorded(void **state)
{
    open_known();
    assert_int_equal(0, promote(false));
    replica_set_standing(replica, REPLICA_EQUAL);
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:NetworkFailure role:Unknown\n");
    assert_true(until(is_lost));
    assert_int_equal(1, asked.outdate_peer);
    assert_true(until(asked_again));
    replica_set_standing(replica, REPLICA_BETTER);
    assert_int_equal(0, demote());
}

static bool asked_self(void)
{
    return asked.outdate_self == 1;
}

static void own_disk_fails(void **state)
{
    open_known();
    assert_int_equal(0, promote(false));
    say("change device name:r0 volume:0 minor:0 disk:Failed\nchange device name:r0 volume:0 minor:0 disk:Diskless\n");
    assert_true(until(asked_self));
    assert_int_equal(0, asked.outdate_peer);
    assert_int_equal(0, do_io(STORE_WRITE, 9)); /* DRBD sends it to the peer */
    assert_int_equal(0, demote());
}

static bool outdated_called(void)
{
    return called("drbdadm outdate r0") == 1;
}

static void outdated_by_agreement(void **state)
{
    open_known();
    answer.over = false;
    replica_outdate(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    assert_int_equal(0, called("drbdadm outdate r0")); /* connected: DRBD keeps account itself */
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:NetworkFailure role:Unknown\n");
    assert_true(until(is_lost));
    write_file("do.outdate", "exit 5\n"); /* is so already */
    answer.over = false;
    replica_outdate(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    assert_true(outdated_called());
    /* what is agreed is agreed: others wait for this node's word */
    write_file("do.outdate", "echo no >&2\nexit 20\n");
    answer.over = false;
    replica_outdate(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    unlink(path("drbdadm"));
    answer.over = false;
    replica_outdate(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
}

static bool is_connected(void)
{
    return status().connection == CONN_CONNECTED;
}

/* The owner notices a lost connection before this node does: then DRBD here is told late, unless the copy has become
 * current meanwhile. */
static void outdated_before_the_loss_is_noticed(void **state)
{
    open_known();
    answer.over = false;
    replica_outdate(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:NetworkFailure role:Unknown\n");
    assert_true(until(is_lost));
    assert_int_equal(0, called("drbdadm outdate r0"));

    say("change connection name:r0 peer-node-id:0 conn-name:there connection:Connected role:Secondary\n");
    assert_true(until(is_connected));
    asked.outdated = true;
    answer.over = false;
    replica_outdate(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:NetworkFailure role:Unknown\n");
    assert_true(until(outdated_called));

    /* resynchronised and lost again: nothing was agreed since */
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:Connected role:Secondary\n");
    assert_true(until(is_connected));
    answer.over = false;
    replica_outdate(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    say("change peer-device name:r0 peer-node-id:0 conn-name:there volume:0 replication:SyncTarget peer-disk:UpToDate\n"
        "change peer-device name:r0 peer-node-id:0 conn-name:there volume:0 replication:Established peer-disk:UpToDate\n"
        "change connection name:r0 peer-node-id:0 conn-name:there connection:NetworkFailure role:Unknown\n");
    assert_true(until(is_lost));
    assert_true(outdated_called());
}

static void peer_outside(void **state)
{
    group.node_count = 1;
    open_known();
    assert_int_equal(1, asked.current);
    assert_int_equal(REPLICA_PEER_OUTSIDE, asked.node);
    assert_int_equal(0, promote(false));
    say("change connection name:r0 peer-node-id:0 conn-name:there connection:NetworkFailure role:Unknown\n");
    assert_true(until(is_lost));
    assert_int_equal(0, asked.outdate_peer); /* nobody could agree to that */
    assert_int_equal(0, demote());
}

/* ---- other orders ---- */

static bool orders_done(void)
{
    return qb_list_empty(&engine()->orders);
}

static void other_orders(void **state)
{
    open_known();
    replica_disconnect(replica);
    replica_connect(replica, true);
    replica_pause(replica, true);
    replica_pause(replica, false);
    answer.over = false;
    replica_verify(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    answer.over = false;
    replica_invalidate(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    answer.over = false;
    replica_invalidate_peer(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    answer.over = false;
    replica_new_generation(replica, on_done, NULL);
    assert_int_equal(0, wait_order());
    assert_true(until(orders_done));
    assert_int_equal(1, called("drbdadm disconnect r0"));
    assert_int_equal(1, called("drbdadm connect --discard-my-data r0"));
    assert_int_equal(1, called("drbdadm pause-sync r0"));
    assert_int_equal(1, called("drbdadm resume-sync r0"));
    assert_int_equal(1, called("drbdadm verify r0"));
    assert_int_equal(1, called("drbdadm invalidate r0"));
    assert_int_equal(1, called("drbdadm invalidate-remote r0"));
    assert_int_equal(1, called("drbdadm new-current-uuid r0/0"));
    write_file("do.connect", "echo 'no route' >&2\nexit 10\n");
    replica_connect(replica, false);
    assert_true(until(orders_done));
    assert_string_equal("drbdadm connect: no route (status 10)", engine()->refused);
}

/* ---- growth ---- */

static int resize(bool assume_clean)
{
    answer.over = false;
    replica_resize(replica, assume_clean, on_done, NULL);
    return wait_order();
}

/* DRBD grows after its command has ended. */
static void grows(void **state)
{
    struct store *store;

    open_known();
    store = replica_store(replica, 0);
    assert_int_equal(-EBUSY, resize(false)); /* nothing is open */
    assert_int_equal(0, called("drbdadm resize r0"));
    assert_int_equal(0, promote(false));
    assert_true(store_room(store) == SIZE);
    write_file("do.resize", "(sleep 0.3; truncate -s 2097152 \"$FAKE/device\") </dev/null >/dev/null 2>&1 &\n");
    assert_int_equal(0, resize(false));
    assert_int_equal(1, called("drbdadm resize r0"));
    assert_true(store->size == 2 * SIZE);
    one.offset = 2 * SIZE - 4096;
    assert_int_equal(0, do_io(STORE_WRITE, 0x33));
    assert_int_equal(0, demote());
    assert_int_equal(0, promote(false)); /* and is as large when it is opened again */
    assert_int_equal(0, do_io(STORE_READ, 0));
    assert_int_equal(0x33, one.memory[17]);
    assert_int_equal(0, demote());
    one.offset = 0;
}

/* The other node's: what the cluster agreed on is believed, and checked when this one is promoted. */
static void grew_elsewhere(void **state)
{
    struct store *store;

    open_known();
    store = replica_store(replica, 0);
    assert_true(store_room(store) >= 2 * SIZE);
    store->size = 2 * SIZE;
    assert_int_equal(-EINVAL, promote(false));
    assert_non_null(strstr(answer.why, "expected at least 2097152"));
    assert_int_equal(0, truncate(path("device"), 2 * SIZE));
    assert_int_equal(0, promote(false));
    one.offset = 2 * SIZE - 4096;
    assert_int_equal(0, do_io(STORE_WRITE, 0x44));
    one.offset = 0;
}

static void growth_refused(void **state)
{
    open_known();
    assert_int_equal(0, promote(false));
    write_file("do.resize", "echo 'Need access to UpToDate data' >&2\nexit 17\n");
    assert_int_equal(-ENOSPC, resize(true));
    assert_int_equal(1, called("drbdadm resize --assume-clean r0"));
    assert_string_equal("drbdadm resize: Need access to UpToDate data (status 17)", answer.why);
    write_file("do.resize", "");
    assert_int_equal(-ENOSPC, resize(false)); /* the disks below have not grown */
    assert_true(replica_store(replica, 0)->size == SIZE);
    say("change peer-device name:r0 peer-node-id:0 conn-name:there volume:0 peer-disk:Outdated\n");
    assert_true(until(peer_is_outdated));
    assert_int_equal(-EAGAIN, resize(false));
}

static bool resync_counted(void)
{
    return status().resync_done == 512 * 1024 && status().out_of_sync == 512 * 1024;
}

/* 8.4 tells no progress: it is asked for. */
static void resync_progress(void **state)
{
    open_known();
    write_file("snapshot", "exists peer-device name:r0 peer-node-id:0 conn-name:there volume:0 replication:SyncSource "
                           "peer-disk:Inconsistent out-of-sync:512\nexists -\n");
    say("change peer-device name:r0 peer-node-id:0 conn-name:there volume:0 replication:SyncSource peer-disk:Inconsistent "
        "out-of-sync:1024\n");
    assert_true(until(resync_counted));
    assert_int_equal(1024 * 1024, status().resync_total);
}

static void refused_at_once(void **state)
{
    struct replica_options options = {.config = &config, .group = &group, .control = &threads.control,
                                      .callbacks = &callbacks, .loop = loop};
    char why[256];

    group.nodes[0] = 7;
    assert_int_equal(-EINVAL, replica_open(&options, &replica, why));
    assert_string_equal("group \"r0\": expected two nodes, this one among them", why);
    group.nodes[0] = 1;
    config.lu_count = 0;
    assert_int_equal(-EINVAL, replica_open(&options, &replica, why));
    assert_string_equal("group \"r0\" has no logical unit", why);
    assert_null(replica);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(followed),
        TEST(module_missing),
        TEST(tools_missing),
        TEST(resource_not_up),
        TEST(dies),
        TEST(garbage),
        TEST(promotes_and_demotes),
        TEST(promotion_refused),
        TEST(promotion_not_seen),
        TEST(device_too_small),
        TEST(volume_missing),
        TEST(demotion_tried_again),
        TEST(demotion_drains),
        TEST(pacemaker_promotes),
        TEST(suspended_is_not_opened),
        TEST(left_primary),
        TEST(first_start),
        TEST(link_lost),
        TEST(equal_before_agreed),
        TEST(asked_until_recorded),
        TEST(own_disk_fails),
        TEST(outdated_by_agreement),
        TEST(outdated_before_the_loss_is_noticed),
        TEST(peer_outside),
        TEST(other_orders),
        TEST(grows),
        TEST(grew_elsewhere),
        TEST(growth_refused),
        TEST(resync_progress),
        TEST(refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
