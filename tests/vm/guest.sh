# Guests for tests: . tests/vm/guest.sh (bash). Everything made here is gone when the shell ends.
#
# QEMU emulates the processor (TCG): no KVM is needed, one virtual processor per guest, at low priority. A guest
# keeps nothing: its root file system is memory over a read-only image; disks are raw files of the host. Its
# network is a bridge in a namespace of the test's own.
#
# guest_kill() is a power cut of the machine: what the guest had given to its disk is in the host's cache and stays.
# shellcheck shell=bash
vm_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
vm_image=${VM_IMAGE:-$(cd "$vm_folder/../.." && pwd)/build/vm}
vm_work=${VM_WORK:-$(mktemp -d "/tmp/halun-vm.XXXXXX")}
vm_net=halun-vm-$$
declare -A vm_pid=() vm_in=() vm_out=()
vm_number=0
vm_patience=${VM_PATIENCE:-4} # limits are for an idle host; they are so many times as long, which costs only a failed test time

vm_end() {
    local status=$? name
    trap - EXIT
    for name in "${!vm_pid[@]}"; do
        kill -9 "${vm_pid[$name]}" 2>/dev/null
        wait "${vm_pid[$name]}" 2>/dev/null
    done
    declare -F vm_finish >/dev/null && vm_finish
    ip netns del "$vm_net" 2>/dev/null
    [ -n "${VM_KEEP:-}" ] || rm -rf "$vm_work"
    exit $status
}
trap vm_end EXIT
trap 'exit 130' INT TERM

# vm_network CIDR: the namespace, its bridge "br0" with this address.
vm_network() {
    ip netns add "$vm_net" && ip -n "$vm_net" link set lo up &&
        ip -n "$vm_net" link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0 &&
        ip -n "$vm_net" addr add "$1" dev br0 && ip -n "$vm_net" link set br0 up
}
vm_inside() { ip netns exec "$vm_net" "$@"; }

# vm_capture FILE EXPRESSION...: what passes the bridge.
vm_capture() {
    setpriv --pdeathsig TERM ip netns exec "$vm_net" tcpdump -Z root -U -i br0 -s 0 -w "$@" 2>/dev/null &
    vm_pid[capture]=$!
}

# vm_until SECONDS COMMAND...: tries until it succeeds.
vm_until() {
    local end=$((SECONDS + $1 * vm_patience))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -ge $end ] && return 1
        sleep 0.2
    done
}

