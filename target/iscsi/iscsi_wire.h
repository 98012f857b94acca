/* RFC 7143 on the wire: opcodes, offsets in the 48-byte basic header segment (BHS) and codes, named
 * as in the RFC. All integers are big-endian. Pure. */
#ifndef HALUN_ISCSI_WIRE_H
#define HALUN_ISCSI_WIRE_H

#include <stdint.h>

enum {
    ISCSI_VERSION = 0x00,
    ISCSI_BHS_LENGTH = 48,
    ISCSI_DIGEST_LENGTH = 4,
    ISCSI_DEFAULT_DATA_SEGMENT = 8192, /* MaxRecvDataSegmentLength before it is declared, 13.12 */
};
#define ISCSI_RESERVED_TAG 0xffffffffu

enum iscsi_opcode { /* 11.2.1.2 */
                    ISCSI_NOP_OUT = 0x00,
                    ISCSI_SCSI_COMMAND = 0x01,
                    ISCSI_TASK_MANAGEMENT_REQUEST = 0x02,
                    ISCSI_LOGIN_REQUEST = 0x03,
                    ISCSI_TEXT_REQUEST = 0x04,
                    ISCSI_SCSI_DATA_OUT = 0x05,
                    ISCSI_LOGOUT_REQUEST = 0x06,
                    ISCSI_SNACK_REQUEST = 0x10,
                    ISCSI_NOP_IN = 0x20,
                    ISCSI_SCSI_RESPONSE = 0x21,
                    ISCSI_TASK_MANAGEMENT_RESPONSE = 0x22,
                    ISCSI_LOGIN_RESPONSE = 0x23,
                    ISCSI_TEXT_RESPONSE = 0x24,
                    ISCSI_SCSI_DATA_IN = 0x25,
                    ISCSI_LOGOUT_RESPONSE = 0x26,
                    ISCSI_R2T = 0x31,
                    ISCSI_ASYNC_MESSAGE = 0x32,
                    ISCSI_REJECT = 0x3f,
};

enum iscsi_bhs { /* 11.2.1; the same place in every PDU that has the field */
                 BHS_OPCODE = 0,
                 BHS_OPCODE_IMMEDIATE = 0x40,
                 BHS_OPCODE_MASK = 0x3f,
                 BHS_FLAGS = 1,
                 BHS_FLAG_FINAL = 0x80,
                 BHS_RESPONSE = 2,
                 BHS_STATUS = 3,
                 BHS_TOTAL_AHS_LENGTH = 4, /* in 4-byte words */
                 BHS_DATA_SEGMENT_LENGTH = 5,
                 BHS_LUN = 8,
                 BHS_INITIATOR_TASK_TAG = 16,
                 BHS_TARGET_TRANSFER_TAG = 20,
                 BHS_CMD_SN = 24,      /* initiator to target */
                 BHS_EXP_STAT_SN = 28, /* initiator to target */
                 BHS_STAT_SN = 24,     /* target to initiator */
                 BHS_EXP_CMD_SN = 28,  /* target to initiator */
                 BHS_MAX_CMD_SN = 32,  /* target to initiator */
};

enum iscsi_scsi_command { /* 11.3 */
                          COMMAND_READ = 0x40,
                          COMMAND_WRITE = 0x20,
                          COMMAND_ATTRIBUTE_MASK = 0x07,
                          COMMAND_EXPECTED_LENGTH = 20,
                          COMMAND_CDB = 32,
                          COMMAND_CDB_LENGTH = 16,
};

enum iscsi_ahs {                 /* 11.2.2 */
                 AHS_LENGTH = 0, /* bytes after the type, pads not counted */
                 AHS_TYPE = 2,
                 AHS_SPECIFIC = 3,
                 AHS_HEADER = 4,
                 AHS_TYPE_EXTENDED_CDB = 1,
                 AHS_TYPE_BIDIRECTIONAL = 2,
};

enum iscsi_scsi_response { /* 11.4 */
                           RESPONSE_BIDI_OVERFLOW = 0x10,
                           RESPONSE_BIDI_UNDERFLOW = 0x08,
                           RESPONSE_OVERFLOW = 0x04,
                           RESPONSE_UNDERFLOW = 0x02,
                           RESPONSE_COMPLETED = 0x00,
                           RESPONSE_TARGET_FAILURE = 0x01,
                           RESPONSE_EXP_DATA_SN = 36,
                           RESPONSE_RESIDUAL = 44,
                           RESPONSE_SENSE_HEADER =
                               2, /* SenseLength before the sense data, 11.4.7 */
};

enum iscsi_task_management { /* 11.5, 11.6 */
                             TMF_FUNCTION_MASK = 0x7f,
                             TMF_REQUEST_ABORT_TASK = 1,
                             TMF_REQUEST_ABORT_TASK_SET = 2,
                             TMF_REQUEST_CLEAR_ACA = 3,
                             TMF_REQUEST_CLEAR_TASK_SET = 4,
                             TMF_REQUEST_LOGICAL_UNIT_RESET = 5,
                             TMF_REQUEST_TARGET_WARM_RESET = 6,
                             TMF_REQUEST_TARGET_COLD_RESET = 7,
                             TMF_REQUEST_TASK_REASSIGN = 8,
                             TMF_REFERENCED_TASK_TAG = 20,
                             TMF_REF_CMD_SN = 32,
                             TMF_RESPONSE_COMPLETE = 0,
                             TMF_RESPONSE_NO_TASK = 1,
                             TMF_RESPONSE_NO_LUN = 2,
                             TMF_RESPONSE_STILL_ALLEGIANT = 3,
                             TMF_RESPONSE_NO_REASSIGN = 4,
                             TMF_RESPONSE_NOT_SUPPORTED = 5,
                             TMF_RESPONSE_REJECTED = 255,
};

