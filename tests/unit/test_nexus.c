/* The registry of sessions: login, reinstatement, reload, removal. Two reactors and the control
 * thread take their turns by hand, so that every order of events can be made; the last case lets
 * them race.
 *
 * Not covered: what a transport does when it is told to drop a session (iSCSI tests). */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <unistd.h>

#include "config/config.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/device/device.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus.h"
#include "target/nexus/nexus_table.h"

enum { REACTORS = 2, NAMES = 3 };

struct lu *device_lus[LIMIT_LUS];
unsigned device_lu_count;

/* ---- doubles: no tasks here ---- */

void task_resume(struct task *task)
{
    fail();
}

void task_complete(struct task *task, enum scsi_reason reason)
{
    fail();
}

void task_abort(struct task *task, bool silent)
{
    fail();
}

/* Configurations: host "a" sees one LUN in the first, two in the second; "b" is not in the third.
 */
static struct config configs[NAMES];
static const char *const names[NAMES] = {"iqn.2026-11.example:a", "iqn.2026-11.example:b",
                                         "iqn.2026-11.example:c"};
static struct config_lun luns[2] = {{.lun = 0, .lu_index = 0}, {.lun = 7, .lu_index = 1}};

const struct config_host *config_host_for(const struct config *config, const char *initiator)
{
    for (unsigned i = 0; i < config->host_count; i++)
        if (!strcmp(config->hosts[i].initiators[0], initiator))
            return &config->hosts[i];
    return NULL;
}

static void make_config(struct config *config, unsigned hosts, unsigned lun_count)
{
    static struct config_host all[NAMES][NAMES];
    static char initiators[NAMES][LIMIT_ISCSI_NAME + 1];
    struct config_host *list = all[config - configs];

    for (unsigned i = 0; i < hosts; i++) {
        strcpy(initiators[i], names[i]);
        list[i] = (struct config_host){.initiators = &initiators[i],
                                       .initiator_count = 1,
                                       .luns = luns,
                                       .lun_count = lun_count};
    }
    config->hosts = list;
    config->host_count = hosts;
}

/* ---- sessions ---- */

struct session {
    struct nexus nexus;
    unsigned ready, dropped, gone;
    struct post post; /* of the race, as the timer is */
    struct timer timer;
};

static unsigned lost_count, removed_count;
static struct nexus *removed_last;

static void lost(const struct nexus_identity *identity)
{
    lost_count++;
}

static void removed(struct nexus *nexus)
{
    assert_ptr_equal(nexus->reactor, reactor_self());
    __atomic_add_fetch(&removed_count, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&removed_last, nexus, __ATOMIC_RELAXED);
}

static void on_drop(struct nexus *nexus, const char *why)
{
    container_of(nexus, struct session, nexus)->dropped++;
}

static const struct nexus_transport transport = {.name = "test", .drop = on_drop};

static void on_ready(struct nexus *nexus)
{
    container_of(nexus, struct session, nexus)->ready++;
}

static void on_gone(struct nexus *nexus)
{
    container_of(nexus, struct session, nexus)->gone++;
}

static struct reactor *reactors[REACTORS];

static void turn(unsigned reactor)
{
    reactor_turn(reactors[reactor], 0);
}

static void control(void)
{
    mailbox_run(&threads.control);
}

static void settle(void)
{
    for (unsigned i = 0; i < 6; i++) {
        control();
        turn(0);
        turn(1);
    }
}

static void fill(struct session *session, unsigned name, unsigned reactor,
                 const struct nexus_transport *with)
{
    memset(session, 0, sizeof *session);
    session->nexus.transport = with;
    session->nexus.reactor = reactors[reactor];
    strcpy(session->nexus.initiator_name, names[name]);
    identity_from_iscsi(&session->nexus.identity, names[name], (const uint8_t[6]){0x40}, 1);
}

static int add(struct session *session, unsigned name, unsigned reactor)
{
    fill(session, name, reactor, &transport);
    turn(reactor);
    return nexus_add(&session->nexus, on_ready);
}

static void take_away(struct session *session)
{
    turn(session->nexus.reactor->index);
    nexus_remove(&session->nexus, on_gone);
}

