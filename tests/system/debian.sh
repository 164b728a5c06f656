#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# debian.sh DIR: appliance.sh on Debian 12 and 13 side by side, as most of the time each of them waits for its systemd,
# then operations.sh on Debian 12. DIR has the packages of debs.sh, and gets the trees and what each suite says.
set -u
dir=$(realpath "${1:?usage: debian.sh DIR}")
here=$(dirname "$(realpath "$0")")

# Each of them in a process group of its own, to be ended as a whole with this script: it waits for its own ends.
set -m
declare -A groups
each() { # each FUNCTION SUITE...: for all suites at once; what the second one says comes after the first one
    local suite code=0
    for suite in "${@:2}"; do
        : >"$dir/$suite.log"
        (set +m; trap 'exit 130' TERM; "$1" "$suite") </dev/null >>"$dir/$suite.log" 2>&1 &
        groups[$suite]=$!
    done
    for suite in "${@:2}"; do
        echo "== $suite"
        # In the background, as a trap waits for what is in the foreground.
        tail -f -n +1 --pid="${groups[$suite]}" -s 0.2 "$dir/$suite.log" &
        wait $!
        wait "${groups[$suite]}" || code=1
    done
    groups=()
    return "$code"
}
ended() {
    local group
    for group in "${groups[@]}"; do kill -TERM -- "-$group"; done
    wait
    exit 130
}
trap ended INT TERM HUP

tree() { "$here/tree.sh" "$1" "$dir/$1"; }
appliance() { "$here/appliance.sh" "$dir/$1" "$dir"/conclave_0.1.{0,1,2}_*.deb; }
operations() { "$here/operations.sh" "$dir/$1" "$dir"/conclave_0.1.0_*.deb; }
each tree bookworm trixie && each appliance bookworm trixie && each operations bookworm
