# Disks that fail, or are taken away: reads go to the peer.
# shellcheck shell=bash disable=SC2154,SC2034 # of drbd_pair.sh and for it

failing() { python3 "$top/tests/cluster/loop_disk.py" "$loop" "$1"; }
link_blinks() { # both notice that it is lost
    guest_link there down
    vm_until 40 eval '! here replica status | grep -q " Connected "' && vm_until 40 there 'grep -q cs:WFConnection /proc/drbd' &&
        guest_link there up
}
case_disks() {
    local here_disk here_direct=true
    loop=$(losetup --find --show "$vm_work/here.disk") || { ok "a loop device" false; return; }
    here_disk=$loop
    here_kill
    configuration
    ok "in sync" eval 'here_start && whole'
    ok "there is Primary" eval 'there "drbdadm primary r0" && there_fio "$(work 21)"'
    ok "there has no disk any more" eval 'there "drbdadm detach r0" && vm_until 20 there_is Connected Diskless/UpToDate'
    ok "here knows" vm_until 20 here_is "UpToDate/Diskless Connected"
    ok "what was written is read from here" there_fio "$(seen 21)"
    ok "fio writes there to the disk here and verifies" there_fio "$(work 22)"
    ok "the link is lost and back" eval 'link_blinks && vm_until 60 there_is Connected Diskless/UpToDate'
    ok "what was written is read from here" there_fio "$(seen 22)"
    ok "the daemon leaves in order and is back" eval 'here_stop && here_start && vm_until 60 there_is Connected Diskless/UpToDate'
    ok "what was written is read from here" there_fio "$(seen 22)"
    ok "kill -9 of the daemon" eval 'here_kill; here_start && vm_until 60 there_is Connected Diskless/UpToDate'
    ok "what was written is read from here" there_fio "$(seen 22)"
    ok "there has its disk again: resynced" eval 'there "drbdadm attach r0" && whole'
    ok "only what differed" only_bitmap
    ok "byte for byte equal" equal
    ok "here is promoted" eval 'there "drbdadm secondary r0" && here_promote && whole'
    ok "the Secondary's is taken away: writes go on" eval 'there "drbdadm detach r0" && here_fio $(work 23)'
    ok "connected without it" vm_until 60 here_is "UpToDate/Diskless Connected"
    ok "the link is lost and back" eval 'link_blinks && vm_until 60 here_is "UpToDate/Diskless Connected"'
    ok "writes go on" vm_inside qemu-io -f raw -c 'write -P 0x42 10M 1M' -c flush "$url"
    ok "there has its disk again: resynced" eval 'there "drbdadm attach r0" && whole'
    ok "only what differed" only_bitmap
    ok "byte for byte equal" equal
    ok "the disk of here fails" eval 'failing fail && here_fio $(work 24) && here_is "Failed/UpToDate Connected"'
    ok "there knows" there_is Connected UpToDate/Failed
    ok "what was written is read from there" eval 'here_fio $(seen 24)'
    ok "the link is lost and back" eval 'link_blinks && vm_until 60 here_is "Failed/UpToDate Connected"'
    ok "what was written is read from there" eval 'here_fio $(seen 24)'
    ok "it is attached when it is good again, and resynced" eval 'failing repair && here_demote && here replica attach g0 && whole'
    ok "only what differed" only_bitmap
    ok "byte for byte equal" equal
    ok "what was written without it is here" eval 'there "drbdadm secondary r0" ; here_promote && here_fio $(seen 24)'
    nothing_runs
    losetup -d "$loop"
    loop=
}

# A Primary without a disk does not go on with an older copy, and this node does not call that one good.
case_older_copy() {
    ok "there is Primary" eval 'there "drbdadm primary r0" && there_fio "$(work 31)"'
    cp "$vm_work/here.disk" "$vm_work/older.disk"
    ok "it writes to the disk here alone" eval 'there "drbdadm detach r0" && there_fio "$(work 32)"'
    ok "the daemon leaves in order" here_stop
    cp "$vm_work/older.disk" "$vm_work/here.disk"
    ok "and is back with an older disk" here_start
    ok "there refuses it" vm_until 30 there 'dmesg | grep -q "Can only connect to data with current UUID"'
    ok "here it is not UpToDate" vm_until 20 here_is "Consistent/DUnknown WFConnection"
    nothing_runs
}
