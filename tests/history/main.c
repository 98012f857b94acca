/* halun-history: checks recorded histories. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/history/history_json.h"
#include "tests/history/linearize.h"

enum { EXIT_LINEARIZABLE, EXIT_NOT, EXIT_USAGE, EXIT_UNDECIDED };

static const char help[] =
    "Usage: halun-history check [OPTION]... FILE...\n"
    "Is each history linearizable against the sequential model of a logical unit (SPC-4 5.12, "
    "SPC-2 5.5.1)?\n"
    "\n"
    "  -u, --unknown SECONDS  an operation without a known outcome has no effect later than this "
    "after its call\n"
    "                         (default: it may have one for ever, or until its \"until\")\n"
    "  -s, --statistics       print what was checked\n"
    "  -h, --help             this text\n"
    "\n"
    "Exit status: 0 all are, 1 one is not (the shortest prefix that is not, and what was expected, "
    "is printed),\n"
    "2 usage or a bad file, 3 undecided (too many operations of unknown outcome).\n"
    "\n"
    "A history is JSON lines. The first is the head:\n"
    "  {\"halun_history\":1,\"initiators\":3,\"ports\":2,\"lus\":1,\"ua_free\":[\"2a06\"]}\n"
    "A nexus is numbered initiator * ports + port, all from 0. Unit attentions in \"ua_free\" (ASC "
    "and ASCQ) may\n"
    "come at any time. Then one line for each operation, in any order:\n"
    "  {\"op\":\"pr_out\",\"lu\":0,\"nexus\":2,\"call\":1000,\"end\":2000,\"result\":\"GOOD\",\n"
    "   \"action\":\"preempt\",\"key\":\"0xa\",\"action_key\":\"0xb\",\"type\":5}\n"
    "call, end    nanoseconds of one monotonic clock for all operations\n"
    "result       the name of a row of target/command/sense.def, or GOOD; absent: no answer came. "
    "A UNIT_ATTENTION has\n"
    "             \"ua\":\"2a03\". No answer, TASK_ABORTED, NOT_READY_TRANSITION and failures "
    "leave the effect open.\n"
    "until        an open effect does not come later than this\n"
    "lu           default 0; \"all\" for cold_start, nexus_loss and target resets\n"
    "no_ua        true: a command that reports no unit attention\n"
    "op, with its fields and those of its answer:\n"
    "  pr_out            action (register, reserve, release, clear, preempt, preempt_and_abort,\n"
    "                    register_and_ignore, register_and_move), key, action_key, type, scope, "
    "aptpl,\n"
    "                    all_tg_pt, spec_i_pt (a list of initiators), move_to (a nexus), unreg\n"
    "  read_keys         generation, keys\n"
    "  read_reservation  generation, type (0: no reservation), key\n"
    "  read_full_status  generation, type, registrations: "
    "[{\"nexus\":0,\"key\":\"0xa\",\"holder\":true}]\n"
    "  reserve, release  RESERVE and RELEASE (6) and (10)\n"
    "  read, write       block and value, both or neither; a value is written once, 0 was there "
    "before\n"
    "  compare_and_write the same and compare, the value that was expected\n"
    "  mode_select, mode_sense  wce (caching page), or swp, d_sense and tas (control page), as 0 "
    "and 1\n"
    "  command           any other command (unit attentions)\n"
    "  login             a session begins, \"lu\":\"all\", result GOOD: from the first on, every "
    "command of the nexus must\n"
    "                    be here, and its unit attentions are checked\n"
    "  attention         ua: something established it between call and end, for all nexuses or for "
    "\"nexus\"\n"
    "  lu_reset          LOGICAL UNIT RESET, or a target reset (\"lu\":\"all\")\n"
    "  nexus_loss        the nexus ended; without a result, as nobody answers that\n"
    "  cold_start        power was cut everywhere between call (before the last node lost it) and "
    "end (the first\n"
    "                    came back); result GOOD\n"
    "  cache_loss        no copy of the unit was left that had all that was acknowledged, since "
    "power was cut: blocks\n"
    "                    may hold anything; result GOOD\n";

static struct linearize_options options;
static bool statistics;

static int answer_to_exit(const struct linearize_verdict *verdict)
{
    return verdict->answer == LINEARIZE_YES  ? EXIT_LINEARIZABLE
           : verdict->answer == LINEARIZE_NO ? EXIT_NOT
                                             : EXIT_UNDECIDED;
}

static int check_file(const char *path)
{
    struct history history;
    struct linearize_verdict verdict;
    char why[256];
    FILE *file = fopen(path, "re");

    if (!file) {
        fprintf(stderr, "halun-history: %s: %s\n", path, strerror(errno));
        return EXIT_USAGE;
    }
    if (history_read(&history, file, why, sizeof why)) {
        fprintf(stderr, "halun-history: %s: %s\n", path, why);
        fclose(file);
        return EXIT_USAGE;
    }
    fclose(file);
    linearize_all(&history, &options, &verdict);
    if (verdict.answer != LINEARIZE_YES)
        printf("%s: %s", path, verdict.why);
    if (statistics)
        printf("%s: %zu operations, %zu in all views, %zu states explored, at most %zu at a time\n",
               path, history.count, verdict.operations, verdict.explored,
               verdict.configurations_most);
    history_free(&history);
    return answer_to_exit(&verdict);
}

static int usage(const char *why, const char *what)
{
    fprintf(stderr, "halun-history: %s%s (see halun-history --help)\n", why, what);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"unknown", required_argument, NULL, 'u'},
        {"statistics", no_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, status = EXIT_LINEARIZABLE;

    while ((option = getopt_long(argc, argv, "u:sh", long_options, NULL)) != -1) {
        char *end;
        double seconds;

        switch (option) {
        case 'u':
            seconds = strtod(optarg, &end);
            if (*end || end == optarg || !(seconds > 0 && seconds < 1e9))
                return usage("--unknown: expected seconds, not ", optarg);
            options.unknown_ns = (uint64_t)(seconds * 1e9);
            break;
        case 's':
            statistics = true;
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_LINEARIZABLE;
        default:
            return EXIT_USAGE;
        }
    }
    if (optind >= argc || strcmp(argv[optind], "check"))
        return usage("expected the word ", "check");
    if (++optind == argc)
        return usage("expected a file", "");
    for (; optind < argc; optind++) {
        int one = check_file(argv[optind]);
        if (one == EXIT_USAGE)
            return one;
        if (one == EXIT_NOT || status == EXIT_LINEARIZABLE)
            status = one;
    }
    return status;
}
