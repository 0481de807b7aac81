#!/bin/sh
# Runs `make test` several times in a row and stops at the first red one, whose log it names:
#     sh scripts/test_in_a_row.sh 7        seven times
#     sh scripts/test_in_a_row.sh 3 8      three times, beside eight processes that keep the processor busy
#
# Belongs here: repeating, and a table of outcomes and seconds. What is tested is `make test` as it is.
set -eu
cd "$(dirname "$0")/.."

usage() { echo "usage: sh scripts/test_in_a_row.sh TIMES [BUSY]" >&2; exit 2; }
times=${1:-} busy=${2:-0}
case "$times$busy" in *[!0-9]*) usage ;; esac
[ -n "$times" ] || usage

logs=$(mktemp -d "${TMPDIR:-/tmp}/tests-in-a-row-XXXXXX")
at_work=
end_busy() {
    for process in $at_work; do kill "$process" 2>/dev/null || true; done
}
trap end_busy EXIT
trap 'exit 130' INT TERM HUP

make --no-print-directory setup
while [ "$busy" -gt 0 ]; do
    .venv/bin/python -c 'while True: pass' &
    at_work="$at_work $!"
    busy=$((busy - 1))
done

printf '%4s  %-7s  %7s  %s\n' run outcome seconds pytest
run=0
while [ "$run" -lt "$times" ]; do
    run=$((run + 1)) outcome=green started=$(date +%s)
    make --no-print-directory test >"$logs/$run.log" 2>&1 || outcome=red
    seconds=$(($(date +%s) - started))
    # pytest's last line, without its frame: "2270 passed, 3 skipped in 290.12s"
    said=$(sed -n 's/^=* *\([0-9]* [a-z]*.* in [0-9.]*s\).*$/\1/p' "$logs/$run.log" | tail -n 1)
    printf '%4d  %-7s  %7d  %s\n' "$run" "$outcome" "$seconds" "${said:-nothing}"
    if [ "$outcome" = red ]; then
        grep -E '^(FAILED|ERROR)' "$logs/$run.log" || tail -n 20 "$logs/$run.log"
        echo "The log: $logs/$run.log"
        exit 1
    fi
done
rm -rf "$logs"
