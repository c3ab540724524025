#!/usr/bin/env bash
# Counts the instructions of one webhook, from the socket to its answer after the commit, and fails when they grew by more
# than 5 % over `benches/instructions.baseline`. Instructions are the same on a busy machine; times are not.
#
# It counts the dev build, whose parts CI has anyway: a release build would take longer than all of this. In it our own code is
# not optimised, so growth of our own code shows more than it costs. What is counted is a difference of two runs, so that
# starting and stopping is not in it.
#
# `HOOKHAND_BLESS=1 benches/instructions.sh` writes the baseline anew: do so with a change that is worth its cost, or that
# saves some, and with a new compiler; say why in the commit.
set -euo pipefail
cd "$(dirname "$0")/.."

few=40
many=140
allowed_percent=5
baseline=benches/instructions.baseline

if ! command -v valgrind >/dev/null; then
    echo "valgrind is not here; installing it"
    (apt-get install -y valgrind || { apt-get update && apt-get install -y valgrind; }) >/dev/null 2>&1 || true
fi
if ! command -v valgrind >/dev/null; then
    echo "SKIPPED: instructions were not counted: valgrind is missing and cannot be installed here"
    exit 0
fi

binary=$(cargo build --locked --bench instructions --message-format=json |
    python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "instructions":
        print(message["executable"])')

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# count EVENTS FILE: instructions of a run, its profile in FILE.
count() {
    # Fair turns for the threads, and the same place for every allocation: runs differ by a thousandth at most.
    TMPDIR=$dir valgrind --tool=callgrind --callgrind-out-file="$2" --fair-sched=yes "$binary" "$1" 2>"$2.log" ||
        { cat "$2.log" >&2; exit 1; }
    sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p' "$2.log"
}

low=$(count $few "$dir/few")
high=$(count $many "$dir/many")
each=$(((high - low) / (many - few)))
echo "instructions of one webhook: $each"

compiler=$(rustc --version)
if [ "${HOOKHAND_BLESS:-}" = 1 ]; then
    printf '%s\n# %s\n' "$each" "$compiler" >"$baseline"
    echo "written to $baseline"
    exit 0
fi
was=$(head -n 1 "$baseline")
change=$(awk -v now="$each" -v was="$was" 'BEGIN { printf "%+.1f", (now - was) * 100 / was }')
echo "baseline: $was ($(sed -n '2s/^# //p' "$baseline")), change: $change %"
if [ "$each" -gt $((was + was * allowed_percent / 100)) ]; then
    echo "more than $allowed_percent % above the baseline. Where they are spent now:" >&2
    callgrind_annotate "$dir/many" 2>/dev/null | grep -v '^--' | head -n 40 >&2 || true
    echo "When the change is worth it: HOOKHAND_BLESS=1 benches/instructions.sh, and say why in the commit." >&2
    exit 1
fi
if [ "$each" -lt $((was - was * allowed_percent / 100)) ]; then
    echo "more than $allowed_percent % below it: renew the baseline (HOOKHAND_BLESS=1), so that the gain is kept"
fi
