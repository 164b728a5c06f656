#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# appliance.sh TREE DEB_OLD DEB_NEW DEB_BAD: the Debian package from its installation to its end, in real systemd, with
# people in a meeting. DEB_OLD and DEB_NEW have the binary as it is shipped, DEB_BAD one with the doors for the tests: its
# preflight is made to fail by one. Needs root and systemd-container; TREE is made by tree.sh, the packages by debs.sh.
set -u
usage="usage: appliance.sh TREE DEB_OLD DEB_NEW DEB_BAD"
tree=$(realpath "${1:?$usage}") old=$(realpath "${2:?$usage}") new=$(realpath "${3:?$usage}") bad=$(realpath "${4:?$usage}")
here=$(dirname "$(realpath "$0")")
. "$here/container.sh"
for step in first-run meeting sandbox upgrade removal; do . "$here/appliance/$step.sh"; done

container_needs
version() { dpkg-deb --field "$1" Version; }
old_version=$(version "$old") new_version=$(version "$new") bad_version=$(version "$bad")
cp -a "$tree" "$root"
mkdir "$root/root/debs"
cp "$old" "$new" "$bad" "$root/root/debs"
# Where a unit may read it too.
mkdir "$root/opt/test"
cp "$here"/{claim,fence,recorded}.py "$here/../media/speech.opus" "$root/opt/test"

# What the steps share.
units="conclave.service conclave-https.socket conclave-quic.socket conclave-admin.socket"
install() { IN apt-get install -y --no-install-recommends --allow-downgrades "/root/debs/$(basename "$1")" </dev/null; }
conclave() { IN conclave "$@"; }
main_pid() { IN systemctl show -p MainPID --value conclave.service; }
process_is() { test "$(IN readlink "/proc/$(main_pid)/exe")" = "/usr/lib/conclave/$1/conclave"; }
serving() { IN readlink /usr/lib/conclave/current; }
is_active() { IN systemctl --quiet is-active "$@"; }
said() { grep -qF -- "$1" "$work/said" || { cat "$work/said"; return 1; }; } # said TEXT: of what the last installation printed
drop_in() { # drop_in UNIT LINE...: until drop_in_gone
    IN mkdir -p "/etc/systemd/system/$1.d"
    printf '%s\n' "${@:2}" | IN tee "/etc/systemd/system/$1.d/of-the-test.conf" >/dev/null
    IN systemctl daemon-reload
}
drop_in_gone() {
    IN rm -r "/etc/systemd/system/$1.d"
    IN systemctl daemon-reload
}
within() { # within SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    while [ "$SECONDS" -lt "$end" ]; do "${@:2}" >/dev/null 2>&1 && return; sleep 0.1; done
    "${@:2}"
}

step() { echo "-- $*, $SECONDS s"; "$@"; }
step image
container_cgroups
container_boot
container_network
step port_taken
step stopped_one
step first_run
step claim
step prepare_meeting
step nothing_leaves
step networks
# What is measured there is time, so suites that run side by side take turns.
exec 9>"$(dirname "$tree")/meetings.lock"
flock 9
step meet
step upgrade_in_a_meeting
step stop_in_a_meeting
flock -u 9; exec 9>&-
step bad_upgrade
step after_a_reboot
step back_and_no_further
step upgrade_that_does_not_come_up
step mended_upgrade
step watchdog
step sealed_key
step remove_and_return
step purge_and_return
step purge_everything
echo "$passed passed, $failed failed in $SECONDS s"
[ "$failed" -eq 0 ]
