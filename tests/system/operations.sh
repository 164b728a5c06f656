#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# operations.sh TREE DEB: what docs/operations.md says of an installed system, line by line and in its order, in real
# systemd. Needs root and systemd-container; TREE is made by tree.sh, DEB by debian/build.sh.
set -u
usage="usage: operations.sh TREE DEB"
tree=$(realpath "${1:?$usage}") deb=$(realpath "${2:?$usage}")
here=$(dirname "$(realpath "$0")")
. "$here/container.sh"

container_needs
cp -a "$tree" "$root"
cp "$deb" "$root/root"
python3 "$here/operations.py" --installed --deb "/root/$(basename "$deb")" >"$work/lines" || exit 1
container_cgroups
container_boot
container_network
while IFS= read -r line <&3; do
    check "$line" IN sh -c "$line" </dev/null
done 3<"$work/lines"
echo "$passed passed, $failed failed in $SECONDS s"
[ "$failed" -eq 0 ] && [ "$passed" -gt 30 ]
