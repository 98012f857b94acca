/* Two replicas whose link is TLS, over loopback and through a relay that looks, cuts, spoils and holds: what
 * passes is not plaintext, what is wrong with a peer is said by both ends, nothing hangs, nothing is downgraded,
 * and the copies become equal again.
 *
 * Not covered here: the machine that TLS is on its own (test_tls), Corosync's and Pacemaker's part of a lost link
 * (tests/cluster/tls). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link_relay.h"
#include "replica_pair.h"
#include "replication/link.h"
#include "replication/tls_private.h"
#include "tls_files.h"

/* What each node has; of the test that runs. */
static struct {
    bool tls[2], relayed;
    const char *certificate[2], *ca[2]; /* files without ".crt" */
    struct link_relay *relay;
} setting;

static void arrange(struct rig_node *node)
{
    struct config_group *g = &node->group;
    unsigned i = node->index;

    if (setting.relayed)
        strcpy(node->nodes[!i].replication_address, i ? "127.0.0.5" : "127.0.0.4");
    g->tls = setting.tls[i];
    snprintf(g->tls_certificate, sizeof g->tls_certificate, "%s/%s.crt", the_rig->directory,
             setting.certificate[i]);
    snprintf(g->tls_key, sizeof g->tls_key, "%s/%s.key", the_rig->directory, setting.certificate[i]);
    snprintf(g->tls_ca, sizeof g->tls_ca, "%s/%s.crt", the_rig->directory, setting.ca[i]);
}

static void make(const char *file, const char *name, const char *signer, long from_s, long to_s)
{
    tls_make(&(struct tls_make){the_rig->directory, file, name, signer, from_s, to_s});
}

static int setup(void **state)
{
    struct rig *rig;

    pair_setup(state);
    rig = *state;
    rig->options.arrange = arrange;
    make("ca", NULL, NULL, 0, 0);
    make("n0", "n0", "ca", 0, 0);
    make("n1", "n1", "ca", 0, 0);
    memset(&setting, 0, sizeof setting);
    for (unsigned i = 0; i < 2; i++) {
        setting.tls[i] = true;
        setting.certificate[i] = i ? "n1" : "n0";
        setting.ca[i] = "ca";
    }
    return 0;
}

static int teardown(void **state)
{
    int rc = pair_teardown(state);

    link_relay_stop(setting.relay);
    return rc;
}

static void start_relay(struct rig *rig)
{
    setting.relayed = true;
    setting.relay = link_relay_start(rig->options.port);
}

static bool why_has(unsigned node, const char *text)
{
    return strstr(rig_status(&the_rig->n[node]).why, text);
}

static bool secured(unsigned node)
{
    struct replica_status s = rig_status(&the_rig->n[node]);

    return s.tls && s.tls_cipher && !strcmp(s.tls_cipher, "TLS_AES_256_GCM_SHA384");
}

/* --- it works --- */

static void link_when_tls_then_replicates_and_says_so(void **state)
{
    struct rig *rig = *state;
    int64_t year = time(NULL) + 365 * 86400;
    uint64_t link;

    rig->options.lus = 2;
    rig->options.secret = "a secret beside the certificates";
    start_primary(rig);
    assert_true(secured(0) && secured(1));
    for (unsigned i = 0; i < 2; i++) {
        struct replica_status s = rig_status(&rig->n[i]);

        assert_in_range(s.tls_expires, year - 3600, year + 3600);
        assert_in_range(s.tls_peer_expires, year - 3600, year + 3600);
    }
    link = rig_status(&rig->n[0]).link;
    churn(rig, 0, 1500);
    assert_equal_copies(rig);
    assert_int_equal(rig_status(&rig->n[0]).link, link);
}

static void link_when_plain_then_says_so(void **state)
{
    struct rig *rig = *state;

    setting.tls[0] = setting.tls[1] = false;
    setting.certificate[0] = setting.certificate[1] = "nothing";
    start_primary(rig);
    assert_false(rig_status(&rig->n[0]).tls);
    assert_null(rig_status(&rig->n[0]).tls_cipher);
}

/* The control beside it: the relay does see what is plain. */
static void data_when_looked_for_on_the_wire_then_only_without_tls(void **state)
{
    static uint8_t block[RIG_BLOCK];
    struct rig *rig = *state;

    start_relay(rig);
    for (unsigned tls = 0; tls < 2; tls++) {
        setting.tls[0] = setting.tls[1] = tls;
        if (!tls) {
            start_primary(rig);
        } else {
            start_both(rig);
            promote(&rig->n[0]);
        }
        link_relay_look_for(setting.relay, "plaintext of a customer", 23);
        for (unsigned i = 0; i < 50; i++) {
            memset(block, (int)i, sizeof block);
            memcpy(block + i * 13, "plaintext of a customer", 23);
            assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, i * 65536, block, sizeof block), 0);
        }
        assert_int_equal(link_relay_found(setting.relay), tls ? 0 : 50);
        assert_equal_copies(rig);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(rig_close(&rig->n[i]), 0);
    }
}

