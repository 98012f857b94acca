#include "tests/sim/node/entry.h"

#include "config/ctl.h"
#include "tests/sim/node/transport.h"

int halund_main(int argc, char **argv);

__attribute__((visibility("default"))) struct sim_entry sim_entry = {
    .main = halund_main,
    .daemon = &halund,
    .threads = &threads,
    .device_lus = device_lus,
    .score = ctl_score,
    .find_group = ctl_find_group,
    .view = cluster_get_view,
    .state = cluster_state,
    .lease = cluster_lease,
    .replica_status = replica_get_status,
    .login = transport_login,
    .command = transport_command,
    .tmf = transport_tmf,
    .hang_up = transport_hang_up,
};
