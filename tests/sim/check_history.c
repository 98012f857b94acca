/* The whole history of the run is linearizable against the sequential model, block by block, and
 * each unit attention was reported once. Notices when the cluster began anew, without what does not
 * survive that. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/history/history_json.h"
#include "tests/history/linearize.h"
#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

static uint64_t lost_at; /* nobody has the state since then; 0 = somebody has it */
static bool began;       /* somebody had it in this run */

/* By node: what it took for the members last, and the newest epoch in which another one goes on without it. */
static uint32_t members_of[LIMIT_NODES + 1];
static uint64_t left_behind[LIMIT_NODES + 1];

/* A member that the others have gone on without (it may stand still, and not know) has nothing that counts. */
static bool has_state(unsigned node)
{
    struct cluster_view view;

    return sim_running(node) && sim_view(node, &view) && view.joined && view.epoch >= left_behind[node];
}

static void note_members(unsigned node)
{
    const struct shared_state *state = sim_running(node) ? sim_shared(node) : NULL;
    struct cluster_view view;

    if (!state || state->members == members_of[node] || !sim_view(node, &view) || !view.joined)
        return;
    members_of[node] = state->members;
    for (unsigned i = 1; i <= sim_config()->nodes; i++)
        if (!(state->members & 1u << i) && view.epoch > left_behind[i])
            left_behind[i] = view.epoch;
}

static void begin(void)
{
    lost_at = 0;
    began = false;
    memset(members_of, 0, sizeof members_of);
    memset(left_behind, 0, sizeof left_behind);
}

/* The last one that had the state may have ended while another, which had taken it over, was just being admitted: what was
 * ordered before that end makes it a member, and nothing is lost. A cold start is alone, and counts from 0. */
static bool started_cold(unsigned node)
{
    const struct shared_state *state = sim_shared(node);

    if (state->members != 1u << node)
        return false;
    for (unsigned i = 0; i < state->lu_count; i++)
        if (state->lus[i].pr_generation)
            return false;
    return true;
}

static void event(unsigned node)
{
    if (!node)
        return;
    note_members(node);
    if ((began && !lost_at) || !has_state(node))
        return;
    if (lost_at && started_cold(node))
        history_cold_start(lost_at, sim_now());
    lost_at = 0;
    began = true;
}

static void ended(unsigned node)
{
    members_of[node] = 0;
    if (!began)
        return;
    for (unsigned i = 1; i <= sim_config()->nodes; i++)
        if (i != node && has_state(i))
            return;
    lost_at = sim_now();
    /* Who begins anew now counts on from the journals that are left, which need not have the epoch of who went on last. */
    for (unsigned i = 1; i <= sim_config()->nodes; i++)
        if (i == node || !sim_running(i))
            left_behind[i] = 0;
}

/* For halun-history: the environment names the file. */
static void save(void)
{
    const char *path = getenv("SIM_HISTORY");
    const struct history *history = record_history();
    FILE *file = path ? fopen(path, "we") : NULL;

    if (!file)
        return;
    history_write_head(history, file);
    for (size_t i = 0; i < history->count; i++)
        history_write_op(&history->ops[i], file);
    fclose(file);
}

static void quiet(void)
{
    static struct linearize_verdict verdict;
    struct linearize_options options = {0};

    save();
    linearize_all(record_history(), &options, &verdict);
    sim_count("operations recorded", record_history()->count);
    if (verdict.answer == LINEARIZE_NO)
        sim_fail("%s", verdict.why);
    sim_count(verdict.answer == LINEARIZE_UNDECIDED ? "histories undecided"
                                                    : "histories linearizable",
              1);
}

const struct sim_checker check_history = {
    .name = "history", .begin = begin, .event = event, .ended = ended, .quiet = quiet};