static void keys_when_worn_then_renewed_under_load(void **state)
{
    struct rig *rig = *state;
    uint64_t before = tls_records_of_a_key, link;

    tls_records_of_a_key = 5;
    start_primary(rig);
    link = rig_status(&rig->n[0]).link;
    churn(rig, 0, 600);
    assert_equal_copies(rig);
    assert_int_equal(rig_status(&rig->n[0]).link, link);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(rig_close(&rig->n[i]), 0);
    tls_records_of_a_key = before;
}

/* --- it breaks --- */

static void link_when_cut_inside_records_then_equal_again(void **state)
{
    struct rig *rig = *state;

    start_relay(rig);
    start_primary(rig);
    for (unsigned round = 0; round < 12; round++) {
        uint64_t link = rig_status(&rig->n[0]).link;

        link_relay_cut_after(setting.relay, 1 + (unsigned)rand_r(&rig->seed) % 300000);
        while (rig_status(&rig->n[0]).link == link)
            churn(rig, 0, 50);
        churn(rig, 0, (unsigned)rand_r(&rig->seed) % 100);
        WAIT(good(0) && good(1));
        assert_true(secured(0) && secured(1));
    }
    assert_equal_copies(rig);
}

/* Also where it falls on the handshake of the next connection. */
static void link_when_cut_in_the_handshake_then_tries_again(void **state)
{
    struct rig *rig = *state;

    start_relay(rig);
    for (unsigned round = 0; round < 12; round++) {
        link_relay_cut_after(setting.relay, 1 + round * 400);
        if (!round)
            start_primary(rig);
        WAIT(good(0) && good(1));
        replica_disconnect(rig->n[round % 2].replica);
        WAIT(connection(round % 2, CONN_STANDALONE));
        replica_connect(rig->n[round % 2].replica, false);
    }
    WAIT(good(0) && good(1));
}

static void record_when_spoilt_then_dropped_and_equal_again(void **state)
{
    struct rig *rig = *state;

    start_relay(rig);
    start_primary(rig);
    for (unsigned round = 0; round < 6; round++) {
        uint64_t link = rig_status(&rig->n[0]).link;

        link_relay_spoil_after(setting.relay, 1 + (unsigned)rand_r(&rig->seed) % 100000);
        while (rig_status(&rig->n[0]).link == link)
            churn(rig, 0, 50);
        WAIT(good(0) && good(1));
    }
    assert_equal_copies(rig);
}

