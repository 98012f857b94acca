#include "target/device/device.h"

#include <openssl/sha.h>
#include <string.h>
#include <uuid/uuid.h>

#include "target/base/bytes.h"

enum {
    NAA_REGISTERED_EXTENDED = 0x6,
    COMPANY_ID = 0x024841, /* locally administered: 02h, then "HA" */
};

struct lu *device_lus[LIMIT_LUS];
unsigned device_lu_count;

void device_identify(struct lu *lu)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    uuid_unparse_lower(lu->config.uuid, lu->serial);
    SHA256(lu->config.uuid, sizeof lu->config.uuid, digest);
    /* 4 bits type, 24 bits company, 36 bits vendor specific, 64 bits extension. */
    memcpy(lu->naa + 3, digest, sizeof lu->naa - 3);
    put_be32(lu->naa,
             (uint32_t)NAA_REGISTERED_EXTENDED << 28 | COMPANY_ID << 4 | (digest[0] & 0xf));
}
