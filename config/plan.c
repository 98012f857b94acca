#include "config/plan.h"

#include <errno.h>
#include <string.h>

struct planner {
    const struct config *old, *new;
    const char *file;
    void (*emit)(void *context,
                 const struct plan_action *action); /* NULL: first pass, checks only */
    void *context;
    struct config_error *error;
    int result;
};

/* Access to the blocks of one kind in either configuration. */
static unsigned block_count(const struct config *config, enum option_block block, unsigned index)
{
    switch (block) {
    case BLOCK_CLUSTER:
        return 1;
    case BLOCK_NODE:
        return config->node_count;
    case BLOCK_PORTAL:
        return config->nodes[index].portal_count;
    case BLOCK_TARGET:
        return config->target_count;
    case BLOCK_GROUP:
        return config->group_count;
    case BLOCK_LU:
        return config->lu_count;
    case BLOCK_HOST:
        return config->host_count;
    case BLOCK_LUN:
        return config->hosts[index].lun_count;
    default:
        return 0; /* secrets are fields of hosts and groups */
    }
}

static const void *block_at(const struct config *config, enum option_block block, unsigned index,
                            unsigned sub)
{
    switch (block) {
    case BLOCK_NODE:
        return &config->nodes[index];
    case BLOCK_PORTAL:
        return &config->nodes[index].portals[sub];
    case BLOCK_TARGET:
        return &config->targets[index];
    case BLOCK_GROUP:
    case BLOCK_SECRET_GROUP:
        return &config->groups[index];
    case BLOCK_LU:
        return &config->lus[index];
    case BLOCK_HOST:
    case BLOCK_SECRET_HOST:
        return &config->hosts[index];
    case BLOCK_LUN:
        return &config->hosts[index].luns[sub];
    default:
        return config;
    }
}

static const char *block_title(const struct config *config, enum option_block block, unsigned index,
                               unsigned sub, char number[12])
{
    switch (block) {
    case BLOCK_NODE:
        return config->nodes[index].name;
    case BLOCK_PORTAL:
        return config->nodes[index].portals[sub].name;
    case BLOCK_TARGET:
        return config->targets[index].name;
    case BLOCK_GROUP:
    case BLOCK_SECRET_GROUP:
        return config->groups[index].name;
    case BLOCK_LU:
        return config->lus[index].name;
    case BLOCK_HOST:
    case BLOCK_SECRET_HOST:
        return config->hosts[index].name;
    case BLOCK_LUN:
        snprintf(number, 12, "%u", config->hosts[index].luns[sub].lun);
        return number;
    default:
        return "";
    }
}

static unsigned block_line(const struct config *config, enum option_block block, unsigned index,
                           unsigned sub)
{
    switch (block) {
    case BLOCK_NODE:
        return config->nodes[index].line;
    case BLOCK_PORTAL:
        return config->nodes[index].portals[sub].line;
    case BLOCK_TARGET:
        return config->targets[index].line;
    case BLOCK_GROUP:
    case BLOCK_SECRET_GROUP:
        return config->groups[index].line;
    case BLOCK_LU:
        return config->lus[index].line;
    case BLOCK_HOST:
    case BLOCK_LUN:
    case BLOCK_SECRET_HOST:
        return config->hosts[index].line;
    default:
        return 1;
    }
}

/* Place of the block with the same title, or -1. The same place is looked at first: that makes the
 * common case, little changed, cheap. */
static int find_same(const struct config *config, enum option_block block, unsigned index,
                     const char *title, unsigned guess)
{
    bool inner = block == BLOCK_PORTAL || block == BLOCK_LUN;
    unsigned count = block_count(config, block, index);
    char number[12];

    for (unsigned i = 0; i <= count; i++) {
        unsigned at = i ? i - 1 : guess;
        if (at < count &&
            !strcmp(title, block_title(config, block, inner ? index : at, inner ? at : 0, number)))
            return (int)at;
    }
    return -1;
}

/* A number that shows another LU now is another LUN: it goes before its old LU does, and comes back
 * when its new one is there. */
static bool same_lun(const struct planner *plan, unsigned old_host, int old, unsigned new_host,
                     int new)
{
    const struct config_lun *a = &plan->old->hosts[old_host].luns[old];
    const struct config_lun *b = &plan->new->hosts[new_host].luns[new];

    return !memcmp(plan->old->lus[a->lu_index].uuid, plan->new->lus[b->lu_index].uuid, 16);
}

static bool same_value(const struct config_option *option, const struct planner *plan,
                       const void *old, const void *new)
{
    const char *a = (const char *)old + option->offset, *b = (const char *)new + option->offset;
    char x[512], y[512];

    switch (option->type) {
    case OPTION_INITIATORS: {
        const struct config_host *p = old, *q = new;
        if (p->initiator_count != q->initiator_count)
            return false;
        for (unsigned i = 0; i < p->initiator_count; i++)
            if (strcmp(p->initiators[i], q->initiators[i]))
                return false;
        return true;
    }
    case OPTION_SECRET: /* printed, all secrets look alike */
        return !strcmp(a, b);
    default:
        option_print(option, plan->old, old, x, sizeof x);
        option_print(option, plan->new, new, y, sizeof y);
        return !strcmp(x, y);
    }
}

