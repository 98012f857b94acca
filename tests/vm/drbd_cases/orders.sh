# What an operator may order on either side.
# shellcheck shell=bash disable=SC2154,SC2034 # of drbd_pair.sh and for it

# All is copied again by order of either side; the connection stays.
resyncs() { there "dmesg | grep -c 'Began resync as $1'" || :; } # ROLE of there
everything() { # ROLE COUNT: there has had so many resyncs in that role, the last one of all blocks
    vm_until 60 eval "[ \"\$(resyncs $1)\" = $2 ]" && ! only_bitmap
}
case_invalidate() {
    local n
    ok "in sync" whole
    n=$(resyncs SyncTarget)
    ok "there gives its copy up" there 'drbdadm invalidate r0'
    ok "everything comes from here" everything SyncTarget $((n + 1))
    ok "resynced" whole
    ok "here has there's copy given up" here replica invalidate g0 --peer --wait --timeout 30
    ok "everything comes from here" everything SyncTarget $((n + 2))
    ok "resynced" whole
    n=$(resyncs SyncSource)
    ok "there has here's copy given up" there 'drbdadm invalidate-remote r0'
    ok "everything comes from there" everything SyncSource $((n + 1))
    ok "resynced" whole
    ok "here gives its copy up" here replica invalidate g0 --wait --timeout 30
    ok "everything comes from there" everything SyncSource $((n + 2))
    ok "resynced" whole
    ok "byte for byte equal" equal
}

paused() { vm_until 30 there 'grep -q cs:PausedSync /proc/drbd' && vm_until 30 eval 'here replica status | grep -q PausedSync'; }
case_orders() {
    ok "in sync" whole
    ok "pause here: what there asks for waits" eval 'here replica pause g0 && there "drbdadm invalidate r0" && paused'
    ok "it goes on: resynced" eval 'here replica resume g0 && whole'
    ok "pause there: what here asks for waits" eval 'there "drbdadm pause-sync r0" && here replica invalidate g0 --wait --timeout 30 && paused'
    ok "paused on both sides it waits for both" eval 'here replica pause g0 && there "drbdadm resume-sync r0" && paused'
    ok "it goes on: resynced" eval 'here replica resume g0 && whole'
    ok "here disconnects" eval 'here replica disconnect g0 && vm_until 20 there "grep -q cs:WFConnection /proc/drbd" && here_is "UpToDate/DUnknown StandAlone"'
    ok "there's copy is outdated" eval 'there "drbdadm outdate r0" && there "grep -q ds:Outdated/ /proc/drbd"'
    ok "connected again both are good" eval 'here replica connect g0 && whole'
    ok "there disconnects" eval 'there "drbdadm disconnect r0" && vm_until 20 eval "! here_is \"UpToDate/UpToDate Connected\""'
    ok "here's copy, the cluster's only one, is not given up" eval '! here replica outdate g0 && here_is "UpToDate/DUnknown WFConnection"'
    ok "connected again both are good" eval 'there "drbdadm connect r0" && whole'
    ok "byte for byte equal" equal
}
