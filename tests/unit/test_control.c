/* The control socket end to end, in one process: server on a thread with its own loop, halunctl's
 * client on the other. Does not cover: rights of other users (needs other users), libqb itself. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <qb/qbdefs.h>
#include <qb/qblog.h>

#include "config/control.h"
#include "config/ctl.h"

enum { LARGE = 3 << 20 };

struct server {
    pthread_t thread;
    qb_loop_t *loop;
    struct control *control;
    struct control_call *_Atomic held; /* group.demote: replied by the next version call */
    atomic_bool keep, abandoned;
    char run_dir[64];
    pthread_barrier_t ready;
};

static void on_version(struct control_call *call, json_t *arguments)
{
    struct server *server = control_context(call);

    if (server->held)
        server->abandoned = control_abandoned(server->held);
    if (server->held && !server->keep) {
        control_reply(server->held, NULL);
        server->held = NULL;
    }
    control_reply(call, json_pack("{s:s}", "version", "test"));
}

static void on_large(struct control_call *call, json_t *arguments)
{
    char *text = malloc(LARGE + 1);

    memset(text, 'x', LARGE);
    text[LARGE] = '\0';
    control_reply(call, json_pack("{s:s}", "text", text));
    free(text);
}

static void on_promote(struct control_call *call, json_t *arguments)
{
    if (!strcmp(json_string_value(json_object_get(arguments, "group")), "later"))
        control_fail(call, CONTROL_AGAIN, "the cluster does not serve");
    else
        control_fail(call, CONTROL_REFUSED, "copy of %s is not current", "g0");
}

static void on_hold(struct control_call *call, json_t *arguments)
{
    ((struct server *)control_context(call))->held = call;
}

static void on_bytes(struct control_call *call, json_t *arguments)
{
    control_reply(call, json_pack("{s:o}", "text", json_stringn_nocheck("\xff\xfe", 2)));
}

static void stop_later(void *data)
{
    qb_loop_stop(((struct server *)data)->loop);
}

static void on_shutdown(struct control_call *call, json_t *arguments)
{
    struct server *server = control_context(call);

    control_reply(call, NULL);
    qb_loop_timer_add(server->loop, QB_LOOP_LOW, QB_TIME_NS_IN_MSEC, server, stop_later, NULL);
}

static void *serve(void *context)
{
    static const struct control_handlers handlers = {
        .version = on_version,
        .status = on_large,
        .group_promote = on_promote,
        .group_demote = on_hold,
        .sessions = on_bytes,
        .shutdown = on_shutdown,
    };
    struct server *server = context;
    struct control_options options = {
        .run_dir = server->run_dir, .handlers = &handlers, .context = server};

    server->loop = options.loop = qb_loop_create();
    if (control_start(&options, &server->control))
        abort();
    pthread_barrier_wait(&server->ready);
    qb_loop_run(server->loop);
    control_stop(server->control);
    if (server->held) /* a call outlives the socket */
        control_reply(server->held, NULL);
    qb_loop_destroy(server->loop);
    return NULL;
}

static int setup(void **state)
{
    struct server *server = calloc(1, sizeof *server);

    snprintf(server->run_dir, sizeof server->run_dir, "/tmp/halun-test-%d", (int)getpid());
    pthread_barrier_init(&server->ready, NULL, 2);
    if (pthread_create(&server->thread, NULL, serve, server))
        return -1;
    pthread_barrier_wait(&server->ready);
    *state = server;
    return 0;
}

static int teardown(void **state)
{
    struct server *server = *state;
    struct ctl ctl = {.run_dir = server->run_dir};
    json_t *result;

    assert_int_equal(ctl_call(&ctl, "shutdown", NULL, &result, false), 0);
    json_decref(result);
    pthread_join(server->thread, NULL);
    ctl_disconnect(&ctl);
    assert_int_equal(ctl_call(&ctl, "version", NULL, &result, true), EXIT_NOT_RUNNING);
    pthread_barrier_destroy(&server->ready);
    free(server);
    return 0;
}

static void request_when_handled_then_result_arrives(void **state)
{
    struct server *server = *state;
    struct ctl ctl = {.run_dir = server->run_dir};
    json_t *result;

    for (int i = 0; i < 100; i++) {
        assert_int_equal(ctl_call(&ctl, "version", NULL, &result, false), 0);
        assert_string_equal(json_string_value(json_object_get(result, "version")), "test");
        json_decref(result);
    }
    ctl_disconnect(&ctl);
}

