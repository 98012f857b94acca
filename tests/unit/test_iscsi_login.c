/* The login phase without a connection: text, negotiation of every key, CHAP, stages, SendTargets.
 * Not covered: timeouts and sockets (test_iscsi_conn). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/iscsi/login.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/sendtargets.h"

#define TARGET "iqn.2026-01.example.halun:disk"

static struct config config;
static struct config_target target;
static struct config_node node;
static struct config_host host;
static char names[1][LIMIT_ISCSI_NAME + 1] = {"iqn.i"};
static struct login login;
static struct login_reply reply;
static struct login_world world;
static uint32_t itt;

const struct config_host *config_host_for(const struct config *c, const char *initiator)
{
    return !strcmp(c->hosts[0].initiators[0], initiator) ? &c->hosts[0] : NULL;
}

static uint16_t session_status(void *context, const char *initiator, const uint8_t isid[6],
                               uint16_t tsih, uint16_t cid)
{
    return LOGIN_NO_SESSION;
}

static int setup(void **state)
{
    memset(&target, 0, sizeof target);
    memset(&host, 0, sizeof host);
    memset(&node, 0, sizeof node);
    snprintf(target.name, sizeof target.name, TARGET);
    snprintf(target.alias, sizeof target.alias, "alias");
    target.max_recv_data_segment = 262144;
    target.first_burst = 262144;
    target.max_burst = 1048576;
    target.max_outstanding_r2t = 8;
    target.immediate_data = true;
    target.header_digest = target.data_digest = 1;
    node.id = 2;
    host.initiators = names;
    host.initiator_count = 1;
    config = (struct config){.nodes = &node,
                             .targets = &target,
                             .hosts = &host,
                             .node_count = 1,
                             .target_count = 1,
                             .host_count = 1};
    world = (struct login_world){
        .config = &config, .available = true, .tpgt = 2, .session_status = session_status};
    for (unsigned i = 0; i < CHAP_RANDOM; i++)
        world.random[i] = (uint8_t)(i + 1);
    login_init(&login);
    itt = 5;
    return 0;
}

/* `text`: pairs, each with its NUL, `n` bytes. Returns the status. */
static uint16_t step(uint8_t flags, const char *text, size_t n)
{
    uint8_t bhs[ISCSI_BHS_LENGTH];

    pdu_init(bhs, ISCSI_LOGIN_REQUEST | BHS_OPCODE_IMMEDIATE, flags);
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, itt);
    put_be32(bhs + BHS_CMD_SN, 77);
    put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, (uint32_t)n);
    login_step(&login, &world, bhs, (const uint8_t *)text, n, &reply);
    return get_be16(reply.bhs + LOGIN_STATUS_CLASS);
}
#define STEP(flags, text) step(flags, text "", sizeof(text))
#define WHO               "InitiatorName=iqn.i\0TargetName=" TARGET "\0"

static const char *value_of(const char *key)
{
    const char *data = (const char *)reply.text;
    size_t left = reply.length;
    static struct text_pair pair;

    while (text_next(&data, &left, &pair) > 0)
        if (!strcmp(pair.name, key))
            return pair.value;
    return NULL;
}

static void expect_answer(const char *key, const char *value)
{
    const char *got = value_of(key);

    if (!value) {
        assert_null(got);
        return;
    }
    if (!got || strcmp(got, value))
        fail_msg("%s: %s instead of %s", key, got ? got : "nothing", value);
}

/* One request with one operational key; returns what is answered. */
static const char *offer(const char *key, const char *value)
{
    char text[512];
    int n = snprintf(text, sizeof text, "InitiatorName=iqn.i%cTargetName=" TARGET "%c%s=%s", 0, 0,
                     key, value) +
            1;

    login_init(&login);
    assert_int_equal(step(0x87, text, (size_t)n), 0);
    assert_int_equal(login.phase, LOGIN_DONE);
    return value_of(key);
}

