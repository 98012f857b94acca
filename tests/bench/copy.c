/* What a large read from memory costs at least: blocks of a gigabyte are copied into a buffer, as a
 * memory store does, and sent over loopback to a child that drops them. One line of JSON: CPU of
 * the sender for one MiB.
 *
 *   halun-copy PIECE BUFFERS SECONDS SENDER-CORE RECEIVER-CORE
 *
 * PIECE bytes are copied and sent at a time, into one of BUFFERS in turn: one small piece stays in
 * the cache, as in a read that is streamed; with 0 buffers nothing is copied, the memory itself is
 * sent. */
#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const size_t STORE = 1u << 30, MIB = 1u << 20;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pin(const char *core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(atoi(core), &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fail("core");
}

static uint8_t *memory(size_t bytes)
{
    uint8_t *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (m == MAP_FAILED)
        fail("memory");
    memset(m, 1, bytes);
    return m;
}

static void drop_all(const struct sockaddr_in *to, const char *core)
{
    int from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    pin(core);
    if (from < 0 || connect(from, (const struct sockaddr *)to, sizeof *to))
        fail("connect");
    while (recv(from, NULL, MIB, MSG_TRUNC) > 0)
        ;
    _exit(0);
}

static void send_all(int to, const uint8_t *data, size_t n)
{
    while (n) {
        ssize_t sent = send(to, data, n, MSG_NOSIGNAL);

        if (sent < 0)
            fail("send");
        data += sent;
        n -= (size_t)sent;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), to;
    size_t piece = argc == 6 ? strtoul(argv[1], NULL, 10) : 0, at = 0, bytes = 0;
    unsigned buffers = argc == 6 ? (unsigned)atoi(argv[2]) : 0;
    uint8_t *store, *copies;
    double until, cpu, took;
    pid_t child;

    if (!piece || piece > MIB || STORE % piece) {
        fputs("usage: halun-copy PIECE BUFFERS SECONDS SENDER-CORE RECEIVER-CORE (PIECE: a power "
              "of two up to 1 MiB)\n",
              stderr);
        return 2;
    }
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) ||
        listen(listener, 1) || getsockname(listener, (struct sockaddr *)&address, &length))
        fail("listen");
    child = fork();
    if (!child)
        drop_all(&address, argv[5]);
    pin(argv[4]);
    to = accept(listener, NULL, NULL);
    if (child < 0 || to < 0)
        fail("accept");
    store = memory(STORE);
    copies = memory(buffers ? buffers * piece : 1);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    until = seconds(CLOCK_MONOTONIC) + atof(argv[3]);
    while (seconds(CLOCK_MONOTONIC) < until) {
        /* As many as there are buffers are copied, then they are sent: commands of one receive. */
        for (unsigned i = 0; i < buffers; i++)
            memcpy(copies + i * piece, store + (at + i * piece) % STORE, piece);
        for (unsigned i = 0; i < (buffers ? buffers : 1); i++) {
            send_all(to, buffers ? copies + i * piece : store + at, piece);
            at = (at + piece) % STORE;
            bytes += piece;
        }
    }
    took = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"cpu_us\": %.1f, \"MBps\": %.0f}\n", took * 1e6 / ((double)bytes / (double)MIB),
           (double)bytes / 1e6 / atof(argv[3]));
    close(to);
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    return 0;
}
