#include "target/iscsi/session.h"

enum { MEMORY_LOW = 250 }; /* permille of free payload memory below which windows shrink */

void session_start(struct session *session, uint32_t cmd_sn, uint32_t stat_sn)
{
    session->exp_cmd_sn = cmd_sn;
    session->max_cmd_sn = cmd_sn - 1;
    session->stat_sn = stat_sn;
}

enum session_order session_order(const struct session *session, uint32_t cmd_sn)
{
    if (sn_before(cmd_sn, session->exp_cmd_sn) || sn_before(session->max_cmd_sn, cmd_sn))
        return ORDER_DROP;
    return cmd_sn == session->exp_cmd_sn ? ORDER_NOW : ORDER_LATER;
}

void session_window(struct session *session, unsigned depth, unsigned busy, unsigned free_permille)
{
    uint32_t max;

    if (free_permille < MEMORY_LOW)
        depth = depth * free_permille / MEMORY_LOW;
    if (!depth)
        depth = 1;
    max = session->exp_cmd_sn + (depth > busy ? depth - busy : 0) - 1;
    if (sn_before(session->max_cmd_sn, max))
        session->max_cmd_sn = max;
}
