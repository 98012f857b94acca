/* Machines and the daemon's process on each: loading a copy of the module, starting, ending, descriptors. */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sim/world.h"

struct host hosts[SIM_NODES + 1];

/* ---- the module: one copy per host, whose data is put back before every start ---- */

enum { RANGES = 8, PAGE = 4096 };

struct module {
    void *handle;
    struct sim_entry *entry;
    unsigned count;
    struct {
        char *at;
        size_t size;
        char **saved; /* page by page; NULL: zeros, as most of .bss is */
    } ranges[RANGES]; /* writable, and not made read-only after relocation */
};
static struct module modules[SIM_NODES + 1];
static const char zeros[PAGE];

struct search {
    const void *inside;
    struct module *module;
};

static int find_ranges(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *search = context;
    uintptr_t relro = 0, relro_end = 0, wanted = (uintptr_t)search->inside;
    bool mine = false;

    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD && wanted >= at && wanted < at + p->p_memsz)
            mine = true;
        if (p->p_type == PT_GNU_RELRO) {
            relro = at & ~4095ul;
            relro_end = (at + p->p_memsz) & ~4095ul;
        }
    }
    for (unsigned i = 0; mine && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + p->p_vaddr, end = at + p->p_memsz;
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_W))
            continue;
        if (at >= relro && at < relro_end)
            at = relro_end < end ? relro_end : end;
        if (at < end) {
            search->module->ranges[search->module->count].at = (char *)at;
            search->module->ranges[search->module->count++].size = end - at;
        }
    }
    return mine;
}

/* A file of its own for the loader, which takes equal files, and equal names, for one: it stays open, so that the
 * next copy gets another number. */
static int copy_of(const char *path)
{
    int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("sim_node", MFD_CLOEXEC);
    struct stat info;

    if (from < 0 || to < 0 || fstat(from, &info) ||
        sendfile(to, from, NULL, (size_t)info.st_size) != info.st_size) {
        perror(path);
        exit(2);
    }
    close(from);
    return to;
}

static size_t piece_at(size_t size, size_t at)
{
    return size - at < PAGE ? size - at : PAGE;
}

static char *save(const char *at, size_t n)
{
    return memcmp(at, zeros, n) ? memcpy(malloc(n), at, n) : NULL;
}

static void load(unsigned node)
{
    struct module *module = &modules[node];
    struct search search = {.module = module};
    char path[64];
    int fd = copy_of(SIM_NODE_MODULE);

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    module->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module->handle) {
        fprintf(stderr, "sim: %s\n", dlerror());
        exit(2);
    }
    module->entry = dlsym(module->handle, "sim_entry");
    search.inside = module->entry->daemon;
    dl_iterate_phdr(find_ranges, &search);
    for (unsigned i = 0; i < module->count; i++) {
        module->ranges[i].saved = calloc(module->ranges[i].size / PAGE + 1, sizeof(char *));
        for (size_t at = 0; at < module->ranges[i].size; at += PAGE)
            module->ranges[i].saved[at / PAGE] =
                save(module->ranges[i].at + at, piece_at(module->ranges[i].size, at));
    }
}

/* Most of it nobody has touched: only pages that differ are written. */
static void put_back(struct module *module)
{
    for (unsigned i = 0; i < module->count; i++)
        for (size_t at = 0; at < module->ranges[i].size; at += PAGE) {
            const char *saved = module->ranges[i].saved[at / PAGE];
            size_t n = piece_at(module->ranges[i].size, at);
            if (memcmp(module->ranges[i].at + at, saved ? saved : zeros, n))
                memcpy(module->ranges[i].at + at, saved ? saved : zeros, n);
        }
}

/* ---- processes ---- */

static void *run_main(void *argument)
{
    struct host *host = argument;
    char name[16], *argv[] = {(char *)"halund", (char *)"--config", (char *)"/etc/halun/halun.conf",
                              (char *)"--node", name,               (char *)"--foreground",
                              NULL};
    int code;

    snprintf(name, sizeof name, "node%u", host->id);
    optind = 0; /* glibc: begin anew */
    code = host->entry->main(6, argv);
    host_ended(host, code);
    thread_exit();
}

void host_start(struct host *host)
{
    if (host->running || !host->powered)
        return;
    put_back(&modules[host->id]);
    memory_begin(host);
    host->running = true;
    host->stalled = false;
    host->starts++;
    host->entry = modules[host->id].entry;
    sim_trace(host->id, "halund starts");
    loop_begin(host);
    thread_new(host, run_main, host);
}