static void log_in(struct session *session, unsigned name, unsigned reactor)
{
    assert_int_equal(add(session, name, reactor), 0);
    settle();
    assert_int_equal(session->ready, 1);
    for (unsigned i = 0; i < 2; i++)
        session->nexus.lus[i].unit_attentions = 0;
}

static void log_out(struct session *session)
{
    take_away(session);
    settle();
    assert_int_equal(session->gone, 1);
}

static bool has(const struct session *session, unsigned lu, enum unit_attention ua)
{
    return session->nexus.lus[lu].unit_attentions & (ua_set)1 << ua;
}

static bool reloaded;

static void was_reloaded(void *context)
{
    reloaded = true;
}

static void reload(unsigned config)
{
    reloaded = false;
    nexus_table_reload(&configs[config], was_reloaded, NULL);
}

static int setup(void **state)
{
    static struct lu units[2];

    make_config(&configs[0], 2, 1);
    make_config(&configs[1], 2, 2);
    make_config(&configs[2], 1, 1);
    threads.reactor_count = REACTORS;
    assert_int_equal(mailbox_init(&threads.control), 0);
    for (unsigned i = 0; i < REACTORS; i++) {
        reactors[i] = threads.reactors[i] = calloc(1, sizeof *reactors[i]);
        assert_int_equal(reactor_init(reactors[i], i, 64), 0);
    }
    nexus_table_init();
    nexus_table_config(&configs[0]);
    lanes_init(1, 1000);
    for (unsigned i = 0; i < 2; i++) {
        units[i].index = i;
        lanes_init_lu(&units[i], 0);
        device_lus[i] = &units[i];
    }
    device_lu_count = 2;
    nexus_lost = lost;
    nexus_removed = removed;
    return 0;
}

static int teardown(void **state)
{
    for (unsigned i = 0; i < REACTORS; i++) {
        reactor_done(reactors[i]);
        free(reactors[i]);
    }
    mailbox_done(&threads.control);
    return 0;
}

/* ---- cases ---- */

static void login_when_first_then_ready_later_with_power_on(void **state)
{
    struct session one;

    assert_int_equal(add(&one, 0, 0), 0);
    assert_int_equal(one.ready, 0);
    settle();
    assert_int_equal(one.ready, 1);
    assert_int_equal(nexus_table_count(), 1);
    assert_true(has(&one, 0, UA_POWER_ON) && has(&one, LIMIT_LUS - 1, UA_POWER_ON));
    assert_int_equal(one.nexus.lun_map->count, 1);
    log_out(&one);
    assert_int_equal(nexus_table_count(), 0);
    assert_int_equal(lost_count, 1);
    assert_int_equal(removed_count, 1);
    assert_ptr_equal(removed_last, &one.nexus);
}

static void login_when_nobody_knows_the_initiator_then_refused(void **state)
{
    struct session one;

    assert_int_equal(add(&one, 2, 0), -EACCES);
    settle();
    assert_int_equal(one.ready, 0);
}

static void port_when_it_logs_in_again_then_the_old_session_goes_first(void **state)
{
    struct session old, new;
    unsigned before = lost_count;

    log_in(&old, 0, 0);
    assert_int_equal(add(&new, 0, 1), 0);
    settle();
    assert_int_equal(old.dropped, 1);
    assert_int_equal(new.ready, 0);
    assert_int_equal(nexus_table_count(), 1);
    log_out(&old);
    assert_int_equal(new.ready, 1);
    assert_int_equal(lost_count, before + 1);
    assert_true(has(&new, 0, UA_NEXUS_LOSS));
    assert_false(has(&new, 0, UA_POWER_ON));
    log_out(&new);
}

static void old_session_when_leaving_anyway_then_not_dropped(void **state)
{
    struct session old, new;

    log_in(&old, 0, 0);
    assert_int_equal(add(&new, 0, 1), 0);
    turn(0);
    control(); /* the drop is on its way to reactor 0, whose turn it is */
    nexus_remove(&old.nexus, on_gone);
    settle();
    assert_int_equal(old.dropped, 0);
    assert_int_equal(old.gone, 1);
    assert_int_equal(new.ready, 1);
    log_out(&new);
}

