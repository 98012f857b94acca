/* The login phase of a connection, and how it becomes a session (RFC 7143 6.3). */
#include <assert.h>
#include <errno.h>
#include <openssl/rand.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/iscsi/conn.h"
#include "target/iscsi/pdu.h"

static void send_reply(struct conn *conn, const struct login_reply *reply)
{
    struct control *control = control_own(conn);

    assert(control); /* requests are taken one at a time */
    memcpy(control->bhs, reply->bhs, ISCSI_BHS_LENGTH);
    control->data = reply->text;
    control->data_length = reply->length;
    control->status_sn = true;
    control->plain = true;
    tx_queue(conn, &control->item);
}

static void refuse(struct conn *conn, const char *why, struct login_reply *reply)
{
    unsigned class = reply->bhs[LOGIN_STATUS_CLASS], detail = reply->bhs[LOGIN_STATUS_DETAIL];

    /* Held logins are tried again and again; they are no news. */
    qb_log(class == LOGIN_SERVICE_UNAVAILABLE >> 8 ? LOG_DEBUG : LOG_NOTICE,
           "iscsi: login of \"%s\" (%s) refused with %02x%02xh: %s", conn->login->initiator,
           conn->nexus.peer_address, class, detail, why);
    send_reply(conn, reply);
    conn_end(conn, true, why);
}

/* The answer that ends the login phase; digests begin behind it. */
static void send_last(struct conn *conn)
{
    struct login *login = conn->login;
    struct control *control = control_own(conn);

    assert(control);
    memcpy(control->bhs, login->last.bhs, ISCSI_BHS_LENGTH);
    put_be16(control->bhs + LOGIN_TSIH, conn->nexus.tsih);
    control->data = login->last.text;
    control->data_length = login->last.length;
    control->plain = true;
    tx_queue(conn, &control->item);

    conn->digest_header = conn->send_header_digest = conn->session.parameters.header_digest;
    conn->digest_data = conn->send_data_digest = conn->session.parameters.data_digest;
    conn->state = CONN_FULL;
    conn->in_login = false;
    server_login_over(conn->home->server);
    conn->rx.stalled = true; /* what came behind the last request is parsed now */
    conn_watch_start(conn);
    qb_log(LOG_INFO, "iscsi: %s (%s) logged in to %s", conn->nexus.initiator_name,
           conn->nexus.peer_address, conn->discovery ? "discovery" : conn->nexus.target_name);
    conn_kick(conn);
}

static void joined(struct nexus *nexus)
{
    struct conn *conn = container_of(nexus, struct conn, nexus);

    if (conn->state == CONN_JOINING)
        send_last(conn);
}

static const struct nexus_transport transport = {
    .name = "iscsi",
    .drop = conn_drop,
};

static int join(struct conn *conn)
{
    struct nexus *nexus = &conn->nexus;
    struct login *login = conn->login;
    int rc;

    nexus->transport = &transport;
    nexus->reactor = conn->home->reactor;
    identity_from_iscsi(&nexus->identity, login->initiator, login->isid, conn->rtpi);
    nexus->tpgt = (uint16_t)conn->home->config->nodes[conn->home->config->self].id;
    snprintf(nexus->target_name, sizeof nexus->target_name, "%s", login->target.name);
    nexus->transport_data = conn;
    nexus->tsih = server_tsih_take(conn->home->server, login->initiator, login->isid, login->cid);
    if (!nexus->tsih)
        return -ENOSPC;
    conn->state = CONN_JOINING;
    conn->nexus_known = true;
    rc = nexus_add(nexus, joined);
    if (rc) {
        conn->nexus_known = false;
        conn->state = CONN_LOGIN;
    }
    return rc;
}

/* The last request was good: everything that full feature phase needs, then the answer. */
static void finish(struct conn *conn, struct login_reply *reply)
{
    struct login *login = conn->login;
    struct config_target *target = &login->target;
    uint16_t status = LOGIN_OUT_OF_RESOURCES;

    login_parameters(login, &conn->session.parameters);
    session_start(&conn->session, login->cmd_sn, login->stat_sn - 1);
    conn->discovery = login->discovery;
    conn->target = *target;
    conn->cid = login->cid;
    memcpy(conn->nexus.isid, login->isid, sizeof login->isid);
    login->last = *reply;
    if (conn_make_slots(conn, login->discovery ? CONN_DISCOVERY_DEPTH : target->queue_depth)) {
        login_refuse(login, LOGIN_OUT_OF_RESOURCES, "no memory", reply);
        refuse(conn, "no memory", reply);
        return;
    }
    if (login->discovery) {
        conn->nexus.tsih =
            server_tsih_take(conn->home->server, login->initiator, login->isid, login->cid);
        if (conn->nexus.tsih) {
            send_last(conn);
            return;
        }
    } else {
        int rc = join(conn);
        if (!rc)
            return;
        if (rc == -EACCES)
            status = LOGIN_AUTHORIZATION_FAILURE;
    }
    login_refuse(login, status, "no session can be added", reply);
    refuse(conn, "no session can be added", reply);
}

void conn_login_pdu(struct conn *conn, const uint8_t *bhs, const uint8_t *data, size_t length)
{
    const struct config *config = conn->home->config;
    struct login *login = conn->login;
    struct login_reply reply;
    struct login_world world = {
        .config = config,
        .available = server_available(conn->home->server),
        .tpgt = (uint16_t)config->nodes[config->self].id,
        .session_status = server_session_status,
        .context = conn->home->server,
    };

    if (pdu_opcode(bhs) != ISCSI_LOGIN_REQUEST) {
        conn_end(conn, false, "no login request");
        return;
    }
    if (RAND_bytes(world.random, sizeof world.random) != 1) {
        conn_end(conn, false, "no random bytes");
        return;
    }
    login_step(login, &world, bhs, data, length, &reply);
    if (login->initiator[0])
        memcpy(conn->nexus.initiator_name, login->initiator, sizeof login->initiator);
    /* 4.2.2.1: no window before full feature phase; the fields follow the login's CmdSN. */
    conn->session.stat_sn = login->stat_sn - 1;
    conn->session.exp_cmd_sn = login->cmd_sn;
    conn->session.max_cmd_sn = login->cmd_sn - 1;
    switch (login->phase) {
    case LOGIN_DONE:
        finish(conn, &reply);
        break;
    case LOGIN_FAILED:
        refuse(conn, login->why, &reply);
        break;
    default:
        send_reply(conn, &reply);
        break;
    }
}
