#include "replication/generation.h"

#include <stddef.h>

#define FLAG_BIT UINT64_C(1)

static uint64_t masked(uint64_t generation)
{
    return generation & ~FLAG_BIT;
}

static uint64_t with_role(uint64_t generation, bool primary)
{
    return masked(generation) | (primary ? FLAG_BIT : 0);
}

bool generation_equal(uint64_t a, uint64_t b)
{
    return masked(a) == masked(b);
}

static void rotate(struct generations *g)
{
    g->history[1] = g->history[0];
    g->history[0] = g->bitmap;
    g->bitmap = 0;
}

static void undo(struct generations *g)
{
    g->bitmap = g->history[0];
    g->history[0] = g->history[1];
}

void generation_create(struct generations *g)
{
    *g = (struct generations){.current = GENERATION_JUST_CREATED};
}

void generation_set_role(struct generations *g, bool primary)
{
    g->current = with_role(g->current, primary);
}

bool generation_new(struct generations *g, uint64_t random, bool primary)
{
    if (g->bitmap)
        return false;
    g->bitmap = g->current;
    g->current = with_role(random, primary);
    return true;
}

void generation_new_offline(struct generations *g, uint64_t random, bool primary)
{
    if (g->bitmap)
        rotate(g);
    generation_new(g, random, primary);
}

uint64_t generation_become_source(struct generations *g, uint64_t random)
{
    uint64_t base = masked(g->bitmap), number = random;

    /* Derived from the base, so that rules 51 and 71 recognise it when its packet got lost. */
    if (base && base != GENERATION_JUST_CREATED)
        number = g->bitmap + GENERATION_SYNC_STEP;
    if (g->bitmap)
        rotate(g);
    g->bitmap = number;
    return number;
}

void generation_become_target(struct generations *g, uint64_t number, bool primary)
{
    g->current = with_role(number, primary);
    g->bitmap = 0;
}

void generation_finish_source(struct generations *g)
{
    rotate(g);
}

void generation_finish_target(struct generations *g, const struct generations *peer,
                              uint64_t number, bool primary)
{
    g->current = with_role(peer->current, primary);
    g->history[0] = number;
    g->history[1] = peer->bitmap ? peer->bitmap : peer->history[0];
    g->bitmap = 0;
}

static bool just_created(const struct generations *g)
{
    return masked(g->current) == GENERATION_JUST_CREATED;
}

bool generation_skip_sync_initiate(struct generations *g, uint64_t random, bool primary)
{
    if (!just_created(g))
        return false;
    if (g->bitmap)
        rotate(g);
    g->current = with_role(random, primary);
    g->bitmap = 0;
    return true;
}

bool generation_skip_sync_adopt(struct generations *g, const struct generations *peer, bool primary)
{
    if (!just_created(g))
        return false;
    g->current = with_role(peer->current, primary);
    g->bitmap = 0;
    return true;
}

void generation_repair(const struct generation_verdict *verdict, struct generations *self,
                       struct generations *peer)
{
    switch (verdict->fix) {
    case GENERATION_FIX_NONE:
        break;
    case GENERATION_FIX_SELF_ROTATE:
        rotate(self);
        break;
    case GENERATION_FIX_PEER_ROTATE:
        rotate(peer);
        break;
    case GENERATION_FIX_SELF_UNDO:
        undo(self);
        break;
    case GENERATION_FIX_PEER_UNDO:
        undo(peer);
        break;
    }
}
