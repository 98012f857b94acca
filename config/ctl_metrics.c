/* halunctl: counters and latencies, for people (top) and for Prometheus (metrics). */
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/ctl.h"

static const char *const kinds[] = {"read", "write", "other"};
static const struct {
    const char *array, *label;
} subjects[] = {{"lus", "lu"}, {"hosts", "host"}};
enum { KINDS = 3, SUBJECTS = 2, BUCKETS = 25, TOP_SECONDS_MAX = 3600 };

static json_int_t number(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *name_of(json_t *meter)
{
    const char *name = json_string_value(json_object_get(meter, "name"));
    return name ? name : "";
}

static int fetch(struct ctl *ctl, json_t **result)
{
    int code = ctl_call(ctl, "metrics", NULL, result, false);

    return code == CTL_AGAIN ? EXIT_FAILED : code;
}

/* ---- metrics: text exposition format 0.0.4 ---- */

static void print_kind(const char *label, const char *name, const char *kind, json_t *counters)
{
    json_t *latency = json_object_get(counters, "latency");
    json_int_t sum = 0;

    for (unsigned i = 0; i < BUCKETS - 1; i++) {
        sum += json_integer_value(json_array_get(latency, i));
        if (i < json_array_size(latency) || !i)
            printf("halun_latency_seconds_bucket{%s=\"%s\",kind=\"%s\",le=\"%.6f\"} "
                   "%" JSON_INTEGER_FORMAT "\n",
                   label, name, kind, (double)(1u << i) / 1e6, sum);
    }
    printf("halun_latency_seconds_bucket{%s=\"%s\",kind=\"%s\",le=\"+Inf\"} %" JSON_INTEGER_FORMAT
           "\n",
           label, name, kind, number(counters, "commands"));
    printf("halun_latency_seconds_sum{%s=\"%s\",kind=\"%s\"} %.6f\n", label, name, kind,
           (double)number(counters, "microseconds") / 1e6);
    printf("halun_latency_seconds_count{%s=\"%s\",kind=\"%s\"} %" JSON_INTEGER_FORMAT "\n", label,
           name, kind, number(counters, "commands"));
}

static void print_each(json_t *result, const char *metric, const char *member)
{
    for (unsigned s = 0; s < SUBJECTS; s++) {
        size_t i;
        json_t *meter;

        json_array_foreach(json_object_get(result, subjects[s].array), i, meter)
        {
            for (unsigned k = 0; k < KINDS; k++) {
                json_t *counters = json_object_get(meter, kinds[k]);
                if (member)
                    printf("%s{%s=\"%s\",kind=\"%s\"} %" JSON_INTEGER_FORMAT "\n", metric,
                           subjects[s].label, name_of(meter), kinds[k], number(counters, member));
                else
                    print_kind(subjects[s].label, name_of(meter), kinds[k], counters);
            }
        }
    }
}

static void print_certificates(json_t *all)
{
    json_t *one;
    size_t i;

    if (!json_array_size(all))
        return;
    printf("# HELP halun_certificate_expiry_timestamp_seconds end of a certificate of a replication link\n"
           "# TYPE halun_certificate_expiry_timestamp_seconds gauge\n");
    json_array_foreach(all, i, one)
        printf("halun_certificate_expiry_timestamp_seconds{group=\"%s\",of=\"%s\"} %" JSON_INTEGER_FORMAT "\n",
               json_string_value(json_object_get(one, "group")), json_string_value(json_object_get(one, "of")),
               number(one, "expires"));
}

int ctl_metrics(struct ctl *ctl, int count, char **arguments)
{
    json_t *result, *reactor;
    size_t i;
    int code = fetch(ctl, &result);

    if (code)
        return code;
    if (ctl->json) {
        ctl_print_json(result);
        json_decref(result);
        return EXIT_OK;
    }
    printf("# HELP halun_commands_total commands to the medium that have ended\n"
           "# TYPE halun_commands_total counter\n");
    print_each(result, "halun_commands_total", "commands");
    printf("# HELP halun_bytes_total bytes moved for them\n# TYPE halun_bytes_total counter\n");
    print_each(result, "halun_bytes_total", "bytes");
    printf("# HELP halun_latency_seconds from a command's arrival to its status\n"
           "# TYPE halun_latency_seconds histogram\n");
    print_each(result, NULL, NULL);
    printf("# HELP halun_reactor_turns_total turns of a reactor's loop\n"
           "# TYPE halun_reactor_turns_total counter\n");
    json_array_foreach(json_object_get(result, "reactors"), i, reactor)
        printf("halun_reactor_turns_total{reactor=\"%zu\"} %" JSON_INTEGER_FORMAT "\n", i,
               number(reactor, "turns"));
    print_certificates(json_object_get(result, "certificates"));
    json_decref(result);
    return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

/* ---- top ---- */

/* What happened between two looks at one subject. */
struct change {
    double commands[KINDS], bytes[KINDS];
    json_int_t latency[BUCKETS], ended;
};

static json_t *find(json_t *array, const char *name)
{
    size_t i;
    json_t *meter;

    json_array_foreach(array, i, meter)
    {
        if (!strcmp(name_of(meter), name))
            return meter;
    }
    return NULL;
}

static struct change change_of(json_t *before, json_t *after, double seconds)
{
    struct change change = {0};

    for (unsigned k = 0; k < KINDS; k++) {
        json_t *old = json_object_get(before, kinds[k]), *new = json_object_get(after, kinds[k]);
        json_t *old_latency = json_object_get(old, "latency");
        json_t *new_latency = json_object_get(new, "latency");

        change.commands[k] = (double)(number(new, "commands") - number(old, "commands")) / seconds;
        change.bytes[k] = (double)(number(new, "bytes") - number(old, "bytes")) / seconds;
        for (unsigned i = 0; i < BUCKETS; i++) {
            json_int_t n = json_integer_value(json_array_get(new_latency, i)) -
                           json_integer_value(json_array_get(old_latency, i));
            change.latency[i] += n;
            change.ended += n;
        }
    }
    return change;
}

/* Microseconds that `share` of the commands stayed below; a power of two. */
static json_int_t latency_at(const struct change *change, double share)
{
    json_int_t seen = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += change->latency[i];
        if ((double)seen >= share * (double)change->ended)
            return (json_int_t)1 << i;
    }
    return (json_int_t)1 << (BUCKETS - 1);
}

static json_t *top_json(json_t *before, json_t *after, double seconds)
{
    json_t *rows = json_array();

    for (unsigned s = 0; s < SUBJECTS; s++) {
        size_t i;
        json_t *meter;

        json_array_foreach(json_object_get(after, subjects[s].array), i, meter)
        {
            json_t *old = find(json_object_get(before, subjects[s].array), name_of(meter));
            struct change change = change_of(old, meter, seconds);

            if (!change.ended)
                continue;
            json_array_append_new(
                rows, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I}", "kind",
                                subjects[s].label, "name", name_of(meter), "reads",
                                change.commands[0], "writes", change.commands[1], "others",
                                change.commands[2], "read_bytes", change.bytes[0], "write_bytes",
                                change.bytes[1], "p50_us", latency_at(&change, .5), "p99_us",
                                latency_at(&change, .99), "iops_limit", number(meter, "iops_limit"),
                                "bytes_limit", number(meter, "bytes_limit")));
        }
    }
    return rows;
}

