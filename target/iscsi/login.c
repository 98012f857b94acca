#include "target/iscsi/login.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "target/iscsi/pdu.h"

/* Values of one step's keys that the stages look at. */
struct login_keys {
    const char *text[KEY_COUNT];
};

/* A status, and why for the log; 0 = go on. */
static uint16_t refuse(struct login *login, uint16_t status, const char *why)
{
    login->why = why;
    return status;
}

void login_init(struct login *login)
{
    memset(login, 0, offsetof(struct login, in));
    negotiation_init(&login->negotiation);
}

static void set_offers(struct negotiation *n, const struct config_target *target)
{
    static const uint32_t digests[] = {1, 3, 2}; /* none, offered, demanded -> allowed ones */

    n->ours[KEY_HEADER_DIGEST] = digests[target->header_digest < 3 ? target->header_digest : 0];
    n->ours[KEY_DATA_DIGEST] = digests[target->data_digest < 3 ? target->data_digest : 0];
    n->ours[KEY_INITIAL_R2T] = target->initial_r2t;
    n->ours[KEY_IMMEDIATE_DATA] = target->immediate_data;
    n->ours[KEY_MAX_BURST] = target->max_burst;
    n->ours[KEY_FIRST_BURST] =
        target->first_burst < target->max_burst ? target->first_burst : target->max_burst;
    n->ours[KEY_MAX_OUTSTANDING_R2T] = target->max_outstanding_r2t;
    /* Nothing is kept for a connection that broke (ErrorRecoveryLevel 0). */
    n->ours[KEY_TIME2RETAIN] = 0;
}

static const struct config_target *find_target(const struct config *config, const char *name)
{
    for (unsigned i = 0; i < config->target_count; i++)
        if (!strcasecmp(config->targets[i].name, name))
            return &config->targets[i];
    return NULL;
}

/* Values of a discovery session: those of the first target, so that an operator sees no third set.
 */
static void discovery_defaults(struct config_target *target, const struct config *config)
{
    memset(target, 0, sizeof *target);
    if (config->target_count)
        *target = config->targets[0];
    target->name[0] = 0;
    target->alias[0] = 0;
    if (target->header_digest > 1)
        target->header_digest = 1;
    if (target->data_digest > 1)
        target->data_digest = 1;
    if (!target->max_recv_data_segment)
        target->max_recv_data_segment = ISCSI_DEFAULT_DATA_SEGMENT;
}

/* Printable ASCII without blanks and commas (4.2.7.1; names with other characters, which RFC 3722 would
 * let in, are refused): it goes into logs, JSON and TransportIDs as it is. */
static bool good_name(const char *name)
{
    size_t length = 0;

    for (; name && name[length]; length++)
        if (name[length] <= ' ' || name[length] > '~' || name[length] == ',')
            return false;
    return length && length <= LIMIT_ISCSI_NAME;
}