static void key_when_offered_then_answered_by_its_rule(void **state)
{
    static const struct {
        const char *key, *offer, *answer;
    } cases[] = {
        {"HeaderDigest", "None", "None"},
        {"HeaderDigest", "CRC32C,None", "CRC32C"},
        {"HeaderDigest", "None,CRC32C", "None"},
        {"HeaderDigest", "X-odd,CRC32C", "CRC32C"},
        {"DataDigest", "X-odd", "Reject"},
        {"DataDigest", "", "Reject"},
        {"MaxConnections", "65535", "1"},
        {"MaxConnections", "0", "Reject"},
        {"InitialR2T", "No", "No"},
        {"InitialR2T", "Yes", "Yes"},
        {"InitialR2T", "yes", "Reject"},
        {"ImmediateData", "Yes", "Yes"},
        {"ImmediateData", "No", "No"},
        {"MaxRecvDataSegmentLength", "65536", "262144"},
        {"MaxBurstLength", "512", "512"},
        {"MaxBurstLength", "16777215", "1048576"},
        {"MaxBurstLength", "0x10000", "65536"},
        {"MaxBurstLength", "511", "Reject"},
        {"MaxBurstLength", "16777216", "Reject"},
        {"MaxBurstLength", "12z", "Reject"},
        {"FirstBurstLength", "65536", "65536"},
        {"FirstBurstLength", "1048576", "262144"},
        {"DefaultTime2Wait", "0", "2"},
        {"DefaultTime2Wait", "3600", "3600"},
        {"DefaultTime2Wait", "3601", "Reject"},
        {"DefaultTime2Retain", "20", "0"},
        {"MaxOutstandingR2T", "1", "1"},
        {"MaxOutstandingR2T", "65535", "8"},
        {"DataPDUInOrder", "No", "Yes"},
        {"DataSequenceInOrder", "No", "Yes"},
        {"ErrorRecoveryLevel", "2", "0"},
        {"ErrorRecoveryLevel", "3", "Reject"},
        {"iSCSIProtocolLevel", "2", "1"},
        {"TaskReporting", "FastAbort,RFC3720", "RFC3720"},
        {"TaskReporting", "FastAbort", "Reject"},
        {"IFMarker", "Yes", "No"},
        {"OFMarkInt", "2048", "Reject"},
        {"X-com.vendor.key", "1", "NotUnderstood"},
        {"X-com.vendor.key", "NotUnderstood", NULL},
        {"InitiatorAlias", "me", NULL},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        offer(cases[i].key, cases[i].offer);
        expect_answer(cases[i].key, cases[i].answer);
        expect_answer("TargetPortalGroupTag", "2");
        expect_answer("TargetAlias", "alias");
    }
}

static void key_when_sent_twice_or_out_of_place_then_initiator_error(void **state)
{
    static const char *const bad[] = {"MaxBurstLength=512\0MaxBurstLength=512", "TargetAlias=x\0",
                                      "SendTargets=All\0", "AuthMethod=None\0", "CHAP_A=5\0"};
    char text[256] = "InitiatorName=iqn.i\0TargetName=" TARGET;
    size_t head = sizeof "InitiatorName=iqn.i" + sizeof "TargetName=" TARGET;

    for (unsigned i = 0; i < 5; i++) {
        size_t n = i ? strlen(bad[i]) + 1 : 38;
        setup(NULL);
        memcpy(text + head, bad[i], n);
        assert_int_equal(step(0x87, text, head + n), LOGIN_INITIATOR_ERROR);
        assert_int_equal(login.phase, LOGIN_FAILED);
        assert_int_equal(reply.bhs[1], 0);
    }
    setup(NULL);
    assert_int_equal(STEP(0x04, WHO "MaxBurstLength=512"), 0); /* stays in the stage */
    assert_int_equal(STEP(0x87, "MaxBurstLength=512"), LOGIN_INITIATOR_ERROR);
}

static void bursts_when_first_exceeds_max_then_settled_after_the_last_key(void **state)
{
    assert_int_equal(STEP(0x87, WHO "FirstBurstLength=131072\0MaxBurstLength=65536"), 0);
    expect_answer("FirstBurstLength", "65536");
    expect_answer("MaxBurstLength", "65536");
    setup(NULL);
    assert_int_equal(STEP(0x04, WHO "FirstBurstLength=131072"), 0);
    assert_int_equal(STEP(0x87, "MaxBurstLength=65536"), LOGIN_INITIATOR_ERROR);
    setup(NULL);
    assert_int_equal(STEP(0x04, WHO "MaxBurstLength=65536"), 0);
    assert_int_equal(STEP(0x87, "FirstBurstLength=131072"), 0);
    expect_answer("FirstBurstLength", "65536");
}

static void digest_when_demanded_then_login_needs_it(void **state)
{
    target.data_digest = 2;
    assert_int_equal(STEP(0x87, WHO "DataDigest=None"), LOGIN_INITIATOR_ERROR);
    login_init(&login);
    assert_int_equal(STEP(0x87, WHO), LOGIN_INITIATOR_ERROR);
    login_init(&login);
    assert_int_equal(STEP(0x87, WHO "DataDigest=None,CRC32C"), 0);
    expect_answer("DataDigest", "CRC32C");
}

