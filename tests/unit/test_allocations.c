/* An ordinary read or write allocates nothing (law 4): iSCSI, command layer, lanes, meters and
 * stores as in the daemon, on one reactor, with libiscsi on the other end. The linker gives us
 * every call that the project's objects make to an allocator; those of the reactor's thread are
 * counted.
 *
 * Not covered: the replicated store, commands forwarded between nodes, what shared libraries
 * allocate. */
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/device/device.h"
#include "target/iscsi/iscsi.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/lane_private.h"
#include "target/nexus/meter.h"
#include "target/nexus/nexus_table.h"

enum { SIZE = 16 << 20, BLOCK = 512, DEPTH = 16, COMMANDS = 400 };
enum { MEMORY, NOTHING, DIRECT, BUFFERED, UNITS };

/* ---- counting ---- */

static _Atomic unsigned allocations;

static void count(void)
{
    if (reactor_self())
        atomic_fetch_add(&allocations, 1);
}

/* Each counts and hands on; RESULT __wrap_NAME(PARAMETERS) calls __real_NAME(ARGUMENTS). */
#define COUNTED(result, name, parameters, arguments)                                               \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters                                                                \
    {                                                                                              \
        count();                                                                                   \
        return __real_##name arguments;                                                            \
    }
COUNTED(void *, malloc, (size_t n), (n))
COUNTED(void *, calloc, (size_t n, size_t size), (n, size))
COUNTED(void *, realloc, (void *old, size_t n), (old, n))
COUNTED(void *, reallocarray, (void *old, size_t n, size_t size), (old, n, size))
COUNTED(void *, aligned_alloc, (size_t to, size_t n), (to, n))
COUNTED(int, posix_memalign, (void **at, size_t to, size_t n), (at, to, n))
COUNTED(char *, strdup, (const char *text), (text))
COUNTED(char *, strndup, (const char *text, size_t n), (text, n))
COUNTED(void *, mmap, (void *at, size_t n, int p, int f, int fd, off_t o), (at, n, p, f, fd, o))

/* ---- the target ---- */

static char initiator[1][LIMIT_ISCSI_NAME + 1] = {"iqn.2026-11.example:counts"};
static struct config_target target = {.name = "iqn.2026-11.example:target",
                                      .max_recv_data_segment = 65536,
                                      .first_burst = 65536,
                                      .max_burst = 262144,
                                      .max_outstanding_r2t = 4,
                                      .immediate_data = true,
                                      .header_digest = 1,
                                      .data_digest = 1,
                                      .queue_depth = 32,
                                      .login_timeout_s = 15};
static struct config_node node = {.id = 1, .portal_count = 1};
static struct config_lu units[UNITS] = {
    {.name = "memory"}, {.name = "null"}, {.name = "direct"}, {.name = "buffered"}};
static struct config_lun luns[UNITS];
static struct config_host host = {.name = "host",
                                  .initiators = initiator,
                                  .initiator_count = 1,
                                  .luns = luns,
                                  .lun_count = UNITS,
                                  .iops_limit =
                                      1000000}; /* the way through a limit counts as well */
static struct config config = {.nodes = &node,
                               .node_count = 1,
                               .targets = &target,
                               .target_count = 1,
                               .hosts = &host,
                               .host_count = 1,
                               .lus = units,
                               .lu_count = UNITS};
static struct reactor reactor;
static pthread_t reactor_thread, control_thread;
static struct iscsi_server *server;
static _Atomic bool open_now, stopped, control_ends;

static void *run_reactor(void *argument)
{
    reactor_run(&reactor);
    return NULL;
}

static void *run_control(void *argument)
{
    struct pollfd wake = {.fd = threads.control.wake_fd, .events = POLLIN};

    while (!control_ends) {
        poll(&wake, 1, 10);
        mailbox_run(&threads.control);
    }
    return NULL;
}

static void set(void *flag)
{
    atomic_store((_Atomic bool *)flag, true);
}

static void open_unit(unsigned index, const char *folder)
{
    struct lu *lu = device_lus[index] = device_new();
    struct store_options options = {.size = SIZE, .block_size = BLOCK, .direct = index == DIRECT};
    char why[256] = "", path[128];
    int rc;

    assert_non_null(lu);
    snprintf(path, sizeof path, "%s/%s", folder, units[index].name);
    options.path = path;
    rc = index == MEMORY    ? memory_store_open(&options, &lu->store, why)
         : index == NOTHING ? null_store_open(&options, &lu->store, why)
                            : file_store_open(&options, &lu->store, why);
    if (rc)
        fail_msg("%s", why);
    lu->config = units[index];
    lu->index = index;
    lu->block_size = BLOCK;
    lu->blocks = SIZE / BLOCK;
    lanes_init_lu(lu, 0);
    lu->lanes[0].mode.wce = 1;
    luns[index] = (struct config_lun){.lun = index, .lu_index = index};
}

static void find_port(void)
{
    struct config_portal *portal = &node.portals[0];
    struct sockaddr_in *address = (struct sockaddr_in *)&portal->address.address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    portal->address.length = sizeof *address;
    portal->rtpi = 1;
    assert_int_equal(bind(fd, (struct sockaddr *)address, portal->address.length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &portal->address.length), 0);
    close(fd);
}

