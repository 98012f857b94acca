/* Inside halunctl: what its files share. One process, one thread, one command. */
#ifndef HALUN_CONFIG_CTL_H
#define HALUN_CONFIG_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { /* exit codes, halunctl(8) */
       EXIT_OK = 0,
       EXIT_FAILED = 1,
       EXIT_USAGE = 2,
       EXIT_NOT_RUNNING = 3,
       EXIT_REFUSED = 4,
       EXIT_TIMEOUT = 5,
       EXIT_ALARM = 7,
       CTL_AGAIN = 6, /* inside only: the daemon says "not at this moment" */
};

struct ctl_client;

struct ctl_command;

struct ctl {
    /* options of the command line */
    const char *run_dir, *node, *resource, *get;
    bool json, force, skip_sync, wait, handover, roff;
    unsigned timeout_s;
    bool discard_my_data, peer, assume_clean, now, statistics, timestamps, builtin;
    const struct ctl_command *command;
    struct ctl_client *client; /* opened at the first call */
};

struct ctl_command {
    const char *name; /* one or two words */
    const char *arguments, *options, *help;
    int min, max; /* arguments */
    int (*run)(struct ctl *ctl, int count, char **arguments);
};
extern const struct ctl_command ctl_commands[];
extern const unsigned ctl_command_count;

/* client.c. Carries a method out; `arguments` is taken over (NULL = none). Returns 0 and the result
 * (an object of the caller) in *result, or an exit code (or CTL_AGAIN), with a line on stderr
 * unless `quiet`. */
int ctl_call(struct ctl *ctl, const char *method, json_t *arguments, json_t **result, bool quiet);
void ctl_disconnect(struct ctl *ctl);
/* One line "halunctl: ..." on stderr; returns `code`. */
int ctl_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints JSON on stdout. Returns EXIT_OK. */
int ctl_print_json(json_t *json);
/* Milliseconds of CLOCK_MONOTONIC. */
long ctl_now_ms(void);

/* run.c. Runs a program (searched in PATH) with stdin from /dev/null; up to size - 1 bytes of its
 * stdout go to `out`. Returns its exit status, or -1 when it could not be run. */
int ctl_run(const char *const *argv, char *out, size_t size);

/* state.c: questions about a reply of `status`. Pure. */
json_t *ctl_find_group(json_t *status, const char *group);
bool ctl_promoted(json_t *status, json_t *group); /* this node is the owner, and not demoted */
bool ctl_current(json_t *status, json_t *group);  /* this node's copy is current */
/* Promotion score of this node for Pacemaker: a number, or -1 = must not be promoted. */
int ctl_score(json_t *status, json_t *group);
/* Calls, with --wait again and again while the daemon says "not at this moment". Takes over arguments;
 * returns an exit code. */
int ctl_call_patiently(struct ctl *ctl, const char *method, json_t *arguments);
/* Is `condition` true? `status` NULL: the daemon does not run. 1 yes, 0 no, -1 unknown condition.
 */
int ctl_condition(json_t *status, const char *condition, const char *group);

/* The commands, by file: show.c, metrics.c, group.c, wait.c, local.c, drbd.c */
int ctl_status(struct ctl *ctl, int count, char **arguments);
int ctl_sessions(struct ctl *ctl, int count, char **arguments);
int ctl_metrics(struct ctl *ctl, int count, char **arguments);
int ctl_top(struct ctl *ctl, int count, char **arguments);
int ctl_pr(struct ctl *ctl, int count, char **arguments);
int ctl_lu_resize(struct ctl *ctl, int count, char **arguments);
int ctl_replica(struct ctl *ctl, int count, char **arguments);
int ctl_replica_order(struct ctl *ctl, int count, char **arguments);
int ctl_replica_events(struct ctl *ctl, int count, char **arguments);
int ctl_group_list(struct ctl *ctl, int count, char **arguments);
int ctl_group_switch(struct ctl *ctl, int count, char **arguments);
int ctl_group_promote(struct ctl *ctl, int count, char **arguments);
int ctl_group_demote(struct ctl *ctl, int count, char **arguments);
int ctl_group_init(struct ctl *ctl, int count, char **arguments);
int ctl_group_make_current(struct ctl *ctl, int count, char **arguments);
int ctl_group_alone(struct ctl *ctl, int count, char **arguments);
int ctl_group_role(struct ctl *ctl, int count, char **arguments);
int ctl_group_score(struct ctl *ctl, int count, char **arguments);
int ctl_wait(struct ctl *ctl, int count, char **arguments);
int ctl_check_config(struct ctl *ctl, int count, char **arguments);
int ctl_import_drbd(struct ctl *ctl, int count, char **arguments);
int ctl_reload(struct ctl *ctl, int count, char **arguments);
int ctl_force_start(struct ctl *ctl, int count, char **arguments);
int ctl_shutdown(struct ctl *ctl, int count, char **arguments);
int ctl_log_level(struct ctl *ctl, int count, char **arguments);
int ctl_version(struct ctl *ctl, int count, char **arguments);
int ctl_help(struct ctl *ctl, int count, char **arguments);

#endif
