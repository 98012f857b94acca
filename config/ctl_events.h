/* The stream of "halunctl replica events", in the form of "drbdsetup events2". Pure but for the
 * output. */
#ifndef HALUN_CONFIG_CTL_EVENTS_H
#define HALUN_CONFIG_CTL_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Prints what lies between two replies of replica.events; `before` NULL: everything as "exists",
 * then "exists -". Each line begins with `stamp`. */
void ctl_events_print(FILE *out, json_t *before, json_t *now, bool statistics, const char *stamp);

#endif
