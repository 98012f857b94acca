# Growth while both copies are in use.
# shellcheck shell=bash disable=SC2154,SC2034 # of drbd_pair.sh and for it

larger() { # BYTES: the disks of both, as their machines see them
    truncate -s "$1" "$vm_work"/{here,there}.disk && guest_disk_size there 0 "$1" &&
        vm_until 20 there "[ \$(blockdev --getsize64 /dev/vdb) = $1 ]"
}
sizes() { # MIB: both units are that large at least
    there "[ \$(awk '/drbd0/ { print \$3 }' /proc/partitions) -gt $(($1 << 10)) ]" &&
        vm_inside qemu-img info --output=json "$url" |
        python3 -c "import json, sys; sys.exit(json.load(sys.stdin)['virtual-size'] <= $1 << 20)"
}
case_growth() { # ordered on the Primary, here and there
    local at=70M
    ok "two new copies" blank
    ok "in sync" eval 'there "drbdadm primary --force r0" && whole'
    ok "here is Primary" eval 'there "drbdadm secondary r0"; here_promote && whole'
    ok "both disks grow" larger $((96 << 20))
    dd if=/dev/urandom of="$vm_work/there.disk" bs=1M seek=66 count=20 conv=notrunc status=none
    ok "growth by order of here" here replica resize g0 --wait --timeout 60
    ok "both units are larger" sizes 90
    ok "no resync was needed: both copies stayed good" whole
    ok "what is new is written here" vm_inside qemu-io -f raw -c "write -P 0x5a $at 64k" -c flush "$url"
    ok "byte for byte equal" equal
    ok "the other way round" eval 'here_demote && vm_until 10 there "drbdadm primary r0" && whole'
    ok "both disks grow again" larger $((128 << 20))
    dd if=/dev/urandom of="$vm_work/here.disk" bs=1M seek=98 count=20 conv=notrunc status=none
    ok "growth by order of there" there 'drbdadm resize r0'
    ok "what is new is resynced" eval 'vm_until 30 there "[ \$(blockdev --getsize64 /dev/drbd0) -gt $((122 << 20)) ]" && whole'
    ok "only what is new" only_new 40000
    ok "byte for byte equal" equal
    ok "here is promoted" eval 'there "drbdadm secondary r0" && here_promote'
    ok "its unit gets the new capacity" eval 'here replica resize g0 --wait --timeout 60 && sizes 122'
    ok "what was written before is there" vm_inside qemu-io -f raw -c "read -P 0x5a $at 64k" "$url"
    ok "a restart of both finds it so" eval 'here_demote && here_stop && there "drbdadm down r0 && drbdadm up r0" && here_start && whole'
    ok "byte for byte equal" equal
}
# The link breaks between the one that has grown and the one that has not.
unheard() { # what there answers does not arrive, what here says does
    vm_inside nft add table ip cut && vm_inside nft "add chain ip cut input { type filter hook input priority 0; }" &&
        vm_inside nft "add rule ip cut input ip saddr $address_there drop"
}
case_growth_cut() {
    ok "two new copies" blank
    ok "in sync, there is Primary" eval 'there "drbdadm primary --force r0" && whole'
    ok "both disks grow" larger $((96 << 20))
    guest_link there down
    ok "the link is lost" eval 'vm_until 40 eval "! here_is \"UpToDate/UpToDate Connected\"" && vm_until 40 there "grep -q cs:WFConnection /proc/drbd"'
    ok "there grows alone" eval 'there "drbdadm -- --assume-peer-has-space resize r0" &&
        vm_until 30 there "[ \$(blockdev --getsize64 /dev/drbd0) -gt $((90 << 20)) ]"'
    ok "what is new is written there" there 'dd if=/dev/urandom of=/dev/drbd0 bs=64k seek=1200 count=20 oflag=direct status=none'
    guest_link there up
    ok "here grows when they meet" meets_grown
    ok "resynced" whole
    ok "byte for byte equal" equal
    ok "here is Primary, its unit gets the new capacity" eval 'there "drbdadm secondary r0"; here_promote && here replica resize g0 --wait --timeout 60 && sizes 90'
    ok "both disks grow again" larger $((128 << 20))
    ok "there cannot be heard any more" unheard
    ok "growth by order of here is not finished" eval '! here replica resize g0 --timeout 30'
    ok "there has grown" vm_until 30 there "[ \$(awk '/drbd0/ { print \$3 }' /proc/partitions) -gt $((122 << 10)) ]"
    ok "writes go on, as before" vm_inside qemu-io -f raw -c "write -P 0x5c 70M 1M" -c flush "$url"
    ok "the unit has its old size" eval '! sizes 122'
    vm_inside nft delete table ip cut
    ok "here grows when they meet" meets_grown
    ok "resynced" whole
    ok "ordered again, the unit is larger" eval 'here replica resize g0 --wait --timeout 60 && sizes 122'
    ok "what is new is written here" vm_inside qemu-io -f raw -c "write -P 0x5d 110M 1M" -c flush "$url"
    ok "byte for byte equal" equal
}
meets_grown() { # DRBD refuses a smaller peer, and stands alone until it is told to connect
    vm_until 90 eval 'there "! grep -q cs:StandAlone /proc/drbd || drbdadm connect r0"; there_is "\\(Connected\\|Sync[A-Za-z]*\\)" ".*"'
}
only_new() { # KIB
    local kib
    kib=$(resynced_blocks)
    echo "resynced $kib KiB"
    [ -n "$kib" ] && [ "$kib" -lt "$1" ]
}
