/* The iSCSI target of one node: listeners, and the connections they lead to (RFC 7143).
 *
 * Order of use: reactors are initialised and have their payload pools -> iscsi_server_start()
 * (logins are held: the gate is closed) -> reactors run -> iscsi_server_gate(server, true) when
 * this node may serve
 * -> ... -> iscsi_server_stop(), its callback -> reactors are stopped. */
#ifndef HALUN_ISCSI_H
#define HALUN_ISCSI_H

#include <stdbool.h>

struct config;
struct iscsi_server;
struct reactor;

/* Listens on all portals of config->nodes[config->self]. Connections are spread over the reactors.
 * `config` must stay valid until iscsi_server_reload() or iscsi_server_stop() says otherwise; the
 * reactors until stop is done. The gate is closed. Control thread; reactors may run already or
 * later. Returns 0, or -errno with a sentence in `why` (256 bytes) and nothing left behind. */
int iscsi_server_start(struct iscsi_server **server, const struct config *config,
                       struct reactor **reactors, unsigned reactor_count, char *why);

/* Logins from now on see `config`; portals are opened and closed as it says; sessions whose target
 * is gone or whose initiator has no host block any more are dropped, other sessions stay as they
 * are. `done` is called on one of the reactors' threads when the old configuration is not used any
 * more (it should only post). One reload at a time. Control thread. Returns 0; or -errno with a
 * sentence in `why` (256 bytes) when a portal cannot be opened: then nothing has changed and `done`
 * is not called. */
int iscsi_server_reload(struct iscsi_server *server, const struct config *config,
                        void (*done)(void *context), void *context, char *why);

/* Closed: every login is answered 0301h, service unavailable, which initiators try again. Sessions
 * that exist stay. Any thread. */
void iscsi_server_gate(struct iscsi_server *server, bool open);

/* Closes listeners and drops all sessions. `done` is called on one of the reactors' threads when
 * every connection is gone and the last reactor has let go of the server; the server is freed with
 * iscsi_server_free() afterwards, which may be called in `done`. Control thread. */
void iscsi_server_stop(struct iscsi_server *server, void (*done)(void *context), void *context);
/* Frees a stopped server. */
void iscsi_server_free(struct iscsi_server *server);

#endif
