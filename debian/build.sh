#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# build.sh BINARY OUTDIR [VERSION]: packs an already built binary as OUTDIR/conclave_VERSION_ARCH.deb. The version is
# that of Cargo.toml unless one is given. Needs no root; packages debhelper and dpkg-dev.
set -eu
usage="usage: build.sh BINARY OUTDIR [VERSION]"
binary=$(realpath "${1:?$usage}") outdir=$(realpath -m "${2:?$usage}")
cd "$(dirname "$0")/.."
# A pre-release, 1.0.0-rc.1, comes before its release: Debian says that with a tilde.
version=${3:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1 | tr - '~')}
[ -x "$binary" ] || { echo "build.sh: $binary is not there, or not executable" >&2; exit 1; }

# The same source gives the same package: its time is that of the last commit.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir "$tree/conclave"
cp -a debian packaging docs LICENSE README.md SECURITY.md CHANGELOG.md "$tree/conclave"
cd "$tree/conclave"

# One entry, with what the changelog says of this version, or of the next one as long as it is not released.
changes() { # changes HEADING
    awk -v heading="## [$1]" '
        index($0, "## ") == 1 { inside = index($0, heading) == 1; next }
        inside && /^- / { printf "\n  * %s", substr($0, 3) }
        inside && /^  / { printf " %s", substr($0, 3) }' CHANGELOG.md |
        fold -s -w 76 | sed -e '/^  \*/!s/^/    /' -e 's/ *$//'
}
entry=$(changes "$version")
[ -n "$entry" ] || entry=$(changes Unreleased)
maintainer=$(sed -n 's/^Maintainer: //p' debian/control)
{
    echo "conclave ($version) stable; urgency=medium"
    printf '%s\n\n' "$entry"
    echo " -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} >debian/changelog

# `build` and `binary` in one; nothing is signed here.
BINARY=$binary dpkg-buildpackage --build=binary --no-sign >"$tree/log" 2>&1 || { cat "$tree/log" >&2; exit 1; }
mkdir -p "$outdir"
cp "$tree"/conclave_*.deb "$outdir"
ls "$outdir/conclave_${version}_"*.deb
