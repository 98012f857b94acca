# Two volumes in one resource, of different sizes: one connection, whose barriers count the writes of both.
# shellcheck shell=bash disable=SC2154,SC2034 # of drbd_pair.sh and for it

there_fio_both() { # work|seen SEED: at once
    there_fio "$("$1" "$2") --name=work1 --filename=/dev/drbd1 $("$1" $(($2 + 1)))"
}
here_fio_both() { # work|seen SEED FIO-OPTIONS...
    local first status=0
    # shellcheck disable=SC2046 # fio's options
    volume=0 here_fio $("$1" "$2") "${@:3}" &
    first=$!
    # shellcheck disable=SC2046
    volume=1 here_fio $("$1" $(($2 + 1))) "${@:3}" || status=1
    wait "$first" && return $status
}
only_volume_1() { # KIB: what the last resync of volume 1 was at most; volume 0 lacked nothing
    there "dmesg | grep 'Began resync as' | tail -n 2" && there "dmesg | sed -n 's/.*\(drbd[01]\): Began resync.*will sync \([0-9]*\) KB.*/\1 \2/p' | tail -n 2 |
        awk '{ kib[\$1] = \$2 } END { exit !(kib[\"drbd1\"] > 0 && kib[\"drbd1\"] <= $1 && !kib[\"drbd0\"]) }'"
}
case_volumes() {
    local two_volumes=yes
    ok "two new copies of two volumes connect" blank
    ok "there is made the good copy of both" there 'drbdadm primary --force r0'
    ok "initial sync from there" whole
    ok "byte for byte equal" equal
    ok "fio writes to both there and verifies" there_fio_both work 11
    ok "byte for byte equal" equal
    ok "here is promoted over the wire" eval 'there "drbdadm secondary r0" && here_promote && whole'
    ok "what was written there is read here" here_fio_both seen 11
    ok "fio writes to both here and verifies" here_fio_both work 13
    ok "flushed and byte for byte equal" eval 'vm_inside qemu-io -f raw -c flush "$url" && equal'
    guest_link there down
    ok "the link is lost" eval 'vm_until 40 eval "! here_is \"UpToDate/UpToDate Connected\"" && vm_until 40 there "grep -q cs:WFConnection /proc/drbd"'
    ok "one volume is written here alone" vm_inside qemu-io -f raw -c 'write -P 0x21 5M 512k' "$url1"
    guest_link there up
    ok "resynced" whole
    ok "only that volume" only_volume_1 1024
    ok "byte for byte equal" equal
    here_fio_both work 15 --rate_iops=500 >"$vm_work/both" 2>&1 & # for 4 s
    sleep "1.$((RANDOM % 10))"
    guest_kill there
    ok "power: both are written here alone, and verified" wait $!
    ok "power: the guest is back" eval 'there_boot && there_up'
    ok "power: resynced" whole
    ok "byte for byte equal" equal
    ok "there is promoted over the wire" eval 'here_demote && vm_until 10 there "drbdadm primary r0"'
    ok "what was written here is read there" there_fio_both seen 15
    here_kill
    ok "kill: both are written there alone" there_fio_both work 17
    ok "kill: the daemon is back, resynced" eval 'here_start && whole'
    ok "kill: only what differed" only_bitmap
    ok "byte for byte equal" equal
    nothing_runs # the cases behind it have one volume
}
