# Initial sync and writes, each engine in each role.
# shellcheck shell=bash disable=SC2154,SC2034 # of drbd_pair.sh and for it

case_sync_from_there() {
    ok "two new copies connect" blank
    ok "there is made the good copy" there 'drbdadm primary --force r0'
    ok "initial sync from there" whole
    ok "byte for byte equal" equal
}
case_writes_there() {
    ok "there is Primary" eval 'there "drbdadm primary r0" && whole'
    ok "fio writes there and verifies" there_fio "$(work 1)"
    ok "discards there" there 'blkdiscard -o 1048576 -l 3145728 /dev/drbd0 && blkdiscard -z -o 8388608 -l 1048576 /dev/drbd0'
    ok "this node cannot be promoted beside it" eval '! here group promote g0 --timeout 3'
    ok "byte for byte equal" equal
}
case_promote_here() {
    ok "there is demoted" there 'drbdadm secondary r0'
    ok "here is promoted over the wire" here_promote
    ok "there sees it" vm_until 10 there 'grep -q "ro:Secondary/Primary" /proc/drbd'
    ok "there cannot be promoted beside it" eval '! there "drbdadm primary r0"'
}
case_writes_here() {
    ok "here is Primary" eval 'there "drbdadm secondary r0"; here_promote && whole'
    # shellcheck disable=SC2046
    ok "fio writes here and verifies" here_fio $(work 2)
    ok "unmap and write same here" vm_inside qemu-io -d unmap -f raw -c 'discard 24M 2M' -c 'write -z 32M 1M' \
        -c 'write -z -u 40M 1M' "$url"
    ok "byte for byte equal" equal
    ok "here is demoted" here_demote
    ok "there is promoted over the wire" vm_until 10 there 'drbdadm primary r0'
    ok "what was written here is read there" there_fio "$(seen 2)"
    there 'drbdadm secondary r0'
}
case_sync_from_here() {
    ok "two new copies connect" blank
    ok "here is made the good copy" here group init g0 --wait --timeout 30
    ok "initial sync from here" whole
    ok "byte for byte equal" equal
}