enum iscsi_data_pdu { /* 11.7 */
                      DATA_ACKNOWLEDGE = 0x40,
                      DATA_OVERFLOW = 0x04,
                      DATA_UNDERFLOW = 0x02,
                      DATA_STATUS = 0x01,
                      DATA_DATA_SN = 36,
                      DATA_BUFFER_OFFSET = 40,
                      DATA_RESIDUAL = 44,
};

enum iscsi_r2t { /* 11.8 */
                 R2T_R2T_SN = 36,
                 R2T_BUFFER_OFFSET = 40,
                 R2T_DESIRED_LENGTH = 44,
};

enum iscsi_async { /* 11.9 */
                   ASYNC_EVENT = 36,
                   ASYNC_VCODE = 37,
                   ASYNC_PARAMETER1 = 38,
                   ASYNC_PARAMETER2 = 40,
                   ASYNC_PARAMETER3 = 42,
                   ASYNC_EVENT_SCSI = 0,
                   ASYNC_EVENT_LOGOUT_REQUEST = 1,
                   ASYNC_EVENT_DROP_CONNECTION = 2,
                   ASYNC_EVENT_DROP_SESSION = 3,
};

enum iscsi_text { /* 11.10, 11.11 */
                  TEXT_CONTINUE = 0x40,
};

enum iscsi_login { /* 11.12, 11.13 */
                   LOGIN_TRANSIT = 0x80,
                   LOGIN_CONTINUE = 0x40,
                   LOGIN_CSG_SHIFT = 2,
                   LOGIN_STAGE_MASK = 0x03,
                   LOGIN_STAGE_SECURITY = 0,
                   LOGIN_STAGE_OPERATIONAL = 1,
                   LOGIN_STAGE_FULL_FEATURE = 3,
                   LOGIN_VERSION_MAX = 2,
                   LOGIN_VERSION_MIN = 3, /* in a response: Version-active */
                   LOGIN_VERSION_ACTIVE = 3,
                   LOGIN_ISID = 8,
                   LOGIN_ISID_LENGTH = 6,
                   LOGIN_TSIH = 14,
                   LOGIN_CID = 20,
                   LOGIN_STATUS_CLASS = 36,
                   LOGIN_STATUS_DETAIL = 37,
};

enum iscsi_login_status { /* 11.13.5: class << 8 | detail */
                          LOGIN_SUCCESS = 0x0000,
                          LOGIN_INITIATOR_ERROR = 0x0200,
                          LOGIN_AUTHENTICATION_FAILURE = 0x0201,
                          LOGIN_AUTHORIZATION_FAILURE = 0x0202,
                          LOGIN_NOT_FOUND = 0x0203,
                          LOGIN_TARGET_REMOVED = 0x0204,
                          LOGIN_UNSUPPORTED_VERSION = 0x0205,
                          LOGIN_TOO_MANY_CONNECTIONS = 0x0206,
                          LOGIN_MISSING_PARAMETER = 0x0207,
                          LOGIN_CANNOT_INCLUDE = 0x0208,
                          LOGIN_SESSION_TYPE = 0x0209,
                          LOGIN_NO_SESSION = 0x020a,
                          LOGIN_INVALID_REQUEST = 0x020b,
                          LOGIN_TARGET_ERROR = 0x0300,
                          LOGIN_SERVICE_UNAVAILABLE = 0x0301,
                          LOGIN_OUT_OF_RESOURCES = 0x0302,
};

enum iscsi_logout { /* 11.14, 11.15 */
                    LOGOUT_REASON_MASK = 0x7f,
                    LOGOUT_CLOSE_SESSION = 0,
                    LOGOUT_CLOSE_CONNECTION = 1,
                    LOGOUT_REMOVE_FOR_RECOVERY = 2,
                    LOGOUT_CID = 20,
                    LOGOUT_SUCCESS = 0,
                    LOGOUT_CID_NOT_FOUND = 1,
                    LOGOUT_NO_RECOVERY = 2,
                    LOGOUT_CLEANUP_FAILED = 3,
                    LOGOUT_TIME2WAIT = 40,
                    LOGOUT_TIME2RETAIN = 42,
};

enum iscsi_reject { /* 11.17 */
                    REJECT_REASON = 2,
                    REJECT_DATA_DIGEST = 0x02,
                    REJECT_SNACK = 0x03,
                    REJECT_PROTOCOL_ERROR = 0x04,
                    REJECT_NOT_SUPPORTED = 0x05,
                    REJECT_TOO_MANY_IMMEDIATE = 0x06,
                    REJECT_TASK_IN_PROGRESS = 0x07,
                    REJECT_INVALID_DATA_ACK = 0x08,
                    REJECT_INVALID_FIELD = 0x09,
                    REJECT_OUT_OF_RESOURCES = 0x0a,
                    REJECT_WAITING_FOR_LOGOUT = 0x0c,
};

#endif
