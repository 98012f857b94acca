/* Reading the configuration again while running: an agreed step of all nodes.
 *
 *   the node that is asked: loads and checks its file, asks all members (cluster_consult) whether theirs says the same
 *   every member:           loads and checks its own, keeps it, answers
 *   all could use it:       CONFIGURATION is committed: every node installs it and acknowledges when all its nexuses have
 *                           the new LUN maps, and REPORTED LUNS DATA HAS CHANGED where they differ
 *
 * So when the asker is answered, no node shows the old maps any more. Control thread. */
#ifndef HALUN_DAEMON_RELOAD_H
#define HALUN_DAEMON_RELOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct daemon;

/* Ends a reload. `actions`: lines for each action (borrowed), NULL with an error; `why` is a sentence then. Errors:
 * -EINVAL and the like: refused, the old configuration stays everywhere; -EAGAIN, -EBUSY: not now; -ETIMEDOUT: not
 * known, it may still be applied. */
typedef void reload_end(void *context, int error, const char *why, json_t *actions);

/* What can change live is applied as a difference (hosts, LUN maps, login limits, log level), anything else refuses
 * the whole reload. With members of wire version 1 only this node changes, and the log says so. */
void daemon_reload(struct daemon *daemon, reload_end *end, void *context);

/* This node serves for the first time: asks the others whether initiators see the same there. A difference is an
 * alarm (reload_alarm()) until a reload. */
void reload_compare(struct daemon *daemon);
const char *reload_alarm(void);
/* Another node (or this one) asks whether this node could use the configuration with this digest. */
void reload_consulted(struct daemon *daemon, unsigned node, uint64_t number, const uint8_t digest[32]);
void reload_opinion(struct daemon *daemon, unsigned node, uint64_t number, bool good, const char *why);
/* It was agreed to use it: `done` when no nexus here has the old one. A node that cannot must not stay. */
void reload_agreed(struct daemon *daemon, const uint8_t digest[32], void (*done)(void *context),
                   void *context);
/* Frees what the last reload left; at the very end. */
void reload_done(struct daemon *daemon);

#endif
