#!/usr/bin/env bash
# Measures what the docs claim, one table after another; a run that fails does not stop the next.
# Usage: scripts/bench.sh [TRACE…]     traces in the formats of docs/traffic.md; without any, what needs one is left out
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
failed=()
bold= plain=
[ ! -t 1 ] || { bold=$'\033[1m' plain=$'\033[0m'; }

bench() {
    printf '\n%s== benchmarks/%s%s\n' "$bold" "$*" "$plain"
    "$python" "benchmarks/$1" "${@:2}" || failed+=("$1")
}

binned= single=
for trace in "$@"; do
    [ -r "$trace" ] || { printf 'bench: cannot read the trace %s\n' "$trace" >&2; exit 2; }
    case $(gzip -cdf "$trace" | head -n 1) in
        *t_s*) binned=$trace ;;
        *TIMESTAMP*) single=$trace ;;
    esac
done

for script in buckets.py exporter.py state.py ledger.py rules.py endpoints.py attribution.py anomaly_levels.py advice.py; do
    [ ! -e "benchmarks/$script" ] || bench "$script"
done
bench forecast.py ${binned:+"$binned"}
bench budgets.py
if [ -n "$binned" ]; then
    bench anomaly.py "$binned"
    bench replay_compare.py "$@"
else
    printf '\nbench: anomaly.py and replay_compare.py need a trace in bins: make bench BENCH_ARGS="binned.csv.gz azure.csv.gz"\n'
fi
if [ -n "$binned" ] && [ -n "$single" ]; then
    bench anomaly_traffic.py "$binned" "$single"
else
    printf '\nbench: anomaly_traffic.py needs two traces, one in bins and one of single requests\n'
fi
[ ${#failed[@]} -eq 0 ] || { printf '\nbench: failed: %s\n' "${failed[*]}" >&2; exit 1; }
