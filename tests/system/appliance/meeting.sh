# SPDX-License-Identifier: AGPL-3.0-or-later
# To be sourced by appliance.sh: a workspace, two people who talk, and what they notice of what happens to the appliance.

prepare_meeting() {
    check "a workspace"                                 conclave workspace create acme
    check "the agreement"                               conclave agreement set --standard
    check "is accepted"                                 conclave agreement accept -w acme --person "Ada Lovelace"
    check "scripts may sign in"                         conclave policy set -w acme --plain-sign-in allow
    check "a room"                                      conclave room create -w acme lobby
    for who in ada grace; do
        conclave --json account create -w acme $who | sed -n 's/.*"initial_password": "\(.*\)".*/\1/p' >"$root/root/$who.password"
        check "an account for $who"                     test -s "$root/root/$who.password"
    done
    check "ada signs in"                                signs_in
}

# With the root certificate alone, as a device on the network does.
signs_in() {
    printf '{"plain":{"workspace":"acme","user_name":"ada","password":"%s"},"device_name":"test","carrier":"token"}' \
        "$(cat "$root/root/ada.password")" | IN curl -sSf --max-time 10 --cacert /root/root.pem \
        --resolve meet.example.lan:443:10.23.0.1 -H 'Content-Type: application/json' --data @- \
        -o /dev/null https://meet.example.lan/api/v1/sessions
}

# talk WHO: joins in the background; each line of what the client says gets the time in front of it.
talk() {
    IN rm -rf "/root/heard-$1"
    IN_LIMIT=600 IN sh -c "echo \$\$ >/run/$1.pid; exec conclave client --server https://meet.example.lan \
        --address 10.23.0.1 --root /root/root.pem --workspace acme --user $1 --password-file /root/$1.password --room lobby \
        --voice /opt/test/speech.opus --loop --pose generated --record /root/heard-$1" 2>&1 |
        while IFS= read -r line; do echo "$EPOCHREALTIME $line"; done >"$work/$1.log" &
}

# Both leave, and their recordings are whole.
hang_up() {
    local who pid
    for who in ada grace; do
        IN sh -c "kill -INT \$(cat /run/$who.pid)"
    done
    for who in ada grace; do
        pid=$(IN cat /run/$who.pid)
        within 10 not IN test -d "/proc/$pid"
    done
}

there() { conclave meeting show -w acme lobby | grep -qE "^There +$1\$"; }
meeting_begins() {
    talk ada
    talk grace
    within 20 there 2 && sleep 1
}

meet() {
    check "two people meet"                             meeting_begins
    sleep 2
    hang_up
    for who in ada grace; do
        check "$who hears and sees the other one"       heard $who
    done
}

heard() {
    cat "$work/$1.log"
    IN python3 /opt/test/recorded.py "/root/heard-$1" --seconds 1
}

# When WHO was told to come back, or lost the carrier, and how many milliseconds later it was there again.
rejoined_within() { # rejoined_within MILLISECONDS WHO
    awk -v most="$1" '
        { print }
        /closed: |connection was lost/ && !told { told = $1 }
        /joined again as/ && told && !back { back = $1 }
        END {
            if (!told || !back) { print "told: " told ", back: " back; exit 1 }
            took = (back - told) * 1000
            printf "%d ms\n", took
            exit took > most
        }' "$work/$2.log"
}

upgrade_in_a_meeting() {
    check "two people meet again"                       meeting_begins
    local sockets opened
    sockets=$(sockets_are) opened=$(sockets_since)
    check "the upgrade ends with 0"                     installs "$new"
    check "it says that the new one serves"             said "$new_version serves in the place of $old_version"
    check "the new one serves"                          test "$(serving)" = "$new_version"
    check "the process is the new one"                  process_is "$new_version"
    check "nothing is kept"                             not IN test -e /usr/lib/conclave/kept
    check "the sockets are the same ones"               test "$sockets" = "$(sockets_are)"
    check "and stayed open"                             test "$opened" = "$(sockets_since)"
    check "both are back"                               within 10 there 2
    sleep 2
    hang_up
    for who in ada grace; do
        check "$who was told to come back"              grep "closed: The appliance stops" "$work/$who.log"
        check "$who is back within 3 s"                 rejoined_within 3000 $who
        check "$who heard the other one again within 3 s"   came_back $who
    done
}

came_back() {
    cat "$work/$1.log"
    IN python3 /opt/test/recorded.py "/root/heard-$1" --seconds 2 --one-gap 3000
}

# Inode numbers of the sockets; when systemd opened them.
sockets_are() { IN ss -Hltune 'sport = :443' | grep -o 'ino:[0-9]*' | sort; }
sockets_since() { IN systemctl show -p ActiveEnterTimestampMonotonic conclave-https.socket conclave-quic.socket conclave-admin.socket; }

# Whoever knocks starts it again: the sockets are open, and the people come back to it.
stop_in_a_meeting() {
    check "two people meet once more"                   meeting_begins
    check "the service is stopped"                      IN systemctl stop conclave.service
    for who in ada grace; do
        check "$who was told to come back"              within 5 grep "closed: The appliance stops" "$work/$who.log"
    done
    check "they come back, and with them the service"   within 10 there 2
    hang_up
    check "it serves"                                   is_active conclave.service
}
