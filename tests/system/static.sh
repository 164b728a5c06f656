#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# static.sh BINARY SYMBOLS: BINARY needs nothing of the machine it runs on. SYMBOLS is the same before its symbols were
# stripped.
set -eu
binary=$(realpath "${1:?usage: static.sh BINARY SYMBOLS}") symbols=$(realpath "${2:?usage: static.sh BINARY SYMBOLS}")
fail() { echo "FAILED  $1" >&2; exit 1; }

readelf -lW "$binary" | grep -q INTERP && fail "it has an interpreter"
readelf -hW "$binary" | grep -q 'Type: *DYN' || fail "it is not position-independent (static-pie)"
readelf -dW "$binary" | grep -q NEEDED && fail "it needs shared libraries"
readelf -SW "$binary" | grep -q '\.dep-v0' || fail "it does not say which crates are in it (cargo auditable)"
# What a static binary must not call: it would load libraries of the machine, whatever they are.
forbidden="getaddrinfo gethostbyname getpwnam getpwuid_r"
# In glibc the end of every stream may unload a converter of characters, so `dlopen` is always there; nothing loads one.
nm --defined-only "$symbols" | grep -q ' gnu_get_libc_version$' || forbidden+=" dlopen"
for symbol in $forbidden; do
    # A weak or undefined mention is none; `T`, `W` or `t` is code.
    nm --defined-only "$symbols" | grep -E " [TtWi] (__)?$symbol$" && fail "it holds $symbol"
done
# In a root with nothing in it but a source of randomness.
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
cp "$binary" "$empty/conclave"
mkdir "$empty/dev" "$empty/data"
chmod 700 "$empty/data"
if [ "$(id -u)" -eq 0 ]; then
    mknod -m 644 "$empty/dev/urandom" c 1 9
    chroot "$empty" /conclave --version >/dev/null || fail "it does not start in an empty root"
    chroot "$empty" /conclave serve --data-dir /data --admin-socket /data/admin.sock --listen 127.0.0.1:0 2>"$empty/log" &
    pid=$!
    for _ in $(seq 100); do grep -q serving "$empty/log" && break; sleep 0.1; done
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" || { cat "$empty/log" >&2; fail "it does not serve in an empty root"; }
elif [ "${CI:-}" = true ]; then
    fail "an empty root needs root"
fi
echo "ok      static: no interpreter, no library, nothing of the machine"
