# Cuts at random points under load: cable, power, kill -9, an orderly stop.
# shellcheck shell=bash disable=SC2154,SC2034 # of drbd_pair.sh and for it

# Numbered writes with a ledger: everything that was acknowledged must be read back.
client_start() {
    rm -f "$vm_work/client.in"
    mkfifo "$vm_work/client.in"
    : >"$vm_work/client.out"
    ip netns exec "$vm_net" "$build/tests/client/halun-verify" --depth 8 --blocks 4096 --rate 400 --quiet "$url" <"$vm_work/client.in" \
        >"$vm_work/client.out" 2>"$vm_work/client.err" &
    client=$!
    exec 9>"$vm_work/client.in"
    client_do "phase writing" phase
}
client_said() { grep -q "\"event\": \"$1\"" <(tail -n +$((client_before + 1)) "$vm_work/client.out"); }
client_do() { # COMMAND EVENT
    client_before=$(wc -l <"$vm_work/client.out")
    echo "$1" >&9
    vm_until "${3:-120}" client_said "$2"
}
client_field() { tail -n 1 "$vm_work/client.out" | sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p"; }
client_flows() {
    local before
    client_do stats stats && before=$(client_field acknowledged) &&
        vm_until 60 eval "client_do stats stats && [ \$(client_field acknowledged) -gt $((before + 50)) ]"
}
client_lost_nothing() { client_do verify verified && tail -n 1 "$vm_work/client.out" && [ "$(client_field lost)" = 0 ]; }
client_end() {
    echo quit >&9
    wait "$client"
    exec 9>&-
}

case_cuts_primary_here() {
    local round what
    ok "here is Primary" eval 'there "drbdadm secondary r0"; here_promote && whole'
    client_start
    ok "numbered writes flow" client_flows
    for round in 1 2 3; do
        for what in cable power kill; do
            [ "$what" = kill ] || ok "round $round: writes flow" client_flows
            moment
            case $what in
            cable)
                guest_link there down
                ok "$what: the loss is noticed, writes go on alone" eval 'vm_until 40 eval "! here_is \"UpToDate/UpToDate Connected\"" && client_flows'
                moment
                guest_link there up
                ;;
            power)
                guest_kill there
                ok "$what: writes go on alone" client_flows
                ok "$what: the guest is back" eval 'there_boot && there_up'
                ;;
            kill)
                here_kill
                moment
                ok "$what: the daemon is back" here_start
                ok "$what: and Primary again" here_promote
                ok "$what: writes flow" client_flows
                ;;
            esac
            ok "$what: resynced" whole
            [ "$what" = kill ] || ok "$what: only what differed" only_bitmap
        done
    done
    ok "nothing acknowledged is lost" client_lost_nothing
    client_end
    ok "byte for byte equal" equal
    ok "here is demoted" here_demote
}

# A writer in the guest notes on the host which numbers were acknowledged.
writer_start() {
    : >"$vm_work/there/share/acked"
    cat >"$vm_work/there/share/writer" <<'END'
n=$1
while [ ! -e /share/writer.stop ]; do
    n=$((n + 1))
    printf '%-511d\n' $n | dd of=/dev/drbd0 bs=512 seek=$((n % 1000 * 16)) oflag=direct conv=notrunc status=none || exit 1
    echo $n >>/share/acked
done
END
    rm -f "$vm_work/there/share/writer.stop"
    there "setsid sh /share/writer ${1:-0} >/tmp/writer.log 2>&1 </dev/null &"
}
writer_flows() {
    local before
    before=$(wc -l <"$vm_work/there/share/acked")
    vm_until 60 eval "[ \$(wc -l <$vm_work/there/share/acked) -gt $((before + 40)) ]"
}
writer_stop() { touch "$vm_work/there/share/writer.stop" && sleep 1; }
# Every block of the last thousand acknowledged numbers holds it, or a later one (not yet acknowledged).
writer_lost_nothing() { # COPY
    python3 - "$vm_work/there/share/acked" "$vm_work/$1.disk" <<'END'
import sys
last = {}
for line in open(sys.argv[1]):
    if line.strip().isdigit():
        last[int(line) % 1000] = int(line)
lost = 0
with open(sys.argv[2], "rb") as disk:
    for place, number in sorted(last.items()):
        disk.seek(place * 16 * 512)
        text = disk.read(512).split(b"\n")[0].strip()
        if not text.isdigit() or int(text) < number or int(text) % 1000 != place:
            lost += 1
            print(f"block {place}: {number} was acknowledged, {text[:20]} is there")
print(f"{len(last)} blocks, {lost} lost")
sys.exit(lost > 0 or len(last) < 20)
END
}
case_cuts_primary_there() {
    local round what
    ok "there is Primary" eval 'here_demote; there "drbdadm primary r0" && whole'
    for round in 1 2 3; do
        for what in cable kill stop power; do
            writer_start $((round * 100000))
            ok "round $round: writes flow" writer_flows
            moment
            case $what in
            cable)
                guest_link there down
                ok "$what: writes go on alone" writer_flows
                guest_link there up
                ;;
            kill)
                here_kill
                ok "$what: writes go on alone" writer_flows
                ok "$what: the daemon is back" here_start
                ;;
            stop)
                ok "$what: the daemon leaves in order" here_stop
                ok "$what: writes go on alone" writer_flows
                ok "$what: the daemon is back" here_start
                ;;
            power)
                guest_kill there
                ok "$what: what was acknowledged is here" writer_lost_nothing here
                ok "$what: the guest is back" eval 'there_boot && there_up'
                ;;
            esac
            ok "$what: resynced" whole
            writer_stop
            ok "$what: only what differed" only_bitmap
            ok "$what: nothing acknowledged is lost" eval 'writer_lost_nothing here && writer_lost_nothing there'
            [ $what = power ] && ok "$what: there is Primary again" there 'drbdadm primary r0'
        done
    done
    ok "byte for byte equal" equal
    there 'drbdadm secondary r0'
}
