/* TLS of the replication link as a machine over memory: two sessions, the bytes of each carried to the other;
 * files that are no good; peers that are not who they should be; bytes that are no handshake.
 *
 * Not covered here: sockets, reconnecting, what the nodes say (test_replica_tls). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replication/tls_private.h"
#include "tls_files.h"

static char directory[64];

static struct tls_context *load(const char *file, const char *ca, const char *own)
{
    char certificate[200], key[200], trusted[200], why[256];
    struct tls_files files = {certificate, key, trusted};
    struct tls_context *context;

    snprintf(certificate, sizeof certificate, "%s/%s.crt", directory, file);
    snprintf(key, sizeof key, "%s/%s.key", directory, file);
    snprintf(trusted, sizeof trusted, "%s/%s.crt", directory, ca);
    if (tls_context_load(&files, own, &context, why))
        fail_msg("%s", why);
    return context;
}

static int prepare(void **state)
{
    const struct tls_make makes[] = {
        {.file = "ca"},
        {.file = "other-ca"},
        {.file = "a", .name = "a", .signer = "ca"},
        {.file = "b", .name = "b", .signer = "ca"},
        {.file = "b-other", .name = "b", .signer = "other-ca"},
        {.file = "b-old", .name = "b", .signer = "ca", .from_s = -7200, .to_s = -3600},
        {.file = "b-early", .name = "b", .signer = "ca", .from_s = 3600, .to_s = 7200},
        {.file = "c", .name = "c", .signer = "ca"},
        {.file = "all", .name = "*", .signer = "ca"},
        {.file = "b-cn", .signer = "ca"},
        {.file = "crl-ca"},
        {.file = "a-crl", .name = "a", .signer = "crl-ca"},
        {.file = "b-crl", .name = "b", .signer = "crl-ca"},
        {.file = "b-gone", .name = "b", .signer = "crl-ca"},
    };

    strcpy(directory, "/tmp/test_tls.XXXXXX");
    assert_non_null(mkdtemp(directory));
    for (unsigned i = 0; i < sizeof makes / sizeof makes[0]; i++) {
        struct tls_make make = makes[i];

        make.directory = directory;
        tls_make(&make);
    }
    tls_revoke(directory, "crl-ca", "b-gone");
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int clean(void **state)
{
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- two ends --- */

struct pair {
    struct tls_context *context[2];
    struct tls_session *end[2]; /* 0: the client */
};

static void carry(struct tls_session *from, struct tls_session *to)
{
    const uint8_t *bytes;
    uint8_t *room;
    size_t n, space;

    while ((n = tls_session_output(from, &bytes))) {
        space = tls_session_room(to, &room);
        if (n > space)
            n = space;
        memcpy(room, bytes, n);
        tls_session_received(to, n);
        tls_session_sent(from, n);
        if (!space)
            return;
    }
}

static void make_pair(struct pair *p, const char *b_file, const char *b_ca)
{
    p->context[0] = load("a", "ca", "a");
    p->context[1] = load(b_file, b_ca, "b");
    p->end[0] = tls_session_new(p->context[0], false, "b");
    p->end[1] = tls_session_new(p->context[1], true, "a");
}

static void free_pair(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        tls_session_free(p->end[i]);
        tls_context_free(p->context[i]);
    }
}

/* rc[]: what each end came to. */
static void shake(struct pair *p, int rc[2])
{
    rc[0] = rc[1] = 0;
    for (unsigned i = 0; i < 10; i++) {
        unsigned who = i % 2;

        if (!rc[who])
            rc[who] = tls_session_handshake(p->end[who]);
        carry(p->end[who], p->end[!who]);
    }
}

static void connect_pair(struct pair *p)
{
    int rc[2];

    make_pair(p, "b", "ca");
    shake(p, rc);
    if (rc[0] != 1 || rc[1] != 1)
        fail_msg("%s; %s", tls_session_why(p->end[0]), tls_session_why(p->end[1]));
}

