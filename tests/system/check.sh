# SPDX-License-Identifier: AGPL-3.0-or-later
# To be sourced: counts what holds and what does not, and shows what was said where it does not. $work is a directory.
passed=0 failed=0
check() { # check NAME COMMAND...
    if "${@:2}" >"$work/out" 2>&1; then
        passed=$((passed + 1)); echo "ok      $1"
    else
        failed=$((failed + 1)); echo "FAILED  $1"; sed 's/^/        /' "$work/out"
    fi
}
not() { ! "$@"; }