static void refuse(struct planner *plan, enum option_block block, unsigned index, unsigned sub,
                   const struct config_option *option, const void *old, const void *new)
{
    char was[120], is[120], number[12];

    option_print(option, plan->old, old, was, sizeof was);
    option_print(option, plan->new, new, is, sizeof is);
    snprintf(plan->error->text, sizeof plan->error->text,
             "%s:%u: %s \"%.80s\": %s: cannot change %s: was %s, is %s", plan->file,
             block_line(plan->new, block, index, sub), option_block_name(block),
             block_title(plan->new, block, index, sub, number), option->name,
             option->change == CHANGE_RESTART ? "without a restart of the daemon"
                                              : "while the cluster runs",
             was, is);
    plan->result = -EINVAL;
}

static void put(struct planner *plan, struct plan_action action)
{
    if (plan->emit)
        plan->emit(plan->context, &action);
}

static void change_options(struct planner *plan, enum option_block block, struct plan_action at)
{
    const void *old = block_at(plan->old, block, at.old_index, at.old_sub);
    const void *new = block_at(plan->new, block, at.new_index, at.new_sub);

    for (unsigned i = 0; i < option_count && !plan->result; i++) {
        const struct config_option *option = &options[i];
        if (option->block != block || same_value(option, plan, old, new))
            continue;
        if (option->change != CHANGE_LIVE) {
            refuse(plan, block, at.new_index, at.new_sub, option, old, new);
        } else {
            at.kind = PLAN_CHANGE;
            at.block = block;
            at.option = option;
            put(plan, at);
        }
    }
}

/* Blocks of one kind that only `old` has, last first. */
static void remove_blocks(struct planner *plan, enum option_block block, unsigned old_parent,
                          int new_parent)
{
    bool inner = block == BLOCK_PORTAL || block == BLOCK_LUN;
    char number[12];

    for (unsigned i = block_count(plan->old, block, old_parent); i-- && !plan->result;) {
        unsigned index = inner ? old_parent : i, sub = inner ? i : 0;
        const char *title = block_title(plan->old, block, index, sub, number);
        int same;

        if (inner && new_parent < 0) {
            put(plan, (struct plan_action){PLAN_REMOVE, block, index, sub, 0, 0, NULL});
            continue;
        }
        same = find_same(plan->new, block, inner ? (unsigned)new_parent : 0, title, i);
        if (same >= 0 && block == BLOCK_LUN &&
            !same_lun(plan, index, (int)sub, (unsigned)new_parent, same))
            same = -1;
        if (same < 0)
            put(plan, (struct plan_action){PLAN_REMOVE, block, index, sub, 0, 0, NULL});
    }
}

/* For blocks of one kind: change what both have, or create what only `new` has, in order. */
static void merge_blocks(struct planner *plan, enum option_block block, int old_parent,
                         unsigned new_parent, enum plan_kind kind)
{
    bool inner = block == BLOCK_PORTAL || block == BLOCK_LUN;
    char number[12];

    for (unsigned i = 0; i < block_count(plan->new, block, new_parent) && !plan->result; i++) {
        struct plan_action at = {.kind = PLAN_CREATE, .block = block};
        const char *title;
        int same = -1;

        at.new_index = inner ? new_parent : i;
        at.new_sub = inner ? i : 0;
        title = block_title(plan->new, block, at.new_index, at.new_sub, number);
        if (!inner || old_parent >= 0)
            same = find_same(plan->old, block, inner ? (unsigned)old_parent : 0, title, i);
        if (same >= 0 && block == BLOCK_LUN &&
            !same_lun(plan, (unsigned)old_parent, same, at.new_index, (int)at.new_sub))
            same = -1;
        if (same < 0 && kind == PLAN_CREATE)
            put(plan, at);
        if (same < 0 || kind == PLAN_CREATE)
            continue;
        at.old_index = inner ? (unsigned)old_parent : (unsigned)same;
        at.old_sub = inner ? (unsigned)same : 0;
        change_options(plan, block, at);
        if (block == BLOCK_GROUP && !plan->result)
            change_options(plan, BLOCK_SECRET_GROUP, at);
        if (block == BLOCK_HOST && !plan->result)
            change_options(plan, BLOCK_SECRET_HOST, at);
    }
}

static int parent_in(const struct config *config, enum option_block outer, const char *title,
                     unsigned guess)
{
    return find_same(config, outer, 0, title, guess);
}

static void remove_inner(struct planner *plan, enum option_block outer, enum option_block inner)
{
    char number[12];

    for (unsigned i = 0; i < block_count(plan->old, outer, 0) && !plan->result; i++)
        remove_blocks(plan, inner, i,
                      parent_in(plan->new, outer, block_title(plan->old, outer, i, 0, number), i));
}

static void merge_inner(struct planner *plan, enum option_block outer, enum option_block inner,
                        enum plan_kind kind)
{
    char number[12];