static void discovery_when_normal_keys_then_irrelevant(void **state)
{
    assert_int_equal(STEP(0x87, "InitiatorName=iqn.i\0SessionType=Discovery\0"
                                "InitialR2T=No\0MaxBurstLength=1\0HeaderDigest=None"),
                     0);
    expect_answer("InitialR2T", "Irrelevant");
    expect_answer("MaxBurstLength", "Irrelevant");
    expect_answer("HeaderDigest", "None");
    expect_answer("TargetPortalGroupTag", NULL);
    assert_true(login.discovery);
}

static void parameters_when_operational_stage_is_skipped_then_defaults(void **state)
{
    struct session_parameters p;

    assert_int_equal(STEP(0x83, WHO "AuthMethod=None"), 0); /* security -> full feature */
    assert_int_equal(login.phase, LOGIN_DONE);
    login_parameters(&login, &p);
    assert_int_equal(p.max_recv_data, 8192);
    assert_int_equal(p.max_send_data, 8192);
    assert_int_equal(p.max_burst, 262144);
    assert_int_equal(p.first_burst, 65536);
    assert_int_equal(p.max_outstanding_r2t, 1);
    assert_true(p.initial_r2t && p.immediate_data && !p.header_digest && !p.data_digest);
}

static void header_when_wrong_then_refused(void **state)
{
    static const struct {
        uint8_t flags;
        uint16_t status;
    } cases[] = {
        {0x84, 0x0200},                 /* next stage before this one */
        {0x85, 0x0200},                 /* the same stage */
        {0x86, 0x0200},                 /* stage 2 is reserved */
        {0x88, 0x0200}, {0x0c, 0x0200}, /* stages that a request cannot be in */
        {0xc7, 0x0200},                 /* T and C */
        {0x87, 0x0000}, {0x81, 0x0000}, {0x83, 0x0000},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        login_init(&login);
        assert_int_equal(STEP(cases[i].flags, WHO), cases[i].status);
    }
    login_init(&login);
    assert_int_equal(STEP(0x04, WHO), 0);
    itt++; /* another task tag in the middle */
    assert_int_equal(STEP(0x04, ""), LOGIN_INVALID_REQUEST);
    login_init(&login);
    assert_int_equal(STEP(0x04, WHO), 0);
    assert_int_equal(STEP(0x04, "InitiatorName=iqn.i"), 0); /* the same again is tolerated */
    assert_int_equal(STEP(0x04, "InitiatorName=iqn.other"), LOGIN_INITIATOR_ERROR);
    login_init(&login);
    for (unsigned i = 0; i < LOGIN_REQUESTS_LIMIT; i++)
        assert_int_equal(i ? STEP(0x04, "") : STEP(0x04, WHO), 0);
    assert_int_equal(STEP(0x04, ""), LOGIN_INITIATOR_ERROR);
}

static void text_when_continued_then_is_read_as_one(void **state)
{
    static char many[16000];
    uint32_t got = 0, pieces = 0;
    size_t n = 0;

    assert_int_equal(step(0x44, "InitiatorName=iqn", 17), 0);
    assert_int_equal(reply.length, 0);
    assert_int_equal(reply.bhs[1], 0x04);
    assert_int_equal(step(0x44, ".i\0TargetName=", 14), 0);
    assert_int_equal(step(0x87, TARGET, sizeof TARGET), 0);
    assert_int_equal(login.phase, LOGIN_DONE);

    setup(NULL);
    n = sizeof WHO - 1;
    memcpy(many, WHO, n);
    for (unsigned i = 0; i < 200; i++) /* answers longer than one PDU */
        n += (size_t)snprintf(many + n, sizeof many - n, "X-%050u=1", i) + 1;
    assert_int_equal(step(0x44, many, 8000), 0);
    assert_int_equal(step(0x87, many + 8000, n - 8000), 0);
    for (;; pieces++) {
        got += reply.length;
        assert_true(reply.length <= 8192);
        if (!(reply.bhs[1] & LOGIN_CONTINUE))
            break;
        assert_int_equal(reply.bhs[1] & LOGIN_TRANSIT, 0);
        assert_int_equal(step(0x04, "", 0), 0);
    }
    assert_true(got > 200 * 60 && pieces == 1);
    assert_int_equal(reply.bhs[1], 0x87);

    setup(NULL);
    memset(many, 'x', sizeof many);
    assert_int_equal(step(0x44, many, 8192), 0);
    assert_int_equal(step(0x44, many, 8192), 0);
    assert_int_equal(step(0x44, many, 1), LOGIN_INITIATOR_ERROR);
}