void host_ended(struct host *host, int code)
{
    if (!host->running)
        return;
    sim_trace(host->id, "halund ended: %d", code);
    host->running = false;
    host->exit_code = code;
    rings_drop(host, !host->powered);
    for (int fd = 0; fd < HOST_FDS; fd++)
        if (host->fds[fd].kind != FD_FREE)
            fd_close(host, fd);
    files_unlock(host);
    corosync_process_ended(host);
    fencer_process_ended(host);
    control_process_ended(host);
    initiators_process_ended(host, !host->powered);
    threads_drop(host);
    for (unsigned i = 0; sim_checkers[i]; i++)
        if (sim_checkers[i]->ended)
            sim_checkers[i]->ended(host->id);
}

/* ---- machines ---- */

void hosts_begin(void)
{
    const struct sim_config *config = sim_config();
    uint32_t all = ((1u << config->nodes) - 1) << 1;

    for (unsigned i = 1; i <= config->nodes; i++) {
        struct host *host = &hosts[i];
        if (!modules[i].handle)
            load(i);
        for (unsigned t = 0; t < HOST_THREADS; t++)
            host->threads[t] = (struct thread){.stack = host->threads[t].stack};
        memset(host->fds, 0, sizeof host->fds);
        host->id = i;
        host->powered = host->frozen = host->stalled = host->running = host->corosync = false;
        host->stopped_by_operator = false;
        host->wire_max = config->faults & 1u << SIM_UPGRADE ? SIM_OLD_WIRE : 0;
        host->starts = 0;
        host->exit_code = 0;
        host->boot = 0;
        host->clock_base = world_between(10, 1000) * 1000000000u;
        host->clock_since = 0;
        host->clock_permille = 1000;
        host->wall_offset = 1800000000ll * 1000000000 + (int64_t)world_between(0, 400) * SIM_MS;
        host->disk_extra_ns = 0;
        host->disk_failed = false;
        host->disk_error = host->read_error = host->state_error = 0;
        host->cluster_reach = host->link_reach = all;
        host->entry = modules[i].entry;
        config_put(host);
    }
}

void hosts_forget(void)
{
    for (unsigned i = 1; i <= SIM_NODES; i++) {
        rings_forget(&hosts[i]);
        timers_forget(&hosts[i]);
        corosync_forget(&hosts[i]);
        hosts[i].powered = hosts[i].running = false;
    }
}

void sim_power_on(unsigned node)
{
    struct host *host = &hosts[node];
    char boot_id[64];

    if (host->powered)
        return;
    sim_trace(node, "power on");
    host->powered = host->corosync = true;
    host->frozen = host->stalled = false;
    host->boot++;
    snprintf(boot_id, sizeof boot_id, "boot %llu of node%u\n", (unsigned long long)host->boot, node);
    file_put(host, "/proc/sys/kernel/random/boot_id", boot_id);
    host->clock_base = world_between(10, 1000) * 1000000000u;
    host->clock_since = sim_now();
    bus_host_up(host);
}

static void power_cut(unsigned node, bool all)
{
    struct host *host = &hosts[node];

    if (!host->powered)
        return;
    sim_trace(node, "power cut");
    sim_count("power cuts", 1);
    for (unsigned i = 0; sim_checkers[i]; i++)
        if (sim_checkers[i]->power_cut)
            sim_checkers[i]->power_cut(node);
    host->powered = host->corosync = false;
    host_ended(host, -1);
    sockets_power_cut(host);
    files_power_cut(host, all);
    host->frozen = false;
    bus_host_down(host);
}

void sim_power_cut(unsigned node)
{
    power_cut(node, false);
}

void sim_power_cut_all_lost(unsigned node)
{
    power_cut(node, true);
}

void sim_kill(unsigned node)
{
    if (hosts[node].running)
        sim_count("daemons killed", 1);
    host_ended(&hosts[node], -1);
}

void sim_freeze(unsigned node, bool whole_node)
{
    struct host *host = &hosts[node];

    if (!host->powered)
        return;
    sim_trace(node, whole_node ? "the node freezes" : "the daemon stands still");
    sim_count(whole_node ? "freezes" : "stalls", 1);
    if (whole_node) {
        host->frozen = true;
        bus_changed();
    } else {
        host->stalled = true;
    }
}

void sim_thaw(unsigned node)
{
    struct host *host = &hosts[node];

    if (!host->frozen && !host->stalled)
        return;
    sim_trace(node, "goes on");
    host->frozen = host->stalled = false;
    threads_owed(host);
    bus_changed();
}

