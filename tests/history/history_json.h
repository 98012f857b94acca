/* Histories as JSON lines; `halun-history --help` describes the format. */
#ifndef HALUN_TESTS_HISTORY_JSON_H
#define HALUN_TESTS_HISTORY_JSON_H

#include <stdio.h>

#include "tests/history/history.h"

/* Reads a whole file. Returns 0, or -1 with one line in `why` that names the line and what was
 * expected there; then the history is empty. */
int history_read(struct history *history, FILE *file, char *why, size_t why_size);
/* Writes the head line, which comes first, / one operation. Returns 0 or -1 (errno of the stream).
 */
int history_write_head(const struct history *history, FILE *file);
int history_write_op(const struct history_op *op, FILE *file);

#endif
