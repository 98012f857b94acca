/* Handlers and decode hooks of the disk rows (SBC-3), one file per chapter. Private to
 * target/device; see struct scsi_command for what they are called with. */
#ifndef HALUN_DEVICE_DISK_H
#define HALUN_DEVICE_DISK_H

#include "target/command/command.h"

/* disk_rw.c */
enum scsi_reason disk_decode_six(struct task *task, uint64_t *length);
enum scsi_reason disk_read(struct task *task);
enum scsi_reason disk_write(struct task *task);

/* disk_verify.c */
enum scsi_reason disk_decode_verify(struct task *task, uint64_t *length);
enum scsi_reason disk_verify(struct task *task);
enum scsi_reason disk_write_and_verify(struct task *task);

/* disk_same.c */
enum scsi_reason disk_decode_write_same(struct task *task, uint64_t *length);
enum scsi_reason disk_write_same(struct task *task);

/* disk_unmap.c */
enum scsi_reason disk_decode_unmap(struct task *task, uint64_t *length);
enum scsi_reason disk_unmap(struct task *task);

/* disk_caw.c */
enum scsi_reason disk_decode_compare_and_write(struct task *task, uint64_t *length);
enum scsi_reason disk_compare_and_write(struct task *task);

/* disk_orwrite.c */
enum scsi_reason disk_orwrite(struct task *task);

/* disk_cache.c */
enum scsi_reason disk_synchronize_cache(struct task *task);
enum scsi_reason disk_pre_fetch(struct task *task);
enum scsi_reason disk_start_stop_unit(struct task *task);

/* disk_capacity.c */
enum scsi_reason disk_decode_capacity_10(struct task *task, uint64_t *length);
enum scsi_reason disk_read_capacity_10(struct task *task);
enum scsi_reason disk_read_capacity_16(struct task *task);
enum scsi_reason disk_get_lba_status(struct task *task);

#endif