/* The declarations of the first request (6.3, 11.12): who, whereto, what kind of session. */
static uint16_t identify(struct login *login, const struct login_world *world,
                         const struct login_keys *keys, struct writer *out)
{
    const char *initiator = keys->text[KEY_INITIATOR_NAME], *type = keys->text[KEY_SESSION_TYPE];
    const char *name = keys->text[KEY_TARGET_NAME];
    const struct config_target *target;
    const struct config_host *host;

    if (!initiator)
        return refuse(login, LOGIN_MISSING_PARAMETER, "no InitiatorName");
    if (!good_name(initiator))
        return refuse(login, LOGIN_INITIATOR_ERROR, "InitiatorName malformed");
    snprintf(login->initiator, sizeof login->initiator, "%s", initiator);
    if (type && !strcmp(type, "Discovery"))
        login->discovery = true;
    else if (type && strcmp(type, "Normal"))
        return refuse(login, LOGIN_SESSION_TYPE, "unknown SessionType");
    login->negotiation.discovery = login->discovery;
    if (!login->discovery && !name)
        return refuse(login, LOGIN_MISSING_PARAMETER, "no TargetName");
    if (!world->available)
        return refuse(login, LOGIN_SERVICE_UNAVAILABLE, "logins are held");

    host = config_host_for(world->config, login->initiator);
    if (!host)
        return refuse(login, LOGIN_AUTHORIZATION_FAILURE, "no host block for this initiator");
    login->proof = host->chap;
    login->mutual = host->chap_mutual;
    login->authenticated = !host->chap.secret[0];

    if (login->discovery) {
        discovery_defaults(&login->target, world->config);
    } else {
        target = find_target(world->config, name);
        if (!target)
            return refuse(login, LOGIN_NOT_FOUND, "no such target");
        login->target = *target;
        text_put_number(out, "TargetPortalGroupTag", world->tpgt);
        if (target->alias[0])
            text_put(out, "TargetAlias", target->alias);
    }
    set_offers(&login->negotiation, &login->target);
    if (login->tsih)
        return refuse(login,
                      world->session_status(world->context, login->initiator, login->isid,
                                            login->tsih, login->cid),
                      "one connection per session");
    return LOGIN_SUCCESS;
}

static uint16_t security_stage(struct login *login, const struct login_world *world,
                               const struct login_keys *keys, struct writer *out)
{
    const char *method = keys->text[KEY_AUTH_METHOD];
    const struct chap_keys chap = {keys->text[KEY_CHAP_A], keys->text[KEY_CHAP_I],
                                   keys->text[KEY_CHAP_C], keys->text[KEY_CHAP_N],
                                   keys->text[KEY_CHAP_R]};

    if (method) {
        const char *chosen = login->proof.secret[0] ? "CHAP" : "None";
        if (login->chap.state != CHAP_START)
            return refuse(login, LOGIN_INITIATOR_ERROR, "AuthMethod sent twice");
        if (!text_list_has(method, chosen))
            return refuse(login, LOGIN_AUTHENTICATION_FAILURE, "no common AuthMethod");
        text_put(out, "AuthMethod", chosen);
        return LOGIN_SUCCESS;
    }
    if (chap.a || chap.i || chap.c || chap.n || chap.r) {
        if (login->authenticated || !login->proof.secret[0])
            return refuse(login, LOGIN_AUTHENTICATION_FAILURE, "CHAP was not agreed on");
        if (chap_step(&login->chap, &login->proof, &login->mutual, &chap, world->random, out))
            return refuse(login, LOGIN_AUTHENTICATION_FAILURE, "CHAP failed");
        login->authenticated = login->chap.state == CHAP_DONE;
    }
    return LOGIN_SUCCESS;
}

/* Reads all pairs of a finished request (no C bit any more); unknown and misplaced ones are
 * answered at once. */
static uint16_t read_keys(struct login *login, struct login_keys *keys, struct writer *out)
{
    const char *data = (const char *)login->in;
    size_t left = login->in_used;
    struct text_pair pair;
    unsigned count = 0;
    int rc;

    while ((rc = text_next(&data, &left, &pair)) > 0) {
        const struct text_key_row *row;
        if (++count > TEXT_KEYS_LIMIT)
            return refuse(login, LOGIN_INITIATOR_ERROR, "too many keys");
        if (pair.key == KEY_UNKNOWN) {
            /* 6.1: an answer must not be answered, or both sides would go on for ever. */
            if (strcmp(pair.value, "NotUnderstood"))
                text_put(out, pair.name, "NotUnderstood");
            continue;
        }
        row = &text_keys[pair.key];
        if (row->flags & K_TARGET || pair.key == KEY_SEND_TARGETS)
            return refuse(login, LOGIN_INITIATOR_ERROR, "a key that does not belong here");
        if (keys->text[pair.key])
            return refuse(login, LOGIN_INITIATOR_ERROR, "a key sent twice");
        keys->text[pair.key] = pair.value;
        if (row->kind == KIND_SECURITY && login->stage != LOGIN_STAGE_SECURITY)
            return refuse(login, LOGIN_INITIATOR_ERROR, "a security key outside its stage");
        if (row->kind >= KIND_TEXT)
            continue;
        if (login->stage != LOGIN_STAGE_OPERATIONAL && row->kind != KIND_DECLARED)
            return refuse(login, LOGIN_INITIATOR_ERROR, "an operational key in the security stage");
    }
    return rc < 0 ? refuse(login, LOGIN_INITIATOR_ERROR, "malformed text") : LOGIN_SUCCESS;
}

