# SPDX-License-Identifier: AGPL-3.0-or-later
# To be sourced: boots real systemd in a throw-away copy of a tree of tree.sh, runs commands in there, boots it again.
# Needs root, systemd-container. The machine may have cgroup v1, v2 or both, and no systemd of its own. The container has
# no network but its own loopback and what container_network makes.

work=$(mktemp -d)
root=$work/root
nspawn="" init=""

container_needs() {
    local command missing=()
    [ "$(id -u)" -eq 0 ] || { echo "$0: needs root" >&2; exit 1; }
    for command in systemd-nspawn nsenter pgrep python3; do command -v "$command" >/dev/null || missing+=("$command"); done
    [ ${#missing[@]} -eq 0 ] || { echo "$0: missing: ${missing[*]}" >&2; exit 1; }
}

# A cgroup for the container where systemd keeps processes, and this shell in it; removed at the end. On a machine with
# cgroup v1 too there are two such places.
cgroups=()
container_cgroups() {
    local controllers path mounted
    while IFS=: read -r _ controllers path; do
        case $controllers in
            '') mounted=/sys/fs/cgroup/unified; [ -d "$mounted" ] || mounted=/sys/fs/cgroup ;;
            name=systemd) mounted=/sys/fs/cgroup/systemd ;;
            *) continue ;;
        esac
        cgroups+=("$mounted${path%/}")
    done </proc/self/cgroup
    for path in "${cgroups[@]}"; do mkdir "$path/conclave.$$"; echo $$ >"$path/conclave.$$/cgroup.procs"; done
}

container_boot() {
    local try child
    # CAP_BPF and bpf(): without them systemd in there silently does not enforce IPAddressDeny=.
    # The unified hierarchy, and the word for it: systemd from 256 on does not boot on another one.
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout -k 10 "${LIMIT:-600}" systemd-nspawn --quiet -D "$root" \
        --machine="conclave$$" --register=no --keep-unit --boot --private-network --resolv-conf=off --timezone=off \
        --console=pipe --system-call-filter=bpf --capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN \
        </dev/null >>"$work/console.log" 2>&1 &
    nspawn=$! init=
    for try in $(seq 100); do
        child=$(pgrep -P "$nspawn" -x systemd-nspawn) && init=$(pgrep -P "$child" -x 'systemd|init') && break
        sleep 0.1
    done
    [ -n "$init" ] || { echo "the container has no init"; cat "$work/console.log"; exit 1; }
    for try in $(seq 100); do IN test -S /run/systemd/private && break; sleep 0.1; done
    IN systemctl is-system-running --wait >"$work/state" || true
    grep -qE 'running|degraded' "$work/state" || { echo "the container does not come up"; cat "$work/state" "$work/console.log"; exit 1; }
}

# Runs a command in the container, as root; a minute at most.
IN() {
    timeout "${IN_LIMIT:-60}" nsenter -t "$init" -m -u -i -n -p -C -r -w \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# Shuts the container down and boots the same tree again.
container_reboot() {
    IN systemctl --no-block poweroff
    container_wait || { echo "the container does not stop"; exit 1; }
    container_boot
}

container_wait() {
    local try
    for try in $(seq 300); do kill -0 "$nspawn" 2>/dev/null || break; sleep 0.1; done
    kill -0 "$nspawn" 2>/dev/null && return 1
    wait "$nspawn" 2>/dev/null || true
    nspawn=
}

# Networks 10.23.0.0/24 and fd23::/64 with a way out of them. The far end of the wire has nobody: what leaves is seen there.
container_network() {
    IN sh -ec 'ip link add lan type veth peer name wire
        ip address add 10.23.0.1/24 dev lan
        ip address add fd23::1/64 dev lan nodad
        ip link set lan up; ip link set wire up
        for gateway in 10.23.0.254 fd23::fe; do
            ip neighbour add $gateway lladdr 02:00:00:00:00:01 dev lan nud permanent
            ip route add default via $gateway
        done'
}

container_end() {
    local path child try
    if [ -n "$nspawn" ]; then
        child=$(pgrep -P "$nspawn" -x systemd-nspawn)
        # nspawn itself, its init, then the timeout around it.
        kill -KILL $init $child "$nspawn" 2>/dev/null
        wait "$nspawn" 2>/dev/null
    fi
    for path in "${cgroups[@]}"; do
        echo $$ >"$path/cgroup.procs"
        # Processes that were killed go a moment later.
        for try in $(seq 50); do
            find "$path/conclave.$$" -depth -type d -exec rmdir {} \; 2>/dev/null
            [ -d "$path/conclave.$$" ] || break
            sleep 0.1
        done
    done
    rm -rf --one-file-system "$work"
}
trap container_end EXIT
trap 'exit 130' INT TERM

. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/check.sh"
