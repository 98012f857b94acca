/* Header checks and CDB extraction on arbitrary bytes: 48 bytes of header, the rest AHS. */
#include <assert.h>
#include <string.h>

#include "target/iscsi/pdu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pdu_fault fault;
    struct pdu_cdb cdb;

    if (size < ISCSI_BHS_LENGTH)
        return 0;
    fault = pdu_check(data, 262144);
    assert(fault.reason || pdu_data_length(data) <= 262144);
    assert(!fault.reason || fault.why);
    (void)pdu_name(pdu_opcode(data));
    size -= ISCSI_BHS_LENGTH;
    if (size > pdu_ahs_length(data))
        size = pdu_ahs_length(data);
    if (!pdu_command_cdb(data, data + ISCSI_BHS_LENGTH, size, &cdb))
        assert(cdb.length >= COMMAND_CDB_LENGTH && cdb.length <= LIMIT_CDB);
    return 0;
}
