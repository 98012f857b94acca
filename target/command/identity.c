/* TransportIDs (SPC-4 7.6.4). Pure. */
#include "target/command/identity.h"

#include <assert.h>
#include <stdio.h>

#include "target/base/bytes.h"

enum {
    TRANSPORT_FORMAT_PROTOCOL = 0,   /* format code in bits 7-6, protocol identifier in bits 3-0 */
    TRANSPORT_ADDITIONAL_LENGTH = 2, /* iSCSI: bytes after byte 3 */
    TRANSPORT_ISCSI_NAME = 4,
    TRANSPORT_SHORT = 24, /* every TransportID but iSCSI's, and the least of iSCSI's */

    PROTOCOL_FCP = 0x0, /* SPC-4 table 477 */
    PROTOCOL_SRP = 0x4,
    PROTOCOL_ISCSI = 0x5,
    PROTOCOL_SAS = 0x6,

    ISCSI_FORMAT_NODE = 0x00, /* format code 00b: name alone */
    ISCSI_FORMAT_PORT = 0x40, /* format code 01b: name, separator, ISID */
    ISID_DIGITS = 12,
    SEPARATOR_LENGTH = 5,
};

static const char separator[] = ",i,0x";

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_hex(char c)
{
    c = lower(c);
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

void identity_from_iscsi(struct nexus_identity *identity, const char *initiator_name,
                         const uint8_t isid[6], uint16_t rtpi)
{
    char *text = (char *)identity->transport_id + TRANSPORT_ISCSI_NAME;
    size_t name_length = strnlen(initiator_name, LIMIT_ISCSI_NAME + 1);
    size_t length = name_length + SEPARATOR_LENGTH + ISID_DIGITS + 1;

    assert(name_length >= 1 && name_length <= LIMIT_ISCSI_NAME);
    memset(identity, 0, sizeof *identity);
    length = (length + 3) & ~(size_t)3;
    if (length < TRANSPORT_SHORT - TRANSPORT_ISCSI_NAME)
        length = TRANSPORT_SHORT - TRANSPORT_ISCSI_NAME;
    identity->rtpi = rtpi;
    identity->transport_length = (uint16_t)(TRANSPORT_ISCSI_NAME + length);
    identity->transport_id[TRANSPORT_FORMAT_PROTOCOL] = ISCSI_FORMAT_PORT | PROTOCOL_ISCSI;
    put_be16(identity->transport_id + TRANSPORT_ADDITIONAL_LENGTH, (uint16_t)length);
    for (size_t i = 0; i < name_length; i++)
        text[i] = lower(initiator_name[i]);
    snprintf(text + name_length, length - name_length, "%s%02x%02x%02x%02x%02x%02x", separator,
             isid[0], isid[1], isid[2], isid[3], isid[4], isid[5]);
}

/* The text of an iSCSI TransportID: NUL-terminated inside its `size` bytes, zeros behind. Returns
 * the length of the name and sets *port: is there an ISID after it? 0 = malformed. */
static unsigned iscsi_text(const char *text, unsigned size, bool *port)
{
    unsigned length = (unsigned)strnlen(text, size);
    const char *comma = memchr(text, ',', length);
    unsigned name = comma ? (unsigned)(comma - text) : length;

    if (length == size || name < 1 || name > LIMIT_ISCSI_NAME)
        return 0;
    for (unsigned i = length; i < size; i++)
        if (text[i])
            return 0;
    for (unsigned i = 0; i < name; i++)
        if ((uint8_t)text[i] <= ' ' || text[i] == 0x7f)
            return 0;
    *port = comma;
    if (!comma)
        return name;
    if (length != name + SEPARATOR_LENGTH + ISID_DIGITS)
        return 0;
    for (unsigned i = 0; i < SEPARATOR_LENGTH; i++)
        if (lower(comma[i]) != separator[i])
            return 0;
    for (unsigned i = 0; i < ISID_DIGITS; i++)
        if (!is_hex(comma[SEPARATOR_LENGTH + i]))
            return 0;
    return name;
}

static unsigned iscsi_length(const uint8_t *data, unsigned size)
{
    unsigned length = TRANSPORT_ISCSI_NAME + get_be16(data + TRANSPORT_ADDITIONAL_LENGTH);
    uint8_t format = data[TRANSPORT_FORMAT_PROTOCOL] & 0xc0;
    bool port;

    if (length < TRANSPORT_SHORT || length > LIMIT_TRANSPORT_ID || length % 4 || length > size)
        return 0;
    if (!iscsi_text((const char *)data + TRANSPORT_ISCSI_NAME, length - TRANSPORT_ISCSI_NAME,
                    &port))
        return 0;
    return format == (port ? ISCSI_FORMAT_PORT : ISCSI_FORMAT_NODE) ? length : 0;
}

unsigned identity_transport_length(const uint8_t *data, unsigned size)
{
    if (size < TRANSPORT_SHORT)
        return 0;
    switch (data[TRANSPORT_FORMAT_PROTOCOL] & 0x0f) {
    case PROTOCOL_ISCSI:
        return iscsi_length(data, size);
    case PROTOCOL_FCP:
    case PROTOCOL_SRP:
    case PROTOCOL_SAS:
        return data[TRANSPORT_FORMAT_PROTOCOL] & 0xc0 ? 0 : TRANSPORT_SHORT;
    default:
        return 0;
    }
}

unsigned identity_from_transport(struct nexus_identity *identity, const uint8_t *data,
                                 unsigned size, uint16_t rtpi)
{
    unsigned length = identity_transport_length(data, size);
    const char *text = (const char *)data + TRANSPORT_ISCSI_NAME;
    char name[LIMIT_ISCSI_NAME + 1] = "";
    uint8_t isid[6];

    if (!length)
        return 0;
    if ((data[TRANSPORT_FORMAT_PROTOCOL] & 0x0f) != PROTOCOL_ISCSI) {
        memset(identity, 0, sizeof *identity);
        identity->rtpi = rtpi;
        identity->transport_length = (uint16_t)length;
        memcpy(identity->transport_id, data, length);
        return length;
    }
    /* Without an ISID it names a node, not a port, so it is no nexus. */
    if ((data[TRANSPORT_FORMAT_PROTOCOL] & 0xc0) != ISCSI_FORMAT_PORT)
        return 0;
    size_t name_length = strcspn(text, ",");
    memcpy(name, text, name_length);
    text += name_length + SEPARATOR_LENGTH;
    for (unsigned i = 0; i < ISID_DIGITS; i++) {
        char c = lower(text[i]);
        unsigned digit = (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        isid[i / 2] = (uint8_t)(i % 2 ? isid[i / 2] << 4 | digit : digit);
    }
    identity_from_iscsi(identity, name, isid, rtpi);
    return length;
}

bool identity_valid(const struct nexus_identity *identity)
{
    struct nexus_identity canonical;

    return identity->rtpi && identity->transport_length <= LIMIT_TRANSPORT_ID &&
           identity_from_transport(&canonical, identity->transport_id, identity->transport_length,
                                   identity->rtpi) == identity->transport_length &&
           !memcmp(&canonical, identity, sizeof canonical);
}

int identity_compare(const struct nexus_identity *a, const struct nexus_identity *b)
{
    uint16_t shorter =
        a->transport_length < b->transport_length ? a->transport_length : b->transport_length;
    int order = memcmp(a->transport_id, b->transport_id, shorter);

    if (!order)
        order = (int)a->transport_length - b->transport_length;
    return order ? order : (int)a->rtpi - b->rtpi;
}
