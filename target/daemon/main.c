/* halund: one node of a halun array. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <qb/qblog.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/base/payload.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/daemon/daemon.h"
#include "target/daemon/log.h"
#include "target/daemon/reload.h"
#include "target/iscsi/iscsi.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/meter.h"
#include "target/nexus/nexus_table.h"
#include "target/transport/peer.h"

enum { RING_ENTRIES = 4096, EXIT_USAGE = 2 };

struct daemon halund;

static pthread_t reactor_threads[LIMIT_REACTORS];

static void *run_reactor(void *argument)
{
    struct reactor *reactor = argument;
    char name[16];

    snprintf(name, sizeof name, "reactor %u", reactor->index);
    pthread_setname_np(pthread_self(), name);
    reactor_run(reactor);
    return NULL;
}

static int start_reactors(const struct config *config, char *why)
{
    unsigned count = config->reactors ? config->reactors : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    int error;

    if (count > LIMIT_REACTORS)
        count = LIMIT_REACTORS;
    for (unsigned i = 0; i < count; i++) {
        struct reactor *reactor = calloc(1, sizeof *reactor);
        if (!reactor)
            return -ENOMEM;
        error = reactor_init(reactor, i, RING_ENTRIES);
        if (error) {
            snprintf(why, 256, "io_uring of reactor %u: %s", i, strerror(-error));
            return error;
        }
        reactor->spin_ns = config->spin_us * 1000ull;
        reactor->payloads = payload_pool_new(config->pool_bytes);
        if (!reactor->payloads) {
            snprintf(why, 256, "no memory for %llu bytes of payload buffers per reactor",
                     (unsigned long long)config->pool_bytes);
            return -ENOMEM;
        }
        threads.reactors[i] = reactor;
        threads.reactor_count = i + 1;
    }
    lanes_init(config->group_count, config->hold_ms);
    nexus_table_init();
    nexus_table_config(config);
    for (unsigned i = 0; i < count; i++) {
        error = pthread_create(&reactor_threads[i], NULL, run_reactor, threads.reactors[i]);
        if (error) {
            snprintf(why, 256, "reactor thread: %s", strerror(error));
            return -error;
        }
    }
    return 0;
}

static void at_reactor_stop(struct post *post)
{
    reactor_stop(reactor_self());
}

static void stop_reactors(void)
{
    static struct post posts[LIMIT_REACTORS];

    for (unsigned i = 0; i < threads.reactor_count; i++) {
        posts[i].run = at_reactor_stop;
        reactor_post(threads.reactors[i], &posts[i]);
    }
    /* They post to each other until the last one has stopped. */
    for (unsigned i = 0; i < threads.reactor_count; i++)
        pthread_join(reactor_threads[i], NULL);
    for (unsigned i = 0; i < threads.reactor_count; i++) {
        payload_pool_free(threads.reactors[i]->payloads);
        reactor_done(threads.reactors[i]);
        free(threads.reactors[i]);
    }
}

static int32_t on_mailbox(int32_t fd, int32_t events, void *data)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);

    (void)n; /* EAGAIN: run already by an earlier wake */
    mailbox_run(&threads.control);
    return 0;
}

static int32_t on_stop_signal(int32_t signal_number, void *data)
{
    daemon_stop(data, 0);
    return 0;
}

static void reloaded(void *context, int error, const char *why, json_t *actions)
{
}

static int32_t on_reload_signal(int32_t signal_number, void *data)
{
    daemon_reload(data, reloaded, NULL); /* the log tells the end */
    return 0;
}

/* The control thread answers Corosync, whose own thread is SCHED_RR: on a loaded node that is the
 * difference between milliseconds and tens of them. Without the right to do it halund runs on. */
static void raise_priority(void)
{
    struct sched_param parameter = {.sched_priority = 1};

    if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &parameter))
        qb_log(LOG_INFO, "control thread stays at normal priority: %s", strerror(errno));
}

/* Every session and every store is a file descriptor; a thousand of them are more than the usual soft limit, which is
 * low for the sake of programs that use select(). */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        if (!setrlimit(RLIMIT_NOFILE, &limit))
            return;
    }
    qb_log(LOG_WARNING, "the limit of file descriptors stays as it is: %s", strerror(errno));
}

static int make_directory(const char *path, char *why)
{
    if (!mkdir(path, 0750) || errno == EEXIST)
        return 0;
    snprintf(why, 256, "%s: %s", path, strerror(errno));
    return -errno;
}

static int write_pid(const struct config *config, char *why)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[300], text[16];
    int fd;

    snprintf(path, sizeof path, "%s/halund.pid", config->run_dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || fcntl(fd, F_SETLK, &lock)) {
        int error = errno;
        snprintf(why, 256, "%s: %s", path,
                 error == EAGAIN || error == EACCES ? "another halund runs with this run_dir"
                                                    : strerror(error));
        return -error;
    }
    /* The lock lasts as long as the process: fd stays open. */
    snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || write(fd, text, strlen(text)) < 0) {
        snprintf(why, 256, "%s: %s", path, strerror(errno));
        return -errno;
    }
    return 0;
}

static void promoted_alone(void *context, int error, const char *why)
{
    struct group *group = context;

    if (error)
        qb_log(LOG_ERR, "group %s does not serve: %s", halund.config->groups[group->index].name, why);
}

static void initialized_alone(void *context, int error, const char *why)
{
    struct group *group = context;

    if (error)
        promoted_alone(context, error, why);
    else
        group_promote(group, UINT_MAX, promoted_alone, group);
}

