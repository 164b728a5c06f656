# SPDX-License-Identifier: AGPL-3.0-or-later
# To be sourced by appliance.sh: removal, purge, and what stays.

goes() { IN "$@" </dev/null >"$work/said" 2>&1 || { cat "$work/said"; return 1; }; }
nothing_runs() { not IN sh -c 'pgrep -u conclave || ss -Hltun | grep :443 || systemctl list-units --no-legend "conclave*" --state=active | grep .'; }

remove_and_return() {
    check "it is removed"                               goes apt-get remove -y conclave
    check "it says that the data stays, and where"      said "data in /var/lib/conclave stays"
    check "it says how to destroy it"                   said "CONCLAVE_PURGE=data"
    check "nothing of it runs"                          nothing_runs
    check "no program is left"                          not IN test -e /usr/lib/conclave
    check "the data is there"                           IN test -s /var/lib/conclave/system.db
    check "the configuration is there"                  IN test -e /etc/conclave/conclave.toml
    check "an older one is refused all the same"        not_installs "$old"
    check "it is installed again"                       installs "$bad"
    check "it serves what it finds"                     said "serves what is in /var/lib/conclave"
    check "it is claimed still"                         claim_is claimed
    check "people sign in"                              signs_in
}

purge_and_return() {
    check "a network is allowed"                        conclave network allow 203.0.113.0/24
    check "the key is sealed"                           conclave key seal
    check "it is purged"                                goes apt-get purge -y conclave
    check "it says that the data stays, and where"      said "data in /var/lib/conclave stays"
    check "nothing of it runs"                          nothing_runs
    check "the data is there"                           IN test -s /var/lib/conclave/system.db
    check "the sealed key is there, and what opens it"  IN test -s /etc/conclave/master.key.sealed -a -s /etc/systemd/system/conclave.service.d/50-master-key.conf
    check "the user is there"                           IN getent passwd conclave
    check "the configuration is gone"                   not IN test -e /etc/conclave/conclave.toml
    check "the networks are gone"                       not IN sh -c 'find /etc/systemd -name "*networks*" | grep .'
    check "it is installed again"                       installs "$bad"
    check "people sign in"                              signs_in
}

purge_everything() {
    # Not even one that is started over and over again stands in the way.
    drop_in conclave.service '[Service]' ExecStartPre=/bin/false RestartSec=10ms
    check "it does not start any more"                  not IN systemctl restart conclave.service
    # Another name for a key, by which its bytes can be seen afterwards.
    check "there are keys"                              IN sh -c 'ln /var/lib/conclave/keys/0*.json /root/key && grep -q sealed /root/key'
    check "it is purged with its data"                  goes env CONCLAVE_PURGE=data apt-get purge -y conclave
    check "it says that they are destroyed"             said "destroyed"
    drop_in_gone conclave.service
    check "nothing of it runs"                          nothing_runs
    check "its keys were overwritten"                   not IN grep -q sealed /root/key
    check "nothing is left of it"                       nothing_left
    check "the user is gone"                            not IN getent passwd conclave
}

nothing_left() {
    not IN sh -c 'find /etc /usr /var/lib /run -xdev -name "*conclave*" \
        -not -path "/var/lib/systemd/coredump/*" -not -path "/run/systemd/nspawn/*" | grep .'
}
