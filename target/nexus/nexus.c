#include "target/nexus/nexus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/device/device.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/meter.h"
#include "target/nexus/nexus_table.h"

/* The control thread's half of a nexus. Lives until the nexus is removed. */
struct nexus_registration {
    struct nexus *nexus;
    struct post add, remove, drop, admit;
    void (*ready)(struct nexus *nexus);
    void (*gone)(struct nexus *nexus);
    bool removed;    /* reactor: nexus_remove() was called */
    bool listed;     /* control: in the registry */
    bool dropping;   /* control: its session was told to end */
    bool reinstates; /* control: takes the place of an older session */
    bool held;       /* set before `add` is posted: `admit` calls `ready` */
    bool refused;    /* reactor: no LUN map, dropped */
    uint64_t waits;  /* control: the newest change that was not settled when it came; 0: admitted */
    unsigned
        configuration; /* reactor: which one its LUN map was made from (table.configurations) */
    const char *drop_why;
    struct nexus_registration *successor, *predecessor; /* control */
    struct qb_list_head link;
    struct nexus_info info;
};

static struct {
    struct qb_list_head local[LIMIT_REACTORS];
    const struct config *config[LIMIT_REACTORS]; /* each reactor's own pointer */
    unsigned configurations[LIMIT_REACTORS];     /* how many it has had */
    struct qb_list_head registered;              /* control */
    unsigned count;
    uint64_t unsettled; /* control: the newest change that is not settled, 0: all are */
    unsigned waiting;   /* control: sessions with `waits` */
} table;

void (*nexus_lost)(const struct nexus_identity *identity);
void (*nexus_removed)(struct nexus *nexus);

void nexus_table_init(void)
{
    for (unsigned i = 0; i < LIMIT_REACTORS; i++)
        qb_list_init(&table.local[i]);
    qb_list_init(&table.registered);
}

struct qb_list_head *nexus_table_of(unsigned index)
{
    return &table.local[index];
}

struct qb_list_head *nexus_table_local(void)
{
    return nexus_table_of(reactor_self()->index);
}

void nexus_table_config(const struct config *config)
{
    for (unsigned i = 0; i < LIMIT_REACTORS; i++)
        table.config[i] = config;
}

/* ---- on the reactor ---- */

static void join_lanes(struct nexus *nexus)
{
    for (unsigned i = 0; i < device_lu_count; i++) {
        struct nexus_lu *own = &nexus->lus[i];
        if (device_lus[i])
            lane_lookup(&device_lus[i]->lanes[nexus->reactor->index], &nexus->identity,
                        &own->registered, &own->holder);
    }
    qb_list_add_tail(&nexus->link, nexus_table_local());
}

/* Gives a session its LUN map of `config`. False: it has none and was dropped. */
static bool remap(struct nexus *nexus, const struct config *config)
{
    const struct config_host *host = config_host_for(config, nexus->initiator_name);
    struct lun_map *map = host ? lun_map_new(host) : NULL;

    if (!map) {
        nexus->registration->refused = true;
        nexus->transport->drop(nexus, host ? "out of memory" : "no longer configured");
        return false;
    }
    if (!lun_map_equal(nexus->lun_map, map))
        for (unsigned i = 0; i < map->count; i++)
            ua_establish(&nexus->lus[map->entries[i].lu_index].unit_attentions, UA_LUNS_CHANGED);
    lun_map_free(nexus->lun_map);
    nexus->lun_map = map;
    nexus->meter = meter_of_host(host->name);
    return true;
}

static void at_reactor_ready(struct post *post)
{
    struct nexus_registration *registration = container_of(post, struct nexus_registration, add);
    struct nexus *nexus = registration->nexus;
    unsigned reactor = nexus->reactor->index;

    if (registration->removed)
        return;
    for (unsigned i = 0; i < LIMIT_LUS; i++)
        ua_establish(&nexus->lus[i].unit_attentions,
                     registration->reinstates ? UA_NEXUS_LOSS : UA_POWER_ON);
    join_lanes(nexus);
    /* A reload passed by while it waited for its predecessor: it was not in the list. */
    if (registration->configuration != table.configurations[reactor] &&
        !remap(nexus, table.config[reactor]))
        return;
    if (!registration->held)
        registration->ready(nexus);
}

static void at_reactor_admit(struct post *post)
{
    struct nexus_registration *registration = container_of(post, struct nexus_registration, admit);

    if (!registration->removed && !registration->refused)
        registration->ready(registration->nexus);
}

