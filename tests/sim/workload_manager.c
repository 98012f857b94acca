/* What an administrator's tools and error recovery send: TEST UNIT READY, mode parameters, task
 * management, logout. */
#include <string.h>

#include "tests/sim/workload.h"

enum {
    TEST_UNIT_READY = 0x00,
    MODE_SELECT_6 = 0x15,
    MODE_SENSE_6 = 0x1a,
    DBD = 0x08,
    PF = 0x10,
    HEADER = 4,
    CACHING = 0x08,
    CONTROL = 0x0a,
    WCE = 0x04,     /* byte 2 of the caching page */
    D_SENSE = 0x04, /* byte 2, 4, 5 of the control page */
    SWP = 0x08,
    TAS = 0x40,
    ROOM = 64,
};

/* The pages as they were read last, for what must not be changed. */
static struct {
    uint8_t bytes[ROOM];
    uint8_t length;
} pages[LIMIT_LUS][2];

static void sensed(struct job *job)
{
    unsigned control = job->op.op.pages == MODEL_PAGE_CONTROL;
    const uint8_t *page = job->in + HEADER;
    uint8_t length = (uint8_t)(page[1] + 2);

    if (job->command.data_in_length < HEADER + 2u || length > ROOM ||
        job->command.data_in_length < HEADER + (unsigned)length)
        sim_fail("MODE SENSE answered %u bytes", job->command.data_in_length);
    memcpy(pages[job->lu][control].bytes, page, length);
    pages[job->lu][control].length = length;
    if (control)
        job->op.read_mode = (struct shared_mode){
            .d_sense = !!(page[2] & D_SENSE), .swp = !!(page[4] & SWP), .tas = !!(page[5] & TAS)};
    else
        job->op.read_mode = (struct shared_mode){.wce = !!(page[2] & WCE)};
}

void workload_mode_sense(struct job *job, bool control)
{
    uint8_t cdb[6] = {MODE_SENSE_6, DBD, control ? CONTROL : CACHING, 0, ROOM, 0};

    job->op.op.pages = control ? MODEL_PAGE_CONTROL : MODEL_PAGE_CACHING;
    job->answered = sensed;
    job_send(job, MODEL_MODE_SENSE, cdb, 6, 0, ROOM);
}

static void put_bit(uint8_t *byte, uint8_t bit, bool on)
{
    *byte = (uint8_t)((*byte & ~bit) | (on ? bit : 0));
}

bool workload_mode_select(struct job *job, bool control, const struct shared_mode *mode)
{
    uint8_t length = pages[job->lu][control].length, *page = job->out + HEADER;
    uint8_t cdb[6] = {MODE_SELECT_6, PF, 0, 0, (uint8_t)(HEADER + length), 0};

    if (!length)
        return false;
    memset(job->out, 0, HEADER);
    memcpy(page, pages[job->lu][control].bytes, length);
    job->op.op.pages = control ? MODEL_PAGE_CONTROL : MODEL_PAGE_CACHING;
    if (control) {
        job->op.op.mode = (struct shared_mode){.d_sense = mode->d_sense, .swp = mode->swp, .tas = mode->tas};
        put_bit(&page[2], D_SENSE, mode->d_sense);
        put_bit(&page[4], SWP, mode->swp);
        put_bit(&page[5], TAS, mode->tas);
    } else {
        job->op.op.mode = (struct shared_mode){.wce = mode->wce};
        put_bit(&page[2], WCE, mode->wce);
    }
    job_send(job, MODEL_MODE_SELECT, cdb, 6, HEADER + length, 0);
    return true;
}

static void begin_select(struct job *job, bool control)
{
    struct shared_mode mode = {0};

    if (control)
        mode = (struct shared_mode){
            .d_sense = sim_chance(300), .swp = sim_chance(150), .tas = sim_chance(800)};
    else
        mode.wce = sim_chance(700);
    if (!workload_mode_select(job, control, &mode))
        workload_mode_sense(job, control);
}

static bool begin_abort(struct job *job, unsigned what)
{
    static const enum tmf_function sets[] = {TMF_ABORT_TASK_SET, TMF_CLEAR_TASK_SET};
    struct job *other = job_beside(job);

    if (what & 1) {
        job_send_tmf(job, sets[sim_random(2)], 0, MODEL_COMMAND);
        return true;
    }
    if (!other)
        return false;
    job_send_tmf(job, TMF_ABORT_TASK, other->command.tag, MODEL_COMMAND);
    return true;
}

static void forget(void)
{
    memset(pages, 0, sizeof pages);
}

static bool begin(struct job *job)
{
    static const uint8_t test_unit_ready[6] = {TEST_UNIT_READY};
    unsigned what = sim_random(100);

    job->op = history_op(MODEL_COMMAND, (int)job->lu, job->path->nexus, sim_now());
    job->block_count = 0;
    job->fua = job->synchronize = false;
    job->answered = NULL;
    if (what < 50) {
        job_send(job, MODEL_COMMAND, test_unit_ready, 6, 0, 0);
        return true;
    }
    if (what < 74) {
        if (what < 62)
            workload_mode_sense(job, what & 1);
        else
            begin_select(job, what & 1);
        return true;
    }
    if (what < 90)
        return begin_abort(job, what);
    if (what < 95)
        job_send_tmf(job, TMF_LOGICAL_UNIT_RESET, 0, MODEL_LU_RESET);
    else if (what < 96)
        job_send_tmf(job, TMF_TARGET_WARM_RESET, 0, MODEL_LU_RESET);
    else {
        record_loss(job->path);
        job->path->up = false;
        sim_logout(job->path->session);
        return false;
    }
    return true;
}

const struct job_kind job_manager = {"manager", forget, begin, 600ull * SIM_MS};