    for (unsigned i = 0; i < block_count(plan->new, outer, 0) && !plan->result; i++)
        merge_blocks(plan, inner,
                     parent_in(plan->old, outer, block_title(plan->new, outer, i, 0, number), i), i,
                     kind);
}

/* A uuid that goes to another name, and an LU that keeps its name but not its place in its group,
 * would both look like harmless removals and creations. */
static void check_lus(struct planner *plan)
{
    unsigned o = 0;

    for (unsigned n = 0; n < plan->new->lu_count; n++) {
        const struct config_lu *new = &plan->new->lus[n], *old;
        while (o < plan->old->lu_count && memcmp(plan->old->lus[o].uuid, new->uuid, 16) < 0)
            o++;
        if (o == plan->old->lu_count || memcmp(plan->old->lus[o].uuid, new->uuid, 16))
            continue;
        old = &plan->old->lus[o];
        if (!strcmp(old->name, new->name) &&
            (old->volume == new->volume ||
             plan->new->groups[new->group_index].replication == REPLICATION_NONE))
            continue;
        if (strcmp(old->name, new->name))
            snprintf(
                plan->error->text, sizeof plan->error->text,
                "%s:%u: lu \"%s\": uuid: cannot change while the cluster runs: it is lu \"%s\"",
                plan->file, new->line, new->name, old->name);
        else
            snprintf(
                plan->error->text, sizeof plan->error->text,
                "%s:%u: lu \"%s\": volume number cannot change: was %u, is %u: expected the LUs "
                "of a group in the old order, new ones last",
                plan->file, new->line, new->name, old->volume, new->volume);
        plan->result = -EINVAL;
        return;
    }
}

static void run(struct planner *plan)
{
    static const enum option_block leaving[] = {BLOCK_HOST, BLOCK_TARGET, BLOCK_LU, BLOCK_GROUP,
                                                BLOCK_NODE};
    static const enum option_block coming[] = {BLOCK_NODE, BLOCK_GROUP, BLOCK_LU, BLOCK_TARGET,
                                               BLOCK_HOST};

    remove_inner(plan, BLOCK_NODE, BLOCK_PORTAL);
    remove_inner(plan, BLOCK_HOST, BLOCK_LUN);
    for (unsigned i = 0; i < 5; i++)
        remove_blocks(plan, leaving[i], 0, 0);
    change_options(plan, BLOCK_CLUSTER, (struct plan_action){0});
    for (unsigned i = 0; i < 5; i++) {
        merge_blocks(plan, coming[i], 0, 0, PLAN_CHANGE);
        merge_blocks(plan, coming[i], 0, 0, PLAN_CREATE);
    }
    merge_inner(plan, BLOCK_HOST, BLOCK_LUN, PLAN_CHANGE);
    merge_inner(plan, BLOCK_HOST, BLOCK_LUN, PLAN_CREATE);
    merge_inner(plan, BLOCK_NODE, BLOCK_PORTAL, PLAN_CHANGE);
    merge_inner(plan, BLOCK_NODE, BLOCK_PORTAL, PLAN_CREATE);
}

int config_plan(const struct config *old, const struct config *new, const char *file,
                void (*emit)(void *context, const struct plan_action *action), void *context,
                struct config_error *error)
{
    struct planner plan = {.old = old, .new = new, .file = file, .error = error};

    check_lus(&plan);
    if (!plan.result)
        run(&plan);
    if (plan.result)
        return plan.result;
    plan.emit = emit;
    plan.context = context;
    run(&plan);
    return 0;
}

static size_t describe_block(enum option_block block, const struct config *config, unsigned index,
                             unsigned sub, char *out, size_t size)
{
    char number[12];
    const char *title = block_title(config, block, index, sub, number);

    switch (block) {
    case BLOCK_PORTAL:
        return (size_t)snprintf(out, size, "node \"%s\" portal \"%s\"", config->nodes[index].name,
                                title);
    case BLOCK_LUN:
        return (size_t)snprintf(out, size, "host \"%s\" lun %s", config->hosts[index].name, title);
    case BLOCK_CLUSTER:
        return (size_t)snprintf(out, size, "cluster");
    default:
        return (size_t)snprintf(out, size, "%s \"%s\"", option_block_name(block), title);
    }
}

size_t plan_describe(const struct plan_action *action, const struct config *old,
                     const struct config *new, char *out, size_t size)
{
    char block[400], was[200], is[200];

    if (action->kind == PLAN_REMOVE) {
        describe_block(action->block, old, action->old_index, action->old_sub, block, sizeof block);
        return (size_t)snprintf(out, size, "remove %s", block);
    }
    describe_block(action->block, new, action->new_index, action->new_sub, block, sizeof block);
    if (action->kind == PLAN_CREATE)
        return (size_t)snprintf(out, size, "create %s", block);
    option_print(action->option, old,
                 block_at(old, action->block, action->old_index, action->old_sub), was, sizeof was);
    option_print(action->option, new,
                 block_at(new, action->block, action->new_index, action->new_sub), is, sizeof is);
    return (size_t)snprintf(out, size, "change %s %s %s -> %s", block, action->option->name, was,
                            is);
}
