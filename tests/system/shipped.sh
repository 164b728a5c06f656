#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# shipped.sh BINARY: the binary as people get it. It has no door for tests, runs the demo, speaks TLS 1.3 only, and
# ends well on Ctrl-C.
set -eu
binary=$(realpath "${1:?usage: shipped.sh BINARY}")
work=$(mktemp -d)
pid=
finish() {
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
. "$(dirname "$0")/check.sh"

check "no door for tests: routes"  not grep -aq "test-hooks" "$binary"
check "no door for tests: flags"   not grep -aq "test-cheap-passwords" "$binary"
check "the flag is refused"        not "$binary" serve --test-cheap-passwords

"$binary" demo --data-dir "$work/demo" >"$work/demo.out" 2>"$work/demo.log" &
pid=$!
for _ in $(seq 600); do
    grep -q "Ctrl-C stops it" "$work/demo.out" && break
    kill -0 "$pid" 2>/dev/null || { cat "$work/demo.out" "$work/demo.log"; exit 1; }
    sleep 0.1
done
url=$(sed -n 's/^  Open *//p' "$work/demo.out")
address=${url#https://}; address=${address%/}
"$binary" --admin-socket "$work/demo/admin.sock" --json status >"$work/status.json"
python3 -c 'import json,sys; print(json.load(sys.stdin)["trust"]["root_pem"], end="")' <"$work/status.json" >"$work/root.pem"

check "the demo says where to go"           grep -q "Password" "$work/demo.out"
check "curl trusts it with the root"        curl -sSf --cacert "$work/root.pem" -o /dev/null "$url"
check "and does not without"                not curl -sSf -o /dev/null "$url"
check "healthz"                             curl -sSf --cacert "$work/root.pem" "${url}healthz"
tls() { openssl s_client -connect "$address" -CAfile "$work/root.pem" -verify_return_error "$@" </dev/null; }
check "TLS 1.3"                             tls -tls1_3
check "no TLS 1.2"                          not tls -tls1_2
check "no AES-128"                          not tls -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256
check "AES-256-GCM"                         tls -tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384
check "clock door is not there"             not curl -sSf --unix-socket "$work/demo/admin.sock" -X POST http://a/test-hooks/clock
meet() {
    for _ in $(seq 600); do
        "$binary" --admin-socket "$work/demo/admin.sock" meeting show -w demo lobby | grep -q '^There  *3$' && return
        sleep 0.1
    done
    return 1
}
check "three people meet in the lobby"      meet
check "the audit holds"                     "$binary" --admin-socket "$work/demo/admin.sock" audit verify -w demo

kill -INT "$pid"
code=0; wait "$pid" || code=$?
pid=
check "Ctrl-C ends with 0"                  test "$code" -eq 0
check "nothing is left of the socket"       test ! -e "$work/demo/admin.sock"

"$binary" serve --log-format text --data-dir "$work/new" --admin-socket "$work/new.sock" --listen 127.0.0.1:0 2>"$work/new.log" &
pid=$!
for _ in $(seq 600); do
    grep -q "serving" "$work/new.log" && break
    kill -0 "$pid" 2>/dev/null || { cat "$work/new.log"; exit 1; }
    sleep 0.1
done
new() { "$binary" --admin-socket "$work/new.sock" "$@"; }
code=$(sed -n 's/.*setup\.code="\([^"]*\)".*/\1/p' "$work/new.log" | head -n 1)
check "a new appliance says its setup code" test -n "$code"
check "and again when asked"                sh -c "'$binary' --admin-socket '$work/new.sock' setup code | grep -q '$code'"
check "its setup page is there"             curl -sSfk -o /dev/null "$(sed -n 's/.*setup\.url="\([^"]*\)".*/\1/p' "$work/new.log" | head -n 1)"
check "it is claimed on the host"           new setup claim --name localhost --operator olga --kit-file "$work/kit.txt"
check "once"                                not new setup claim --name localhost --operator eve --without-recovery-kit
check "an operator gets a link"             new operator recover olga
kill -TERM "$pid"
code=0; wait "$pid" || code=$?
pid=
check "it stops well"                       test "$code" -eq 0
rm "$work/new/master.key"
check "the kit brings the master key back"  "$binary" recovery restore --data-dir "$work/new" --words-file "$work/kit.txt"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
