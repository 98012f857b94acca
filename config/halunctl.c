/* halunctl: the table of commands, options of the command line, help. */
#include <getopt.h>
#include <qb/qbdefs.h>
#include <qb/qblog.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/ctl.h"
#include "config/options.h"

#define WAITING "--wait --timeout"

const struct ctl_command ctl_commands[] = {
    {"status", "", "", "cluster, groups, LUs and portals at a glance", 0, 0, ctl_status},
    {"sessions", "", "", "sessions of initiators on this node", 0, 0, ctl_sessions},
    {"top", "[SECONDS]", "", "rates and latencies of LUs and hosts, over one second or more", 0, 1, ctl_top},
    {"metrics", "", "", "all counters and latencies of this node, for Prometheus", 0, 0, ctl_metrics},
    {"pr", "[LU]", "", "persistent reservations, of one LU or of all that have any", 0, 1, ctl_pr},
    {"lu resize", "LU [SIZE]", "--force " WAITING, "the capacity to which what is below a unit has grown, or SIZE", 1, 2,
     ctl_lu_resize},
    {"replica status", "[GROUP]", "", "replication of one or all groups", 0, 1, ctl_replica},
    {"replica events", "[GROUP]", "--now --statistics --timestamps",
     "changes of replication as they come, in the form of drbdsetup events2", 0, 1,
     ctl_replica_events},
    {"replica connect", "GROUP", "--discard-my-data",
     "connect again after a disconnect, or after both nodes refused each other", 1, 1,
     ctl_replica_order},
    {"replica disconnect", "GROUP", "", "take the replication link down and keep it down", 1, 1,
     ctl_replica_order},
    {"replica pause", "GROUP", "", "stop resyncs where they are", 1, 1, ctl_replica_order},
    {"replica resume", "GROUP", "", "let resyncs go on", 1, 1, ctl_replica_order},
    {"replica verify", "GROUP", WAITING, "compare both copies block by block while they are in use", 1,
     1, ctl_replica_order},
    {"replica outdate", "GROUP", "--peer " WAITING, "record this node's copy as not current", 1, 1,
     ctl_replica_order},
    {"replica invalidate", "GROUP", "--peer " WAITING,
     "give up this node's copy and copy everything again", 1, 1, ctl_replica_order},
    {"replica attach", "GROUP", WAITING, "use this node's disk again, which failed and was repaired or replaced", 1, 1,
     ctl_replica_order},
    {"replica resize", "GROUP", "--assume-clean " WAITING,
     "use what the devices of both nodes have grown; on the owner", 1, 1, ctl_replica_order},
    {"replica new-current-uuid", "GROUP", WAITING, "begin a new data generation while disconnected", 1, 1,
     ctl_replica_order},
    {"group list", "", "", "groups, their owners and copies", 0, 0, ctl_group_list},
    {"group switch", "GROUP [NODE]", "--resource --wait --timeout",
     "planned move to another node, through Pacemaker where it manages the group", 1, 2,
     ctl_group_switch},
    {"group promote", "GROUP", "--force " WAITING, "make this node the owner (the agent's way)", 1,
     1, ctl_group_promote},
    {"group demote", "GROUP", "--handover " WAITING, "give the group up (the agent's way)", 1, 1,
     ctl_group_demote},
    {"group init", "GROUP", "--skip-sync --force " WAITING,
     "first start: this node's copy is the good one, or both are equal", 1, 1, ctl_group_init},
    {"group make-current", "GROUP", "--force " WAITING,
     "the current copy is lost for good: this node's older one is the good one", 1, 1, ctl_group_make_current},
    {"group alone", "GROUP", "", "a drbd_peer that is lost is not used: writes go on without it", 1, 1,
     ctl_group_alone},
    {"group role", "GROUP", "", "print promoted or unpromoted, for this node", 1, 1,
     ctl_group_role},
    {"group score", "GROUP", "", "print this node's promotion score", 1, 1, ctl_group_score},
    {"check-config", "FILE", "--node --get", "check a configuration file; needs no daemon", 1, 1,
     ctl_check_config},
    {"import-drbd", "FILE [RESOURCE]", "--builtin",
     "print resources of DRBD's configuration as blocks of halun.conf; needs no daemon", 1, 2, ctl_import_drbd},
    {"cluster force-start", "", "", "cold start without the absent nodes: their newer state is lost", 0,
     0, ctl_force_start},
    {"reload", "", "", "apply the changed configuration file", 0, 0, ctl_reload},
    {"shutdown", "", "", "end the daemon", 0, 0, ctl_shutdown},
    {"log level", "LEVEL", "", "emerg alert crit err warning notice info debug", 1, 1,
     ctl_log_level},
    {"wait", "CONDITION [GROUP]", "--timeout",
     "until ready, serving, stopped; promoted, demoted, owned, current, connected, uptodate GROUP",
     1, 2, ctl_wait},
    {"version", "", "", "versions of halunctl and of the running daemon", 0, 0, ctl_version},
    {"help", "[config]", "--roff", "this text; config: every option of the configuration file", 0,
     1, ctl_help},
};
const unsigned ctl_command_count = sizeof ctl_commands / sizeof ctl_commands[0];