static void at_reactor_gone(struct post *post)
{
    struct nexus_registration *registration = container_of(post, struct nexus_registration, remove);
    struct nexus *nexus = registration->nexus;
    void (*gone)(struct nexus *) = registration->gone;

    lun_map_free(nexus->lun_map);
    nexus->lun_map = NULL;
    free(nexus->lus);
    nexus->lus = NULL;
    nexus->registration = NULL;
    free(registration);
    gone(nexus);
}

static void at_reactor_drop(struct post *post)
{
    struct nexus_registration *registration = container_of(post, struct nexus_registration, drop);

    /* The registration lives until at_control_remove(), which is posted by this very thread. */
    if (!registration->removed)
        registration->nexus->transport->drop(registration->nexus, registration->drop_why);
}

/* ---- on the control thread ---- */

static void enlist(struct nexus_registration *registration)
{
    registration->listed = true;
    qb_list_add_tail(&registration->link, &table.registered);
    table.count++;
    /* What is applied from now on finds the nexus in the list. What was before is over when the initiator learns that it
     * is logged in: a session that began after a change has no unit attention of it, so no node may act as before it. */
    registration->waits = table.unsettled;
    registration->held = registration->waits;
    table.waiting += registration->held;
    registration->add.run = at_reactor_ready;
    reactor_post(registration->nexus->reactor, &registration->add);
}

static void drop(struct nexus_registration *registration, const char *why)
{
    if (registration->dropping)
        return;
    registration->dropping = true;
    registration->drop_why = why;
    registration->drop.run = at_reactor_drop;
    reactor_post(registration->nexus->reactor, &registration->drop);
}

static void at_control_add(struct post *post)
{
    struct nexus_registration *registration = container_of(post, struct nexus_registration, add);
    struct nexus_registration *old;

    qb_list_for_each_entry(old, &table.registered, link)
    {
        if (!identity_equal(&old->nexus->identity, &registration->nexus->identity))
            continue;
        if (old->successor) { /* a third login overtakes the second, which never got in */
            old->successor->predecessor = NULL;
            drop(old->successor, "overtaken by a newer login of the same initiator port");
        }
        old->successor = registration;
        registration->predecessor = old;
        registration->reinstates = true;
        drop(old, "session reinstatement");
        return;
    }
    enlist(registration);
}

static void at_control_remove(struct post *post)
{
    struct nexus_registration *registration = container_of(post, struct nexus_registration, remove);

    if (registration->predecessor)
        registration->predecessor->successor = NULL;
    if (registration->listed) {
        qb_list_del(&registration->link);
        table.count--;
        table.waiting -= registration->waits != 0;
        if (nexus_lost)
            nexus_lost(&registration->nexus->identity);
    }
    if (registration->successor) {
        registration->successor->predecessor = NULL;
        enlist(registration->successor);
    }
    registration->remove.run = at_reactor_gone;
    reactor_post(registration->nexus->reactor, &registration->remove);
}

/* ---- the calls ---- */

int nexus_add(struct nexus *nexus, void (*ready)(struct nexus *nexus))
{
    const struct config_host *host =
        config_host_for(table.config[nexus->reactor->index], nexus->initiator_name);
    struct nexus_registration *registration;

    if (!host)
        return -EACCES;
    registration = calloc(1, sizeof *registration);
    nexus->lus = calloc(LIMIT_LUS, sizeof *nexus->lus);
    nexus->lun_map = lun_map_new(host);
    if (!registration || !nexus->lus || !nexus->lun_map) {
        lun_map_free(nexus->lun_map);
        free(nexus->lus);
        free(registration);
        nexus->lun_map = NULL;
        nexus->lus = NULL;
        return -ENOMEM;
    }
    qb_list_init(&nexus->tasks);
    qb_list_init(&nexus->link);
    nexus->meter = meter_of_host(host->name);
    nexus->registration = registration;
    registration->nexus = nexus;
    registration->ready = ready;
    registration->configuration = table.configurations[nexus->reactor->index];
    memcpy(registration->info.initiator_name, nexus->initiator_name,
           sizeof registration->info.initiator_name);
    memcpy(registration->info.target_name, nexus->target_name,
           sizeof registration->info.target_name);
    memcpy(registration->info.peer_address, nexus->peer_address,
           sizeof registration->info.peer_address);
    memcpy(registration->info.isid, nexus->isid, sizeof nexus->isid);
    registration->info.tsih = nexus->tsih;
    registration->info.tpgt = nexus->tpgt;
    registration->info.rtpi = nexus->identity.rtpi;
    registration->info.reactor = nexus->reactor->index;
    registration->add.run = at_control_add;
    control_post(&registration->add);
    return 0;
}

