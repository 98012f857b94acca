# Both copies with the same algorithms; a difference is put into one disk behind the engines' backs.
# shellcheck shell=bash disable=SC2154,SC2034 # of drbd_pair.sh and for it

case_checksums() { checksums sha1; }
case_checksums_crc() { checksums crc32c; }
checksums() { # ALGORITHM
    local here_options="csums_alg = $1
    verify_alg = $1"
    ok "connected with $1" blank "" "csums-alg $1; verify-alg $1;"
    ok "initial sync from there" eval 'there "drbdadm primary --force r0" && whole'
    printf 'different' | dd of="$vm_work/here.disk" bs=1 seek=5000000 conv=notrunc status=none
    ok "verify begun there" there 'drbdadm verify r0'
    ok "finds the block" vm_until 90 there 'dmesg | grep -q "Online verify found 1 4k blocks* out of sync"'
    ok "both know it" eval 'vm_until 20 there "grep -q oos:4$ /proc/drbd" && here replica status | grep -q " 4\.0K "'
    ok "disconnect and connect repair it" eval 'there "drbdadm disconnect r0; sleep 1; drbdadm connect r0" && whole && vm_until 30 equal'
    printf 'different' | dd of="$vm_work/here.disk" bs=1 seek=9000000 conv=notrunc status=none
    ok "verify begun here" here replica verify g0
    ok "finds the block" vm_until 90 eval 'here replica status | grep -q " 4\.0K "'
    ok "both know it" vm_until 20 there 'grep -q oos:4$ /proc/drbd'
    ok "disconnect and connect repair it" eval 'there "drbdadm disconnect r0; sleep 1; drbdadm connect r0" && whole && vm_until 30 equal'
    there 'drbdadm secondary r0' # a Primary's copy is not given up
    ok "there gives its copy up: digests are sent, no blocks" digests_only there "drbdadm invalidate r0"
    ok "here gives its copy up: digests are sent, no blocks" digests_only here replica invalidate g0 --wait --timeout 30
    ok "byte for byte equal" equal
}
traffic() { there "sed -n 's/.*ns:\([0-9]*\) nr:\([0-9]*\) .*/\1 \2/p' /proc/drbd" | { read -r sent received && echo $((sent + received)); }; }
digests_only() { # WHO ORDER...: everything is resynced, and that takes less than an eighth of it
    local before after n
    before=$(traffic) && n=$(there "dmesg | grep -c 'Began resync as'") && "$@" &&
        vm_until 60 eval "[ \$(there \"dmesg | grep -c 'Began resync as'\") = $((n + 1)) ]" && ! only_bitmap && whole && after=$(traffic) &&
        echo "$((after - before)) KiB on the link" && [ $((after - before)) -lt 8000 ]
}