static void print_top(json_t *rows)
{
    static const char *const columns[] = {"",         "NAME",       "READS/S",  "READ MB/S",
                                          "WRITES/S", "WRITE MB/S", "P50 US <", "P99 US <"};
    struct libscols_table *table = scols_new_table();
    json_t *row;
    size_t i;

    for (unsigned c = 0; table && c < sizeof columns / sizeof *columns; c++)
        scols_table_new_column(table, columns[c], 0, c > 1 ? SCOLS_FL_RIGHT : 0);
    json_array_foreach(rows, i, row)
    {
        struct libscols_line *line = table ? scols_table_new_line(table, NULL) : NULL;
        const double numbers[] = {json_real_value(json_object_get(row, "reads")),
                                  json_real_value(json_object_get(row, "read_bytes")) / 1e6,
                                  json_real_value(json_object_get(row, "writes")),
                                  json_real_value(json_object_get(row, "write_bytes")) / 1e6,
                                  (double)number(row, "p50_us"),
                                  (double)number(row, "p99_us")};

        if (!line)
            break;
        scols_line_set_data(line, 0, json_string_value(json_object_get(row, "kind")));
        scols_line_set_data(line, 1, name_of(row));
        for (unsigned c = 0; c < sizeof numbers / sizeof *numbers; c++) {
            char text[32];
            snprintf(text, sizeof text, c == 1 || c == 3 ? "%.1f" : "%.0f", numbers[c]);
            scols_line_set_data(line, c + 2, text);
        }
    }
    scols_print_table(table);
    scols_unref_table(table);
}

int ctl_top(struct ctl *ctl, int count, char **arguments)
{
    char *end = NULL;
    unsigned long seconds = count ? strtoul(arguments[0], &end, 10) : 1;
    json_t *before, *after, *rows;
    long began;
    int code;

    if ((end && *end) || seconds < 1 || seconds > TOP_SECONDS_MAX)
        return ctl_error(EXIT_USAGE, "top %s: expected seconds, 1..%d", arguments[0],
                         TOP_SECONDS_MAX);
    code = fetch(ctl, &before);
    if (code)
        return code;
    began = ctl_now_ms();
    sleep((unsigned)seconds);
    code = fetch(ctl, &after);
    if (!code) {
        rows = top_json(before, after, (double)(ctl_now_ms() - began) / 1e3);
        if (ctl->json)
            ctl_print_json(rows);
        else
            print_top(rows);
        json_decref(rows);
        json_decref(after);
    }
    json_decref(before);
    return code ? code : fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}
