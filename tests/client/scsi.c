/* halun-scsi: one SCSI command from a stable I_T nexus, for scripts; what sg_persist is for kernels with
 * SCSI. The same initiator name and --isid are the same initiator port at every call. Unit attentions are
 * printed and the command is sent again, so that scripts see both. */
#include <getopt.h>
#include <inttypes.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/bytes.h"

enum { PR_IN = 0x5e, PR_OUT = 0x5f, ROOM = 4096, EXIT_USAGE = 2, EXIT_PATH = 3 };

static struct iscsi_context *iscsi;
static struct scsi_task *last; /* of the newest command */
static int lun;

static void forget(void)
{
    if (last)
        scsi_free_scsi_task(last);
    last = NULL;
}

/* Sends a CDB; returns the task, after printing unit attentions. It is good until the next command. */
static struct scsi_task *send_cdb(uint8_t *cdb, int length, int direction, uint8_t *out, int bytes)
{
    for (int tries = 0; tries < 20; tries++) {
        struct scsi_task *task = scsi_create_task(length, cdb, direction, bytes);
        struct iscsi_data data = {.size = (size_t)bytes, .data = out};

        forget();
        last = task;
        if (!task || !iscsi_scsi_command_sync(iscsi, lun, task,
                                              direction == SCSI_XFER_WRITE ? &data : NULL)) {
            printf("path: %s\n", iscsi_get_error(iscsi));
            exit(EXIT_PATH);
        }
        if (task->status != SCSI_STATUS_CHECK_CONDITION ||
            task->sense.key != SCSI_SENSE_UNIT_ATTENTION)
            return task;
        printf("unit attention %04x\n", task->sense.ascq);
    }
    printf("too many unit attentions\n");
    exit(EXIT_PATH);
}

static int print_status(const struct scsi_task *task)
{
    switch (task->status) {
    case SCSI_STATUS_GOOD:
        puts("GOOD");
        return 0;
    case SCSI_STATUS_RESERVATION_CONFLICT:
        puts("RESERVATION CONFLICT");
        return 1;
    case SCSI_STATUS_CHECK_CONDITION:
        printf("CHECK CONDITION %x/%04x\n", task->sense.key, task->sense.ascq);
        return 1;
    default:
        printf("status %x\n", task->status);
        return 1;
    }
}

static int pr_out(int action, int type, uint64_t key, uint64_t action_key, bool aptpl)
{
    uint8_t cdb[10] = {PR_OUT, (uint8_t)action, (uint8_t)type, [8] = 24};
    uint8_t list[24] = {[20] = aptpl};

    put_be64(list, key);
    put_be64(list + 8, action_key);
    return print_status(send_cdb(cdb, 10, SCSI_XFER_WRITE, list, sizeof list));
}

static struct scsi_task *pr_in(int action)
{
    uint8_t cdb[10] = {PR_IN, (uint8_t)action, [7] = ROOM >> 8, [8] = ROOM & 0xff};

    return send_cdb(cdb, 10, SCSI_XFER_READ, NULL, ROOM);
}

static int keys(void)
{
    struct scsi_task *task = pr_in(0);
    uint32_t length;

    if (task->status)
        return print_status(task);
    length = get_be32(task->datain.data + 4);
    printf("generation %u\n", get_be32(task->datain.data));
    for (uint32_t at = 8; at < 8 + length; at += 8)
        printf("key %" PRIx64 "\n", get_be64(task->datain.data + at));
    return 0;
}

static int reservation(void)
{
    struct scsi_task *task = pr_in(1);

    if (task->status)
        return print_status(task);
    if (get_be32(task->datain.data + 4) < 16)
        puts("none");
    else
        printf("key %" PRIx64 " type %x\n", get_be64(task->datain.data + 8),
               task->datain.data[21] & 0x0f);
    return 0;
}

static int states(void)
{
    uint8_t cdb[12] = {0xa3, 0x0a, [8] = ROOM >> 8, [9] = ROOM & 0xff};
    struct scsi_task *task = send_cdb(cdb, 12, SCSI_XFER_READ, NULL, ROOM);
    uint32_t length;

    if (task->status)
        return print_status(task);
    length = get_be32(task->datain.data) + 4;
    for (uint32_t at = 4; at + 8 <= length; at += 8u + 4u * task->datain.data[at + 7])
        printf("group %u state %x\n", get_be16(task->datain.data + at + 2),
               task->datain.data[at] & 0x0f);
    return 0;
}

/* SET TARGET PORT GROUPS: active/optimized for one group. */
static int prefer(unsigned group)
{
    uint8_t cdb[12] = {0xa4, 0x0a, [9] = 8}, list[8] = {0};

    put_be16(list + 6, (uint16_t)group);
    return print_status(send_cdb(cdb, 12, SCSI_XFER_WRITE, list, sizeof list));
}

static int transfer(bool write, uint64_t lba, int pattern)
{
    uint8_t cdb[16] = {write ? 0x8a : 0x88, [13] = 8}, data[4096];
    struct scsi_task *task;

    put_be64(cdb + 2, lba);
    memset(data, pattern, sizeof data);
    task = send_cdb(cdb, 16, write ? SCSI_XFER_WRITE : SCSI_XFER_READ, data, sizeof data);
    if (!write && !task->status)
        printf("data %02x\n", task->datain.data[0]);
    return print_status(task);
}

static int capacity(void)
{
    uint8_t cdb[16] = {0x9e, 0x10, [13] = 32};
    struct scsi_task *task = send_cdb(cdb, 16, SCSI_XFER_READ, NULL, 32);

    if (task->status)
        return print_status(task);
    printf("blocks %" PRIu64 " of %u\n", get_be64(task->datain.data) + 1, get_be32(task->datain.data + 8));
    return 0;
}

