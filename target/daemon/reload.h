/* Reading the configuration again while running. */
#ifndef HALUN_DAEMON_RELOAD_H
#define HALUN_DAEMON_RELOAD_H

#include <jansson.h>

struct daemon;

/* Loads and checks the file; what can change live is applied as a difference (hosts, LUN maps, login limits,
 * log level), anything else refuses the whole reload and the old configuration stays. A line for each
 * action is appended to `actions` (an array, or NULL). Returns 0, or -errno with a sentence in `why` (512
 * bytes). The old configuration is freed when nobody uses it any more. */
int daemon_reload(struct daemon *daemon, json_t *actions, char *why);
/* Frees what the last reload left; at the very end. */
void reload_done(struct daemon *daemon);

#endif