/* After identify(): what is offered depends on the target. */
static uint16_t negotiate(struct login *login, const struct login_keys *keys)
{
    for (unsigned key = 0; key < KEY_COUNT; key++) {
        struct text_pair pair = {.key = key, .value = keys->text[key]};
        if (pair.value && text_keys[key].kind < KIND_TEXT &&
            negotiation_take(&login->negotiation, &pair))
            return refuse(login, LOGIN_INITIATOR_ERROR, "a key negotiated twice");
    }
    return LOGIN_SUCCESS;
}

static uint16_t operational_stage(struct login *login, bool transit, struct writer *out)
{
    const struct negotiation *n = &login->negotiation;

    if (!login->authenticated)
        return refuse(login, LOGIN_AUTHENTICATION_FAILURE, "authentication demanded");
    if (!login->target_declared) {
        login->target_declared = true;
        text_put_number(out, "MaxRecvDataSegmentLength", login->target.max_recv_data_segment);
    }
    if (negotiation_answer(&login->negotiation, out))
        return refuse(login, LOGIN_INITIATOR_ERROR, "FirstBurstLength above MaxBurstLength");
    if (transit && ((n->ours[KEY_HEADER_DIGEST] == 2 && !n->value[KEY_HEADER_DIGEST]) ||
                    (n->ours[KEY_DATA_DIGEST] == 2 && !n->value[KEY_DATA_DIGEST])))
        return refuse(login, LOGIN_INITIATOR_ERROR, "digests are demanded here");
    return LOGIN_SUCCESS;
}

/* Some initiators say their names again in a later stage; they must be the same. */
static bool renamed(const struct login *login, const struct login_keys *keys)
{
    const char *initiator = keys->text[KEY_INITIATOR_NAME], *target = keys->text[KEY_TARGET_NAME];
    const char *type = keys->text[KEY_SESSION_TYPE];

    return (initiator && strcmp(initiator, login->initiator)) ||
           (target && !login->discovery && strcasecmp(target, login->target.name)) ||
           (type && strcmp(type, login->discovery ? "Discovery" : "Normal"));
}

/* A request whose text is complete. */
static uint16_t whole_request(struct login *login, const struct login_world *world,
                              const uint8_t *bhs)
{
    struct login_keys keys = {0};
    struct writer out = {.data = login->out, .size = sizeof login->out};
    bool transit = bhs[BHS_FLAGS] & LOGIN_TRANSIT;
    uint16_t status = read_keys(login, &keys, &out);

    if (!status && login->phase == LOGIN_FIRST) {
        status = identify(login, world, &keys, &out);
        login->phase = LOGIN_ACTIVE;
    } else if (!status && renamed(login, &keys)) {
        status = refuse(login, LOGIN_INITIATOR_ERROR, "another name after the first request");
    }
    if (!status)
        status = negotiate(login, &keys);
    if (status)
        return status;
    if (login->stage == LOGIN_STAGE_SECURITY) {
        status = security_stage(login, world, &keys, &out);
        /* While CHAP goes on, the stage does; an initiator that leaves without it is refused. */
        if (!status && transit && !login->authenticated) {
            if (login->chap.state == CHAP_START && !keys.text[KEY_AUTH_METHOD])
                return refuse(login, LOGIN_AUTHENTICATION_FAILURE, "authentication demanded");
            transit = false;
        }
    } else {
        status = operational_stage(login, transit, &out);
    }
    if (!status && out.used > out.size)
        status = refuse(login, LOGIN_INITIATOR_ERROR, "the answer would be too long");
    login->out_used = out.used <= out.size ? out.used : 0;
    login->out_sent = 0;
    login->transit = transit;
    login->in_used = 0;
    return status;
}

