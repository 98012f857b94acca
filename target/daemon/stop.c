/* Leaving: in an order in which nothing that was acknowledged can be lost and nobody has to be fenced.
 * Every step has the same time limit; a step that does not end in it ends the process as a crash would,
 * which the other nodes survive. */
#include <qb/qblog.h>
#include <stdlib.h>
#include <unistd.h>

#include "target/base/threads.h"
#include "target/daemon/daemon.h"
#include "target/daemon/log.h"
#include "target/iscsi/iscsi.h"
#include "target/transport/peer.h"

enum { LIMIT_S = 20 };

static unsigned giving_up;

static void left(void *data)
{
    struct daemon *daemon = data;

    cluster_stop(daemon->cluster);
    daemon->cluster = NULL;
    qb_loop_stop(daemon->loop);
}

static void units_closed(struct daemon *daemon)
{
    /* From the loop, not from inside a callback of the cluster. */
    qb_loop_job_add(daemon->loop, QB_LOOP_MED, daemon, left);
}

static void peers_cut(void *context)
{
    units_close(context, units_closed);
}

static struct post sessions_post;

static void at_control_sessions_ended(struct post *post)
{
    iscsi_server_free(halund.iscsi);
    halund.iscsi = NULL;
    peer_stop(peers_cut, &halund);
}

/* On a reactor. */
static void sessions_ended(void *context)
{
    sessions_post.run = at_control_sessions_ended;
    control_post(&sessions_post);
}

static void given_up(void *context, int error, const char *why)
{
    struct daemon *daemon = context;

    if (--giving_up)
        return;
    iscsi_server_stop(daemon->iscsi, sessions_ended, daemon);
}

static void late(void *data)
{
    struct daemon *daemon = data;

    qb_log(LOG_CRIT, "stopping took longer than %d s: ending without", LIMIT_S);
    log_blackbox(daemon->config->run_dir);
    _exit(4);
}

void daemon_stop(struct daemon *daemon, int exit_status)
{
    if (exit_status) {
        /* Something is wrong with this node's view of the world: nothing may be answered or written any
         * more, not even a farewell that has begun. */
        log_blackbox(daemon->config->run_dir);
        log_stop(); /* prints what the log thread still has */
        _exit(exit_status);
    }
    if (daemon->stopping)
        return;
    daemon->stopping = true;
    qb_log(LOG_NOTICE, "stopping");
    qb_loop_timer_add(daemon->loop, QB_LOOP_HIGH, LIMIT_S * 1000000000ull, daemon, late, NULL);
    iscsi_server_gate(daemon->iscsi, false);
    giving_up = 1;
    for (unsigned i = 0; i < daemon->config->group_count; i++) {
        giving_up++;
        group_demote(&daemon->groups[i], false, LIMIT_S * 500, given_up, daemon);
    }
    given_up(daemon, 0, "");
}
