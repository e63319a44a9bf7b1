#!/bin/sh
# two_nodes.sh [--nodes N] [--] ARGUMENT... - runs mpiexec with these arguments over nodes that are really separate, on
# this machine: each has its own network, host name, /dev/shm and System V memory. Ranks are dealt out to the nodes in
# turn, unless -ppn says otherwise.
#
# Without arguments it only finds out whether that is possible. Where it is not, it prints why, and exits with 77;
# otherwise its exit status is mpiexec's.
#
# A node is a network namespace on a bridge; unshare gives its processes the rest. All of it goes when the script ends,
# however it ends: a janitor, this script again, waits for that and takes it apart.
set -u
PATH=$PATH:/usr/sbin:/sbin

# Names of one run alone; an interface's has at most 15 bytes.
set_names() { # set_names ID NODES FOLDER
    id=$1 nodes=$2 work=$3
    bridge=mb$id
    net=10.$((id / 250 % 250 + 1)).$((id % 250))
}
node() {
    echo "memo$1-$id"
}

# ---- the janitor -------------------------------------------------------------------------------------------

if [ "${1:-}" = --janitor ]; then
    shift
    set_names "$@"
    trap '' INT TERM HUP
    cat >/dev/null # ends with the script whose pipe this is
    for i in $(seq "$nodes"); do
        pids=$(ip netns pids "$(node "$i")" 2>/dev/null) && [ -n "$pids" ] && kill -KILL $pids
        ip netns del "$(node "$i")" 2>/dev/null
        rm -rf "/etc/netns/$(node "$i")"
    done
    ip link del "$bridge" 2>/dev/null
    rmdir /etc/netns 2>/dev/null
    rm -rf "$work"
    exit
fi

# ---- is it possible? ---------------------------------------------------------------------------------------

cannot() {
    echo "separate nodes: $1"
    exit 77
}

nodes=2
if [ "${1:-}" = --nodes ] && [ $# -ge 2 ]; then
    nodes=$2
    shift 2
fi
[ "${1:-}" != -- ] || shift

[ "$(id -u)" = 0 ] || cannot "only root can make network namespaces"
for tool in ip unshare mount setsid mpiexec; do
    command -v $tool >/dev/null || cannot "there is no $tool here"
done
work=$(mktemp -d) || exit 1
set_names $$ "$nodes" "$work"
mkfifo "$work/leash" || exit 1
setsid "$0" --janitor "$id" "$nodes" "$work" <"$work/leash" >/dev/null 2>&1 &
janitor=$!
exec 9>"$work/leash" # nobody else is to have this open

finish() {
    exec 9>&-
    wait $janitor
}
trap finish EXIT

# ---- the nodes ---------------------------------------------------------------------------------------------

# try COMMAND...: what the system refuses, it refuses here for good.
try() {
    "$@" 2>"$work/why" 9>&- || cannot "$* is refused: $(tail -n 1 "$work/why")"
}

try ip link add "$bridge" type bridge
try ip addr add "$net.254/24" dev "$bridge"
try ip link set "$bridge" up
echo "127.0.0.1 localhost" >"$work/hosts"
for i in $(seq "$nodes"); do
    echo "$net.$i $(node "$i")" >>"$work/hosts"
done
hosts=
for i in $(seq "$nodes"); do
    name=$(node "$i")
    try ip netns add "$name"
    try mkdir -p "/etc/netns/$name"
    try cp "$work/hosts" "/etc/netns/$name/hosts"
    try ip link add "v$i-$id" type veth peer name eth0 netns "$name"
    try ip link set "v$i-$id" master "$bridge" up
    try ip -n "$name" addr add "$net.$i/24" dev eth0
    try ip -n "$name" link set eth0 up
    try ip -n "$name" link set lo up
    hosts=$hosts${hosts:+,}$name
done

# What mpiexec takes for ssh: ssh OPTION... HOST WORD...
cat >"$work/ssh" <<'END'
#!/bin/sh
while case $1 in -*) true ;; *) false ;; esac do shift; done
host=$1
shift
exec ip netns exec "$host" unshare --uts --ipc --mount \
    sh -c 'hostname "$0" && mount -t tmpfs -o size=1g tmpfs /dev/shm && eval "exec $*"' "$host" "$@"
END
chmod +x "$work/ssh"
try "$work/ssh" -x "$(node 1)" true
[ $# -gt 0 ] || exit 0

# ---- the run -----------------------------------------------------------------------------------------------

# A choice of device made for jobs on one machine (mpi_jobs.sh: lo) leads to no other node.
unset UCX_NET_DEVICES
mpiexec -hosts "$hosts" -launcher ssh -launcher-exec "$work/ssh" -localhost "$net.254" "$@" 9>&- &
job=$!
trap 'kill $job' INT TERM HUP
wait $job
status=$?
trap '' INT TERM HUP
kill $job 2>/dev/null && wait $job # it was a signal that ended the first wait
exit $status
