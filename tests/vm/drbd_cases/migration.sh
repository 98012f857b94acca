# A pair of DRBD with a file system in use becomes one of halun, node by node, on the same disks and addresses.
# shellcheck shell=bash disable=SC2154,SC2034 # of drbd_pair.sh and for it

third() { guest_run third "${2:-30}" "$1"; }
content() { # DISK: the file system is sound, and the sums of its files
    rm -rf "$vm_work/tree" && mkdir "$vm_work/tree" && head -c 48M "$1" >"$vm_work/fs" &&
        e2fsck -fn "$vm_work/fs" >"$vm_work/fsck" 2>&1 && debugfs -R "rdump / $vm_work/tree" "$vm_work/fs" >/dev/null 2>&1 &&
        (cd "$vm_work/tree" && sha256sum one two)
}
case_migration() {
    local address_here=10.79.0.3 second
    here_kill 2>/dev/null
    [ -n "${vm_pid[there]:-}" ] && guest_kill there
    rm -rf "$vm_work"/{here,there}.disk "$vm_work/state"
    truncate -s $size "$vm_work"/{here,there}.disk
    resource
    sed -i 's/on here/on third/' "$vm_work/there/share/r0.res"
    mkdir -p "$vm_work/third/share"
    cp "$vm_work/there/share/r0.res" "$vm_work/third/share/"
    configuration
    ok "a pair of DRBD" eval 'there_boot && guest_start third 10.79.0.3/24 "$vm_work/here.disk" && guest_up third 300 &&
        third "modprobe drbd && echo \"include \\\"/share/r0.res\\\";\" >/etc/drbd.conf" &&
        there "drbdadm create-md --force r0 </dev/null && drbdadm up r0" &&
        third "drbdadm create-md --force r0 </dev/null && drbdadm up r0" &&
        vm_until 90 there_is Connected Inconsistent/Inconsistent && there "drbdadm primary --force r0" &&
        vm_until 90 there_is Connected UpToDate/UpToDate'
    ok "a file system in use" there 'mkfs.ext4 -q /dev/drbd0 48M && mkdir -p /mnt && mount /dev/drbd0 /mnt &&
        dd if=/dev/urandom of=/mnt/one bs=64k count=40 conv=fsync status=none' 90
    ok "the second node is taken out" eval 'third "drbdadm down r0" && guest_stop third'
    there 'dd if=/dev/urandom of=/mnt/two bs=64k count=10 conv=fsync status=none'
    ip -n "$vm_net" addr add 10.79.0.3/24 dev br0
    ok "halun in its place, with its disk" here_start
    ok "resynced" whole
    ok "only what differed" eval 'only_bitmap && [ "$(resynced_blocks)" -gt 500 ]'
    ok "the file system was in use all the time" there 'dd if=/dev/urandom of=/mnt/two bs=64k count=5 conv=fsync status=none &&
        sha256sum /mnt/one /mnt/two | sed "s,/mnt/,," >/share/sums && umount /mnt && drbdadm secondary r0'
    ok "halun is promoted over the wire" here_promote
    ok "the file system is sound and the same" eval 'content "$vm_work/here.disk" | tee /dev/stderr | diff - "$vm_work/there/share/sums"'
    ok "the first node is taken out" eval 'there "drbdadm down r0" && guest_stop there'
    ok "writes go on" vm_until 60 timeout 20 ip netns exec "$vm_net" qemu-io -f raw -c 'write -P 0x33 56M 1M' -c flush "iscsi://10.79.0.3:3260/$target/0"
    ip -n "$vm_net" addr add $address_there/24 dev br0
    sed "s,$vm_work/state,$vm_work/state2,; s,$vm_work/run,$vm_work/run2,; s,here.disk,there.disk,
        s,10.79.0.3,10.79.0.X,; s,$address_there,10.79.0.3,; s,10.79.0.X,$address_there," "$vm_work/halun.conf" >"$vm_work/second.conf"
    setpriv --pdeathsig KILL ip netns exec "$vm_net" "$build/target/daemon/halund" --foreground --config "$vm_work/second.conf" \
        --node here >"$vm_work/second.log" 2>&1 </dev/null &
    second=$!
    ok "halun in its place, with its disk" vm_until 20 vm_inside "$build/config/halunctl" --run-dir "$vm_work/run2" wait serving --timeout 1
    ok "resynced" vm_until 60 here_is "UpToDate/UpToDate Connected"
    ok "only what differed" eval 'sed -n "s/.*resync to the peer: \([0-9]*\) KiB/\1/p" "$vm_work/halund.log" | tail -n 1 | grep -x "[0-9]\{4,5\}" | { read -r n; echo "$n"; [ "$n" -lt 30000 ]; }'
    ok "byte for byte equal" cmp -n 60000000 "$vm_work/here.disk" "$vm_work/there.disk"
    ok "the file system is sound and the same" eval 'content "$vm_work/there.disk" | diff - "$vm_work/there/share/sums"'
    kill "$second"
    wait "$second"
    ip -n "$vm_net" addr del $address_there/24 dev br0
    vm_inside qemu-io -f raw -c 'write -P 0x44 58M 64k' -c flush "iscsi://10.79.0.3:3260/$target/0" >/dev/null
    ok "back: DRBD takes the disk that halun left" eval 'there_boot && there_up && whole'
    ok "back: only what differed" only_bitmap
    ok "back: DRBD is promoted, the file system is the same" eval 'here_demote && vm_until 10 there "drbdadm primary r0" &&
        there "mkdir -p /mnt && mount -o ro /dev/drbd0 /mnt && cd /mnt && sha256sum one two" | diff - "$vm_work/there/share/sums"'
    here_kill
    guest_kill there
}
