/* The rows of methods.def, and what needs no connection: arguments and the service's name. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/control.h"

#define READER                                        false
#define ADMINISTRATOR                                 true
#define METHOD(id_, name_, right_, arguments_, help_) {name_, right_, arguments_, help_},
const struct control_method control_methods[] = {
#include "config/methods.def"
};
#undef METHOD
const unsigned control_method_count = sizeof control_methods / sizeof control_methods[0];

static bool has_type(json_t *value, const char *type, size_t n)
{
    if (n == 6 && !memcmp(type, "string", n))
        return json_is_string(value);
    if (n == 7 && !memcmp(type, "boolean", n))
        return json_is_boolean(value);
    return json_is_integer(value);
}

/* The part of the row about `name`, or NULL. */
static const char *row_of(const char *row, const char *name)
{
    size_t n = strlen(name);

    for (; *row; row += strcspn(row, " "), row += strspn(row, " "))
        if (!strncmp(row, name, n) && row[n] == ':')
            return row;
    return NULL;
}

bool control_check_arguments(const char *row, json_t *arguments, char why[160])
{
    const char *name;
    json_t *value;

    if (arguments && !json_is_object(arguments)) {
        snprintf(why, 160, "arguments: expected an object");
        return false;
    }
    json_object_foreach(arguments, name, value)
    {
        if (!row_of(row, name)) {
            snprintf(why, 160, "argument %.60s: unknown", name);
            return false;
        }
    }
    while (*row) {
        size_t length = strcspn(row, " "), n = strcspn(row, ":"), type_length;
        const char *type = row + n + 1;
        char key[40];

        type_length = strcspn(type, "? ");
        snprintf(key, sizeof key, "%.*s", (int)n, row);
        value = json_object_get(arguments, key);
        if (!value && row[length - 1] != '?') {
            snprintf(why, 160, "argument %s: missing", key);
            return false;
        }
        if (value && !has_type(value, type, type_length)) {
            snprintf(why, 160, "argument %s: expected %.*s", key, (int)type_length, type);
            return false;
        }
        row += length;
        row += strspn(row, " ");
    }
    return true;
}

/* FNV-1a: only to tell run directories apart. */
static unsigned hash(const char *text)
{
    unsigned value = 2166136261u;

    for (; *text; text++)
        value = (value ^ (unsigned char)*text) * 16777619u;
    return value;
}

void control_service_name(const char *run_dir, char name[CONTROL_NAME])
{
    char *real = realpath(run_dir, NULL), plain[PATH_MAX];
    const char *base;

    snprintf(plain, sizeof plain, "%s", real ? real : run_dir);
    free(real);
    for (size_t n = strlen(plain); n > 1 && plain[n - 1] == '/'; n--)
        plain[n - 1] = '\0';
    if (!strncmp(plain, "/var/run/", 9))
        memmove(plain, plain + 4, strlen(plain + 4) + 1);
    base = strrchr(plain, '/');
    base = base ? base + 1 : plain;
    if (!strncmp(plain, "/run/", 5) && base == plain + 5 &&
        (!strcmp(base, "halun") || !strncmp(base, "halun.", 6)) && strlen(base) < CONTROL_NAME)
        snprintf(name, CONTROL_NAME, "%.63s", base);
    else
        snprintf(name, CONTROL_NAME, "halun-%.32s-%08x", base, hash(plain));
}
