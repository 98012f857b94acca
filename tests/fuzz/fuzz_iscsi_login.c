/* The login phase on arbitrary requests: a sequence of (2-byte length, flags, text), each a login
 * request with a sound header. Checks that no input gets through CHAP, and that a reply is always
 * well formed. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/iscsi/login.h"
#include "target/iscsi/pdu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char names[2][1][LIMIT_ISCSI_NAME + 1] = {{"iqn.i"}, {"iqn.c"}};
static struct config_host hosts[2] = {
    {.initiators = names[0], .initiator_count = 1},
    {.initiators = names[1],
     .initiator_count = 1,
     .chap = {"user", "a secret nobody guesses"},
     .chap_mutual = {"array", "another one"}},
};

const struct config_host *config_host_for(const struct config *config, const char *initiator)
{
    for (unsigned i = 0; i < config->host_count; i++)
        if (!strcmp(config->hosts[i].initiators[0], initiator))
            return &config->hosts[i];
    return NULL;
}

static uint16_t session_status(void *context, const char *initiator, const uint8_t isid[6],
                               uint16_t tsih, uint16_t cid)
{
    return LOGIN_NO_SESSION;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config_target target = {.name = "iqn.t",
                                          .max_recv_data_segment = 262144,
                                          .first_burst = 262144,
                                          .max_burst = 1048576,
                                          .max_outstanding_r2t = 8,
                                          .header_digest = 1,
                                          .data_digest = 1};
    static struct config_node node = {.id = 1};
    struct config config = {.nodes = &node,
                            .targets = &target,
                            .hosts = hosts,
                            .node_count = 1,
                            .target_count = 1,
                            .host_count = 2};
    struct login_world world = {.config = &config,
                                .available = true,
                                .session_status = session_status,
                                .random = {1, 2, 3}};
    static struct login login;
    struct session_parameters p;

    login_init(&login);
    while (size >= 3 && (login.phase == LOGIN_FIRST || login.phase == LOGIN_ACTIVE)) {
        size_t n = get_be16(data);
        uint8_t bhs[ISCSI_BHS_LENGTH];
        struct login_reply reply;
        uint8_t *text;
        pdu_init(bhs, ISCSI_LOGIN_REQUEST | BHS_OPCODE_IMMEDIATE, data[2]);
        data += 3;
        size -= 3;
        if (n > size)
            n = size;
        text = malloc(n ? n : 1); /* exact, so that a read beyond it is seen */
        if (n)
            memcpy(text, data, n);
        put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, (uint32_t)n);
        login_step(&login, &world, bhs, text, n, &reply);
        free(text);
        data += n;
        size -= n;
        assert(pdu_data_length(reply.bhs) == reply.length && reply.length <= 8192);
        assert(!reply.bhs[LOGIN_STATUS_CLASS] == (login.phase != LOGIN_FAILED));
        assert(!reply.bhs[LOGIN_STATUS_CLASS] || !reply.bhs[BHS_FLAGS]);
    }
    if (login.phase == LOGIN_DONE) {
        assert(!strcmp(login.initiator, "iqn.i"));
        login_parameters(&login, &p);
        assert(p.max_send_data >= 512 && p.max_burst >= 512 && p.max_outstanding_r2t >= 1 &&
               p.max_outstanding_r2t <= 8 && p.max_burst <= 1048576);
    }
    return 0;
}