static void text_when_malformed_then_initiator_error(void **state)
{
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {{"A", 2}, {"=x", 3}, {"A=1", 3}, {"A B=1", 6}, {"\xff=1", 4}};
    static char longest[80];

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup(NULL);
        assert_int_equal(step(0x87, cases[i].text, cases[i].n), LOGIN_INITIATOR_ERROR);
    }
    memset(longest, 'A', 64);
    memcpy(longest + 64, "=1", 3);
    setup(NULL);
    assert_int_equal(step(0x87, longest, 67), LOGIN_INITIATOR_ERROR);
}

/* Such a name would go into logs, JSON and TransportIDs as it is. */
static void name_when_not_printable_then_initiator_error(void **state)
{
    static const char *const bad[] = {"iqn.2026-11.a\nb:c", "iqn.2026-11.a b", "iqn.2026-11.a,b",
                                        "iqn.2026-11.a\x7f", "iqn.2026-11.\xc3\xa4", ""};
    char text[128];

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        int n = snprintf(text, sizeof text, "InitiatorName=%s", bad[i]);
        setup(NULL);
        assert_int_equal(step(0x87, text, (size_t)n + 1), LOGIN_INITIATOR_ERROR);
    }
}

/* ---- CHAP ---- */

static void demand_chap(bool mutual)
{
    snprintf(host.chap.user, sizeof host.chap.user, "user");
    snprintf(host.chap.secret, sizeof host.chap.secret, "a secret of some length");
    if (mutual) {
        snprintf(host.chap_mutual.user, sizeof host.chap_mutual.user, "array");
        snprintf(host.chap_mutual.secret, sizeof host.chap_mutual.secret, "another secret");
    }
}

static size_t chap_answer(char *text, size_t size, const char *algorithm, const char *secret,
                          bool base64)
{
    uint8_t challenge[64], digest[CHAP_DIGEST_MAX];
    uint32_t id;
    int length = text_binary(value_of("CHAP_C"), challenge, sizeof challenge);
    unsigned n;
    size_t used;

    assert_true(length >= 16);
    assert_true(text_number(value_of("CHAP_I"), &id));
    n = chap_digest((unsigned)atoi(algorithm), (uint8_t)id, secret, challenge, (size_t)length,
                    digest);
    assert_int_equal(n, length);
    used = (size_t)snprintf(text, size, "CHAP_N=user%cCHAP_R=0%c", 0, base64 ? 'b' : 'x');
    if (base64) {
        used += (size_t)EVP_EncodeBlock((unsigned char *)text + used, digest, (int)n);
    } else {
        for (unsigned i = 0; i < n; i++)
            used += (size_t)snprintf(text + used, size - used, "%02X", digest[i]);
    }
    text[used] = 0;
    return used + 1;
}

static void chap_when_secret_is_right_then_passes_with_every_algorithm(void **state)
{
    static const char *const algorithms[] = {"5", "6", "7", "8"};

    for (unsigned i = 0; i < 8; i++) {
        const char *algorithm = algorithms[i / 2];
        char text[512];
        size_t n;

        setup(NULL);
        demand_chap(false);
        assert_int_equal(STEP(0x81, WHO "AuthMethod=CHAP,None"), 0);
        assert_int_equal(reply.bhs[1], 0); /* the stage goes on */
        expect_answer("AuthMethod", "CHAP");
        n = (size_t)snprintf(text, sizeof text, "CHAP_A=99,%s", algorithm) + 1;
        assert_int_equal(step(0x00, text, n), 0);
        expect_answer("CHAP_A", algorithm);
        n = chap_answer(text, sizeof text, algorithm, host.chap.secret, i & 1);
        assert_int_equal(step(0x81, text, n), 0);
        assert_int_equal(reply.bhs[1], 0x81);
        assert_int_equal(STEP(0x87, "MaxBurstLength=65536"), 0);
        assert_int_equal(login.phase, LOGIN_DONE);
    }
}