static void handshake_when_both_are_right_then_tls13(void **state)
{
    struct pair p;

    connect_pair(&p);
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(tls_session_cipher(p.end[i]), "TLS_AES_256_GCM_SHA384");
        assert_string_equal(SSL_get_version(p.end[i]->ssl), "TLSv1.3");
        assert_true(tls_session_peer_expires(p.end[i]) > time(NULL) + 300 * 86400);
        assert_false(SSL_SESSION_is_resumable(SSL_get0_session(p.end[i]->ssl)));
    }
    free_pair(&p);
}

/* Random pieces in, random pieces out. */
static void pump(struct pair *p, unsigned from, size_t total)
{
    enum { MOST = 200000 };
    static uint8_t in[MOST], out[MOST];
    struct tls_session *a = p->end[from], *b = p->end[!from];
    size_t written = 0, read = 0;

    while (read < total) {
        struct iovec iov[5], back[2];
        size_t n = 0;
        ssize_t rc;

        for (unsigned i = 0; i < 5; i++) {
            size_t piece = rand() % 4 ? (size_t)rand() % 100 : (size_t)rand() % 40000;

            if (piece > total - written - n)
                piece = total - written - n;
            iov[i] = (struct iovec){in + n, piece};
            n += piece;
        }
        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)((written + i) * 31 >> 3);
        rc = tls_session_write(a, iov, 5);
        assert_true(rc >= 0 && (size_t)rc <= n);
        written += (size_t)rc;
        carry(a, b);
        back[0] = (struct iovec){out, 1 + (size_t)rand() % 3000};
        back[1] = (struct iovec){out + 50000, 1 + (size_t)rand() % 60000};
        while ((rc = tls_session_read(b, back, 2)) > 0) {
            for (ssize_t i = 0; i < rc; i++) {
                size_t first = back[0].iov_len;
                uint8_t byte = (size_t)i < first ? out[i] : out[50000 + (size_t)i - first];

                assert_int_equal(byte, (uint8_t)((read + (size_t)i) * 31 >> 3));
            }
            read += (size_t)rc;
        }
        assert_int_equal(rc, -EAGAIN);
    }
}

static void data_when_written_in_pieces_then_the_same_arrive(void **state)
{
    struct pair p;

    connect_pair(&p);
    pump(&p, 0, 3000000);
    pump(&p, 1, 3000000);
    free_pair(&p);
}

static void data_when_a_key_is_worn_then_goes_on_with_the_next(void **state)
{
    uint64_t before = tls_records_of_a_key;
    struct pair p;

    tls_records_of_a_key = 3;
    connect_pair(&p);
    pump(&p, 0, 1000000);
    pump(&p, 1, 1000000);
    pump(&p, 0, 1000000);
    assert_true(p.end[0]->records <= 3);
    tls_records_of_a_key = before;
    free_pair(&p);
}

static void write_when_nothing_is_sent_then_stops_at_the_buffer(void **state)
{
    static uint8_t data[2 * TLS_BUFFER], back[2 * TLS_BUFFER];
    struct iovec iov = {data, sizeof data}, out = {back, sizeof back};
    struct pair p;
    ssize_t n, total = 0, got;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i >> 5);
    connect_pair(&p);
    n = tls_session_write(p.end[0], &iov, 1);
    assert_true(n > TLS_BUFFER - 3 * TLS_RECORD && n < TLS_BUFFER);
    assert_int_equal(tls_session_write(p.end[0], &iov, 1), 0);
    carry(p.end[0], p.end[1]);
    while ((got = tls_session_read(p.end[1], &out, 1)) > 0)
        total += got;
    assert_int_equal(total, n);
    assert_memory_equal(back, data, (size_t)n);
    free_pair(&p);
}

static void close_when_said_then_read_to_the_end(void **state)
{
    uint8_t text[] = "last", back[10];
    struct iovec iov = {text, sizeof text}, out = {back, sizeof back};
    struct pair p;

    connect_pair(&p);
    assert_int_equal(tls_session_write(p.end[0], &iov, 1), sizeof text);
    assert_true(tls_session_close(p.end[0]));
    assert_false(tls_session_close(p.end[0]));
    carry(p.end[0], p.end[1]);
    assert_int_equal(tls_session_read(p.end[1], &out, 1), sizeof text);
    assert_int_equal(tls_session_read(p.end[1], &out, 1), 0);
    assert_int_equal(tls_session_read(p.end[1], &out, 1), 0);
    free_pair(&p);
}

