/* One path to the logical unit: a libiscsi session that is logged in again when it breaks, watched by
 * NOPs so that a silent peer is noticed, and asked for its asymmetric access state. */
#ifndef HALUN_TESTS_PATH_H
#define HALUN_TESTS_PATH_H

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

enum path_state { PATH_DOWN, PATH_CONNECTING, PATH_UP };

struct path {
    const char *url;
    struct iscsi_url *parsed;
    const char *initiator;
    struct iscsi_context *iscsi;
    enum path_state state;
    int group;              /* target port group of this port, from VPD page 83h; -1 = not known yet */
    bool optimized;         /* by the newest REPORT TARGET PORT GROUPS */
    bool asking;            /* one of the two is under way */
    bool plain;             /* set by the caller: do not ask; only its own commands and NOPs are sent */
    uint32_t isid;          /* set by the caller: ISID 40h, these 24 bits, 0000h; 0 = random at each login */
    bool broken;            /* to be torn down outside of libiscsi's callbacks */
    double retry_at, heard_at, asked_at, nop_at;
    unsigned failures;
    char why[160];          /* of the last failure */
};

double path_now(void);
/* Parses the URL. Returns 0 or -1 with path->why. */
int path_init(struct path *path, const char *url, const char *initiator);
void path_done(struct path *path);
/* Marks the path as broken; path_step() tears it down (what was in flight is cancelled: callbacks get
 * SCSI_STATUS_CANCELLED). */
void path_fail(struct path *path, const char *why);
/* Makes progress that no event triggers: (re)connects, pings, gives up on silence. */
void path_step(struct path *path);
/* The access states may have changed (06/2A/06): asks for them now. */
void path_ask_soon(struct path *path);
/* What to poll for: fd (or -1) and events; then what came. */
int path_fd(struct path *path, short *events);
void path_service(struct path *path, int revents);

#endif
