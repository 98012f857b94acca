/* halun-pr-latency: how long a PERSISTENT RESERVE OUT takes, from one I_T nexus, one after the other. Other
 * registrants are made by SPEC_I_PT: they need no session. A key is changed each time (no node's lanes are concerned),
 * or with --reserve the unit reserved and released in turn (all are). The figure to compare with is what Corosync needs
 * until all peers have answered one message. Prints one line of JSON; everything registered is cleared at the end.
 *
 * Not covered: several askers at once; APTPL, unless asked for (then a disk takes part). */
#include <getopt.h>
#include <inttypes.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "target/base/bytes.h"

enum {
    PR_OUT = 0x5f,
    REGISTER = 0,
    RESERVE = 1,
    RELEASE = 2,
    CLEAR = 3,
    REGISTER_AND_IGNORE = 6,
    SPEC_I_PT = 0x08,
    APTPL = 0x01,
    WRITE_EXCLUSIVE = 1,
    LIST = 60 << 10,
    WARM = 20, /* not counted */
};

static struct iscsi_context *iscsi;
static int lun;
static uint8_t list[LIST];

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "halun-pr-latency: %s\n", what);
    exit(1);
}

/* Sends the list of `length` bytes; unit attentions are over after some tries. */
static void pr_out(int action, uint32_t length)
{
    for (int tries = 0; tries < 10; tries++) {
        uint8_t cdb[10] = {PR_OUT, (uint8_t)action,
                           action == RESERVE || action == RELEASE ? WRITE_EXCLUSIVE : 0};
        struct iscsi_data data = {.size = length, .data = list};
        struct scsi_task *task;
        int status;

        put_be32(cdb + 5, length);
        task = scsi_create_task(10, cdb, SCSI_XFER_WRITE, (int)length);
        if (!task || !iscsi_scsi_command_sync(iscsi, lun, task, &data))
            fail(iscsi_get_error(iscsi));
        status = task->status;
        if (status == SCSI_STATUS_CHECK_CONDITION && task->sense.key != SCSI_SENSE_UNIT_ATTENTION) {
            fprintf(stderr, "sense %x/%04x\n", task->sense.key, task->sense.ascq);
            fail("PERSISTENT RESERVE OUT was refused");
        }
        scsi_free_scsi_task(task);
        if (status == SCSI_STATUS_GOOD)
            return;
        if (status != SCSI_STATUS_CHECK_CONDITION)
            fail("PERSISTENT RESERVE OUT conflicts");
    }
    fail("too many unit attentions");
}

static void keys(uint64_t key, uint64_t action_key, uint8_t flags)
{
    memset(list, 0, 28);
    put_be64(list, key);
    put_be64(list + 8, action_key);
    list[20] = flags;
}

/* Registers this nexus and `others` more. */
static void register_all(unsigned others, uint8_t flags)
{
    uint32_t at = 28;

    keys(0, 1, (uint8_t)(flags | (others ? SPEC_I_PT : 0)));
    for (unsigned i = 0; i < others; i++) {
        char name[80];
        uint32_t length =
            (uint32_t)snprintf(name, sizeof name, "iqn.2026-11.org.halun:r%u,i,0x00023d%06x", i, i) + 1;
        uint32_t padded = (length + 3) & ~3u;

        if (at + 4 + padded > LIST)
            fail("too many registrants");
        memset(list + at, 0, 4 + padded);
        list[at] = 0x45; /* FORMAT CODE 01b, iSCSI */
        put_be16(list + at + 2, (uint16_t)padded);
        memcpy(list + at + 4, name, length);
        at += 4 + padded;
    }
    put_be32(list + 24, at - 28);
    pr_out(REGISTER, others ? at : 24);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static double quantile(const uint64_t *times, unsigned count, double q)
{
    unsigned at = (unsigned)(q * (count - 1) + 0.5);

    return (double)times[at] / 1000;
}

static void usage(void)
{
    fputs("usage: halun-pr-latency [--count N] [--registrants N] [--gap-us N] [--aptpl] [--reserve] "
          "[--times] URL\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"count", required_argument, NULL, 'c'},
                                            {"registrants", required_argument, NULL, 'r'},
                                            {"gap-us", required_argument, NULL, 'g'},
                                            {"aptpl", no_argument, NULL, 'a'},
                                            {"reserve", no_argument, NULL, 'v'},
                                            {"times", no_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    unsigned count = 500, registrants = 1, gap_us = 0;
    uint8_t flags = 0;
    bool reserve = false, show = false;
    struct iscsi_url *url;
    uint64_t *times;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c')
            count = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'r')
            registrants = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'g')
            gap_us = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'a')
            flags = APTPL;
        else if (option == 'v')
            reserve = true;
        else if (option == 't')
            show = true;
        else
            usage();
    }
    if (optind + 1 != argc || !count || !registrants)
        usage();
    iscsi = iscsi_create_context("iqn.2026-11.org.halun:pr-latency");
    times = calloc(count, sizeof *times);
    url = iscsi ? iscsi_parse_full_url(iscsi, argv[optind]) : NULL;
    if (!url || !times)
        fail(iscsi ? iscsi_get_error(iscsi) : "out of memory");
    lun = url->lun;
    iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL);
    iscsi_set_targetname(iscsi, url->target);
    if (iscsi_full_connect_sync(iscsi, url->portal, lun))
        fail(iscsi_get_error(iscsi));
    register_all(registrants - 1, flags);
    for (unsigned i = 0; i < count + WARM; i++) {
        uint64_t began;

        if (gap_us)
            nanosleep(&(struct timespec){.tv_sec = gap_us / 1000000, .tv_nsec = gap_us % 1000000 * 1000},
                      NULL);
        keys(reserve ? 1 : 0, reserve ? 0 : 2 + i, flags);
        began = now_ns();
        pr_out(!reserve ? REGISTER_AND_IGNORE : i % 2 ? RELEASE : RESERVE, 24);
        if (i >= WARM)
            times[i - WARM] = now_ns() - began;
    }
    keys(reserve ? 1 : 1 + count + WARM, 0, 0);
    pr_out(CLEAR, 24);
    qsort(times, count, sizeof *times, by_size);
    printf("{\"count\": %u, \"registrants\": %u, \"p50_us\": %.0f, \"p90_us\": %.0f, \"p99_us\": %.0f, "
           "\"max_us\": %.0f",
           count, registrants, quantile(times, count, 0.5), quantile(times, count, 0.9),
           quantile(times, count, 0.99), quantile(times, count, 1));
    for (unsigned i = 0; show && i < count; i++)
        printf("%s%.0f", i ? ", " : ", \"times_us\": [", (double)times[i] / 1000);
    puts(show ? "]}" : "}");
    iscsi_logout_sync(iscsi);
    iscsi_destroy_url(url);
    iscsi_destroy_context(iscsi);
    free(times);
    return 0;
}
