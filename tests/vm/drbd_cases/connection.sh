# Who may connect, and with which data: authentication, split brains.
# shellcheck shell=bash disable=SC2154,SC2034 # of drbd_pair.sh and for it

case_secret() {
    ok "connected with a secret" blank "a secret of both"
    here_kill
    configuration "another secret"
    here_start
    ok "another secret is refused" vm_until 40 eval 'here replica status | grep -q "authentication failed"'
    ok "and named there" there 'dmesg | grep -qi "authentication of peer failed\|Authentication.*fail"'
    here_kill
    configuration ""
    here_start
    sleep 5
    ok "no secret is refused" eval '! here_is "Inconsistent/Inconsistent Connected"'
    here_kill
    configuration "a secret of both"
    here_start
    ok "the right one is let in again" eval 'there "drbdadm connect r0"; connected Inconsistent/Inconsistent Inconsistent/Inconsistent'
    ok "in sync" eval 'there "drbdadm primary --force r0" && whole && there "drbdadm secondary r0"'
    ok "byte for byte equal" equal
}
diverge() { # both copies are written to without the other
    there 'drbdadm secondary r0'
    here_demote
    whole && guest_link there down && vm_until 40 eval '! here_is "UpToDate/UpToDate Connected"' &&
        vm_until 40 there 'grep -q cs:WFConnection /proc/drbd' &&
        there 'drbdadm primary r0 && dd if=/dev/urandom of=/dev/drbd0 bs=4k count=5 seek=100 oflag=direct status=none && drbdadm secondary r0' &&
        here_promote && vm_inside qemu-io -f raw -c 'write -P 0x77 1M 64k' "$url" && here_demote
}
case_split_brain() {
    ok "both copies go their own way" diverge
    guest_link there up
    ok "both sides see the split brain and stand alone" vm_until 60 stands_alone
    ok "named here" eval 'here replica status | grep -qi "split brain"'
    ok "named there" there 'dmesg | grep -q "Split-Brain detected"'
    ok "there gives way" there 'drbdadm connect --discard-my-data r0'
    here_kill # stands alone until it is told to connect, or starts anew
    here_start
    ok "resynced from here" whole
    ok "only what differed" only_bitmap
    ok "byte for byte equal" equal
    ok "and it is the copy of here" eval '[ "$(there "dd if=/dev/drbd0 bs=64k skip=16 count=1 status=none | tr -d \"\\167\" | wc -c || :")" = 0 ] || cmp -n 65536 -i 1048576 $vm_work/here.disk $vm_work/there.disk'
}

# A split brain that both sides settle by the same policy.
apart() { # WHO: both were Primary without the other, and WHO has written: a's from here, b's from there
    there 'drbdadm secondary r0'
    here_demote
    whole && guest_link there down && vm_until 40 eval '! here_is "UpToDate/UpToDate Connected"' &&
        vm_until 40 there 'grep -q cs:WFConnection /proc/drbd' && here_promote && there 'drbdadm primary r0' || return
    if [ "$1" = here ]; then
        vm_inside qemu-io -f raw -c 'write -P 0x61 2816k 64k' -c flush "$url"
    else
        there 'tr "\\0" b </dev/zero | dd of=/dev/drbd0 bs=4k count=16 seek=704 iflag=fullblock oflag=direct status=none'
    fi && here_demote && there 'drbdadm secondary r0'
}
case_policies() {
    local here_options="after_sb_0pri = discard-zero-changes" who
    ok "connected with a policy" blank "" "after-sb-0pri discard-zero-changes;"
    ok "in sync" eval 'there "drbdadm primary --force r0" && whole'
    for who in there here; do
        ok "both were Primary, $who has changed something" apart $who
        guest_link there up
        ok "the other one gives way: resynced" whole
        ok "a split brain was seen" eval 'there "dmesg | grep -q \"Split-Brain detected, 0 primaries, automatically solved\""'
        ok "what $who has written is kept" kept "$([ $who = here ] && echo a || echo b)"
        ok "byte for byte equal" equal
    done
}
kept() { # LETTER: of what apart() has written
    cmp <(head -c 65536 /dev/zero | tr '\0' "$1") <(dd if="$vm_work/here.disk" bs=64k skip=44 count=1 status=none)
}