static void other_port_or_initiator_when_it_logs_in_then_nobody_goes(void **state)
{
    struct session one, other;

    log_in(&one, 0, 0);
    log_in(&other, 1, 0);
    assert_int_equal(one.dropped, 0);
    log_out(&other);
    fill(&other, 0, 0, &transport);
    other.nexus.identity.rtpi = 2;
    turn(0);
    assert_int_equal(nexus_add(&other.nexus, on_ready), 0);
    settle();
    assert_int_equal(other.ready, 1);
    assert_int_equal(one.dropped, 0);
    log_out(&other);
    log_out(&one);
}

static void second_login_when_overtaken_by_a_third_then_dropped(void **state)
{
    struct session old, second, third;

    log_in(&old, 0, 0);
    assert_int_equal(add(&second, 0, 1), 0);
    settle();
    assert_int_equal(add(&third, 0, 0), 0);
    settle();
    assert_int_equal(old.dropped, 1);
    assert_int_equal(second.dropped, 1);
    log_out(&old);
    assert_int_equal(second.ready, 0);
    assert_int_equal(third.ready, 1); /* whether the second has gone or not: it never was in */
    log_out(&second);
    assert_int_equal(third.dropped, 0);
    log_out(&third);
    assert_int_equal(nexus_table_count(), 0);
}

static void waiting_login_when_lost_then_never_ready(void **state)
{
    struct session old, second, third;
    unsigned before = lost_count;

    log_in(&old, 0, 0);
    assert_int_equal(add(&second, 0, 1), 0);
    settle();
    log_out(&second);
    assert_int_equal(second.ready, 0);
    assert_int_equal(lost_count, before); /* it held nothing */
    assert_int_equal(add(&third, 0, 1), 0);
    settle();
    assert_int_equal(old.dropped, 1); /* told once */
    log_out(&old);
    assert_int_equal(third.ready, 1);
    log_out(&third);
}

static void login_when_lost_at_once_then_never_ready(void **state)
{
    struct session one;

    assert_int_equal(add(&one, 0, 0), 0);
    nexus_remove(&one.nexus, on_gone);
    settle();
    assert_int_equal(one.ready, 0);
    assert_int_equal(one.gone, 1);

    assert_int_equal(add(&one, 0, 0), 0);
    control(); /* `ready` is on its way */
    nexus_remove(&one.nexus, on_gone);
    settle();
    assert_int_equal(one.ready, 0);
    assert_int_equal(one.gone, 1);
    assert_int_equal(nexus_table_count(), 0);
}

static void login_when_changes_are_not_settled_then_ready_behind_those_before_it(void **state)
{
    struct session before, between, lost_meanwhile;

    nexus_table_unsettled(7);
    assert_int_equal(add(&before, 0, 0), 0);
    settle();
    assert_int_equal(before.ready, 0);
    assert_int_equal(nexus_table_count(), 1); /* what is applied now finds it */
    assert_true(has(&before, 0, UA_POWER_ON));
    nexus_table_unsettled(9);
    assert_int_equal(add(&between, 1, 1), 0);
    settle();
    nexus_table_settled(7);
    settle();
    assert_int_equal(before.ready, 0);
    nexus_table_settled(9);
    settle();
    assert_int_equal(before.ready, 1);
    assert_int_equal(between.ready, 0);
    log_out(&before);

    assert_int_equal(add(&lost_meanwhile, 0, 0), 0);
    settle();
    log_out(&lost_meanwhile);
    nexus_table_settled(0);
    settle();
    assert_int_equal(lost_meanwhile.ready, 0);
    assert_int_equal(before.ready, 1);
    assert_int_equal(between.ready, 1);
    log_out(&between);
    log_in(&before, 0, 0); /* nothing is under way any more */
    log_out(&before);
}

static void login_that_waits_when_its_host_is_gone_then_never_ready(void **state)
{
    struct session waits, in_the_way;

    nexus_table_unsettled(7);
    assert_int_equal(add(&waits, 1, 0), 0);
    turn(0);
    control();
    reload(2);
    settle();
    assert_true(reloaded);
    assert_int_equal(waits.dropped, 1);
    nexus_table_settled(0);
    log_out(&waits);
    assert_int_equal(waits.ready, 0);

    nexus_table_unsettled(8);
    reload(0);
    assert_int_equal(add(&in_the_way, 1, 0), 0); /* with the map of before */
    reload(2);
    settle();
    assert_int_equal(in_the_way.dropped, 1);
    nexus_table_settled(0);
    settle();
    assert_int_equal(in_the_way.ready, 0);
    log_out(&in_the_way);
    reload(0);
    settle();
}