static void chap_when_skipped_or_wrong_then_authentication_failure(void **state)
{
    char text[512];
    size_t n;

    demand_chap(false);
    assert_int_equal(STEP(0x87, WHO), LOGIN_AUTHENTICATION_FAILURE);
    login_init(&login);
    assert_int_equal(STEP(0x81, WHO), LOGIN_AUTHENTICATION_FAILURE);
    login_init(&login);
    assert_int_equal(STEP(0x81, WHO "AuthMethod=None"), LOGIN_AUTHENTICATION_FAILURE);
    login_init(&login);
    assert_int_equal(STEP(0x00, WHO "AuthMethod=CHAP"), 0);
    assert_int_equal(STEP(0x00, "CHAP_A=99"), LOGIN_AUTHENTICATION_FAILURE);
    login_init(&login);
    assert_int_equal(STEP(0x00, WHO "AuthMethod=CHAP"), 0);
    assert_int_equal(STEP(0x00, "CHAP_A=7"), 0);
    n = chap_answer(text, sizeof text, "7", "wrong", false);
    assert_int_equal(step(0x81, text, n), LOGIN_AUTHENTICATION_FAILURE);
    login_init(&login);
    assert_int_equal(STEP(0x00, WHO "AuthMethod=CHAP"), 0);
    assert_int_equal(STEP(0x00, "CHAP_A=7"), 0);
    n = chap_answer(text, sizeof text, "7", host.chap.secret, false);
    text[7] = 'U'; /* another name */
    assert_int_equal(step(0x81, text, n), LOGIN_AUTHENTICATION_FAILURE);
    login_init(&login);
    assert_int_equal(STEP(0x00, WHO "AuthMethod=CHAP"), 0);
    assert_int_equal(STEP(0x00, "CHAP_A=7"), 0);
    assert_int_equal(STEP(0x81, "CHAP_N=user"), LOGIN_AUTHENTICATION_FAILURE);
    /* leaving the stage in the middle is not allowed either: T is not granted */
    login_init(&login);
    assert_int_equal(STEP(0x81, WHO "AuthMethod=CHAP"), 0);
    assert_int_equal(STEP(0x81, "CHAP_A=7"), 0);
    assert_int_equal(reply.bhs[1], 0);
    assert_int_equal(STEP(0x81, ""), 0);
    assert_int_equal(reply.bhs[1], 0);
}

static void chap_when_mutual_then_target_proves_itself(void **state)
{
    uint8_t digest[CHAP_DIGEST_MAX], got[CHAP_DIGEST_MAX];
    char text[1024];
    size_t n;

    for (unsigned mode = 0; mode < 4; mode++) {
        char challenge[128];
        setup(NULL);
        demand_chap(mode != 1); /* 1: the target has nothing to prove itself with */
        assert_int_equal(STEP(0x00, WHO "AuthMethod=CHAP"), 0);
        assert_int_equal(STEP(0x00, "CHAP_A=7"), 0);
        snprintf(challenge, sizeof challenge, "%s", value_of("CHAP_C"));
        n = chap_answer(text, sizeof text, "7", host.chap.secret, false);
        n += (size_t)snprintf(text + n, sizeof text - n, "CHAP_I=9%cCHAP_C=%s", 0,
                              mode == 2   ? challenge /* reflected */
                              : mode == 3 ? "0xzz"
                                          : "0x0102030405060708090a") +
             1;
        if (mode) {
            assert_int_equal(step(0x81, text, n), LOGIN_AUTHENTICATION_FAILURE);
            continue;
        }
        assert_int_equal(step(0x81, text, n), 0);
        expect_answer("CHAP_N", "array");
        assert_int_equal(text_binary(value_of("CHAP_R"), got, sizeof got), 32);
        chap_digest(7, 9, "another secret", (const uint8_t *)"\1\2\3\4\5\6\7\10\11\12", 10, digest);
        assert_memory_equal(got, digest, 32);
    }
}

static void binary_when_malformed_then_refused(void **state)
{
    uint8_t out[8];

    assert_int_equal(text_binary("0x00ff", out, 8), 2);
    assert_int_equal(out[1], 0xff);
    assert_int_equal(text_binary("0bAP8=", out, 8), 2);
    assert_int_equal(out[1], 0xff);
    assert_int_equal(text_binary("0b", out, 8), -1);
    assert_int_equal(text_binary("0bAP8", out, 8), -1);
    assert_int_equal(text_binary("0b????", out, 8), -1);
    assert_int_equal(text_binary("0x", out, 8), -1);
    assert_int_equal(text_binary("0x123", out, 8), -1);
    assert_int_equal(text_binary("0x001122334455667788", out, 8), -1);
    assert_int_equal(text_binary("1234", out, 8), -1);
    assert_int_equal(text_binary("", out, 8), -1);
}

