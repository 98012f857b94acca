/* Handlers of the SPC-4 rows in spc.c, by the chapter they implement. */
#ifndef HALUN_COMMAND_SPC_H
#define HALUN_COMMAND_SPC_H

#include "target/command/command.h"

enum scsi_reason spc_inquiry(struct task *task);        /* inquiry.c, 6.6 */
enum scsi_reason spc_report_luns(struct task *task);    /* report_luns.c, 6.33 */
enum scsi_reason spc_request_sense(struct task *task);  /* spc.c, 6.39 */
enum scsi_reason spc_mode_sense(struct task *task);     /* mode.c, 6.13 and 6.14 */
enum scsi_reason spc_mode_select(struct task *task);    /* mode.c, 6.11 and 6.12 */
enum scsi_reason spc_report_opcodes(struct task *task); /* opcodes.c, 6.35 */
enum scsi_reason spc_report_tmfs(struct task *task);    /* opcodes.c, 6.36 */

/* Pages of vital product data (vpd.c, SPC-4 7.8): the whole page into `w`, untruncated; false:
 * there is no such page for this LU (or well known unit, lu NULL). */
struct writer;
bool vpd_page(const struct task *task, uint8_t page, struct writer *w);

/* Is the task addressed to the REPORT LUNS well known logical unit? */
bool task_well_known(const struct task *task);

#endif