enum {
    OPT_FIRST = 1000,
    OPT_RUN_DIR,
    OPT_NODE,
    OPT_RESOURCE,
    OPT_GET,
    OPT_TIMEOUT,
    OPT_JSON,
    OPT_FORCE,
    OPT_SKIP_SYNC,
    OPT_DISCARD,
    OPT_PEER,
    OPT_ASSUME_CLEAN,
    OPT_NOW,
    OPT_STATISTICS,
    OPT_TIMESTAMPS,
    OPT_HANDOVER,
    OPT_BUILTIN,
    OPT_WAIT,
    OPT_ROFF,
    OPT_HELP
};

static const struct {
    const char *name, *argument, *help;
    int code;
} switches[] = {
    {"json", NULL, "print JSON (docs/control.md)", OPT_JSON},
    {"run-dir", "DIR", "run directory of the daemon, default /run/halun", OPT_RUN_DIR},
    {"socket", "DIR", "the same as --run-dir", OPT_RUN_DIR},
    {"timeout", "SECONDS", "give up after so long, default 60", OPT_TIMEOUT},
    {"wait", NULL, "try again while it is not possible at this moment", OPT_WAIT},
    {"force", NULL, "accept what may lose data; see halunctl(8)", OPT_FORCE},
    {"skip-sync", NULL, "both copies are known to be equal (new, all zeros)", OPT_SKIP_SYNC},
    {"handover", NULL, "serve on until the next owner asks, 10 s at most, where there may be one",
     OPT_HANDOVER},
    {"discard-my-data", NULL, "split brain: the changes of this node's copy are given up", OPT_DISCARD},
    {"peer", NULL, "the peer's copy instead of this node's", OPT_PEER},
    {"assume-clean", NULL, "what is new is known to be equal on both nodes (zeros): nothing is copied", OPT_ASSUME_CLEAN},
    {"now", NULL, "what is now, and end", OPT_NOW},
    {"statistics", NULL, "sizes and counts, too", OPT_STATISTICS},
    {"timestamps", NULL, "each line begins with the time", OPT_TIMESTAMPS},
    {"builtin", NULL, "for the built-in engine on DRBD's disks, instead of DRBD below the group", OPT_BUILTIN},
    {"resource", "ID", "name of the Pacemaker resource, when it is not found", OPT_RESOURCE},
    {"node", "NAME", "check for this node", OPT_NODE},
    {"get", "OPTION", "print the value of an option of the cluster block", OPT_GET},
    {"roff", NULL, "as the source of the manual page", OPT_ROFF},
    {"help", NULL, "print the commands", OPT_HELP},
};
enum { SWITCHES = sizeof switches / sizeof switches[0] };

int ctl_help(struct ctl *ctl, int count, char **arguments)
{
    if (count && strcmp(arguments[0], "config"))
        return ctl_error(EXIT_USAGE, "help %s: expected config, or nothing", arguments[0]);
    if (count) {
        options_describe(stdout, ctl->roff);
        return EXIT_OK;
    }
    printf("Usage: halunctl [OPTION...] COMMAND [ARGUMENT...]\n\nCommands:\n");
    for (unsigned i = 0; i < ctl_command_count; i++) {
        char usage[64];
        snprintf(usage, sizeof usage, "%s %s", ctl_commands[i].name, ctl_commands[i].arguments);
        printf("  %-28s %s\n", usage, ctl_commands[i].help);
        if (*ctl_commands[i].options)
            printf("  %-28s %s\n", "", ctl_commands[i].options);
    }
    printf("\nOptions:\n");
    for (unsigned i = 0; i < SWITCHES; i++) {
        char usage[64];
        snprintf(usage, sizeof usage, "--%s%s%s", switches[i].name, switches[i].argument ? " " : "",
                 switches[i].argument ? switches[i].argument : "");
        printf("  %-28s %s\n", usage, switches[i].help);
    }
    printf("\nExit status: 0 done, 1 failed, 2 wrong usage, 3 halund does not run, 4 refused, "
           "5 timeout\n");
    return EXIT_OK;
}

/* --json and what says where the daemon is go with every command; the rest is in the command's row.
 */
static bool takes_switch(const struct ctl_command *command, const char *name)
{
    static const char *const everywhere[] = {"json", "run-dir", "socket", "timeout"};
    size_t n = strlen(name);

    for (unsigned i = 0; i < sizeof everywhere / sizeof everywhere[0]; i++)
        if (!strcmp(name, everywhere[i]))
            return true;
    for (const char *p = command->options; (p = strstr(p, "--")); p += 2)
        if (!strncmp(p + 2, name, n) && (p[2 + n] == ' ' || !p[2 + n]))
            return true;
    return false;
}

