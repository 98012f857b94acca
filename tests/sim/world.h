/* Inside of the simulated world: what its files share. Checkers and workloads use sim.h and initiator.h.
 *
 * A host is one machine with at most one process, the daemon: a copy of the module sim_node.so with the unmodified
 * objects of halund, whose calls to libc, liburing, libqb's loop and Corosync are bound to the world at link time
 * (seam.list). Its threads are coroutines that run one at a time, each until it waits. */
#ifndef HALUN_TESTS_SIM_WORLD_H
#define HALUN_TESTS_SIM_WORLD_H

#include <setjmp.h>
#include <stdint.h>

#include "cluster/message.h"
#include "target/base/container.h"
#include "tests/sim/node/entry.h"
#include "tests/sim/sim.h"

struct host;
struct ring_op;
struct thread;

/* What a node speaks that is not upgraded yet: the version before the newest. */
enum { SIM_OLD_WIRE = WIRE_MAX - 1 };

enum { HOST_FDS = 192, HOST_THREADS = 12, US = 1000 };

/* ---- events.c: clock, queue, chance, trace ---- */

void world_begin(const struct sim_config *config);
/* Runs events until `until` or until *stop. */
void world_run(uint64_t until, const bool *stop);
void world_end(void);
uint64_t world_hash(void);
uint64_t world_events(void);
/* The event that runs is one of this node (for the checkers). */
void world_event_of(unsigned node);
/* Where sim_fail() comes out; the text is world_failure(). */
extern jmp_buf world_failed;
const char *world_failure(void);
void world_set_trace(bool on);
/* The counters of sim_count(), by name. */
void world_each_count(void (*each)(const char *name, uint64_t n, void *context), void *context);
/* low..high, from the seed. */
uint64_t world_between(uint64_t low, uint64_t high);
/* A latency: mostly near `typical`, sometimes up to 20 times that. */
uint64_t world_latency(uint64_t typical);

/* ---- thread.c: coroutines ---- */

struct thread {
    struct host *host;
    void *stack, *sp;
    void *(*start)(void *argument);
    void *argument;
    bool alive;
    bool owed; /* it was to run while its host or process stood still */
    struct sim_event wake;
    struct reactor *reactor; /* whose loop it runs; NULL: none */
    struct thread *joiner;
};
/* The thread whose code runs; NULL: the world. */
extern struct thread *current;
/* The world calls a function of this host's module: its memory is meant (memory.c). */
extern struct host *world_inside;
struct thread *thread_new(struct host *host, void *(*start)(void *), void *argument);
/* Waits until woken; may wake for nothing. */
void thread_block(void);
void thread_sleep(uint64_t ns);
/* Makes it run `delay` from now, or earlier if that was arranged already. */
void thread_wake(struct thread *thread, uint64_t delay);
void thread_exit(void) __attribute__((noreturn));
/* Ends all threads of a process, wherever they are. */
void threads_drop(struct host *host);
/* All of a process look at their clock again. */
void threads_wake(struct host *host);
/* The process runs again: who missed its turn gets it. */
void threads_owed(struct host *host);

/* ---- host.c: machines and processes ---- */

enum fd_kind { FD_FREE, FD_FILE, FD_FOLDER, FD_EVENT, FD_TIMER, FD_SOCKET, FD_DATAGRAM, FD_PIPE, FD_PID, FD_CPG, FD_QUORUM, FD_CONTROL };

struct vfd {
    enum fd_kind kind;
    void *object;
    uint64_t count;          /* FD_EVENT; FD_TIMER: expirations not read yet; FD_PIPE: which (fencer.c) */
    bool locks;              /* FD_FILE: holds the file's lock */
    struct ring_op *waiter;  /* FD_EVENT: a read in the ring */
};

