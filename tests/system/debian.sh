#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# debian.sh DIR: appliance.sh and operations.sh on Debian 12 and 13, side by side: most of the time each of them waits for
# its systemd. DIR has the packages of debs.sh, and gets the trees. What the second one says comes after the first one.
set -u
dir=$(realpath "${1:?usage: debian.sh DIR}")
here=$(dirname "$(realpath "$0")")

suite() { # suite NAME
    "$here/tree.sh" "$1" "$dir/$1" && "$here/appliance.sh" "$dir/$1" "$dir"/conclave_0.1.{0,1,2}_*.deb
}
# In a process group of its own, to be ended as a whole when this is.
set -m
suite trixie >"$dir/trixie.log" 2>&1 &
trixie=$! code=0
set +m
trap 'kill -TERM -- "-$trixie"; wait; exit 130' INT TERM
echo "== bookworm"
suite bookworm || code=1
[ "$code" -ne 0 ] || "$here/operations.sh" "$dir/bookworm" "$dir"/conclave_0.1.0_*.deb || code=1
wait "$trixie" || code=1
echo "== trixie"
cat "$dir/trixie.log"
exit "$code"
