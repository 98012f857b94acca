/* What the engine asks of the daemon (control_calls.h, peer.h), for programs in which nothing may ask for it: each call
 * is a bug of the test. Weak: a test that watches some of them has its own. */
#include <stdio.h>
#include <stdlib.h>

#include "target/command/control_calls.h"
#include "target/nexus/tmf.h"
#include "target/transport/peer.h"

#pragma weak task_commit
#pragma weak task_read_state
#pragma weak tmf_commit
#pragma weak alua_wish
#pragma weak peer_forward
#pragma weak peer_abort

static _Noreturn void asked(const char *call)
{
    fprintf(stderr, "%s(): there is no cluster here\n", call);
    abort();
}

void task_commit(struct task *task, const struct shared_op *op, const void *bytes, uint32_t length)
{
    asked(__func__);
}

void task_read_state(struct task *task,
                     void (*fill)(struct task *task, const struct shared_state *state,
                                  const struct config *config))
{
    asked(__func__);
}

void tmf_commit(struct tmf *tmf, enum shared_op_kind kind)
{
    asked(__func__);
}

bool alua_wish(unsigned group_index, unsigned node)
{
    return false;
}

void peer_forward(struct task *task, unsigned node)
{
    asked(__func__);
}

void peer_abort(struct task *task)
{
    asked(__func__);
}