bool sim_powered(unsigned node)
{
    return hosts[node].powered;
}

bool sim_running(unsigned node)
{
    return hosts[node].running;
}

bool sim_frozen(unsigned node)
{
    return hosts[node].frozen || hosts[node].stalled;
}

unsigned sim_starts(unsigned node)
{
    return hosts[node].starts;
}

/* ---- clocks ---- */

uint64_t host_clock(const struct host *host)
{
    return host->clock_base + (sim_now() - host->clock_since) * host->clock_permille / 1000;
}

uint64_t host_clock_wait(const struct host *host, uint64_t until)
{
    uint64_t now = host_clock(host);

    return until > now ? ((until - now) * 1000 + host->clock_permille - 1) / host->clock_permille : 0;
}

uint64_t sim_clock(unsigned node)
{
    return host_clock(&hosts[node]);
}

void sim_clock_speed(unsigned node, unsigned permille)
{
    struct host *host = &hosts[node];

    if (host->clock_permille == permille)
        return;
    sim_trace(node, "the clock goes at %u/1000 of true time", permille);
    host->clock_base = host_clock(host);
    host->clock_since = sim_now();
    host->clock_permille = permille;
    threads_wake(host);
    timers_clock(host);
}

/* ---- networks ---- */

bool cluster_passes(const struct host *from, const struct host *to)
{
    return from->powered && to->powered && !from->frozen && !to->frozen &&
           (to->cluster_reach & 1u << from->id);
}

bool link_passes(const struct host *from, const struct host *to)
{
    return to->powered && !to->frozen && (to->link_reach & 1u << from->id);
}

void sim_cluster_reach(unsigned node, uint32_t from)
{
    hosts[node].cluster_reach = from | 1u << node;
    sim_trace(node, "hears %x on the cluster network", hosts[node].cluster_reach);
    bus_changed();
}

void sim_link_reach(unsigned node, uint32_t from)
{
    hosts[node].link_reach = from | 1u << node;
    sim_trace(node, "hears %x on the replication network", hosts[node].link_reach);
}

void sim_heal(void)
{
    uint32_t all = ((1u << sim_config()->nodes) - 1) << 1;

    for (unsigned i = 1; i <= sim_config()->nodes; i++)
        hosts[i].cluster_reach = hosts[i].link_reach = all;
    sim_link_delay(0);
    sim_trace(0, "the networks are whole");
    bus_changed();
}

/* ---- descriptors ---- */

int fd_new(struct host *host, enum fd_kind kind, void *object)
{
    for (int fd = 3; fd < HOST_FDS; fd++)
        if (host->fds[fd].kind == FD_FREE) {
            host->fds[fd] = (struct vfd){.kind = kind, .object = object};
            return fd;
        }
    sim_fail("node%u: more descriptors than the world has", host->id);
}

struct vfd *fd_get(struct host *host, int fd)
{
    if (fd < 0 || fd >= HOST_FDS || host->fds[fd].kind == FD_FREE)
        return NULL;
    return &host->fds[fd];
}

bool fd_readable(const struct vfd *fd)
{
    switch (fd->kind) {
    case FD_EVENT:
    case FD_TIMER:
        return fd->count;
    case FD_PIPE:
    case FD_PID:
        return fencer_readable(fd);
    case FD_CPG:
    case FD_QUORUM:
        return corosync_readable(fd->object, fd->kind);
    case FD_CONTROL:
        return control_readable(fd->object);
    case FD_DATAGRAM:
        return datagram_readable(fd->object);
    default:
        return false;
    }
}

void fd_ready(struct host *host, struct vfd *fd)
{
    if (fd->waiter) {
        struct ring_op *op = fd->waiter;
        uint64_t count = fd->count;
        fd->waiter = NULL;
        fd->count = 0;
        ring_op_scatter(op, 0, &count, sizeof count);
        ring_complete(op, sizeof count, false);
        return;
    }
    loop_ready(host);
}

int fd_close(struct host *host, int number)
{
    struct vfd *fd = fd_get(host, number);
    struct vfd old;

    if (!fd) {
        errno = EBADF;
        return -1;
    }
    old = *fd;
    fd->kind = FD_FREE;
    switch (old.kind) {
    case FD_FILE:
        if (old.locks)
            file_unlock(old.object);
        break;
    case FD_SOCKET:
        socket_close(old.object);
        break;
    case FD_DATAGRAM:
        datagram_close(old.object);
        break;
    case FD_TIMER:
        timer_close(old.object);
        break;
    default:
        break;
    }
    return 0;
}