static int simple(uint8_t opcode)
{
    uint8_t cdb[6] = {opcode};

    return print_status(send_cdb(cdb, 6, SCSI_XFER_NONE, NULL, 0));
}

static int reset(void)
{
    int rc = iscsi_task_mgmt_lun_reset_sync(iscsi, (uint32_t)lun);

    puts(rc ? iscsi_get_error(iscsi) : "GOOD");
    return rc != 0;
}

static void usage(void)
{
    fputs("usage: halun-scsi [-i INITIATOR] [--isid N] URL COMMAND\n"
          "  tur | keys | reservation | states | reset | reserve6 | release6\n"
          "  register KEY NEWKEY | ignore NEWKEY | reserve TYPE KEY | release TYPE KEY | clear KEY\n"
          "  preempt TYPE KEY VICTIM | preempt-abort TYPE KEY VICTIM | read LBA | write LBA BYTE\n"
          "  prefer GROUP | capacity\n"
          "  lines: commands from standard input, one a line, all in one session; each ends with a line \"ended STATUS\"\n"
          "Keys are hexadecimal. --aptpl with register and ignore. Exit status: 0 GOOD, 1 otherwise,\n"
          "2 usage, 3 no path.\n",
          stderr);
    exit(EXIT_USAGE);
}

static uint64_t hex(const char *text)
{
    return text ? strtoull(text, NULL, 16) : 0;
}

static int obey(char **words, bool aptpl)
{
    const char *command = words[0], *a = words[1], *b = a ? words[2] : NULL, *c = b ? words[3] : NULL;

    if (!strcmp(command, "tur"))
        return simple(0x00);
    if (!strcmp(command, "reserve6"))
        return simple(0x16);
    if (!strcmp(command, "release6"))
        return simple(0x17);
    if (!strcmp(command, "keys"))
        return keys();
    if (!strcmp(command, "reservation"))
        return reservation();
    if (!strcmp(command, "capacity"))
        return capacity();
    if (!strcmp(command, "states"))
        return states();
    if (!strcmp(command, "reset"))
        return reset();
    if (!strcmp(command, "register") && b)
        return pr_out(0, 0, hex(a), hex(b), aptpl);
    if (!strcmp(command, "ignore") && a)
        return pr_out(6, 0, 0, hex(a), aptpl);
    if (!strcmp(command, "reserve") && b)
        return pr_out(1, (int)hex(a), hex(b), 0, false);
    if (!strcmp(command, "release") && b)
        return pr_out(2, (int)hex(a), hex(b), 0, false);
    if (!strcmp(command, "clear") && a)
        return pr_out(3, 0, hex(a), 0, false);
    if (!strcmp(command, "preempt") && c)
        return pr_out(4, (int)hex(a), hex(b), hex(c), false);
    if (!strcmp(command, "preempt-abort") && c)
        return pr_out(5, (int)hex(a), hex(b), hex(c), false);
    if (!strcmp(command, "prefer") && a)
        return prefer((unsigned)strtoul(a, NULL, 0));
    if (!strcmp(command, "read") && a)
        return transfer(false, strtoull(a, NULL, 0), 0);
    if (!strcmp(command, "write") && b)
        return transfer(true, strtoull(a, NULL, 0), (int)hex(b));
    usage();
    return EXIT_USAGE;
}

static int lines(void)
{
    char line[200];

    while (fgets(line, sizeof line, stdin)) {
        char *words[6] = {strtok(line, " \n")};

        for (unsigned i = 0; i < 4 && words[i]; i++)
            words[i + 1] = strtok(NULL, " \n");
        if (words[0])
            printf("ended %d\n", obey(words, false));
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"initiator", required_argument, NULL, 'i'},
                                            {"isid", required_argument, NULL, 's'},
                                            {"aptpl", no_argument, NULL, 'a'},
                                            {NULL, 0, NULL, 0}};
    const char *initiator = "iqn.2026-11.org.halun:scsi";
    unsigned isid = 1;
    bool aptpl = false;
    struct iscsi_url *url;
    int option, status;

    while ((option = getopt_long(argc, argv, "i:s:a", options, NULL)) != -1) {
        if (option == 'i')
            initiator = optarg;
        else if (option == 's')
            isid = (unsigned)strtoul(optarg, NULL, 0);
        else if (option == 'a')
            aptpl = true;
        else
            usage();
    }
    if (argc - optind < 2)
        usage();
    iscsi = iscsi_create_context(initiator);
    url = iscsi_parse_full_url(iscsi, argv[optind]);
    if (!url) {
        puts(iscsi_get_error(iscsi));
        return EXIT_USAGE;
    }
    lun = url->lun;
    iscsi_set_isid_en(iscsi, isid, 0);
    iscsi_set_targetname(iscsi, url->target);
    iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL);
    iscsi_set_noautoreconnect(iscsi, 1);
    if (url->user[0])
        iscsi_set_initiator_username_pwd(iscsi, url->user, url->passwd);
    if (iscsi_connect_sync(iscsi, url->portal) || iscsi_login_sync(iscsi)) {
        printf("path: %s\n", iscsi_get_error(iscsi));
        return EXIT_PATH;
    }
    status = strcmp(argv[optind + 1], "lines") ? obey(argv + optind + 1, aptpl) : lines();
    forget();
    iscsi_destroy_url(url);
    iscsi_destroy_context(iscsi);
    return status;
}