static void peer_when_silent_then_lost_and_back(void **state)
{
    struct rig *rig = *state;
    static uint8_t block[RIG_BLOCK];
    struct rig_io io = {0};

    rig->options.timeout_ms = 400;
    start_relay(rig);
    start_primary(rig);
    link_relay_hold(setting.relay, true);
    rig_submit(&rig->n[0], &io, 0, STORE_WRITE, 0, 0, block, sizeof block);
    WAIT(why_has(0, "does not answer for 400 ms"));
    WAIT(io.done && !io.error); /* alone, the peer is outdated */
    /* Connections that are taken and never answered: given up, tried again. */
    WAIT(why_has(0, "TLS: the peer does not finish the handshake"));
    link_relay_hold(setting.relay, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void node_when_it_ends_then_the_peer_is_told(void **state)
{
    struct rig *rig = *state;

    start_primary(rig);
    assert_int_equal(rig_close(&rig->n[1]), 0);
    WAIT(!connection(0, CONN_CONNECTED));
    assert_true(why_has(0, "the peer closed the connection") || why_has(0, "Connection"));
    open_node(rig, 1);
    WAIT(good(0) && good(1));
}

/* --- the peer is wrong --- */

static void settle_wrong(struct rig *rig, const char *says0, const char *says1)
{
    open_node(rig, 0);
    open_node(rig, 1);
    WAIT(why_has(0, says0));
    WAIT(why_has(1, says1));
    /* And so it stays, in words and in deeds, over some more tries. */
    for (unsigned i = 0; i < 200; i++) {
        rig_turn(rig->n, 2, 5);
        assert_true(rig_status(&rig->n[0]).connection < CONN_WF_REPORT_PARAMS);
        assert_true(rig_status(&rig->n[1]).connection < CONN_WF_REPORT_PARAMS);
    }
    WAIT(why_has(0, says0));
    WAIT(why_has(1, says1));
}

static void peer_when_its_certificate_is_no_good_then_both_say_why_until_it_is_replaced(void **state)
{
    static const struct {
        const char *ca;
        long from_s, to_s;
        const char *says0, *says1;
    } rows[] = {
        {"other", 0, 0, "TLS: the certificate of \"n1\" is refused: ", "TLS: the peer refuses this node: unknown CA"},
        {"ca", -7200, -3600, "TLS: the certificate of \"n1\" is refused: certificate has expired",
         "TLS: the peer refuses this node: certificate expired"},
    };
    struct rig *rig = *state;

    make("other", NULL, NULL, 0, 0);
    for (unsigned i = 0; i < 2; i++) {
        char why[256] = "";

        make("n1", "n1", rows[i].ca, rows[i].from_s, rows[i].to_s);
        settle_wrong(rig, rows[i].says0, rows[i].says1);
        /* A good one is used for the next connection, without a restart. */
        make("n1", "n1", "ca", 0, 0);
        assert_int_equal(replica_reload(rig->n[1].replica, true, why), 0);
        WAIT(secured(0) && secured(1));
        WAIT(connection(0, CONN_CONNECTED) && connection(1, CONN_CONNECTED));
        assert_string_equal(rig_status(&rig->n[1]).why, "");
        for (unsigned k = 0; k < 2; k++)
            rig_close(&rig->n[k]);
    }
}

/* A third node of the cluster, with a good certificate, at the peer's address. */
static void peer_when_it_is_another_node_then_refused(void **state)
{
    struct rig *rig = *state;

    open_node(rig, 0);
    make("n2", "n2", "ca", 0, 0);
    setting.certificate[1] = "n2";
    rig->options.arrange = NULL; /* opened by hand: it takes itself for n2 */
    assert_true(rig_open(&rig->n[1], 1, &rig->options) == 0);
    rig_close(&rig->n[1]);
    rig->options.arrange = arrange;
    assert_true(rig_open(&rig->n[1], 1, &rig->options) < 0);
    assert_non_null(strstr(rig->n[1].why, "n2.crt: expected this node's name \"n1\""));
}

static void peer_when_it_has_no_tls_then_both_say_so_and_nobody_goes_plain(void **state)
{
    struct rig *rig = *state;

    for (unsigned plain = 0; plain < 2; plain++) {
        static const char *const says[] = {
            "TLS: the peer speaks without TLS: expected tls = true for group \"g0\" there, too",
            "the peer speaks TLS, this node has tls = false for group \"g0\"",
        };

        setting.tls[plain] = false;
        setting.tls[!plain] = true;
        open_node(rig, 0);
        open_node(rig, 1);
        WAIT(why_has(!plain, says[0]));
        WAIT(why_has(plain, says[1]));
        for (unsigned i = 0; i < 200; i++) {
            rig_turn(rig->n, 2, 5);
            assert_true(rig_status(&rig->n[0]).connection < CONN_WF_REPORT_PARAMS);
        }
        for (unsigned i = 0; i < 2; i++)
            rig_close(&rig->n[i]);
    }
}

static void replica_when_files_are_missing_then_not_opened(void **state)
{
    struct rig *rig = *state;

    setting.certificate[0] = "nothing";
    assert_true(rig_open(&rig->n[0], 0, &rig->options) < 0);
    assert_non_null(strstr(rig->n[0].why, "nothing.key: No such file or directory"));
    assert_null(rig->n[0].replica);
}

static void certificates_when_read_again_then_the_link_stays(void **state)
{
    struct rig *rig = *state;
    char why[256] = "", path[200];
    int64_t before, sent;
    uint64_t link;

    start_primary(rig);
    before = rig_status(&rig->n[1]).tls_expires;
    sent = (int64_t)rig_status(&rig->n[1]).sent;
    link = rig_status(&rig->n[0]).link;
    make("n1", "n1", "ca", -60, 40 * 86400);
    assert_int_equal(replica_reload(rig->n[1].replica, true, why), 0);
    WAIT(rig_status(&rig->n[1]).tls_expires != before);
    churn(rig, 0, 100);
    assert_int_equal(rig_status(&rig->n[0]).link, link);
    assert_int_equal(rig_status(&rig->n[0]).tls_peer_expires, before);
    /* What cannot be used is not. */
    snprintf(path, sizeof path, "%s/n1.crt", rig->directory);
    assert_int_equal(truncate(path, 100), 0);
    for (unsigned apply = 0; apply < 2; apply++) {
        why[0] = '\0';
        assert_true(replica_reload(rig->n[1].replica, apply, why) < 0);
        assert_non_null(strstr(why, "n1.crt: expected a certificate"));
    }
    replica_disconnect(rig->n[0].replica);
    WAIT(connection(0, CONN_STANDALONE));
    replica_connect(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_int_not_equal(rig_status(&rig->n[0]).tls_peer_expires, before);
    assert_true((int64_t)rig_status(&rig->n[1]).sent > sent);
}

/* --- strangers at the door: bytes before TLS is up --- */

static int knock(const struct rig *rig)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000003)};
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(0x7f000002),
        .sin_port = htons(rig->options.port),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* The other side has closed. */
static bool turned_away(int fd)
{
    uint8_t sink[4096];
    ssize_t n;

    while ((n = recv(fd, sink, sizeof sink, MSG_DONTWAIT)) > 0)
        ;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n < 0 && errno != ECONNRESET)
        fail_msg("a stranger's connection: %s", strerror(errno));
    return true;
}