/* The header of a request: versions, stages, what must not change (11.12). */
static uint16_t check_header(struct login *login, const uint8_t *bhs, size_t data_length)
{
    uint8_t flags = bhs[BHS_FLAGS];
    unsigned csg = flags >> LOGIN_CSG_SHIFT & LOGIN_STAGE_MASK, nsg = flags & LOGIN_STAGE_MASK;

    if (bhs[LOGIN_VERSION_MIN] > ISCSI_VERSION)
        return refuse(login, LOGIN_UNSUPPORTED_VERSION, "unsupported version");
    if (++login->requests > LOGIN_REQUESTS_LIMIT)
        return refuse(login, LOGIN_INITIATOR_ERROR, "too many login requests");
    if (csg > LOGIN_STAGE_OPERATIONAL || (flags & LOGIN_TRANSIT && flags & LOGIN_CONTINUE))
        return refuse(login, LOGIN_INITIATOR_ERROR, "bad stage or flags");
    if (flags & LOGIN_TRANSIT && (nsg <= csg || nsg == 2))
        return refuse(login, LOGIN_INITIATOR_ERROR, "bad next stage");
    if (pdu_ahs_length(bhs) || !pdu_immediate(bhs))
        return refuse(login, LOGIN_INITIATOR_ERROR, "malformed login header");
    if (data_length > sizeof login->in - login->in_used)
        return refuse(login, LOGIN_INITIATOR_ERROR, "too much text");
    if (login->requests == 1) {
        memcpy(login->isid, bhs + LOGIN_ISID, sizeof login->isid);
        login->tsih = get_be16(bhs + LOGIN_TSIH);
        login->cid = get_be16(bhs + LOGIN_CID);
        login->itt = get_be32(bhs + BHS_INITIATOR_TASK_TAG);
        login->cmd_sn = get_be32(bhs + BHS_CMD_SN);
        login->stat_sn = get_be32(bhs + BHS_EXP_STAT_SN);
        login->stage = csg;
        return LOGIN_SUCCESS;
    }
    if (memcmp(login->isid, bhs + LOGIN_ISID, sizeof login->isid) ||
        login->tsih != get_be16(bhs + LOGIN_TSIH) || login->cid != get_be16(bhs + LOGIN_CID) ||
        login->itt != get_be32(bhs + BHS_INITIATOR_TASK_TAG) || csg != login->stage)
        return refuse(login, LOGIN_INVALID_REQUEST, "login changed its identity or stage");
    return LOGIN_SUCCESS;
}

static void reply_header(struct login *login, const uint8_t *bhs, struct login_reply *reply)
{
    uint8_t *out = reply->bhs;

    pdu_init(out, ISCSI_LOGIN_RESPONSE, (uint8_t)(login->stage << LOGIN_CSG_SHIFT));
    out[LOGIN_VERSION_MAX] = ISCSI_VERSION;
    out[LOGIN_VERSION_ACTIVE] = ISCSI_VERSION;
    memcpy(out + LOGIN_ISID, bhs + LOGIN_ISID, LOGIN_ISID_LENGTH);
    put_be16(out + LOGIN_TSIH, get_be16(bhs + LOGIN_TSIH));
    memcpy(out + BHS_INITIATOR_TASK_TAG, bhs + BHS_INITIATOR_TASK_TAG, 4);
    put_be32(out + BHS_STAT_SN, login->stat_sn++);
    reply->text = NULL;
    reply->length = 0;
}

