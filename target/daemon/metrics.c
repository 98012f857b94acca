/* What the meters say, as JSON for the control socket (docs/control.md: metrics). */
#include "replication/replica.h"
#include "target/base/threads.h"
#include "target/daemon/daemon.h"
#include "target/nexus/meter.h"

static json_t *kind_json(const struct meter_sum *sum, enum meter_kind kind)
{
    json_t *latency = json_array();
    unsigned used = METER_BUCKETS;

    while (used && !sum->latency[kind][used - 1])
        used--;
    for (unsigned i = 0; i < used; i++)
        json_array_append_new(latency, json_integer((json_int_t)sum->latency[kind][i]));
    return json_pack("{s:I, s:I, s:I, s:o}", "commands", (json_int_t)sum->commands[kind], "bytes",
                     (json_int_t)sum->bytes[kind], "microseconds",
                     (json_int_t)sum->microseconds[kind], "latency", latency);
}

static json_t *meter_json(struct meter *meter)
{
    struct meter_sum sum = {0};

    meter_add(meter, &sum);
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "name", meter->name, "iops_limit",
                     (json_int_t)atomic_load(&meter->limit.commands.per_second), "bytes_limit",
                     (json_int_t)atomic_load(&meter->limit.bytes.per_second), "read",
                     kind_json(&sum, METER_READ), "write", kind_json(&sum, METER_WRITE), "other",
                     kind_json(&sum, METER_OTHER));
}

static void add_certificate(json_t *all, const char *group, const char *of, int64_t expires)
{
    if (expires)
        json_array_append_new(all, json_pack("{s:s, s:s, s:I}", "group", group, "of", of, "expires",
                                             (json_int_t)expires));
}

/* Of the replication links; a peer's is known while the link is up. */
static json_t *certificates_json(void)
{
    json_t *all = json_array();

    for (unsigned i = 0; i < halund.config->group_count; i++) {
        struct replica *replica = halund.groups[i].replica;
        const char *name = halund.config->groups[i].name;
        struct replica_status status;

        if (!replica)
            continue;
        replica_get_status(replica, &status);
        add_certificate(all, name, "node", status.tls_expires);
        add_certificate(all, name, "peer", status.tls_peer_expires);
    }
    return all;
}

json_t *metrics_json(void)
{
    json_t *lus = json_array(), *hosts = json_array(), *reactors = json_array();
    struct meter *meter;

    for (unsigned i = 0; i < meter_lu_places(); i++)
        if ((meter = meter_lu_at(i)))
            json_array_append_new(lus, meter_json(meter));
    for (unsigned i = 0; (meter = meter_host_at(i)); i++)
        json_array_append_new(hosts, meter_json(meter));
    for (unsigned i = 0; i < threads.reactor_count; i++)
        json_array_append_new(
            reactors, json_pack("{s:I}", "turns",
                                (json_int_t)atomic_load_explicit(&threads.reactors[i]->turns,
                                                                 memory_order_relaxed)));
    return json_pack("{s:o, s:o, s:o, s:o}", "lus", lus, "hosts", hosts, "reactors", reactors, "certificates",
                     certificates_json());
}