static void reload_when_the_map_changes_then_told(void **state)
{
    struct session one;

    log_in(&one, 0, 0);
    reload(0);
    settle();
    assert_true(reloaded);
    assert_false(has(&one, 0, UA_LUNS_CHANGED));
    reload(1);
    assert_false(reloaded);
    settle();
    assert_true(reloaded);
    assert_int_equal(one.nexus.lun_map->count, 2);
    assert_true(has(&one, 0, UA_LUNS_CHANGED) && has(&one, 1, UA_LUNS_CHANGED));
    reload(0);
    settle();
    assert_int_equal(one.nexus.lun_map->count, 1);
    log_out(&one);
}

static void reload_when_a_host_is_gone_then_its_sessions_are_dropped(void **state)
{
    struct session a, b;

    log_in(&a, 0, 0);
    log_in(&b, 1, 1);
    reload(2);
    settle();
    assert_int_equal(a.dropped, 0);
    assert_int_equal(b.dropped, 1);
    log_out(&b);
    log_out(&a);
    assert_int_equal(add(&b, 1, 0), -EACCES);
    reload(0);
    settle();
}

static void reload_when_a_login_waits_then_it_gets_the_new_map(void **state)
{
    struct session old, new;

    log_in(&old, 0, 0);
    assert_int_equal(add(&new, 0, 1), 0);
    settle();
    reload(1);
    settle();
    log_out(&old);
    assert_int_equal(new.ready, 1);
    assert_int_equal(new.nexus.lun_map->count, 2);
    log_out(&new);
    reload(0);
    settle();
}

static void reload_when_the_host_of_a_waiting_login_is_gone_then_it_is_dropped(void **state)
{
    struct session old, new;

    log_in(&old, 1, 0);
    assert_int_equal(add(&new, 1, 1), 0);
    settle();
    reload(2);
    settle();
    assert_int_equal(old.dropped, 1 + 1); /* by the newer login, and by the reload */
    log_out(&old);
    assert_int_equal(new.ready, 0);
    assert_int_equal(new.dropped, 1);
    log_out(&new);
    reload(0);
    settle();
}

static void proxy_when_removed_then_nobody_is_told(void **state)
{
    struct session proxy;
    unsigned lost_before = lost_count, removed_before = removed_count;

    fill(&proxy, 0, 0, &transport);
    proxy.nexus.forwarded = true;
    turn(0);
    assert_int_equal(nexus_add_proxy(&proxy.nexus), 0);
    assert_int_equal(nexus_table_count(), 0);
    reload(0);
    settle();
    assert_int_equal(proxy.dropped, 0);
    turn(0);
    nexus_remove_proxy(&proxy.nexus);
    settle();
    assert_int_equal(lost_count, lost_before);
    assert_int_equal(removed_count, removed_before);
}

static void show(const struct nexus_info *info, void *context)
{
    unsigned *seen = context;

    assert_string_equal(info->initiator_name, names[0]);
    assert_int_equal(info->reactor, 1);
    assert_int_equal(info->commands, 5);
    (*seen)++;
}

static void table_when_walked_then_shows_those_that_are_in(void **state)
{
    struct session one, waiting;
    unsigned seen = 0;

    log_in(&one, 0, 1);
    one.nexus.commands = 5;
    assert_int_equal(add(&waiting, 0, 0), 0);
    settle();
    nexus_table_each(show, &seen);
    assert_int_equal(seen, 1);
    log_out(&waiting);
    log_out(&one);
}

/* ---- the race: the same port logs in from both reactors, again and again, under reloads ---- */

enum { RACERS = 8, ROUNDS = 300, STAY_NS = 300000 };

static struct session racers[RACERS];
static unsigned rounds_left;
static unsigned racers_left = RACERS;

static void race_start(struct post *post);

static void race_drop(struct nexus *nexus, const char *why);
static const struct nexus_transport race_transport = {.name = "race", .drop = race_drop};