/* The next piece of the answer: C bit while more is left, T bit on the last one. */
static void reply_piece(struct login *login, struct login_reply *reply)
{
    size_t left = login->out_used - login->out_sent;
    size_t n = left < ISCSI_DEFAULT_DATA_SEGMENT ? left : ISCSI_DEFAULT_DATA_SEGMENT;

    reply->text = login->out + login->out_sent;
    reply->length = (uint32_t)n;
    put_be24(reply->bhs + BHS_DATA_SEGMENT_LENGTH, (uint32_t)n);
    login->out_sent += n;
    if (login->out_sent < login->out_used) {
        reply->bhs[BHS_FLAGS] |= LOGIN_CONTINUE;
        return;
    }
    login->out_used = login->out_sent = 0;
    if (!login->transit)
        return;
    reply->bhs[BHS_FLAGS] |= (uint8_t)(LOGIN_TRANSIT | login->next_stage);
    login->transit = false;
    login->stage = login->next_stage;
    if (login->stage == LOGIN_STAGE_FULL_FEATURE)
        login->phase = LOGIN_DONE;
}

void login_refuse(struct login *login, uint16_t status, const char *why, struct login_reply *reply)
{
    login->phase = LOGIN_FAILED;
    login->why = why;
    reply->bhs[BHS_FLAGS] = 0; /* 11.13.5: T must not be set with a status class other than 0 */
    reply->bhs[LOGIN_STATUS_CLASS] = (uint8_t)(status >> 8);
    reply->bhs[LOGIN_STATUS_DETAIL] = (uint8_t)status;
    put_be24(reply->bhs + BHS_DATA_SEGMENT_LENGTH, 0);
    reply->text = NULL;
    reply->length = 0;
}

void login_step(struct login *login, const struct login_world *world, const uint8_t *bhs,
                const uint8_t *data, size_t data_length, struct login_reply *reply)
{
    uint16_t status;

    assert(login->phase == LOGIN_FIRST || login->phase == LOGIN_ACTIVE);
    status = check_header(login, bhs, data_length);
    reply_header(login, bhs, reply);
    if (!status && login->out_used && (data_length || bhs[BHS_FLAGS] & LOGIN_CONTINUE))
        status = refuse(login, LOGIN_INITIATOR_ERROR, "text while the answer was not complete");
    if (status) {
        login_refuse(login, status, login->why, reply);
        return;
    }
    if (!login->out_used) {
        if (data_length)
            memcpy(login->in + login->in_used, data, data_length);
        login->in_used += data_length;
        if (bhs[BHS_FLAGS] & LOGIN_CONTINUE)
            return; /* an empty answer asks for the rest */
        if (bhs[BHS_FLAGS] & LOGIN_TRANSIT)
            login->next_stage = bhs[BHS_FLAGS] & LOGIN_STAGE_MASK;
        status = whole_request(login, world, bhs);
        if (status) {
            login_refuse(login, status, login->why, reply);
            return;
        }
    }
    reply_piece(login, reply);
}

void login_parameters(const struct login *login, struct session_parameters *p)
{
    const uint32_t *value = login->negotiation.value;

    p->header_digest = value[KEY_HEADER_DIGEST];
    p->data_digest = value[KEY_DATA_DIGEST];
    p->initial_r2t = value[KEY_INITIAL_R2T];
    p->immediate_data = value[KEY_IMMEDIATE_DATA];
    p->max_send_data = value[KEY_MAX_RECV_DATA_SEGMENT];
    /* Without a declaration (the operational stage was skipped) the default holds for both sides.
     */
    p->max_recv_data =
        login->target_declared ? login->target.max_recv_data_segment : ISCSI_DEFAULT_DATA_SEGMENT;
    p->max_burst = value[KEY_MAX_BURST];
    p->first_burst = value[KEY_FIRST_BURST];
    p->max_outstanding_r2t = value[KEY_MAX_OUTSTANDING_R2T];
    p->time2wait = value[KEY_TIME2WAIT];
    p->time2retain = value[KEY_TIME2RETAIN];
}
