# shellcheck shell=bash
# What quickstart and the cluster tests share: the array's nodes and the client that keeps the ledger.
# Needs: rig (the rig's command), build (a build directory), CLUSTER_DIR.
: "${rig:?}" "${build:?}"
client=
base=0
trap '' PIPE # a client that has ended must not end the script that talks to it

# on NODE COMMAND...; one argument is a line for sh. What "rig exec" does, without the start of an interpreter for each of some
# thousand commands, and the command outlives us.
on() {
    local init='' cgroup=''
    { read -r init cgroup <"$CLUSTER_DIR/$1/pid"; } 2>/dev/null || [ -n "$init" ] || {
        echo "$1 is off" >&2
        return 1
    }
    [ $# -gt 2 ] || set -- "$1" sh -c "$2"
    (
        echo "$BASHPID" >"$cgroup/cgroup.procs" || exit 127
        exec env -u BASH_ENV HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin RIG_NODE="$1" \
            nsenter --target "$init" --net --uts --ipc --pid --mount -- "${@:2}"
    )
}
# until LIMIT_S COMMAND...: polls, because Pacemaker's tools report states, not events.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -ge $end ] && return 1
        sleep 0.2
    done
}
owner_is() { on "$1" halunctl status --json | grep -q "\"owner\": *\"$2\""; }
owner() {
    local node
    for node in node1 node2; do
        on $node halunctl status --json 2>/dev/null |
            sed -n 's/.*"owner": *"\([a-z0-9]*\)".*/\1/p' | head -n 1 | grep . && return
    done
}
other() { [ "$1" = node1 ] && echo node2 || echo node1; }

# client_start URL...: halun-verify on the host "client", commands through file descriptor 9.
client_start() {
    rm -f "$CLUSTER_DIR/client.in"
    mkfifo "$CLUSTER_DIR/client.in"
    : >"$CLUSTER_DIR/client.out"
    "$rig" exec client "$build/tests/client/halun-verify" --depth 16 ${QUIET:+--quiet} "$@" \
        <"$CLUSTER_DIR/client.in" >"$CLUSTER_DIR/client.out" &
    client=$!
    exec 9>"$CLUSTER_DIR/client.in"
}
# Sends a command and waits for its answer line.
client_do() {
    local before event=$2 end=$((SECONDS + ${3:-180}))
    before=$(wc -l <"$CLUSTER_DIR/client.out")
    echo "$1" >&9
    until tail -n +$((before + 1)) "$CLUSTER_DIR/client.out" | grep -q "\"event\": \"$event\""; do
        kill -0 "$client" 2>/dev/null || return 1
        tail -n +$((before + 1)) "$CLUSTER_DIR/client.out" | grep -q '"event": "stuck"' && return 1
        [ $SECONDS -ge $end ] && return 1
        sleep 0.05
    done
}
field() { # last value of a field
    tail -n 1 "$CLUSTER_DIR/client.out" | sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p"
}
acknowledged_more() { # I/O goes on: 500 more acknowledgements
    client_do stats stats 10 || return 1
    [ "$(field acknowledged)" -ge $((base + 500)) ]
}
flowing() {
    client_do stats stats 10 || return 1
    base=$(field acknowledged)
    until_true "${1:-60}" acknowledged_more
}

client_stop() {
    echo quit >&9
    exec 9>&-
    wait "$client"
}
