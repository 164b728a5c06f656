#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# prometheus.sh BINARY: alert rules, dashboard and scrape configuration against a real appliance and a real Prometheus,
# on loopback. The rules are also tested by themselves (prometheus.test.yml). Where Prometheus is not installed it is
# left out; with CI=true that is a failure.
set -u
binary=$(realpath "${1:?usage: prometheus.sh BINARY}")
cd "$(dirname "$0")/../.." || exit 1
rules=packaging/prometheus/conclave.rules.yml scrape=packaging/prometheus/scrape.example.yml
dashboard=packaging/grafana/conclave.json unit=tests/system/prometheus.test.yml

missing=()
for tool in promtool prometheus curl python3; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if [ ${#missing[@]} -gt 0 ]; then
    echo "prometheus.sh: missing: ${missing[*]} (Debian: prometheus curl python3)"
    [ "${CI:-}" != true ]; exit
fi

work=$(mktemp -d)
pids=()
finish() {
    kill -KILL "${pids[@]}" 2>/dev/null
    wait "${pids[@]}" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
. tests/system/check.sh
look() { python3 tests/system/prometheus.py "$@"; }
appliance() { "$binary" --admin-socket "$work/admin.sock" "$@"; }
fail() { echo "FAILED  $1"; shift; cat "$@"; exit 1; }

# A copy of the rules with another threshold, beside a copy of their tests.
mkdir -p "$work/changed/packaging/prometheus" "$work/changed/tests/system"
cp "$unit" "$work/changed/tests/system"
sed 's/> 0\.8$/> 0.75/' "$rules" >"$work/changed/$rules"
promtool test rules "$unit" >"$work/unit" 2>&1 & unit_pid=$!
promtool test rules "$work/changed/$unit" >"$work/unit.changed" 2>&1 & changed_pid=$!
pids+=("$unit_pid" "$changed_pid")

# An appliance as an operator has it: claimed, with a token for Prometheus and its root in a file.
mkdir -m 700 "$work/data"
"$binary" serve --data-dir "$work/data" --admin-socket "$work/admin.sock" --listen 127.0.0.1:0 2>"$work/log" & serving=$!
pids+=("$serving")
for _ in $(seq 100); do
    appliance --json status >"$work/status" 2>/dev/null && break
    kill -0 "$serving" 2>/dev/null || fail "the appliance starts" "$work/log"
    sleep 0.1
done
address=$(python3 -c 'import json,sys; print(json.load(sys.stdin)["https"][0])' <"$work/status")
appliance setup claim --name meet.example.lan --operator olga --without-recovery-kit >"$work/claimed" 2>&1 || fail "it is claimed" "$work/claimed"
(umask 077; appliance --json token create prometheus --days 1 | sed -n 's/.*"token": "\(.*\)".*/\1/p' >"$work/token")
appliance trust root --out "$work/root.pem"
over_https() { curl -sS --max-time 5 --cacert "$work/root.pem" --connect-to "meet.example.lan:443:$address" "$@"; }
# One sign-in, so that there is one to count.
over_https -o /dev/null https://meet.example.lan/api/v1/sessions -H 'content-type: application/json' \
    -d '{"plain":{"workspace":"acme","user_name":"bob","password":"not the right one"}}'
over_https -H "authorization: Bearer $(cat "$work/token")" https://meet.example.lan/metrics >"$work/scrape"

check "the scrape is whole"                         sh -c "tail -n 1 $work/scrape | grep -qx '# EOF'"
check "metrics, labels and values are there"        look names "$work/scrape" "$rules" "$dashboard"
sed 's/conclave_relay_turns_total/conclave_relay_rounds_total/' "$rules" >"$work/wrong.yml"
check "a wrong name in a rule is found"             not look names "$work/scrape" "$work/wrong.yml" "$dashboard"
sed 's/carrier="udp"/carrier="quic"/' "$rules" >"$work/wrong.yml"
check "so is a wrong value of a label"              not look names "$work/scrape" "$work/wrong.yml" "$dashboard"
sed 's/conclave_meetings{/conclave_rooms{/' "$dashboard" >"$work/wrong.json"
check "so is a wrong name in the dashboard"         not look names "$work/scrape" "$rules" "$work/wrong.json"
sed 's/by (reason)/by (cause)/' "$dashboard" >"$work/wrong.json"
check "so is a label that nothing has"              not look names "$work/scrape" "$rules" "$work/wrong.json"
check "the dashboard needs nothing from elsewhere"  look dashboard "$dashboard"
check "every alert has its test and its words"      look tested "$rules" "$unit"
grep -v 'alertname="ConclaveDescriptors"' "$unit" >"$work/wrong.yml"
check "one without a test is found"                 not look tested "$rules" "$work/wrong.yml"
check "the rules hold"                              promtool check rules "$rules"

# The example as it stands, but for its paths, its target and its pace.
sed -e "s,/etc/prometheus/conclave.rules.yml,$PWD/$rules," -e "s,/etc/prometheus/conclave.token,$work/token," \
    -e "s,/etc/prometheus/conclave-root.pem,$work/root.pem," -e "s/meet.example.lan:443/$address/" \
    -e 's/# server_name:/server_name:/' -e 's/scrape_interval: 15s/scrape_interval: 1s/' "$scrape" >"$work/prometheus.yml"
printf 'global:\n  evaluation_interval: 1s\n' >>"$work/prometheus.yml"
check "the scrape configuration holds"              promtool check config "$work/prometheus.yml"
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" --web.listen-address=127.0.0.1:0 \
    >"$work/prometheus.log" 2>&1 & watching=$!
pids+=("$watching")
for _ in $(seq 100); do
    url=$(sed -n 's/.*msg="Listening on" address=\([0-9.:]*\).*/http:\/\/\1/p' "$work/prometheus.log")
    [ -z "$url" ] || break
    kill -0 "$watching" 2>/dev/null || fail "Prometheus starts" "$work/prometheus.log"
    sleep 0.1
done
check "Prometheus scrapes, evaluates and answers"   look live "$url" "$rules" "$dashboard"
kill -TERM "$serving"; wait "$serving"
check "it notices when the appliance is gone"       look pending "$url" ConclaveDown

ended() { wait "$1"; local code=$?; cat "$2"; return $code; }
check "the rules pass their tests"                  ended "$unit_pid" "$work/unit"
check "and with another threshold they do not"      not ended "$changed_pid" "$work/unit.changed"
echo "$passed passed, $failed failed in $SECONDS s"
[ "$failed" -eq 0 ]