static void race_gone(struct nexus *nexus)
{
    struct session *session = container_of(nexus, struct session, nexus);

    if (__atomic_fetch_sub(&rounds_left, 1, __ATOMIC_RELAXED) > RACERS)
        reactor_post(nexus->reactor, &session->post);
    else
        __atomic_sub_fetch(&racers_left, 1, __ATOMIC_RELEASE);
}

static void race_leave(struct session *session)
{
    if (session->dropped++)
        return;
    reactor_timer_cancel(session->nexus.reactor, &session->timer);
    nexus_remove(&session->nexus, race_gone);
}

static void race_drop(struct nexus *nexus, const char *why)
{
    race_leave(container_of(nexus, struct session, nexus));
}

static void race_late(struct timer *timer)
{
    race_leave(container_of(timer, struct session, timer));
}

/* Once it is in, a session stays until it is dropped, or leaves by itself. */
static void race_ready(struct nexus *nexus)
{
    struct session *session = container_of(nexus, struct session, nexus);

    assert_int_equal(session->dropped, 0);
    session->timer.fire = race_late;
    reactor_timer_set(nexus->reactor, &session->timer, nexus->reactor->now_ns + STAY_NS);
}

static void race_start(struct post *post)
{
    struct session *session = container_of(post, struct session, post);
    unsigned at = (unsigned)(session - racers);

    fill(session, at % 2, reactor_self()->index, &race_transport);
    session->post.run = race_start;
    assert_int_equal(nexus_add(&session->nexus, race_ready), 0);
}

static void *reactor_main(void *reactor)
{
    reactor_run(reactor);
    return NULL;
}

static void stop(struct post *post)
{
    reactor_stop(reactor_self());
}

static void logins_when_they_race_then_all_end_and_nothing_is_left(void **state)
{
    pthread_t running[REACTORS];
    struct post stops[REACTORS];
    struct pollfd wake = {.fd = threads.control.wake_fd, .events = POLLIN};
    unsigned reloads = 0;
    uint64_t woken;

    reloaded = true;
    rounds_left = RACERS * ROUNDS;
    for (unsigned i = 0; i < REACTORS; i++)
        pthread_create(&running[i], NULL, reactor_main, reactors[i]);
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i].post.run = race_start;
        reactor_post(reactors[i / 2 % REACTORS], &racers[i].post);
    }
    while (__atomic_load_n(&racers_left, __ATOMIC_ACQUIRE)) {
        if (reloaded)
            reload(reloads++ % 2);
        poll(&wake, 1, 10);
        if (read(wake.fd, &woken, sizeof woken) < 0)
            assert_int_equal(errno, EAGAIN);
        control();
    }
    for (unsigned i = 0; i < REACTORS; i++) {
        stops[i].run = stop;
        reactor_post(reactors[i], &stops[i]);
    }
    for (unsigned i = 0; i < REACTORS; i++)
        pthread_join(running[i], NULL);
    control();
    assert_int_equal(nexus_table_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(login_when_first_then_ready_later_with_power_on),
        cmocka_unit_test(login_when_nobody_knows_the_initiator_then_refused),
        cmocka_unit_test(port_when_it_logs_in_again_then_the_old_session_goes_first),
        cmocka_unit_test(old_session_when_leaving_anyway_then_not_dropped),
        cmocka_unit_test(other_port_or_initiator_when_it_logs_in_then_nobody_goes),
        cmocka_unit_test(second_login_when_overtaken_by_a_third_then_dropped),
        cmocka_unit_test(waiting_login_when_lost_then_never_ready),
        cmocka_unit_test(login_when_lost_at_once_then_never_ready),
        cmocka_unit_test(login_when_changes_are_not_settled_then_ready_behind_those_before_it),
        cmocka_unit_test(login_that_waits_when_its_host_is_gone_then_never_ready),
        cmocka_unit_test(reload_when_the_map_changes_then_told),
        cmocka_unit_test(reload_when_a_host_is_gone_then_its_sessions_are_dropped),
        cmocka_unit_test(reload_when_a_login_waits_then_it_gets_the_new_map),
        cmocka_unit_test(reload_when_the_host_of_a_waiting_login_is_gone_then_it_is_dropped),
        cmocka_unit_test(proxy_when_removed_then_nobody_is_told),
        cmocka_unit_test(table_when_walked_then_shows_those_that_are_in),
        cmocka_unit_test(logins_when_they_race_then_all_end_and_nothing_is_left),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
