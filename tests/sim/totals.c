/* The file is a head, then the fingerprints of the states in any order, all as they are in memory here. */
#include "tests/sim/totals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "tests/sim/states.h"

struct head {
    char magic[16]; /* changes with what is below, and with what a state is */
    uint64_t size;  /* of the head: other kinds of faults are another file */
    uint64_t states;
    struct totals totals;
};

static const char magic[16] = "halun sim sum 1";

void totals_count(struct totals *totals, const char *name, uint64_t n)
{
    unsigned k = 0;

    while (k < totals->count && strcmp(totals->counters[k].name, name))
        k++;
    if (k == TOTALS_COUNTERS)
        return;
    if (k == totals->count)
        snprintf(totals->counters[totals->count++].name, TOTALS_NAME, "%s", name);
    totals->counters[k].n += n;
}

void totals_mix(struct totals *totals, uint32_t faults)
{
    totals->mixes[faults / 8] |= (uint8_t)(1u << faults % 8);
}

static unsigned mixes(const struct totals *totals)
{
    unsigned n = 0;

    for (size_t i = 0; i < sizeof totals->mixes; i++)
        n += (unsigned)__builtin_popcount(totals->mixes[i]);
    return n;
}

void totals_print(const char *what, const struct totals *totals, uint64_t states)
{
    printf("%s%llu runs, %llu violations; %.0f s simulated, %llu events, %llu distinct states, %u mixes of "
           "faults, %.1f ms of CPU per run\n",
           what, (unsigned long long)totals->runs, (unsigned long long)totals->failed,
           (double)totals->simulated_ns / 1e9, (unsigned long long)totals->events, (unsigned long long)states,
           mixes(totals), totals->runs ? (double)totals->cpu_ns / 1e6 / (double)totals->runs : 0);
    for (unsigned i = 0; i < totals->count; i++)
        printf("  %-24s %llu\n", totals->counters[i].name, (unsigned long long)totals->counters[i].n);
}

/* ---- the file ---- */

static void add(struct totals *totals, const struct totals *others)
{
    totals->runs += others->runs;
    totals->failed += others->failed;
    totals->events += others->events;
    totals->cpu_ns += others->cpu_ns;
    totals->simulated_ns += others->simulated_ns;
    for (size_t i = 0; i < sizeof totals->mixes; i++)
        totals->mixes[i] |= others->mixes[i];
    for (unsigned i = 0; i < others->count; i++)
        totals_count(totals, others->counters[i].name, others->counters[i].n);
}

/* Nothing in it is good: it is new. */
static bool read_all(FILE *file, struct totals *totals)
{
    static struct head head;
    uint64_t state;

    if (fread(&head, sizeof head, 1, file) != 1)
        return feof(file) && !ftell(file);
    if (memcmp(head.magic, magic, sizeof magic) != 0 || head.size != sizeof head ||
        head.totals.count > TOTALS_COUNTERS)
        return false;
    for (uint64_t i = 0; i < head.states; i++) {
        if (fread(&state, sizeof state, 1, file) != 1)
            return false;
        states_add(state);
    }
    add(totals, &head.totals);
    return true;
}

static void write_state(uint64_t state, void *file)
{
    fwrite(&state, sizeof state, 1, file);
}

/* Beside the old one, which counts until the new one is whole. */
static bool write_all(const char *path, const struct totals *totals)
{
    static struct head head;
    char beside[4096];
    FILE *file;

    if (snprintf(beside, sizeof beside, "%s.new", path) >= (int)sizeof beside || !(file = fopen(beside, "we")))
        return false;
    memcpy(head.magic, magic, sizeof magic);
    head.size = sizeof head;
    head.states = states_count();
    head.totals = *totals;
    fwrite(&head, sizeof head, 1, file);
    states_each(write_state, file);
    if (ferror(file) | fclose(file))
        return false;
    return !rename(beside, path);
}

/* Open and locked; made if it is not there. One that was replaced while this waited for the lock is not the file any more. */
static FILE *open_locked(const char *path)
{
    struct stat mine, named;
    FILE *file;

    while ((file = fopen(path, "a+e"))) {
        if (!flock(fileno(file), LOCK_EX) && !fstat(fileno(file), &mine) && !stat(path, &named) &&
            mine.st_ino == named.st_ino)
            break;
        fclose(file);
    }
    if (file)
        rewind(file);
    return file;
}

bool totals_sum(struct totals *totals, const char *path, char *why, size_t size)
{
    FILE *file = open_locked(path);
    bool good = true;

    if (!file) {
        snprintf(why, size, "%s: %s", path, strerror(errno));
        return false;
    }
    if (!read_all(file, totals)) {
        snprintf(why, size, "%s: expected the sum of runs of this sim", path);
        good = false;
    } else if (!write_all(path, totals)) {
        snprintf(why, size, "%s: %s", path, strerror(errno));
        good = false;
    }
    fclose(file);
    return good;
}
