# SPDX-License-Identifier: AGPL-3.0-or-later
# To be sourced by appliance.sh: installation, the port that is taken, the claim.

# Where an image is made no systemd runs: nothing is started, and the link moves at once.
image() {
    check "an image: it is installed"                   chroot "$root" dpkg --install "/root/debs/$(basename "$old")"
    check "an image: it would serve at boot"            test "$(readlink "$root/usr/lib/conclave/current")" = "$old_version" -a -L "$root/etc/systemd/system/multi-user.target.wants/conclave.service"
    check "an image: the user is there"                 grep -q ^conclave: "$root/etc/passwd"
    check "an image: it is upgraded"                    chroot "$root" dpkg --install "/root/debs/$(basename "$new")"
    check "an image: the new one would serve at boot"   test "$(readlink "$root/usr/lib/conclave/current")" = "$new_version" -a ! -e "$root/usr/lib/conclave/kept"
    check "an image: it is purged"                      chroot "$root" env CONCLAVE_PURGE=data dpkg --purge conclave
}

# Somebody else has the port: the package is installed all the same, and says who and what to do.
port_taken() {
    IN_LIMIT=600 IN python3 -c 'import signal, socket; other = socket.create_server(("", 443)); signal.pause()' &
    local server=$!
    check "port taken: somebody listens"                within 10 IN sh -c 'ss -Hltn "sport = :443" | grep .'
    check "port taken: the installation ends with 0"    installs "$old"
    check "port taken: it says so"                      said "port 443 is taken"
    check "port taken: it says by whom"                 said "python3"
    check "port taken: it says how to go on"            said "systemctl edit conclave-https.socket"
    check "port taken: no socket is half there"         not IN sh -c 'ss -Hlun "sport = :443" | grep .'
    IN pkill -f signal.pause
    wait "$server" 2>/dev/null
    check "port free: it starts as it was told"         IN systemctl start conclave.service
    IN systemctl stop $units
    drop_in conclave-https.socket '[Socket]' ListenStream= ListenStream=0.0.0.0:8443
    drop_in conclave-quic.socket '[Socket]' ListenDatagram= ListenDatagram=0.0.0.0:8443
    check "on another port: it starts as it was told"   IN systemctl start conclave.service
    check "and says that port"                          says_port_8443
    check "and serves there"                            IN curl -sSfk -o /dev/null https://10.23.0.1:8443/healthz
    for unit in conclave-https.socket conclave-quic.socket; do drop_in_gone $unit; done
    restart_all
}

says_port_8443() { conclave setup code | grep -F https://10.23.0.1:8443/setup; }

# Who stopped it wants it stopped.
stopped_one() {
    IN systemctl stop $units
    check "one that was stopped is upgraded"            installs "$new"
    check "and stays stopped"                           not is_active conclave.service conclave-https.socket
    check "started, it is the new one"                  IN systemctl start conclave.service
    check "of the new version"                          process_is "$new_version"
    check "and is purged"                               IN env CONCLAVE_PURGE=data apt-get purge -y conclave
}

first_run() {
    check "the installation asks nothing and ends with 0"   installs "$old"
    code=$(sed -nE 's/^Setup code +([A-Z0-9-]+)$/\1/p' "$work/said")
    url=$(sed -nE 's/^Open +(https:.*)$/\1/p' "$work/said" | head -n 1)
    certificate=$(sed -nE 's/^Certificate +([0-9A-F ]+)$/\1/p' "$work/said" | tr -d ' ')
    check "it says the address of this host"            test "$url" = https://10.23.0.1/setup
    check "it says a setup code"                        test -n "$code"
    check "it says the certificate"                     test "${#certificate}" -eq 64
    check "it shows a QR code"                          said ▄▄▄▄▄
    check "the journal has the address"                 in_journal "$url"
    check "the journal has the code"                    in_journal "$code"
    check "the journal has the certificate"             in_journal "$certificate"
    check "the service is active"                       is_active conclave.service
    check "nobody has claimed it"                       claim_is unclaimed
    check "everything starts at boot"                   IN systemctl --quiet is-enabled $units
    check "the units hold"                              holds
    check "the sandbox is 0.5 at most"                  IN systemd-analyze security --no-pager --offline=true --threshold=5 /usr/lib/systemd/system/conclave.service
    check "only the documented ports are open"          only_port_443
}

# As install, and keeps what it printed: to a terminal of apt's own, which ends its lines in a way of its own.
installs() {
    local code
    install "$1" 2>&1 | tr -d '\r' >"$work/said"
    code=${PIPESTATUS[0]}
    [ "$code" -eq 0 ] || cat "$work/said"
    return "$code"
}

# As people read it, who do not look into its fields; a fingerprint may be in groups, and in small letters.
in_journal() {
    IN journalctl --sync
    IN journalctl --no-pager -o cat -u conclave.service >"$work/journal"
    [ -n "$1" ] && tr -d ' ' <"$work/journal" | grep -qiF -- "$1" || { cat "$work/journal"; return 1; }
}

# Says nothing at all, not even a warning.
holds() {
    IN systemd-analyze verify --man=no $units "conclave-preflight@$old_version.service" >"$work/verify" 2>&1
    [ ! -s "$work/verify" ] || { cat "$work/verify"; return 1; }
}

only_port_443() {
    IN ss -Hltun | awk '{ print $1, $5 }' | sort >"$work/ports"
    printf '%s\n' 'tcp 0.0.0.0:443' 'tcp [::]:443' 'udp 0.0.0.0:443' 'udp [::]:443' | sort | diff - "$work/ports"
}

# As a browser would, over the network.
claim() {
    kit=$(IN conclave --json recovery new --kit-file /root/kit.txt | sed -n 's/.*"recovery_public_key": "\(.*\)".*/\1/p')
    check "another certificate is noticed"              not IN python3 /opt/test/claim.py "$url" "$code" "${certificate/[0-9A-F]/_}" "$kit"
    check "a wrong code does not claim it"              not IN python3 /opt/test/claim.py "$url" AAAA-AAAA-AAAA-AAAA "$certificate" "$kit"
    check "the code claims it, over HTTPS"              IN python3 /opt/test/claim.py "$url" "$code" "$certificate" "$kit"
    check "the setup page is gone"                      test "$(status_of "$url")" = 404
    check "and the door behind it"                      test "$(status_of "${url%/setup}/api/v1/setup")" = 404
    check "the appliance says so"                       claim_is claimed
    conclave trust root >"$root/root/root.pem"
}

status_of() { IN curl -sk -o /dev/null -w '%{http_code}' "$1"; }
claim_is() { conclave --json status | grep -F "\"claim\": \"$1\""; }
