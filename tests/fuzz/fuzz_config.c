/* config_parse(): bytes up to the first NUL (or all) as halun.conf, the rest as halun.secrets. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/parse.h"
#include "config/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *context, const struct plan_action *action)
{
    char line[600];

    plan_describe(action, context, context, line, sizeof line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = memchr(data, 0, size);
    size_t length = nul ? (size_t)(nul - data) : size;
    struct config_text text = {.name = "f", .text = (const char *)data, .length = length};
    struct config *config = NULL;
    struct config_error error;

    if (nul) {
        text.secrets_name = "s";
        text.secrets = (const char *)nul + 1;
        text.secrets_length = size - length - 1;
    }
    if (config_parse(&text, NULL, &config, &error)) {
        if (!error.text[0] || !strchr(error.text, ':'))
            abort(); /* every refusal says why */
        return 0;
    }
    config_host_for(config, "iqn.1998-01.com.vmware:x");
    if (config_plan(config, config, "f", ignore, config, &error))
        abort(); /* nothing changed: nothing to refuse */
    config_free(config);
    return 0;
}