/* Without Pacemaker nobody else decides: this node owns everything. */
static void own_everything(struct daemon *daemon)
{
    const struct shared_state *state = cluster_state(daemon->cluster);

    for (unsigned i = 0; i < daemon->config->group_count; i++) {
        struct group *group = &daemon->groups[i];
        if (daemon->config->groups[i].drbd_peer.length ||
            daemon->config->groups[i].replication == REPLICATION_DRBD)
            continue; /* the other copy may be in use: an operator decides */
        if (state->groups[i].current)
            group_promote(group, UINT_MAX, promoted_alone, group);
        else
            group_init(group, false, true, UINT_MAX, initialized_alone, group);
    }
}

static int start(struct daemon *daemon, char *why)
{
    const struct config *config = daemon->config;
    int error;

    if ((error = make_directory(config->run_dir, why)) ||
        (error = make_directory(config->state_dir, why)) || (error = write_pid(config, why)))
        return error;
    error = mailbox_init(&threads.control);
    if (error) {
        snprintf(why, 256, "eventfd: %s", strerror(-error));
        return error;
    }
    qb_loop_poll_add(daemon->loop, QB_LOOP_HIGH, threads.control.wake_fd, POLLIN, daemon, on_mailbox);
    command_index_build();
    if ((error = start_reactors(config, why)) || (error = units_open(daemon, why)))
        return error;
    groups_init(daemon);
    commits_init(daemon);
    error = cluster_start(&daemon->cluster, daemon->loop, config, &decisions_callbacks, why);
    if (error)
        return error;
    lanes_set_lease(cluster_lease(daemon->cluster));
    if ((error = peer_start(config, why)) || (error = handlers_start(daemon, why)))
        return error;
    error = iscsi_server_start(&daemon->iscsi, config, threads.reactors, threads.reactor_count, why);
    if (error)
        return error;
    /* The cluster may serve already: its view came before there were portals. */
    cluster_get_view(daemon->cluster, &daemon->view);
    if (daemon->view.serving) {
        daemon->iscsi_open = true;
        iscsi_server_gate(daemon->iscsi, true);
    }
    daemon->ready = true;
    if (!config->corosync)
        own_everything(daemon);
    return 0;
}

static void usage(FILE *out)
{
    fputs("usage: halund [--config FILE] [--node NAME] [--foreground] [--check]\n"
          "One node of a halun array: a SCSI target engine.\n\n"
          "  -c, --config FILE   configuration (default /etc/halun/halun.conf)\n"
          "  -n, --node NAME     name of this node in the configuration (default: the host name)\n"
          "  -f, --foreground    stay in the foreground, log to standard error\n"
          "  -t, --check         check the configuration and exit\n"
          "  -V, --version       print the version\n"
          "  -h, --help          this text\n\n"
          "Signals: TERM and INT stop in order, HUP reads the configuration again.\n"
          "Exit status: 0 stopped, 1 could not start, 2 usage, 3 cluster lost, 4 stop took too long.\n",
          out);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"node", required_argument, NULL, 'n'},
        {"foreground", no_argument, NULL, 'f'},   {"check", no_argument, NULL, 't'},
        {"version", no_argument, NULL, 'V'},      {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    static char host[HOST_NAME_MAX + 1];
    struct config_error config_error;
    bool foreground = false, check = false;
    char why[512] = "";
    int option;

    halund.config_path = "/etc/halun/halun.conf";
    gethostname(host, sizeof host - 1);
    halund.node_name = host;
    while ((option = getopt_long(argc, argv, "c:n:ftVh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            halund.config_path = optarg;
            break;
        case 'n':
            halund.node_name = optarg;
            break;
        case 'f':
            foreground = true;
            break;
        case 't':
            check = true;
            break;
        case 'V':
            puts("halund " HALUN_VERSION);
            return 0;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (optind != argc) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (config_load(halund.config_path, halund.node_name, &halund.config, &config_error)) {
        fprintf(stderr, "halund: %s\n", config_error.text);
        return 1;
    }
    if (check) {
        printf("%s: correct for node %s\n", halund.config_path, halund.node_name);
        return 0;
    }
    if (!foreground && daemon(0, 0)) {
        fprintf(stderr, "halund: %s\n", strerror(errno));
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    log_start(foreground, halund.config->log_priority, halund.config->log_file);
    halund.self = halund.config->nodes[halund.config->self].id;
    halund.started_ns = monotonic_ns();
    halund.loop = qb_loop_create();
    qb_loop_signal_add(halund.loop, QB_LOOP_HIGH, SIGTERM, &halund, on_stop_signal, NULL);
    qb_loop_signal_add(halund.loop, QB_LOOP_HIGH, SIGINT, &halund, on_stop_signal, NULL);
    qb_loop_signal_add(halund.loop, QB_LOOP_MED, SIGHUP, &halund, on_reload_signal, NULL);
    qb_log(LOG_NOTICE, "halund %s starts as node %s (id %u)", HALUN_VERSION, halund.node_name,
           halund.self);
    raise_descriptors();
    if (start(&halund, why)) {
        qb_log(LOG_CRIT, "cannot start: %s", why);
        log_stop();
        _exit(1);
    }
    raise_priority();
    qb_loop_run(halund.loop);
    stop_reactors();
    meters_done();
    qb_log(LOG_NOTICE, "stopped");
    handlers_stop();
    reload_done(&halund);
    config_free(halund.config);
    log_stop();
    return 0;
}
