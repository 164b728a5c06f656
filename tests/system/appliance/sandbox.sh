# SPDX-License-Identifier: AGPL-3.0-or-later
# To be sourced by appliance.sh: nothing leaves for an address outside the clients' networks; the watchdog; the sealed key.

fence() { IN python3 /opt/test/fence.py "$@"; }

restart_all() {
    IN systemctl stop $units
    IN systemctl start conclave.service
}

# What the fence is for: two lines of the doctor follow it, and two hold by themselves.
doctor_sees() { # doctor_sees ok|fail
    conclave doctor >"$work/doctor"
    local line
    for line in "ok    fence: new connection" "ok    fence: inherited listener" "ok    sandbox" \
        "$(printf '%-4s' "$1")  fence: as told" "$(printf '%-4s' "$1")  fence: datagram over an inherited socket"; do
        grep -qF "$line" "$work/doctor" || { echo "no line: $line"; cat "$work/doctor"; return 1; }
    done
}

# A copy of the unit as it runs, drop-ins included, in the namespaces of the running one; only the program is another.
dial_from_the_unit() {
    {
        IN systemctl cat conclave.service | grep -vE '^(Sockets|Requires|After|Also)='
        printf '%s\n' '[Unit]' JoinsNamespaceOf=conclave.service '[Service]' Type=oneshot NotifyAccess=none Restart=no \
            WatchdogSec=0 ExecStart= 'ExecStart=/usr/bin/python3 /opt/test/fence.py dial'
    } | IN tee /run/systemd/system/dial.service >/dev/null
    IN systemctl daemon-reload
    local code=0
    IN systemctl start dial.service || code=$?
    IN journalctl --sync
    IN journalctl --no-pager -o cat -t python3 -u dial.service | tee "$work/dial"
    return $code
}

# The copy says the same of itself as the kernel says of the running appliance.
like_the_running_one() {
    local pid
    pid=$(main_pid)
    { IN grep -E '^(NoNewPrivs|Seccomp|Cap)' "/proc/$pid/status"; echo "net $(IN readlink "/proc/$pid/ns/net")"; } >"$work/running"
    grep -E '^(NoNewPrivs|Seccomp|Cap|net )' "$work/dial" | diff "$work/running" -
}

nothing_leaves() {
    check "no new socket gets out of the unit"          dial_from_the_unit
    check "that was the sandbox of the running one"     like_the_running_one
    check "nor out of its network alone"                IN nsenter -t "$(main_pid)" -n python3 /opt/test/fence.py dial_ip
    check "outside of it, it does"                      not fence dial
    check "no escape by the sockets it was handed"      fence escape closed "$(main_pid)"
    check "the doctor sees the fence"                   doctor_sees ok

    for unit in conclave-https.socket conclave-quic.socket; do
        drop_in $unit '[Socket]' IPAddressDeny= IPAddressAllow=
    done
    restart_all
    check "the doctor sees that it is gone"             doctor_sees fail
    check "without the fence there is one, by both"     fence escape open "$(main_pid)"
    for unit in conclave-https.socket conclave-quic.socket; do drop_in_gone $unit; done
    restart_all
    check "with the fence again there is none"          fence escape closed "$(main_pid)"
    # The listeners are used up.
    restart_all
}

# Networks that clients come from, added and taken away by the operator while the appliance serves.
networks() {
    check "a foreign network is closed"                 not fence sendto "$(main_pid)" 203.0.113.1
    check "it is opened"                                conclave network allow 203.0.113.0/24
    check "and listed"                                  lists 203.0.113.0/24
    check "packets leave for it"                        fence sendto "$(main_pid)" 203.0.113.1
    check "but for no other one"                        not fence sendto "$(main_pid)" 198.51.100.7
    check "it is closed"                                conclave network deny 203.0.113.0/24
    check "and not listed any more"                     not lists 203.0.113.0/24
    check "no packet leaves for it"                     not fence sendto "$(main_pid)" 203.0.113.1
    check "clients are still reached"                   fence sendto "$(main_pid)" 10.23.0.254
}

lists() { conclave network list | grep -F "$1"; }

# A main process that does not move any more is replaced.
watchdog() {
    drop_in conclave.service '[Service]' WatchdogSec=5
    IN systemctl restart conclave.service
    local before
    before=$(main_pid)
    sleep 6
    check "a process that answers is left alone"        test "$(main_pid)" = "$before"
    IN kill -STOP "$before"
    check "one that does not move is replaced"          within 15 is_another_than "$before"
    check "and serves"                                  within 10 signs_in
    drop_in_gone conclave.service
    IN systemctl restart conclave.service
}

is_another_than() { is_active conclave.service && [ "$(main_pid)" != "$1" ]; }

# The master key as a credential that only this machine's systemd opens.
sealed_key() {
    check "the key is sealed"                           conclave key seal
    check "it lies beside the data no more"             not IN test -e /var/lib/conclave/master.key
    check "the sealed one is there"                     IN test -s /etc/conclave/master.key.sealed
    check "it starts with it"                           IN systemctl restart conclave.service
    check "and opens what is there"                     within 5 signs_in
    check "a preflight opens it too"                    IN systemctl start "conclave-preflight@$bad_version.service"
    check "the key is unsealed"                         conclave key unseal
    check "it lies beside the data again"               IN test -s /var/lib/conclave/master.key
    check "nothing is left of the sealed one"           not IN test -e /etc/conclave/master.key.sealed
    check "it starts with it again"                     IN systemctl restart conclave.service
    check "and opens what is there still"               within 5 signs_in
}
