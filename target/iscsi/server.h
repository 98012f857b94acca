/* Private to target/iscsi: what connections share. */
#ifndef HALUN_ISCSI_SERVER_H
#define HALUN_ISCSI_SERVER_H

#include <qb/qblist.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config/config.h"
#include "target/base/reactor.h"

enum {
    SERVER_LOGINS = 512,       /* connections in the login phase; more are closed at once */
    SERVER_CONNECTIONS = 4096, /* connections of a node */
};

/* One reactor's part of the server; touched by that reactor alone, so no cache line is two reactors'. */
struct iscsi_home {
    struct iscsi_server *server;
    struct reactor *reactor;
    const struct config *config;
    struct qb_list_head conns; /* struct conn.link */
    struct qb_list_head free_slots, slot_chunks; /* conn_slots.c */
    unsigned slots_made, slots_touched, slots_reserved;
    bool stopping;
    bool reported; /* this reactor has told that nothing is left */
    struct post post;
} __attribute__((aligned(64)));

/* A session handle for this initiator port, unique among the sessions of the node; 0 = none free.
 */
uint16_t server_tsih_take(struct iscsi_server *server, const char *initiator, const uint8_t isid[6],
                          uint16_t cid);
void server_tsih_release(struct iscsi_server *server, uint16_t tsih);
/* For a login with TSIH != 0; see struct login_world. `context` is the server. */
uint16_t server_session_status(void *context, const char *initiator, const uint8_t isid[6],
                               uint16_t tsih, uint16_t cid);
bool server_available(const struct iscsi_server *server);
/* A connection left the login phase, or ended in it. */
void server_login_over(struct iscsi_server *server);
/* A connection was freed. */
void server_conn_gone(struct iscsi_home *home);

#endif