static void reply_when_larger_than_a_message_then_arrives_whole(void **state)
{
    struct server *server = *state;
    struct ctl ctl = {.run_dir = server->run_dir};
    json_t *result;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(ctl_call(&ctl, "status", NULL, &result, false), 0);
        assert_int_equal(json_string_length(json_object_get(result, "text")), LARGE);
        json_decref(result);
    }
    ctl_disconnect(&ctl);
}

static void request_when_wrong_then_refused_with_its_code(void **state)
{
    struct server *server = *state;
    struct ctl ctl = {.run_dir = server->run_dir};
    json_t *result;

    assert_int_equal(ctl_call(&ctl, "nonsense", NULL, &result, true), CONTROL_USAGE);
    assert_int_equal(ctl_call(&ctl, "group.promote", NULL, &result, true), CONTROL_USAGE);
    assert_int_equal(ctl_call(&ctl, "version", json_pack("{s:i}", "x", 1), &result, true),
                     CONTROL_USAGE);
    assert_int_equal(ctl_call(&ctl, "reload", NULL, &result, true), CONTROL_REFUSED);
    assert_int_equal(
        ctl_call(&ctl, "group.promote", json_pack("{s:s}", "group", "g0"), &result, true),
        CONTROL_REFUSED);
    assert_int_equal(
        ctl_call(&ctl, "group.promote", json_pack("{s:s}", "group", "later"), &result, true),
        CONTROL_AGAIN);
    assert_int_equal(ctl_call(&ctl, "sessions", NULL, &result, true), CONTROL_FAILED);
    ctl_disconnect(&ctl);
}

static void *ask_demote(void *context)
{
    struct ctl ctl = {.run_dir = ((struct server *)context)->run_dir};
    json_t *result;
    long code = ctl_call(&ctl, "group.demote", json_pack("{s:s}", "group", "g"), &result, true);

    json_decref(result);
    ctl_disconnect(&ctl);
    return (void *)code;
}

static void reply_when_given_later_then_arrives(void **state)
{
    struct server *server = *state;
    struct ctl ctl = {.run_dir = server->run_dir};
    json_t *result;
    pthread_t thread;
    void *code = (void *)-1L;

    assert_int_equal(pthread_create(&thread, NULL, ask_demote, server), 0);
    while (pthread_tryjoin_np(thread, &code)) { /* each version call replies to what is held */
        assert_int_equal(ctl_call(&ctl, "version", NULL, &result, false), 0);
        json_decref(result);
    }
    assert_null(code);
    ctl_disconnect(&ctl);
}

static void client_when_gone_before_the_reply_then_call_is_abandoned(void **state)
{
    struct server *server = *state;
    struct ctl ctl = {.run_dir = server->run_dir};
    json_t *result;
    int status;
    pid_t child;

    server->keep = true; /* version calls leave what is held alone */
    child = fork();
    if (!child) {
        ask_demote(server);
        _exit(0);
    }
    while (!server->held) /* atomic: set by the server's thread */
        sched_yield();
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    while (!server->abandoned) {
        assert_int_equal(ctl_call(&ctl, "version", NULL, &result, false), 0);
        json_decref(result);
    }
    server->keep = false;
    assert_int_equal(ctl_call(&ctl, "version", NULL, &result, false), 0);
    json_decref(result);
    assert_null(server->held);
    ctl_disconnect(&ctl);
}

static void arguments_when_checked_against_the_row_then_types_count(void **state)
{
    static const struct {
        const char *row, *json;
        bool good;
    } rows[] = {
        {"", "{}", true},
        {"", "{\"a\":1}", false},
        {"a:string", "{}", false},
        {"a:string", "{\"a\":\"x\"}", true},
        {"a:string", "{\"a\":1}", false},
        {"a:string?", "{}", true},
        {"a:string b:boolean?", "{\"a\":\"x\",\"b\":true}", true},
        {"a:string b:boolean?", "{\"a\":\"x\",\"b\":\"y\"}", false},
        {"a:integer", "{\"a\":1}", true},
        {"a:integer", "{\"a\":1.5}", false},
        {"aa:integer", "{\"a\":1}", false},
    };
    char why[160];

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *arguments = json_loads(rows[i].json, 0, NULL);
        assert_int_equal(control_check_arguments(rows[i].row, arguments, why), rows[i].good);
        json_decref(arguments);
    }
    assert_true(control_check_arguments("", NULL, why));
    assert_false(control_check_arguments("a:string", NULL, why));
}

