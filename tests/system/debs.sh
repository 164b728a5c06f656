#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# debs.sh SHIPPED TEST OUTDIR: the packages that appliance.sh installs one after another: 0.1.0 and 0.1.1 of the binary
# as it is shipped, 0.1.2 of one with the doors for the tests, whose preflight can be made to fail.
set -eu
usage="usage: debs.sh SHIPPED TEST OUTDIR"
shipped=$(realpath "${1:?$usage}") test=$(realpath "${2:?$usage}") outdir=${3:?$usage}
here=$(dirname "$(realpath "$0")")
mkdir -p "$outdir"
# Without symbols, which are most of it.
strip -o "$outdir/conclave.test" "$test"
# Packed quickly: they live for one run.
export DPKG_DEB_COMPRESSOR_TYPE=zstd DPKG_DEB_COMPRESSOR_LEVEL=1
"$here/../../debian/build.sh" "$shipped" "$outdir" 0.1.0
"$here/../../debian/build.sh" "$shipped" "$outdir" 0.1.1
"$here/../../debian/build.sh" "$outdir/conclave.test" "$outdir" 0.1.2
