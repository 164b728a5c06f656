#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# build.sh: the binary as it is shipped, at target/static/conclave: static, no interpreter, with the list of the crates in
# it, and the same bytes each time. TARGET_DIR=… builds elsewhere; STATIC=glibc takes the second way on purpose.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
target_dir=${TARGET_DIR:-$root/target}
out=$target_dir/static
auditable=$root/target/tools/bin/cargo-auditable

[ -x "$auditable" ] || cargo install --quiet --locked --root "$root/target/tools" cargo-auditable --version 0.7.7

# musl where its target can be had. Its linker stays the compiler's own: what musl-gcc links does not start.
way=${STATIC:-musl}
if [ "$way" = musl ] && ! rustup target list --installed | grep -qx x86_64-unknown-linux-musl; then
    rustup target add x86_64-unknown-linux-musl || way=glibc
fi
flags="--remap-path-prefix=$root=/conclave --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
case $way in
    musl) target=x86_64-unknown-linux-musl; export CC_x86_64_unknown_linux_musl=musl-gcc ;;
    glibc)
        target=x86_64-unknown-linux-gnu
        # GNU's linker leaves out what nothing calls once the calls are replaced; LLVM's brings it along.
        flags+=" -C target-feature=+crt-static -C link-arg=-fuse-ld=bfd"
        for function in freeaddrinfo getnameinfo gethostbyname getpwuid_r __assert_fail; do
            flags+=" -C link-arg=-Wl,--wrap=$function"
        done
        # The kernel's call at once: looking whether this C library has it is dlsym, which finds nothing here.
        flags+=' --cfg getrandom_backend="linux_getrandom"' ;;
    *) echo "STATIC=$way: musl or glibc" >&2; exit 2 ;;
esac
# Nothing asks the C library for addresses (src/platform/sys.rs).
flags+=" -C link-arg=-Wl,--wrap=getaddrinfo"
# Nothing of the day or of this directory gets into the binary. One date for all: another for each commit would have
# OpenSSL built anew each time.
export SOURCE_DATE_EPOCH=0 RUSTFLAGS="$flags" CFLAGS="-ffile-prefix-map=$root=/conclave -ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo"
export CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$target_dir CARGO_PROFILE_RELEASE_STRIP=none
PATH=$(dirname "$auditable"):$PATH cargo auditable build --release --locked --target "$target" --bin conclave

mkdir -p "$out"
cp "$target_dir/$target/release/conclave" "$out/conclave.symbols"
strip --strip-all -o "$out/conclave" "$out/conclave.symbols"
tests/system/static.sh "$out/conclave" "$out/conclave.symbols"
ls -l "$out/conclave"