static void service_name_when_run_dir_differs_then_differs(void **state)
{
    char a[CONTROL_NAME], b[CONTROL_NAME];

    control_service_name("/run/halun", a);
    assert_string_equal(a, "halun");
    control_service_name("/run/halun.node2/", a);
    assert_string_equal(a, "halun.node2");
    control_service_name("/nowhere/a/run", a);
    control_service_name("/nowhere/b/run", b);
    assert_string_not_equal(a, b);
    assert_memory_equal(a, "halun-run-", 10);
}

static const char conditions[] =
    "{\"node\":\"n1\",\"ready\":true,\"cluster\":{\"serving\":false},\"groups\":["
    "{\"name\":\"up\",\"owner\":\"n1\",\"current\":[\"n1\",\"n2\"],\"replication\":{\"disk\":"
    "\"UpToDate\","
    "\"peer_disk\":\"UpToDate\",\"connection\":\"Connected\",\"out_of_sync\":0}},"
    "{\"name\":\"sync\",\"owner\":\"n2\",\"current\":[\"n1\"],\"replication\":{\"disk\":"
    "\"Inconsistent\","
    "\"peer_disk\":\"UpToDate\",\"connection\":\"SyncTarget\",\"out_of_sync\":9}},"
    "{\"name\":\"old\",\"owner\":null,\"current\":[\"n2\"],\"replication\":{\"disk\":\"Outdated\","
    "\"peer_disk\":\"DUnknown\",\"connection\":\"WFConnection\",\"out_of_sync\":9}},"
    "{\"name\":\"gone\",\"owner\":\"n2\",\"current\":[\"n1\",\"n2\"],\"replication\":{\"disk\":\"Diskless\","
    "\"peer_disk\":\"DUnknown\",\"connection\":\"StandAlone\",\"out_of_sync\":0}},"
    "{\"name\":\"far\",\"owner\":\"n1\",\"current\":[\"n1\",\"n2\"],\"replication\":{\"disk\":\"Diskless\","
    "\"peer_disk\":\"UpToDate\",\"connection\":\"Connected\",\"out_of_sync\":0}},"
    "{\"name\":\"none\",\"owner\":\"n2\",\"current\":[\"n1\"],\"replication\":null}]}";

static void score_when_asked_then_follows_freshness(void **state)
{
    json_t *status = json_loads(conditions, 0, NULL);
    static const struct {
        const char *group;
        int score;
    } rows[] = {{"up", 10010}, {"sync", 1000}, {"old", -1}, {"gone", -1}, {"far", 1000}, {"none", 10000}};

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(ctl_score(status, ctl_find_group(status, rows[i].group)), rows[i].score);
    json_decref(status);
}

static void condition_when_asked_then_follows_the_status(void **state)
{
    json_t *status = json_loads(conditions, 0, NULL);
    static const struct {
        const char *condition, *group;
        int met, stopped;
    } rows[] = {
        {"ready", NULL, 1, 0},       {"serving", NULL, 0, 0},       {"stopped", NULL, 0, 1},
        {"ready", "up", -1, -1},     {"nonsense", NULL, -1, -1},    {"promoted", NULL, -1, -1},
        {"promoted", "up", 1, 0},    {"promoted", "sync", 0, 0},    {"demoted", "sync", 1, 0},
        {"owned", "old", 0, 0},      {"owned", "sync", 1, 0},       {"uptodate", "up", 1, 0},
        {"uptodate", "sync", 0, 0},  {"uptodate", "none", 1, 0},    {"connected", "up", 1, 0},
        {"connected", "sync", 1, 0}, {"connected", "old", 0, 0},    {"current", "old", 0, 0},
        {"current", "up", 1, 0},     {"promoted", "nowhere", 0, 0},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(ctl_condition(status, rows[i].condition, rows[i].group), rows[i].met);
        assert_int_equal(ctl_condition(NULL, rows[i].condition, rows[i].group), rows[i].stopped);
    }
    json_decref(status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_when_handled_then_result_arrives),
        cmocka_unit_test(reply_when_larger_than_a_message_then_arrives_whole),
        cmocka_unit_test(request_when_wrong_then_refused_with_its_code),
        cmocka_unit_test(reply_when_given_later_then_arrives),
        cmocka_unit_test(client_when_gone_before_the_reply_then_call_is_abandoned),
        cmocka_unit_test(arguments_when_checked_against_the_row_then_types_count),
        cmocka_unit_test(service_name_when_run_dir_differs_then_differs),
        cmocka_unit_test(score_when_asked_then_follows_freshness),
        cmocka_unit_test(condition_when_asked_then_follows_the_status),
    };
    qb_log_init("test_control", LOG_USER, LOG_EMERG);
    qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, QB_FALSE);
    return cmocka_run_group_tests(tests, setup, teardown);
}
