/* SendTargets (RFC 7143 Appendix C): which targets and addresses an initiator is told. Pure. */
#ifndef HALUN_ISCSI_SENDTARGETS_H
#define HALUN_ISCSI_SENDTARGETS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "config/config.h"
#include "target/base/bytes.h"

enum { ADDRESS_TEXT = 64 }; /* "[v6 address]:port" with its NUL */

/* Writes "a.b.c.d:port" or "[v6]:port" (4.2.6.3) of a socket address; IPv4-mapped addresses are
 * written as IPv4. `text` has room for ADDRESS_TEXT bytes. */
void address_text(const struct sockaddr_storage *address, char *text);

/* Answers SendTargets=`value`. `own`: the target of a normal session, NULL in a discovery session.
 * `local`: address the connection was accepted on; portals that an initiator coming from there
 * cannot reach (loopback, link-local) are left out, and stands for a portal that listens on any
 * address. Only portals of config->nodes[config->self] are listed: no node answers for another.
 * Returns 0, or -1 when the value is not allowed in this session (the answer is
 * SendTargets=Reject). */
int sendtargets(const struct config *config, const char *value, const char *own,
                const struct sockaddr_storage *local, struct writer *out);

#endif
