/* Digests of blocks for checksum resync and online verify, by the names that DRBD's csums-alg and
 * verify-alg have, which are those of Linux's crypto API. Which of them is an option's value
 * (config/options.def). */
#ifndef HALUN_REPLICATION_DIGEST_H
#define HALUN_REPLICATION_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "replication/message.h"
#include "target/base/payload.h"

struct digest_context;

/* Memory for computing; NULL: none left. */
struct digest_context *digest_new(void);
void digest_free(struct digest_context *context);
/* "" for 0 = none. */
const char *digest_name(unsigned algorithm);
/* Of the whole payload into out[MESSAGE_DIGEST_MAX]. Returns its bytes; 0: it cannot be computed.
 */
size_t digest_payload(struct digest_context *context, unsigned algorithm,
                      const struct payload *payload, uint8_t *out);

#endif
