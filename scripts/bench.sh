#!/usr/bin/env bash
# Prints every figure that the docs claim, one table after another; a run that fails does not stop the next.
# Usage: scripts/bench.sh [TRACE…]     traces in the formats of docs/traffic.md; without any, what needs one is left out
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
failed=()

bench() {
    printf '\n\033[1m== benchmarks/%s\033[0m\n' "$*"
    "$python" "benchmarks/$1" "${@:2}" || failed+=("$1")
}

binned=
for trace in "$@"; do
    [ -r "$trace" ] || { printf 'bench: cannot read the trace %s\n' "$trace" >&2; exit 2; }
    case $trace in *10min*) binned=$trace ;; esac
done

for script in buckets.py exporter.py state.py ledger.py rules.py endpoints.py attribution.py advice.py; do
    [ ! -e "benchmarks/$script" ] || bench "$script"
done
bench forecast.py ${binned:+"$binned"}
if [ -n "$binned" ]; then
    bench anomaly.py "$binned"
    bench replay_compare.py "$@"
else
    printf '\nbench: anomaly.py and replay_compare.py need traces: make bench BENCH_ARGS="traffic_10min.csv.gz other.csv.gz"\n'
fi
[ ${#failed[@]} -eq 0 ] || { printf '\nbench: failed: %s\n' "${failed[*]}" >&2; exit 1; }