void nexus_remove(struct nexus *nexus, void (*gone)(struct nexus *nexus))
{
    struct nexus_registration *registration = nexus->registration;

    assert(registration && !registration->removed && qb_list_empty(&nexus->tasks));
    registration->removed = true;
    registration->gone = gone;
    qb_list_del(&nexus->link);
    if (nexus_removed)
        nexus_removed(nexus);
    registration->remove.run = at_control_remove;
    control_post(&registration->remove);
}

int nexus_add_proxy(struct nexus *nexus)
{
    nexus->lus = calloc(LIMIT_LUS, sizeof *nexus->lus);
    if (!nexus->lus)
        return -ENOMEM;
    qb_list_init(&nexus->tasks);
    join_lanes(nexus);
    return 0;
}

void nexus_remove_proxy(struct nexus *nexus)
{
    assert(qb_list_empty(&nexus->tasks));
    qb_list_del(&nexus->link);
    free(nexus->lus);
    nexus->lus = NULL;
}

void nexus_table_each(void (*each)(const struct nexus_info *info, void *context), void *context)
{
    struct nexus_registration *registration;

    qb_list_for_each_entry(registration, &table.registered, link)
    {
        struct nexus *nexus = registration->nexus;
        registration->info.commands = __atomic_load_n(&nexus->commands, __ATOMIC_RELAXED);
        registration->info.bytes_in = __atomic_load_n(&nexus->bytes_in, __ATOMIC_RELAXED);
        registration->info.bytes_out = __atomic_load_n(&nexus->bytes_out, __ATOMIC_RELAXED);
        each(&registration->info, context);
    }
}

bool nexus_table_has(const struct nexus_identity *identity)
{
    struct nexus_registration *registration;

    qb_list_for_each_entry(registration, &table.registered, link)
    {
        if (identity_equal(&registration->nexus->identity, identity))
            return true;
    }
    return false;
}

void nexus_table_drop_all(const char *why)
{
    struct nexus_registration *registration;

    qb_list_for_each_entry(registration, &table.registered, link)
        drop(registration, why);
}

void nexus_table_unsettled(uint64_t newest)
{
    table.unsettled = newest;
}

void nexus_table_settled(uint64_t oldest)
{
    struct nexus_registration *registration;

    if (!oldest)
        table.unsettled = 0;
    if (!table.waiting)
        return;
    qb_list_for_each_entry(registration, &table.registered, link)
    {
        if (!registration->waits || (oldest && registration->waits >= oldest))
            continue;
        registration->waits = 0;
        table.waiting--;
        registration->admit.run = at_reactor_admit;
        reactor_post(registration->nexus->reactor, &registration->admit);
    }
}

unsigned nexus_table_count(void)
{
    return table.count;
}

/* ---- reload ---- */

struct reload {
    void (*done)(void *context);
    void *context;
    const struct config *config;
    unsigned waiting;
    struct reload_part {
        struct post post;
        struct reload *reload;
    } parts[LIMIT_REACTORS];
};

static void at_control_reloaded(struct post *post)
{
    struct reload *reload = container_of(post, struct reload_part, post)->reload;

    if (--reload->waiting)
        return;
    reload->done(reload->context);
    free(reload);
}

static void at_reactor_reload(struct post *post)
{
    struct reload *reload = container_of(post, struct reload_part, post)->reload;
    struct nexus *nexus, *next;

    table.config[reactor_self()->index] = reload->config;
    table.configurations[reactor_self()->index]++;
    qb_list_for_each_entry_safe(nexus, next, nexus_table_local(), link)
    {
        if (!nexus->forwarded)
            remap(nexus, reload->config);
    }
    post->run = at_control_reloaded;
    control_post(post);
}

void nexus_table_reload(const struct config *config, void (*done)(void *context), void *context)
{
    struct reload *reload = calloc(1, sizeof *reload);

    if (!reload)
        abort();
    reload->done = done;
    reload->context = context;
    reload->config = config;
    reload->waiting = threads.reactor_count;
    for (unsigned i = 0; i < threads.reactor_count; i++) {
        reload->parts[i].reload = reload;
        reload->parts[i].post.run = at_reactor_reload;
        reactor_post(threads.reactors[i], &reload->parts[i].post);
    }
}
