/* Unit attention conditions pending for one I_T nexus at one logical unit (SAM-5 5.14). The rows are in
 * ua.def, in order of reporting. Each condition is pending once; reporting clears it. Pure. */
#ifndef HALUN_COMMAND_UNIT_ATTENTION_H
#define HALUN_COMMAND_UNIT_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

enum unit_attention {
#define UA(name, asc, ascq, text) UA_##name,
#include "target/command/ua.def"
#undef UA
    UA_COUNT
};

typedef uint32_t ua_set; /* bit n = enum unit_attention n */

/* Adds a condition. POWER_ON and LU_RESET make what they imply disappear (SAM-5 5.14.4). */
void ua_establish(ua_set *set, enum unit_attention ua);
/* The condition to report next, or UA_COUNT when none is pending; removes it. */
enum unit_attention ua_take(ua_set *set);
/* ASC and ASCQ of a condition. */
void ua_codes(enum unit_attention ua, uint8_t *asc, uint8_t *ascq);
const char *ua_text(enum unit_attention ua);

#endif