static void start(const char *folder)
{
    struct lane_change *change;
    char why[256] = "";

    command_index_build();
    find_port();
    assert_int_equal(mailbox_init(&threads.control), 0);
    assert_int_equal(reactor_init(&reactor, 0, 256), 0);
    reactor.payloads = payload_pool_new(32 << 20);
    threads.reactors[0] = &reactor;
    threads.reactor_count = 1;
    lanes_init(1, 5000);
    for (unsigned i = 0; i < UNITS; i++)
        open_unit(i, folder);
    device_lu_count = UNITS;
    nexus_table_init();
    nexus_table_config(&config);
    meters_configure(&config);
    if (iscsi_server_start(&server, &config, threads.reactors, 1, why))
        fail_msg("%s", why);
    iscsi_server_gate(server, true);
    pthread_create(&reactor_thread, NULL, run_reactor, NULL);
    change = lane_change_new(set, &open_now);
    lane_change_group(change, 0, GATE_EXECUTE, 1, 0, false);
    lane_change_run(change);
    pthread_create(&control_thread, NULL, run_control, NULL);
    while (!open_now)
        usleep(1000);
}

static void stop_reactor(struct post *post)
{
    reactor_stop(&reactor);
}

static void stop(void)
{
    static struct post post = {.run = stop_reactor};

    iscsi_server_stop(server, set, &stopped);
    while (!stopped)
        usleep(1000);
    iscsi_server_free(server);
    reactor_post(&reactor, &post);
    pthread_join(reactor_thread, NULL);
    control_ends = true;
    pthread_join(control_thread, NULL);
    for (unsigned i = 0; i < UNITS; i++) {
        store_close(device_lus[i]->store);
        free(device_lus[i]->meter);
        free(device_lus[i]);
    }
    meters_done();
    free(lanes.groups);
    payload_pool_free(reactor.payloads);
    reactor_done(&reactor);
    mailbox_done(&threads.control);
}

/* ---- the initiator ---- */

static const uint32_t lengths[] = {4096, 512, 8192, 65536, 262144, 1 << 20};
static uint8_t data[1 << 20];

struct traffic {
    struct iscsi_context *iscsi;
    unsigned issued, ended;
};

static void issue(struct traffic *traffic);

static void ended(struct iscsi_context *iscsi, int status, void *command, void *context)
{
    struct traffic *traffic = context;

    assert_int_equal(status, SCSI_STATUS_GOOD);
    scsi_free_scsi_task(command);
    traffic->ended++;
    if (traffic->issued < COMMANDS)
        issue(traffic);
}

/* Reads, writes and writes with FUA, of all lengths, on all units, in turn. */
static void issue(struct traffic *traffic)
{
    unsigned n = traffic->issued++, lun = n % UNITS, kind = n / UNITS % 3;
    uint32_t length = lengths[n / UNITS / 3 % (sizeof lengths / sizeof *lengths)];
    uint32_t lba = n * 2048u % (SIZE / BLOCK - sizeof data / BLOCK);

    if (kind)
        assert_non_null(iscsi_write10_task(traffic->iscsi, (int)lun, lba, data, length, BLOCK, 0, 0,
                                           kind == 2, 0, 0, ended, traffic));
    else
        assert_non_null(iscsi_read10_task(traffic->iscsi, (int)lun, lba, length, BLOCK, 0, 0, 0, 0,
                                          0, ended, traffic));
}

static void run_traffic(struct iscsi_context *iscsi)
{
    struct traffic traffic = {.iscsi = iscsi};

    for (unsigned i = 0; i < DEPTH; i++)
        issue(&traffic);
    while (traffic.ended < COMMANDS) {
        struct pollfd fd = {.fd = iscsi_get_fd(iscsi), .events = (short)iscsi_which_events(iscsi)};

        assert_true(poll(&fd, 1, 20000) > 0);
        assert_int_equal(iscsi_service(iscsi, fd.revents), 0);
    }
}

static struct iscsi_context *log_in(bool digests)
{
    struct sockaddr_in *address = (struct sockaddr_in *)&node.portals[0].address.address;
    struct iscsi_context *iscsi = iscsi_create_context(initiator[0]);
    char portal[32];

    assert_non_null(iscsi);
    snprintf(portal, sizeof portal, "127.0.0.1:%u", ntohs(address->sin_port));
    iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL);
    iscsi_set_targetname(iscsi, target.name);
    iscsi_set_header_digest(iscsi, digests ? ISCSI_HEADER_DIGEST_CRC32C : ISCSI_HEADER_DIGEST_NONE);
    iscsi_set_noautoreconnect(iscsi, 1);
    if (iscsi_connect_sync(iscsi, portal) || iscsi_login_sync(iscsi))
        fail_msg("%s", iscsi_get_error(iscsi));
    for (int lun = 0; lun < UNITS; lun++) {
        struct scsi_task *ready;
        bool good = false;

        while (!good) { /* unit attentions are for the first that asks */
            ready = iscsi_testunitready_sync(iscsi, lun);
            assert_non_null(ready);
            good = ready->status == SCSI_STATUS_GOOD;
            scsi_free_scsi_task(ready);
        }
    }
    return iscsi;
}

static void io_when_pools_are_there_then_allocates_nothing(void **state)
{
    char folder[] = "allocations.XXXXXX", path[128];

    assert_non_null(mkdtemp(folder));
    start(folder);
    for (unsigned digests = 0; digests < 2; digests++) {
        struct iscsi_context *iscsi;

        allocations = 0;
        iscsi = log_in(digests);
        assert_true(allocations > 0); /* a login does: the counter counts */
        run_traffic(iscsi);           /* heaps grow to what is needed at once */
        allocations = 0;
        for (unsigned i = 0; i < 3; i++)
            run_traffic(iscsi);
        assert_int_equal(allocations, 0);
        iscsi_logout_sync(iscsi);
        iscsi_destroy_context(iscsi);
    }
    stop();
    for (unsigned i = DIRECT; i < UNITS; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, units[i].name);
        unlink(path);
    }
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(io_when_pools_are_there_then_allocates_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