/* ---- SendTargets ---- */

static void listen_on(unsigned i, const char *text, uint16_t port)
{
    struct sockaddr_storage *address = &node.portals[i].address.address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;

    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
    }
    node.portal_count = i + 1;
}

static void addresses_when_listed_then_only_reachable_ones(void **state)
{
    static const struct {
        unsigned from;
        const char *expected;
    } cases[] = {
        {0, "10.0.0.1:3260,2 [fd00::1]:860,2 10.0.0.1:3261,2 "},
        {1, "10.0.0.1:3260,2 127.0.0.1:3260,2 [fd00::1]:860,2 [fe80::5]:3260,2 127.0.0.1:3261,2 "},
        {3, "10.0.0.1:3260,2 [fd00::1]:860,2 [fe80::5]:3260,2 [fe80::5]:3261,2 "},
    };

    listen_on(0, "10.0.0.1", 3260);
    listen_on(1, "127.0.0.1", 3260);
    listen_on(2, "fd00::1", 860);
    listen_on(3, "fe80::5", 3260);
    listen_on(4, "0.0.0.0", 3261);
    for (unsigned i = 0; i < 3; i++) {
        char text[1024], got[512] = "";
        struct writer out = {.data = (uint8_t *)text, .size = sizeof text};
        const char *data = text;
        struct text_pair pair;
        size_t left;

        assert_int_equal(
            sendtargets(&config, "All", NULL, &node.portals[cases[i].from].address.address, &out),
            0);
        left = out.used;
        assert_int_equal(text_next(&data, &left, &pair), 1);
        assert_string_equal(pair.value, TARGET);
        while (text_next(&data, &left, &pair) > 0) {
            assert_int_equal(pair.key, KEY_TARGET_ADDRESS);
            strcat(got, pair.value);
            strcat(got, " ");
        }
        assert_string_equal(got, cases[i].expected);
    }
}

static void sendtargets_when_not_allowed_then_refused(void **state)
{
    char text[512];
    struct writer out = {.data = (uint8_t *)text, .size = sizeof text};
    struct sockaddr_storage *local = &node.portals[0].address.address;

    listen_on(0, "10.0.0.1", 3260);
    assert_int_equal(sendtargets(&config, "All", TARGET, local, &out), -1);
    assert_int_equal(sendtargets(&config, "iqn.other", TARGET, local, &out), -1);
    assert_int_equal(sendtargets(&config, "", NULL, local, &out), -1);
    assert_int_equal(out.used, 0);
    assert_int_equal(sendtargets(&config, "iqn.other", NULL, local, &out), 0);
    assert_int_equal(out.used, 0);
    assert_int_equal(sendtargets(&config, "", TARGET, local, &out), 0);
    assert_true(out.used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(key_when_offered_then_answered_by_its_rule, setup),
        cmocka_unit_test_setup(key_when_sent_twice_or_out_of_place_then_initiator_error, setup),
        cmocka_unit_test_setup(bursts_when_first_exceeds_max_then_settled_after_the_last_key,
                               setup),
        cmocka_unit_test_setup(digest_when_demanded_then_login_needs_it, setup),
        cmocka_unit_test_setup(discovery_when_normal_keys_then_irrelevant, setup),
        cmocka_unit_test_setup(parameters_when_operational_stage_is_skipped_then_defaults, setup),
        cmocka_unit_test_setup(header_when_wrong_then_refused, setup),
        cmocka_unit_test_setup(text_when_continued_then_is_read_as_one, setup),
        cmocka_unit_test_setup(text_when_malformed_then_initiator_error, setup),
        cmocka_unit_test_setup(name_when_not_printable_then_initiator_error, setup),
        cmocka_unit_test_setup(chap_when_secret_is_right_then_passes_with_every_algorithm, setup),
        cmocka_unit_test_setup(chap_when_skipped_or_wrong_then_authentication_failure, setup),
        cmocka_unit_test_setup(chap_when_mutual_then_target_proves_itself, setup),
        cmocka_unit_test_setup(binary_when_malformed_then_refused, setup),
        cmocka_unit_test_setup(addresses_when_listed_then_only_reachable_ones, setup),
        cmocka_unit_test_setup(sendtargets_when_not_allowed_then_refused, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
