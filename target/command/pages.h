/* Mode pages (SPC-4 7.5, SBC-3 6.5): rows of constant bytes, and rows that say which bits of them
 * are a changeable parameter. Pure. */
#ifndef HALUN_COMMAND_PAGES_H
#define HALUN_COMMAND_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/shared_state.h"
#include "target/base/bytes.h"
#include "target/command/reason.h"

enum page_control { PAGES_CURRENT, PAGES_CHANGEABLE, PAGES_DEFAULT, PAGES_SAVED };

/* Appends mode page `code`/`subpage` (3Fh: all pages; subpage FFh: all subpages) as it is with the
 * parameters `mode`. False: there is no such page. */
bool pages_write(struct writer *w, uint8_t code, uint8_t subpage, enum page_control control,
                 const struct shared_mode *mode);

/* What the unit is, for headers and block descriptors. */
struct pages_medium {
    uint64_t blocks;
    uint32_t block_size;
    bool write_protected; /* by the LUN map or the configuration; SWP is added to it */
};

/* The whole answer to MODE SENSE(6) or, with `ten`, (10): header, block descriptor (`descriptor`;
 * with `llba` the long one), pages. Same result as pages_write(). */
bool pages_sense(struct writer *w, bool ten, bool descriptor, bool llba, uint8_t code,
                 uint8_t subpage, enum page_control control, const struct shared_mode *mode,
                 const struct pages_medium *medium);

/* Reads the parameter list of MODE SELECT(6) or (10). On GOOD `mode` has the new parameters, and in
 * `selected` those are 1 that belong to a page of the list; otherwise both are untouched, and with INVALID_FIELD_IN_PARAMETERS *field and *bit (-1: whole byte)
 * point at what is wrong. */
enum scsi_reason pages_select(const uint8_t *data, uint32_t length, bool ten,
                              const struct pages_medium *medium, struct shared_mode *mode,
                              struct shared_mode *selected, uint16_t *field, int *bit);

#endif
