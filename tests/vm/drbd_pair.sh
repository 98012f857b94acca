# The pair of tests/vm/drbd: one halund on the host ("here") whose group has the kernel's DRBD in a guest ("there") as
# drbd_peer. Needs guest.sh; the caller has top and build.
#
# A case tells of what is not as usual by variables of its own: two_volumes (the resource has a second one), here_disk
# and here_direct (the path of the first one's, and whether it is opened O_DIRECT), here_options (of the group), volume
# (which one here_fio writes to).
# shellcheck shell=bash disable=SC2154
address_here=10.79.0.1
address_there=10.79.0.2
target=iqn.2026-11.org.halun:vm
url=iscsi://$address_here:3260/$target/0
# shellcheck disable=SC2034 # of the second volume, in cases that have one
url1=iscsi://$address_here:3260/$target/1
size=64M
daemon=
loop=

vm_finish() {
    [ -n "$daemon" ] && kill -9 "$daemon" 2>/dev/null
    [ -n "${daemon}" ] && wait "$daemon" 2>/dev/null
    [ -n "$loop" ] && losetup -d "$loop"
}

# ---- here: halund ----

configuration() { # SECRET
    local lun=""
    cat >"$vm_work/halun.conf" <<END
cluster {
    name = "vm"
    corosync = false
    state_dir = "$vm_work/state"
    run_dir = "$vm_work/run"
    reactors = 1
}
node "here" {
    id = 1
    replication_address = "$address_here"
    portal "front" {
        address = "$address_here:3260"
        rtpi = 1
    }
}
target "$target" {
}
group "g0" {
    replication = builtin
    nodes = { "here" }
    port = 7789
    drbd_peer = "$address_there:7789"
    peer_lost = go-on
    ${here_options:-}
    timeout_ms = 8000  # an emulated machine has its pauses
    ping_ms = 1000
}
lu "disk" {
    uuid = "00000000-0000-4000-8000-000000000001"
    group = "g0"
    path = "${here_disk:-$vm_work/here.disk}"
    direct = ${here_direct:-false}
}
END
    if [ -n "${two_volumes:-}" ]; then
        lun='lun 1 { lu = "disk1" }'
        cat >>"$vm_work/halun.conf" <<END
lu "disk1" {
    uuid = "00000000-0000-4000-8000-000000000002"
    group = "g0"
    path = "$vm_work/here1.disk"
    direct = false
}
END
    fi
    cat >>"$vm_work/halun.conf" <<END
host "all" {
    initiators = { "iqn.*" }
    lun 0 {
        lu = "disk"
    }
    $lun
}
END
    : >"$vm_work/halun.secrets"
    [ -n "${1:-}" ] && printf 'group "g0" {\n    secret = "%s"\n}\n' "$1" >"$vm_work/halun.secrets"
    chmod 600 "$vm_work/halun.secrets"
}
here() { vm_inside "$build/config/halunctl" --run-dir "$vm_work/run" "$@"; }
here_start() {
    setpriv --pdeathsig KILL ip netns exec "$vm_net" "$build/target/daemon/halund" --foreground --config "$vm_work/halun.conf" --node here \
        >>"$vm_work/halund.log" 2>&1 </dev/null &
    daemon=$!
    vm_until 20 here wait serving --timeout 1
}
here_stop() { # in order
    kill "$daemon"
    wait "$daemon"
    local status=$?
    daemon=
    return $status
}
here_kill() {
    kill -9 "$daemon"
    wait "$daemon" 2>/dev/null
    daemon=
}
here_is() { here replica status | grep -q " $1 "; } # DISKS CONNECTION
here_promote() { here group promote g0 --wait --timeout 30; }
here_demote() { here group demote g0 --wait --timeout 30; }
here_fio() { # FIO-OPTIONS... The fio of the host through iSCSI: Debian's has no iSCSI engine, so by qemu's client and NBD
    local nbd status
    ip netns exec "$vm_net" qemu-nbd -t -f raw --discard=unmap --detect-zeroes=off --socket="$vm_work/nbd${volume:-}" \
        "${url%/*}/${volume:-0}" &
    nbd=$!
    vm_until 10 test -S "$vm_work/nbd${volume:-}"
    (cd "$vm_work" && fio --name=work --ioengine=nbd "--uri=nbd+unix:///?socket=$vm_work/nbd${volume:-}" --output="fio.out${volume:-}" "$@")
    status=$?
    [ $status = 0 ] || cat "$vm_work/fio.out${volume:-}"
    kill $nbd
    wait $nbd
    return $status
}

# ---- there: DRBD ----