static void record_when_spoilt_then_what_came_before_and_an_end(void **state)
{
    uint8_t text[] = "good", back[20];
    struct iovec iov = {text, sizeof text}, out = {back, sizeof back};
    const uint8_t *bytes;
    struct pair p;
    size_t one, both;

    connect_pair(&p);
    assert_int_equal(tls_session_write(p.end[0], &iov, 1), sizeof text);
    one = tls_session_output(p.end[0], &bytes);
    assert_int_equal(tls_session_write(p.end[0], &iov, 1), sizeof text);
    both = tls_session_output(p.end[0], &bytes);
    ((uint8_t *)bytes)[one + (both - one) / 2] ^= 1;
    carry(p.end[0], p.end[1]);
    assert_int_equal(tls_session_read(p.end[1], &out, 1), sizeof text);
    assert_int_equal(tls_session_read(p.end[1], &out, 1), -EPROTO);
    assert_int_equal(tls_session_read(p.end[1], &out, 1), -EPROTO);
    assert_non_null(strstr(tls_session_why(p.end[1]), "bad record mac"));
    /* The other end is told. */
    carry(p.end[1], p.end[0]);
    assert_int_equal(tls_session_read(p.end[0], &out, 1), -EPROTO);
    assert_non_null(strstr(tls_session_why(p.end[0]), "refuses this node: bad record mac"));
    free_pair(&p);
}

/* --- peers that are not who they should be --- */

/* "b" is wrong in the eyes of "a", once as server, once as client. */
static void handshake_when_a_peer_is_wrong_then_both_say_why(void **state)
{
    static const struct {
        const char *file, *own, *ca, *a_says, *b_says;
    } rows[] = {
        {"b-other", "b", "ca", "the certificate of \"b\" is refused", "refuses this node: unknown CA"},
        {"b-old", "b", "ca", "the certificate of \"b\" is refused: certificate has expired",
         "refuses this node: certificate expired"},
        {"b-early", "b", "ca", "is refused: certificate is not yet valid", "refuses this node: bad certificate"},
        {"c", "c", "ca", "the peer's certificate is for \"c\", expected \"b\"",
         "refuses this node: bad certificate"},
        {"a", "a", "ca", "the peer's certificate is for \"a\", expected \"b\"",
         "refuses this node: bad certificate"},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned b_serves = 0; b_serves < 2; b_serves++) {
            struct pair p;
            uint8_t back[4];
            struct iovec out = {back, sizeof back};
            struct tls_session *a, *b;
            int rc[2];

            p.context[0] = load("a", "ca", "a");
            p.context[1] = load(rows[i].file, rows[i].ca, rows[i].own);
            a = tls_session_new(p.context[0], !b_serves, "b");
            b = tls_session_new(p.context[1], b_serves, "a");
            p.end[0] = b_serves ? a : b;
            p.end[1] = b_serves ? b : a;
            shake(&p, rc);
            /* A client is done before its certificate was looked at: it is told by the first read. */
            assert_int_equal(rc[!b_serves ? 1 : 0], -EPROTO);
            if (!b_serves)
                assert_int_equal(tls_session_read(b, &out, 1), -EPROTO);
            if (!strstr(tls_session_why(a), rows[i].a_says))
                fail_msg("row %u: \"%s\"", i, tls_session_why(a));
            if (!strstr(tls_session_why(b), rows[i].b_says))
                fail_msg("row %u: \"%s\"", i, tls_session_why(b));
            free_pair(&p);
        }
}

static void handshake_when_a_certificate_is_revoked_then_refused(void **state)
{
    for (unsigned gone = 0; gone < 2; gone++) {
        struct pair p;
        int rc[2];

        p.context[0] = load("a-crl", "crl-ca", "a");
        p.context[1] = load(gone ? "b-gone" : "b-crl", "crl-ca", "b");
        p.end[0] = tls_session_new(p.context[0], false, "b");
        p.end[1] = tls_session_new(p.context[1], true, "a");
        shake(&p, rc);
        assert_int_equal(rc[0], gone ? -EPROTO : 1);
        if (gone)
            assert_non_null(strstr(tls_session_why(p.end[0]), "certificate revoked"));
        free_pair(&p);
    }
}