static int take_switch(struct ctl *ctl, int code, const char *value)
{
    char *end;
    unsigned long seconds;

    switch (code) {
    case OPT_RUN_DIR:
        ctl->run_dir = value;
        return 0;
    case OPT_NODE:
        ctl->node = value;
        return 0;
    case OPT_RESOURCE:
        ctl->resource = value;
        return 0;
    case OPT_GET:
        ctl->get = value;
        return 0;
    case OPT_TIMEOUT:
        seconds = strtoul(value, &end, 10);
        if (*value < '0' || *value > '9' || *end || seconds > 86400)
            return ctl_error(EXIT_USAGE, "--timeout %s: expected 0..86400 seconds", value);
        ctl->timeout_s = (unsigned)seconds;
        return 0;
    case OPT_JSON:
        ctl->json = true;
        return 0;
    case OPT_FORCE:
        ctl->force = true;
        return 0;
    case OPT_SKIP_SYNC:
        ctl->skip_sync = true;
        return 0;
    case OPT_HANDOVER:
        ctl->handover = true;
        return 0;
    case OPT_DISCARD:
        ctl->discard_my_data = true;
        return 0;
    case OPT_PEER:
        ctl->peer = true;
        return 0;
    case OPT_ASSUME_CLEAN:
        ctl->assume_clean = true;
        return 0;
    case OPT_NOW:
        ctl->now = true;
        return 0;
    case OPT_STATISTICS:
        ctl->statistics = true;
        return 0;
    case OPT_TIMESTAMPS:
        ctl->timestamps = true;
        return 0;
    case OPT_BUILTIN:
        ctl->builtin = true;
        return 0;
    case OPT_WAIT:
        ctl->wait = true;
        return 0;
    case OPT_ROFF:
        ctl->roff = true;
        return 0;
    }
    return EXIT_USAGE;
}

/* The command named by the first one or two words; *words tells how many. */
static const struct ctl_command *find_command(int count, char **words, int *used)
{
    for (unsigned i = 0; i < ctl_command_count; i++) {
        const char *name = ctl_commands[i].name, *space = strchr(name, ' ');
        size_t n = space ? (size_t)(space - name) : strlen(name);

        if (count < 1 || strlen(words[0]) != n || memcmp(words[0], name, n))
            continue;
        if (space && (count < 2 || strcmp(words[1], space + 1)))
            continue;
        *used = space ? 2 : 1;
        return &ctl_commands[i];
    }
    return NULL;
}

/* A daemon that does not answer at all (stopped, hung) must not hang its agent. */
static void on_alarm(int signal)
{
    static const char text[] = "halunctl: no answer from halund in time\n";

    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(EXIT_FAILED);
    _exit(EXIT_TIMEOUT);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.run_dir = "/run/halun", .timeout_s = 60};
    struct option table[SWITCHES + 1] = {0};
    const struct ctl_command *command;
    unsigned given = 0; /* bit: index into switches */
    int code, used, index;

    for (unsigned i = 0; i < SWITCHES; i++)
        table[i] = (struct option){switches[i].name,
                                   switches[i].argument ? required_argument : no_argument, NULL,
                                   switches[i].code};
    /* libqb's own words would come between ours */
    qb_log_init("halunctl", LOG_USER, LOG_EMERG);
    qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, QB_FALSE);
    while ((code = getopt_long(argc, argv, "", table, &index)) != -1) {
        if (code == OPT_HELP)
            return ctl_help(&ctl, 0, NULL);
        if (code == '?')
            return EXIT_USAGE;
        code = take_switch(&ctl, code, optarg);
        if (code)
            return code;
        given |= 1u << index;
    }
    argc -= optind;
    argv += optind;
    command = find_command(argc, argv, &used);
    if (!command)
        return ctl_error(EXIT_USAGE, "%s%s%s: expected a command; see halunctl help",
                         argc ? argv[0] : "nothing", argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    for (unsigned i = 0; i < SWITCHES; i++)
        if (given & 1u << i && !takes_switch(command, switches[i].name))
            return ctl_error(EXIT_USAGE, "halunctl %s takes no --%s", command->name,
                             switches[i].name);
    argc -= used;
    argv += used;
    if (argc < command->min || argc > command->max)
        return ctl_error(EXIT_USAGE, "expected halunctl %s%s%s", command->name,
                         *command->arguments ? " " : "", command->arguments);
    ctl.command = command;
    signal(SIGALRM, on_alarm);
    alarm(ctl.timeout_s + 2);
    code = command->run(&ctl, argc, argv);
    ctl_disconnect(&ctl);
    qb_log_fini();
    return code;
}
