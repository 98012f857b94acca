/* The reference of blocks and options as text, for `halunctl help config` and halun.conf(5). */
#include "config/options.h"

#include <string.h>

static const char *change_sentence(const struct config_option *option)
{
    switch (option->change) {
    case CHANGE_LIVE:
        return "live";
    case CHANGE_RESTART:
        return "restart of the daemon";
    case CHANGE_NEVER:
        break;
    }
    return "never while the cluster runs";
}

/* roff takes - for a hyphen, \ for an escape and a leading . or ' for a request. */
static void put_roff(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\\')
            fputs("\\e", out);
        else
            fputc(*text, out);
    }
}

static void describe_option(FILE *out, const struct config_option *option, bool roff)
{
    char expected[160];

    option_expected(option, expected, sizeof expected);
    if (roff) {
        fputs(".TP\n.B ", out);
        put_roff(out, option->name);
        fputs("\n", out);
        put_roff(out, option->help);
        fputs(".\nTakes ", out);
        put_roff(out, expected);
        fputs("; ", out);
        if (option->flags & OPTION_REQUIRED)
            fputs("must be given", out);
        else if (option->standard) {
            fputs("default ", out);
            put_roff(out, option->standard);
        } else
            fputs("no default", out);
        fprintf(out, "; change: %s.\n", change_sentence(option));
        return;
    }
    fprintf(out, "    %-22s %s\n", option->name, option->help);
    fprintf(out, "    %-22s %s; %s%s; change: %s\n", "", expected,
            option->flags & OPTION_REQUIRED ? "must be given"
            : option->standard              ? "default "
                                            : "no default",
            option->flags & OPTION_REQUIRED || !option->standard ? "" : option->standard,
            change_sentence(option));
}

void options_describe(FILE *out, bool roff)
{
    int block = -1;

    for (unsigned i = 0; i < option_count; i++) {
        if ((int)options[i].block != block) {
            block = (int)options[i].block;
            if (roff) {
                fprintf(out, ".SS %s%s\n", option_block_name(options[i].block),
                        block >= BLOCK_SECRET_HOST ? " (secrets file)" : "");
                put_roff(out, option_block_help(options[i].block));
                fputc('\n', out);
            } else {
                fprintf(out, "%s%s\n", i ? "\n" : "", option_block_help(options[i].block));
            }
        }
        describe_option(out, &options[i], roff);
    }
}
