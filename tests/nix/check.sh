#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# check.sh [BINARY]: what can be held of nix/ without nixpkgs, in seconds: it parses and is laid out, the module
# evaluates for good configurations and refuses bad ones, its units are those of packaging/, and with BINARY the appliance
# takes the configuration files. Needs Debian's nix-bin and python3, no daemon and no network; writes to a temporary
# directory only.
set -euo pipefail
cd "$(dirname "$0")/../.."
for command in nix-instantiate python3; do
    command -v $command >/dev/null && continue
    echo "tests/nix: not checked, there is no $command (Debian: nix-bin, python3)"
    [ "${CI:-}" = true ] && exit 1
    exit 0
done
if [ $# -eq 0 ]; then
    echo "tests/nix: no BINARY given, so no appliance looks at the configuration files"
    [ "${CI:-}" != true ] || exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work NIX_CONF_DIR=$work
# A store that can hold nothing: what would be copied there, such as a secret, is an error.
nix() { nix-instantiate --store dummy:// "$@"; }

mapfile -t files < <(find flake.nix nix tests/nix -name '*.nix' | sort)
for file in "${files[@]}"; do nix --parse "$file" >/dev/null; done
python3 tests/nix/layout.py "${files[@]}"
if command -v nixfmt >/dev/null; then nixfmt --check "${files[@]}"; fi
echo "ok      ${#files[@]} files parse and are laid out"
nix --eval --strict --json tests/nix/cases.nix >"$work/cases.json"
python3 tests/nix/check.py "$@" <"$work/cases.json"
