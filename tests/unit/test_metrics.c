/* metrics.c: which certificates are told. The meters themselves are test_limit's part, how it is printed
 * tests/conform/single's and tests/cluster/tls'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "replication/replica_engine.h"
#include "target/base/threads.h"
#include "target/daemon/daemon.h"
#include "target/nexus/meter.h"

struct daemon halund;
struct threads threads;

static struct config_group groups[4];
static struct config config = {.groups = groups, .group_count = 4};
static struct replica plain, linked, alone;

void replica_get_status(const struct replica *replica, struct replica_status *status)
{
    *status = (struct replica_status){.tls = replica != &plain};
    if (replica != &plain)
        status->tls_expires = 1800000000;
    if (replica == &linked)
        status->tls_peer_expires = 1900000000;
}

unsigned meter_lu_places(void)
{
    return 0;
}

struct meter *meter_lu_at(unsigned place)
{
    return NULL;
}

struct meter *meter_host_at(unsigned place)
{
    return NULL;
}

void meter_add(const struct meter *meter, struct meter_sum *sum)
{
}

static void certificates_when_tls_then_told(void **state)
{
    json_t *metrics, *expected;

    halund.config = &config;
    strcpy(groups[0].name, "none");
    strcpy(groups[1].name, "plain");
    strcpy(groups[2].name, "linked");
    strcpy(groups[3].name, "alone");
    halund.groups[1].replica = &plain;
    halund.groups[2].replica = &linked;
    halund.groups[3].replica = &alone;
    metrics = metrics_json();
    expected = json_pack("[{s:s, s:s, s:i}, {s:s, s:s, s:i}, {s:s, s:s, s:i}]", "group", "linked", "of", "node",
                         "expires", 1800000000, "group", "linked", "of", "peer", "expires", 1900000000, "group",
                         "alone", "of", "node", "expires", 1800000000);
    assert_true(json_equal(expected, json_object_get(metrics, "certificates")));
    json_decref(expected);
    json_decref(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(certificates_when_tls_then_told)};

    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