/* A client of another make: no certificate; TLS 1.2. */
static void handshake_when_a_stranger_comes_then_refused(void **state)
{
    static const struct {
        int version;
        const char *says;
    } rows[] = {
        {TLS1_3_VERSION, "shows no certificate, expected that of \"a\""},
        {TLS1_2_VERSION, "unsupported protocol"},
    };

    for (unsigned i = 0; i < 2; i++) {
        struct tls_context stranger = {.ssl = SSL_CTX_new(TLS_method())};
        struct pair p = {.context = {NULL, load("b", "ca", "b")}};
        int rc[2];

        SSL_CTX_set_max_proto_version(stranger.ssl, rows[i].version);
        p.end[0] = tls_session_new(&stranger, false, "b");
        p.end[1] = tls_session_new(p.context[1], true, "a");
        shake(&p, rc);
        assert_int_equal(rc[1], -EPROTO);
        assert_non_null(strstr(tls_session_why(p.end[1]), rows[i].says));
        free_pair(&p);
        SSL_CTX_free(stranger.ssl);
    }
}

/* --- files --- */

static void write_text(const char *name, const char *text, mode_t mode)
{
    char path[200];
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void load_when_a_file_is_no_good_then_says_which_and_why(void **state)
{
    static const struct {
        const char *certificate, *key, *ca, *says;
    } rows[] = {
        {"a.crt", "none.key", "ca.crt", "none.key: No such file or directory"},
        {"a.crt", "open.key", "ca.crt", "open.key: mode is 0644: expected 0600"},
        {"a.crt", "locked.key", "ca.crt", "locked.key: expected the certificate's private key"},
        {"a.crt", "b.key", "ca.crt", "b.key: expected the"},
        {"none.crt", "a.key", "ca.crt", "none.crt: expected a certificate (PEM): No such file"},
        {"text.crt", "a.key", "ca.crt", "text.crt: expected a certificate (PEM)"},
        {"b.crt", "b.key", "ca.crt", "b.crt: expected this node's name \"a\" as subjectAltName DNS"},
        {"all.crt", "all.key", "ca.crt", "all.crt: expected this node's name"},
        {"b-cn.crt", "b-cn.key", "ca.crt", "b-cn.crt: expected this node's name"},
        {"a.crt", "a.key", "none.crt", "none.crt: expected certificates of those who sign"},
        {"a.crt", "a.key", "text.crt", "text.crt: expected certificates of those who sign"},
    };
    /* A key with a passphrase: the daemon must not ask a terminal for it. */
    static const char locked[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhSq9kRyqYWrAICCAAw\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n";

    write_text("open.key", "", 0644);
    write_text("locked.key", locked, 0600);
    write_text("text.crt", "no certificate\n", 0644);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char certificate[200], key[200], ca[200], why[256] = "";
        struct tls_files files = {certificate, key, ca};
        struct tls_context *context = NULL;

        snprintf(certificate, sizeof certificate, "%s/%s", directory, rows[i].certificate);
        snprintf(key, sizeof key, "%s/%s", directory, rows[i].key);
        snprintf(ca, sizeof ca, "%s/%s", directory, rows[i].ca);
        assert_true(tls_context_load(&files, "a", &context, why) < 0);
        assert_null(context);
        if (!strstr(why, rows[i].says) || strchr(why, '\n'))
            fail_msg("row %u: \"%s\"", i, why);
    }
}

/* --- bytes that are no handshake --- */

static void looks_when_first_bytes_then_told_apart(void **state)
{
    assert_int_equal(tls_looks((const uint8_t *)"\x16\x03\x01\x02"), TLS_LOOKS_TLS);
    assert_int_equal(tls_looks((const uint8_t *)"\x15\x03\x03\x00"), TLS_LOOKS_TLS);
    assert_int_equal(tls_looks((const uint8_t *)"\x83\x74\x02\x67"), TLS_LOOKS_PLAIN);
    assert_int_equal(tls_looks((const uint8_t *)"GET "), TLS_LOOKS_OTHER);
    assert_int_equal(tls_looks((const uint8_t *)"\x16\x02\x01\x02"), TLS_LOOKS_OTHER);
}

/* Do two flights differ in what a peer has to look at? The version of a record's header is to be ignored (RFC 8446
 * 5.1), so a flight that differs only there is a right one. */
static bool differs(const uint8_t *right, const uint8_t *spoilt, size_t n)
{
    enum { TYPE, VERSION, LENGTH = 3, HEADER = 5 };

    for (size_t record = 0; record + HEADER <= n;) {
        size_t end = record + HEADER + (right[record + LENGTH] << 8 | right[record + LENGTH + 1]);

        for (size_t i = record; i < end && i < n; i++)
            if (right[i] != spoilt[i] && i != record + VERSION && i != record + VERSION + 1)
                return true;
        record = end;
    }
    return false;
}

/* A right first flight, spoilt, cut or lengthened: either end comes to an end or waits for more, and is never
 * authenticated by it. */
static void handshake_when_bytes_are_random_then_never_up(void **state)
{
    struct pair p;

    srand(7);
    for (unsigned round = 0; round < 3000; round++) {
        unsigned victim = round % 2; /* 1: the server */
        const uint8_t *bytes;
        uint8_t *room, copy[8192];
        struct tls_session *t;
        size_t n, sent;
        int rc = 0;

        if (round % 300 == 0) {
            if (round)
                free_pair(&p);
            make_pair(&p, "b", "ca");
        }
        for (unsigned i = 0; i < 2; i++) { /* new ends of the same contexts */
            tls_session_free(p.end[i]);
            p.end[i] = tls_session_new(p.context[i], i, i ? "a" : "b");
        }
        assert_int_equal(tls_session_handshake(p.end[0]), 0);
        if (!victim) { /* the server's answer is spoilt */
            carry(p.end[0], p.end[1]);
            assert_int_equal(tls_session_handshake(p.end[1]), 0);
        }
        t = p.end[victim];
        n = sent = tls_session_output(p.end[!victim], &bytes);
        assert_true(n && n < sizeof copy / 2);
        memcpy(copy, bytes, n);
        switch (rand() % 3) {
        case 0:
            for (int i = rand() % 8; i >= 0; i--)
                copy[(size_t)rand() % n] ^= (uint8_t)(1 + rand() % 255);
            break;
        case 1:
            n = (size_t)rand() % n;
            break;
        default:
            for (size_t i = (size_t)rand() % n, end = n + (size_t)rand() % n; i < end; i++) {
                copy[i] = (uint8_t)rand();
                n = n > i + 1 ? n : i + 1;
            }
        }
        for (size_t at = 0; at < n && !rc;) {
            size_t piece = 1 + (size_t)rand() % (n - at), space = tls_session_room(t, &room);

            assert_true(space >= piece);
            memcpy(room, copy + at, piece);
            tls_session_received(t, piece);
            at += piece;
            rc = tls_session_handshake(t);
        }
        assert_true(rc == 0 || rc == -EPROTO || (rc == 1 && n >= sent && !differs(bytes, copy, sent)));
        if (rc < 0)
            assert_true(*tls_session_why(t));
    }
    free_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_when_both_are_right_then_tls13),
        cmocka_unit_test(data_when_written_in_pieces_then_the_same_arrive),
        cmocka_unit_test(data_when_a_key_is_worn_then_goes_on_with_the_next),
        cmocka_unit_test(write_when_nothing_is_sent_then_stops_at_the_buffer),
        cmocka_unit_test(close_when_said_then_read_to_the_end),
        cmocka_unit_test(record_when_spoilt_then_what_came_before_and_an_end),
        cmocka_unit_test(handshake_when_a_peer_is_wrong_then_both_say_why),
        cmocka_unit_test(handshake_when_a_certificate_is_revoked_then_refused),
        cmocka_unit_test(handshake_when_a_stranger_comes_then_refused),
        cmocka_unit_test(load_when_a_file_is_no_good_then_says_which_and_why),
        cmocka_unit_test(looks_when_first_bytes_then_told_apart),
        cmocka_unit_test(handshake_when_bytes_are_random_then_never_up),
    };

    return cmocka_run_group_tests(tests, prepare, clean);
}