there() { guest_run there "${2:-30}" "$1"; }
resource() { # SECRET NET-OPTIONS
    local secret="" second=""
    [ -n "${two_volumes:-}" ] && second='volume 1 { device /dev/drbd1; disk /dev/vdc; meta-disk internal; }'
    [ -n "${1:-}" ] && secret="cram-hmac-alg sha256; shared-secret \"$1\";"
    mkdir -p "$vm_work/there/share"
    cat >"$vm_work/there/share/r0.res" <<END
resource r0 {
    protocol C;
    volume 0 {
        device /dev/drbd0;
        disk /dev/vdb;
        meta-disk internal;
    }
    $second
    net {
        connect-int 1;
        ping-int 2;
        ping-timeout 20;
        timeout 60;
        $secret
        ${2:-}
    }
    disk {
        resync-rate 100M;
        c-plan-ahead 0;
    }
    on there {
        address $address_there:7789;
    }
    on here {
        address $address_here:7789;
    }
}
END
}
there_boot() {
    guest_start there $address_there/24 "$vm_work/there.disk" ${two_volumes:+"$vm_work/there1.disk"} && guest_up there 300 &&
        there 'modprobe drbd && echo "include \"/share/r0.res\";" >/etc/drbd.conf'
}
there_up() { there 'drbdadm up r0'; }
there_is() { # CONNECTION DISKS, of all volumes
    there "grep ' cs:' /proc/drbd | grep -v cs:Unconfigured >/tmp/volumes && ! grep -qv ' cs:$1 .* ds:$2 ' /tmp/volumes"
}
there_fio() { # FIO-OPTIONS...
    there "cd /tmp && fio --name=work --filename=/dev/drbd0 --ioengine=libaio --direct=1 --output=/tmp/fio.out $* ||
        { cat /tmp/fio.out; exit 1; }" 200
}
# The same blocks with the same content, whoever runs it: written by one, verified by the other.
work() { # SEED
    echo --rw=randwrite --bs=4k --iodepth=16 --size=8M --verify=crc32c --do_verify=1 --verify_fatal=1 \
        --randseed="$1" --allrandrepeat=1
}
seen() { echo "$(work "$1")" --verify_only=1; }

# ---- both ----

show() {
    here replica status
    [ -n "${vm_pid[there]:-}" ] && there 'grep -A 1 " cs:" /proc/drbd; dmesg | tail -n 6'
    tail -n 6 "$vm_work/halund.log"
}
whole() { # both copies are good, as both say
    vm_until 90 here_is "UpToDate/UpToDate Connected" && vm_until 20 there_is Connected UpToDate/UpToDate
}
connected() { vm_until 60 here_is "$1 Connected" && vm_until 20 there_is Connected "$2"; }
stands_alone() { here replica status | grep -q StandAlone && there 'grep -q cs:StandAlone /proc/drbd'; }
equal_volume() { # NUMBER DISK
    local bytes
    bytes=$(there "awk '/drbd$1/ { print \$3 * 1024 }' /proc/partitions")
    [ "$bytes" -gt 1000000 ] && cmp -n "$bytes" "$vm_work/here$2.disk" "$vm_work/there$2.disk"
}
equal() { equal_volume 0 "" && { [ -z "${two_volumes:-}" ] || equal_volume 1 1; }; }
# shellcheck disable=SC2120 # the arguments are those of one case
blank() { # both disks new, everything started, connected
    configuration "${1:-}"
    resource "${1:-}" "${2:-}"
    rm -rf "$vm_work"/{here,there}{,1}.disk "$vm_work/state"
    truncate -s $size "$vm_work"/{here,there}.disk
    [ -z "${two_volumes:-}" ] || truncate -s 40M "$vm_work"/{here,there}1.disk
    # not zero, and not the same: equal afterwards only if everything was copied
    dd if=/dev/urandom of="$vm_work/here.disk" bs=1M count=60 conv=notrunc status=none
    dd if=/dev/urandom of="$vm_work/there.disk" bs=1M count=60 conv=notrunc status=none
    [ -z "${two_volumes:-}" ] || dd if=/dev/urandom of="$vm_work/there1.disk" bs=1M count=36 conv=notrunc status=none
    [ -n "${vm_pid[there]:-}" ] && guest_kill there
    [ -n "$daemon" ] && here_kill
    here_start && there_boot && there 'drbdadm create-md --force r0 </dev/null && drbdadm up r0' &&
        connected Inconsistent/Inconsistent Inconsistent/Inconsistent
}
resynced_blocks() { # what the guest's kernel said about its last resync, KiB
    there "dmesg | sed -n 's/.*Began resync.*will sync \([0-9]*\) KB.*/\1/p' | tail -n 1"
}
only_bitmap() { # the last resync was not of all blocks
    local kib
    kib=$(resynced_blocks)
    echo "resynced $kib KiB"
    [ -n "$kib" ] && [ "$kib" -lt 60000 ]
}
moment() { sleep "0.$((RANDOM % 10))$((RANDOM % 10))"; }
# Whether a case may go on with what the one before has left, and how to begin anew.
running() { [ -n "$daemon" ] && [ -n "${vm_pid[there]:-}" ]; }
nothing_runs() {
    vm_inside nft delete table ip cut 2>/dev/null
    [ -z "${vm_pid[there]:-}" ] || guest_kill there
    [ -z "$daemon" ] || here_kill
}
