#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# tree.sh SUITE DIR: a minimal Debian tree with systemd, bookworm or trixie, to boot in a container. Made only when it
# is missing (a minute, 250 MB), from the apt sources of this machine. Needs root and mmdebstrap.
set -eu
suite=${1:?usage: tree.sh SUITE DIR} tree=${2:?usage: tree.sh SUITE DIR}
[ "$(id -u)" -eq 0 ] || { echo "tree.sh: needs root" >&2; exit 1; }
command -v mmdebstrap >/dev/null || { echo "tree.sh: needs mmdebstrap" >&2; exit 1; }

# What the tree is made of: another list is another tree.
packages=systemd,systemd-sysv,dbus,libpam-systemd,passwd,iproute2,python3,curl,procps,ca-certificates
recipe="$suite $packages"
[ "$(cat "$tree.recipe" 2>/dev/null)" = "$recipe" ] && exit 0

mirror=
for sources in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    [ -f "$sources" ] || continue
    mirror=$(sed -nE 's/^(URIs:|deb( \[[^]]*\])?) *(https?:[^ ]*\/debian\/?)( .*)?$/\3/p' "$sources" | head -n 1)
    [ -n "$mirror" ] && break
done
[ -n "$mirror" ] || { echo "tree.sh: no Debian mirror in the apt sources of this machine" >&2; exit 1; }

rm -rf --one-file-system "$tree" "$tree.recipe"
mkdir -p "$(dirname "$tree")"
mmdebstrap --quiet --variant=apt --mode=root --skip=check/qemu --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' "$suite" "$tree" "$mirror"
# A package of the tests may bring what the tree would leave out.
rm -f "$tree"/etc/dpkg/dpkg.cfg.d/*mmdebstrap
echo "$recipe" >"$tree.recipe"