struct host {
    unsigned id;
    bool powered, frozen, stalled;
    bool running;      /* the process exists */
    bool corosync;     /* Corosync and Pacemaker run */
    bool stopped_by_operator;
    unsigned wire_max; /* of its halun.conf; 0 = the newest */
    unsigned starts;
    int exit_code;     /* of the last process; -1 = killed */
    uint64_t boot;     /* number of this boot */
    /* CLOCK_MONOTONIC was `clock_base` at true time `clock_since`, and goes on at `clock_permille` of its speed. */
    uint64_t clock_base, clock_since;
    unsigned clock_permille;
    int64_t wall_offset; /* CLOCK_REALTIME = true time + this */
    uint64_t disk_extra_ns;
    int disk_error;    /* writes of data end with -this */
    bool disk_failed;  /* once in this run */
    int read_error;    /* reads of data */
    int state_error;   /* writes to state_dir */
    struct sim_entry *entry; /* of its copy of the module */
    struct thread threads[HOST_THREADS];
    struct vfd fds[HOST_FDS];
    uint32_t cluster_reach, link_reach; /* bits: whose packets arrive */
};
extern struct host hosts[SIM_NODES + 1];
/* Clean hosts for a new run. */
void hosts_begin(void);
/* The run is over: nothing happens on them any more. */
void hosts_forget(void);
/* Starts the daemon's process; the host must be powered. */
void host_start(struct host *host);
/* CLOCK_MONOTONIC of the host. */
uint64_t host_clock(const struct host *host);
/* How much true time it takes until that clock shows `until`, if it keeps its speed. */
uint64_t host_clock_wait(const struct host *host, uint64_t until);
/* The process ends now; `code` -1: killed. The machine lives and closes what it had open. */
void host_ended(struct host *host, int code);
/* May code of this process run? */
static inline bool host_runs(const struct host *host)
{
    return host->powered && !host->frozen && host->running && !host->stalled;
}
/* A packet of the cluster network, or of the network of replication and peers, sent by `from` now: does `to` take it? */
bool cluster_passes(const struct host *from, const struct host *to);
bool link_passes(const struct host *from, const struct host *to);

int fd_new(struct host *host, enum fd_kind kind, void *object);
struct vfd *fd_get(struct host *host, int fd);
/* Something can be read now: wakes who waits for it. */
void fd_ready(struct host *host, struct vfd *fd);
bool fd_readable(const struct vfd *fd);
/* close(2). */
int fd_close(struct host *host, int fd);

/* ---- memory.c ---- */

void memory_begin(struct host *host);  /* an empty heap for a new process */

/* ---- file.c: disks ---- */

struct vfile;
void files_begin(void);
void files_end(void);
/* What is left of unsynced writes is decided. */
void files_power_cut(struct host *host, bool all);
/* Locks of the process end. */
void files_unlock(struct host *host);
/* Puts a file there before the daemon starts (the configuration); durable. */
void file_put(struct host *host, const char *path, const char *text);
int64_t file_read(struct vfile *file, void *to, uint64_t n, uint64_t offset);
/* Returns n or -errno. `durable`: on the medium at once (FUA). */
int64_t file_write(struct vfile *file, const void *from, uint64_t n, uint64_t offset, bool durable);
int file_zero(struct vfile *file, uint64_t offset, uint64_t n);
void file_sync(struct vfile *file);
void file_unlock(struct vfile *file);
/* Latencies of the host's disk, from the seed. */
uint64_t file_latency(struct vfile *file, bool sync);
int file_error(struct vfile *file, bool write);

/* ---- timer.c: timers that are descriptors ---- */

struct vtimer;
void timer_close(struct vtimer *timer);
/* The host's clock has another speed: they expire when it shows what they wait for. */
void timers_clock(const struct host *host);
/* All timers of a process are gone. */
void timers_forget(const struct host *host);

/* ---- socket.c: TCP between hosts ---- */

struct socket_end;
void sockets_begin(void);
void sockets_end(void);
/* The host is gone without a word. */
void sockets_power_cut(struct host *host);
void socket_close(struct socket_end *end);
/* Operations of the ring; they complete `op` now or later. */
void socket_send(struct socket_end *end, struct ring_op *op);
void socket_receive(struct socket_end *end, struct ring_op *op);
void socket_accept(struct socket_end *end, struct ring_op *op);
void socket_connect(struct socket_end *end, struct ring_op *op);
/* Forgets an operation that is waiting; false: it is not. */
bool socket_forget(struct socket_end *end, struct ring_op *op);

/* ---- datagram.c: UDP between hosts; the calls of the module that are TCP's too ---- */

struct sockaddr;
struct datagram_socket;
void datagrams_begin(void);
void datagrams_end(void);
int datagram_socket(void);
int datagram_bind(struct datagram_socket *socket, const struct sockaddr *address);
bool datagram_readable(const struct datagram_socket *socket);
void datagram_close(struct datagram_socket *socket);

/* ---- ring.c: io_uring ---- */

bool ring_op_multishot(const struct ring_op *op);
bool ring_op_dont_wait(const struct ring_op *op);
struct host *ring_op_host(struct ring_op *op);
/* Data of a send: gathers `n` bytes from `skip` on. Room of a receive: scatters. Return the bytes moved. */
size_t ring_op_length(const struct ring_op *op);
void ring_op_gather(const struct ring_op *op, void *to, size_t n);
void ring_op_scatter(const struct ring_op *op, size_t at, const void *from, size_t n);
const void *ring_op_address(const struct ring_op *op);
/* Ends an operation; `more`: a multishot one that goes on. */
void ring_complete(struct ring_op *op, int32_t result, bool more);
/* All rings of a process are gone; writes in flight end as the kernel ends them, or at a power cut may be lost. */
void rings_drop(struct host *host, bool power_cut);
void rings_forget(struct host *host);