/* A ClientHello as a real client makes it. */
static size_t hello(uint8_t *out, size_t size)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *bio = BIO_new(BIO_s_mem());
    int n;

    SSL_set_bio(ssl, in, bio);
    SSL_connect(ssl);
    n = BIO_read(bio, out, (int)size);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return n > 0 ? (size_t)n : 0;
}

static void door_when_strangers_knock_then_turned_away_and_open_for_the_peer(void **state)
{
    struct rig *rig = *state;
    int silent[LINK_PENDING + 1];

    open_node(rig, 0);
    for (unsigned round = 0; round < 150; round++) {
        uint8_t bytes[2048];
        size_t n = hello(bytes, sizeof bytes);
        int fd = knock(rig);

        assert_in_range(n, 100, sizeof bytes);
        if (round % 3 == 0)
            for (size_t i = 0; i < n; i++)
                bytes[i] = (uint8_t)rand_r(&rig->seed);
        for (unsigned i = 0; round % 3 == 1 && i < 4; i++)
            bytes[5 + (unsigned)rand_r(&rig->seed) % (n - 5)] ^= (uint8_t)(1 + rand_r(&rig->seed) % 255);
        if (round % 3 == 2) /* right, but more behind it than belongs there */
            memset(bytes + n, 0x55, sizeof bytes - n);
        if (send(fd, bytes, round % 3 == 2 ? sizeof bytes : n, MSG_NOSIGNAL) < 0)
            assert_int_equal(errno, ECONNRESET);
        shutdown(fd, SHUT_WR);
        WAIT(turned_away(fd));
        close(fd);
    }
    /* Silent ones, as many as are let in, and one more: they are given up after a while. */
    for (unsigned i = 0; i <= LINK_PENDING; i++)
        silent[i] = knock(rig);
    for (unsigned i = 0; i <= LINK_PENDING; i++) {
        WAIT(turned_away(silent[i]));
        close(silent[i]);
    }
    open_node(rig, 1);
    WAIT(connection(0, CONN_CONNECTED) && connection(1, CONN_CONNECTED));
    assert_true(secured(0) && secured(1));
}

/* A server at the peer's address that answers anything: the client's side of the same. */
static void door_when_the_peer_babbles_then_tried_again(void **state)
{
    struct rig *rig = *state;
    struct sockaddr_in self = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(0x7f000003),
        .sin_port = htons(rig->options.port),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(fd, (struct sockaddr *)&self, sizeof self), 0);
    assert_int_equal(listen(fd, 8), 0);
    open_node(rig, 0);
    for (unsigned round = 0; round < 6; round++) {
        uint8_t bytes[512];
        int to = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

        assert_true(to >= 0);
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rand_r(&rig->seed);
        if (round % 2)
            memcpy(bytes, "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", 11); /* nearly a ServerHello */
        assert_int_equal(send(to, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
        WAIT(turned_away(to));
        close(to);
        if (!(round % 2))
            WAIT(why_has(0, "TLS: what the peer says is no TLS"));
    }
    close(fd);
    open_node(rig, 1);
    WAIT(connection(0, CONN_CONNECTED) && secured(0));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(link_when_tls_then_replicates_and_says_so),
        CASE(link_when_plain_then_says_so),
        CASE(data_when_looked_for_on_the_wire_then_only_without_tls),
        CASE(keys_when_worn_then_renewed_under_load),
        CASE(link_when_cut_inside_records_then_equal_again),
        CASE(link_when_cut_in_the_handshake_then_tries_again),
        CASE(record_when_spoilt_then_dropped_and_equal_again),
        CASE(peer_when_silent_then_lost_and_back),
        CASE(node_when_it_ends_then_the_peer_is_told),
        CASE(peer_when_its_certificate_is_no_good_then_both_say_why_until_it_is_replaced),
        CASE(peer_when_it_is_another_node_then_refused),
        CASE(peer_when_it_has_no_tls_then_both_say_so_and_nobody_goes_plain),
        CASE(replica_when_files_are_missing_then_not_opened),
        CASE(certificates_when_read_again_then_the_link_stays),
        CASE(door_when_strangers_knock_then_turned_away_and_open_for_the_peer),
        CASE(door_when_the_peer_babbles_then_tried_again),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