# guest_start NAME CIDR DISK...: boots; answers are awaited by guest_up. Files in $vm_work/NAME/share are at
# /share of the guest.
guest_start() {
    local name=$1 address=$2 folder=$vm_work/$1 tap=vm-$1 disk n=0 id khz
    # TCG gives the guest the host's time stamp counter; a loaded host would let the guest measure it wrongly, and
    # its clock would run many times too fast.
    khz=$(awk -F '[:.]' '/^cpu MHz/ { print $2 * 1000 + substr($3, 1, 3); exit }' /proc/cpuinfo)
    shift 2
    # maxcpus=2: with a single possible processor QEMU before 8.1 leaves the guest's memory barriers out. The devices run in
    # another thread of the host all the same, so a virtio queue missed a notification now and then and stood still.
    # shellcheck disable=SC2054 # commas are QEMU's
    local qemu=(
        qemu-system-x86_64 -name "$name" -accel tcg,thread=multi,tb-size=192 -cpu max,la57=off -machine pc
        -smp 1,maxcpus=2 -m "${VM_MEMORY:-320M}" -nodefaults -no-user-config -display none -no-reboot
        -kernel "$vm_image/vmlinuz" -initrd "$vm_image/initrd"
        -append "console=ttyS0 quiet loglevel=4 mitigations=off nokaslr audit=0 apparmor=0 panic=-1 no_timer_check tsc=reliable tsc_early_khz=$khz random.trust_cpu=on net.ifnames=0 cryptomgr.notests ${VM_APPEND:-}"
        -chardev "file,id=console,path=$folder/console,append=on" -serial chardev:console
        -device virtio-rng-pci
        -drive "file=$vm_image/root.ext4,if=none,format=raw,readonly=on,id=root"
        -device virtio-blk-pci,drive=root
        -virtfs "local,path=$folder/share,mount_tag=share,security_model=none,multidevs=remap"
        -device virtio-serial-pci -chardev "pipe,id=agent,path=$folder/agent"
        -device virtserialport,chardev=agent,name=agent
        -qmp "unix:$folder/qmp,server=on,wait=off"
    )
    mkdir -p "$folder/share"
    cp "$vm_folder/guest-init" "$folder/share/"
    echo "$name $address" >"$folder/share/identity"
    for disk; do
        qemu+=(-drive "file=$disk,if=none,format=raw,cache=writeback,discard=unmap,id=disk$n"
            -device "virtio-blk-pci,drive=disk$n,serial=$name-$n")
        n=$((n + 1))
    done
    rm -f "$folder"/agent.{in,out}
    mkfifo "$folder"/agent.{in,out}
    guest_forget "$name"
    exec {id}<>"$folder/agent.in"
    vm_in[$name]=$id
    exec {id}<>"$folder/agent.out"
    vm_out[$name]=$id
    ip -n "$vm_net" link del "$tap" 2>/dev/null
    ip -n "$vm_net" tuntap add "$tap" mode tap && ip -n "$vm_net" link set "$tap" master br0 up || return 1
    id=${address%/*}
    qemu+=(-netdev "tap,id=net,ifname=$tap,script=no,downscript=no"
        -device "virtio-net-pci,netdev=net,romfile=,mac=$(printf '52:54:00:79:00:%02x' "${id##*.}")")
    # The kernel ends it should this shell be killed.
    setpriv --pdeathsig KILL nice -n 10 ip netns exec "$vm_net" "${qemu[@]}" </dev/null >"$folder/qemu" 2>&1 &
    vm_pid[$name]=$!
}
guest_forget() {
    local id
    for id in "${vm_in[$1]:-}" "${vm_out[$1]:-}"; do
        [ -n "$id" ] && exec {id}>&-
    done
    unset "vm_in[$1]" "vm_out[$1]"
}

# guest_run NAME SECONDS COMMANDS: runs them in the guest by sh; their output and status. 124: no answer.
guest_run() {
    local name=$1 seconds=$2 number status text end
    number=$((++vm_number)).$BASHPID
    end=$((SECONDS + seconds * vm_patience))
    printf '%s %s\n' "$number" "$(base64 -w 0 <<<"$3")" >&"${vm_in[$name]}"
    while [ $SECONDS -le $end ] && kill -0 "${vm_pid[$name]}" 2>/dev/null; do
        local got=
        read -r -t 2 -u "${vm_out[$name]}" got status text || continue
        [ "$got" = "$number" ] || continue
        base64 -d <<<"$text"
        return "$status"
    done
    return 124
}
# guest_disk_size NAME NUMBER BYTES: the guest's disk (its file was made as long before) is larger from now on.
guest_disk_size() {
    python3 - "$vm_work/$1/qmp" "disk$2" "$3" <<'END'
import json, socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    answers = s.makefile()
    answers.readline()  # the greeting
    for order in ({"execute": "qmp_capabilities"},
                  {"execute": "block_resize", "arguments": {"device": sys.argv[2], "size": int(sys.argv[3])}}):
        s.sendall(json.dumps(order).encode())
        answer = json.loads(answers.readline())
        if "return" not in answer:
            sys.exit(f"{order['execute']}: {answer}")
END
}
# guest_up NAME SECONDS: until it answers.
guest_up() {
    guest_run "$1" "$2" true || {
        echo "guest $1 does not answer; its console ends:" >&2
        tail -n 15 "$vm_work/$1/console" "$vm_work/$1/qemu" >&2
        return 1
    }
}
guest_kill() {
    kill -9 "${vm_pid[$1]}"
    wait "${vm_pid[$1]}" 2>/dev/null
    unset "vm_pid[$1]"
    ip -n "$vm_net" link del "vm-$1" 2>/dev/null
    guest_forget "$1"
}
# guest_stop NAME: its file systems are its own business.
guest_stop() {
    guest_run "$1" 20 'sync; (sleep 0.2; echo o >/proc/sysrq-trigger) & ' >/dev/null
    vm_until 20 eval "! kill -0 ${vm_pid[$1]}"
    guest_kill "$1" 2>/dev/null
}
# guest_link NAME up|down: its cable.
guest_link() { ip -n "$vm_net" link set "vm-$1" "$2"; }