/* ---- loop.c: libqb's loop of the control thread ---- */

void loop_begin(struct host *host);
/* A descriptor that the loop polls can be read. */
void loop_ready(struct host *host);
/* Hands the process a signal that its loop handles. */
void loop_signal(struct host *host, int signal_number);

/* ---- bus.c: Corosync on all hosts; corosync.c: its client libraries ---- */

void bus_begin(void);
void bus_end(void);
/* Corosync starts with the host, dies with it. */
void bus_host_up(struct host *host);
void bus_host_down(struct host *host);
/* Who hears whom changed, a host stood still or goes on. */
void bus_changed(void);
void bus_join(struct host *host);
/* The process left the group or ended. */
void bus_leave(struct host *host, bool procdown);
/* False: try again. */
bool bus_send(struct host *host, const void *bytes, size_t size);
bool bus_quorate(const struct host *host);
/* Its ring has its token: neither is a member lost, nor does the host stand still. */
bool bus_moves(const struct host *host);
/* Bits: the hosts in the same ring, as this host knows. */
uint32_t bus_ring(const struct host *host);
/* corosync.c: the bus delivers. bytes NULL: a change of the group. */
void corosync_deliver(struct host *host, unsigned sender, const void *bytes, size_t size, uint32_t members,
                      uint32_t joined, uint32_t left, uint32_t down);
void corosync_quorum(struct host *host, bool quorate);
void corosync_process_ended(struct host *host);
void corosync_forget(struct host *host);
bool corosync_readable(const struct host *host, enum fd_kind kind);

/* ---- fencer.c ---- */

void fencer_begin(void);
/* A host was fenced by `by` at its wall clock: the history of the hosts that are with it knows. */
void fencer_record(struct host *by, unsigned target);
/* Two rings became one: histories are exchanged. */
void fencer_merge(uint32_t members);
void fencer_process_ended(struct host *host);
bool fencer_readable(const struct vfd *fd);
long fencer_read(struct vfd *pipe, void *to, size_t n);

/* ---- pacemaker.c ---- */

void pacemaker_begin(void);
/* Every group has an owner, every daemon that should run is ready. */
bool pacemaker_settled(void);

/* ---- control.c: requests to the daemon as halunctl makes them ---- */

/* `reply`: code 0 and the JSON text, or an enum control_code and the sentence; code -1: the daemon ended. Once. */
typedef void control_answer(void *context, int code, const char *reply);
void control_ask(struct host *host, const char *method, const char *arguments, control_answer *answer,
                 void *context);
void control_begin(void);
void control_process_ended(struct host *host);
bool control_readable(const struct host *host);

/* ---- initiator.c ---- */

void initiators_begin(void);
void initiators_end(void);
/* Breaks the connection of one that is logged in. */
void initiators_break_one(void);
void initiators_process_ended(struct host *host, bool silent);

/* ---- config.c ---- */

/* The configuration of a run, drawn from the seed. `wide`: with more nodes, groups and units, kinds of faults that are
 * not drawn otherwise, and disks that fail on any node. */
void config_draw(struct sim_config *config, uint64_t seed, bool wide);
void config_put(struct host *host);
/* Another transition_s from now on, to be put on the hosts and reloaded. */
void config_change(void);
void config_lu_path(unsigned lu, unsigned node, char *path, size_t size);

/* ---- canary.c: planted bugs, to see that checkers see ---- */

enum canary {
    CANARY_EARLY_ANSWER, /* an operation of the cluster is answered before the others acknowledged */
    CANARY_NO_DRAIN,     /* a change of reservations does not wait for commands admitted before */
    CANARY_OUTDATED,     /* a copy that is not current is promoted */
    CANARY_FLUSH_ALONE,  /* a flush does not wait for the peer's stable storage */
    CANARIES
};
extern const char *const canary_names[CANARIES];
/* False: no canary has this name. */
bool canary_plant(const char *name);
bool canary_is(enum canary canary);

/* ---- operator.c: what an operator does to groups and copies in a random run ---- */

void operator_begin(void);
/* Some node that has a copy of the group. */
unsigned operator_copy(unsigned group);
/* The files of some unit become larger, and the owner is told. Returns the group. operator_resize(): told again, in case
 * that it was refused. */
unsigned operator_grow(void);
void operator_resize(unsigned group);
/* Verifies, pauses, disconnects or invalidates some copy; what of that lasts is over at the end. */
void operator_copies(void);
void operator_copies_end(void);

/* ---- faults.c ---- */

void faults_begin(void);
void faults_stop(void); /* heals everything */

#endif
