/* Hand-written cases: text files in tests/sim/stories. A line is a setting, or something that
 * happens at a time ("lost": nothing that was not synced is kept):
 *
 *   # the first comment says what the story shows
 *   nodes 2 | groups 1 | lus 1 | clients 2 | seconds 30 | hold_ms 20000 | seed N
 *   at MS power_cut N [lost] | power_on N | kill N | freeze N | stall N | thaw N | stop N | start N
 *   at MS cluster N FROM... | link N FROM... | heal
 *   at MS switch GROUP NODE | slow_disk N MS | full_disk N | bad_disk N | good_disk N | fencing MS FAILURES | break NEXUS
 *   at MS reload N | other_version N | enlarge LU MIB | resize GROUP NODE
 *   at MS order WORD GROUP NODE [-> done|refused]
 *   at MS NEXUS COMMAND ARGUMENT... [-> RESULT [value N]] [within MS]
 *
 * seed: whatever is drawn (delays of the networks, of a boot) is drawn from it instead of from --seed: what the story is
 * about happens there.
 * cluster and link: node N hears only these nodes any more (none: nobody). reload: all nodes get another halun.conf,
 * node N reloads it. other_version: it stops, and will speak the wire version before the newest, or the newest again.
 * enlarge: the files of a unit, on all nodes; resize: the owner is told. order: what an operator asks of a node by
 * halunctl, by the words of the table in stories.c.
 *
 * A nexus is a client (a letter) and a node: A1, B2. Times count from when all clients are logged
 * in and know it (their unit attentions are taken). Commands are those of the table in stories.c;
 * blocks are those of the workload, values numbers of the story's own. A result is GOOD or the name
 * of a row of sense.def, UA and ASC and ASCQ ("UA 2a05"), or lost; READ compares "value N"; what
 * other commands answer with the same value must be the same bytes. Without
 * "->" any explainable result will do. All checkers look on as well. */
#ifndef HALUN_TESTS_SIM_STORIES_H
#define HALUN_TESTS_SIM_STORIES_H

#include "tests/sim/sim.h"

/* Reads a story file. Returns 0, or -1 and a line in `why` that names file and line. One story at a
 * time; *story stays valid until the next is read. */
int story_read(const char *path, const struct sim_story **story, char *why, size_t why_size);

#endif
