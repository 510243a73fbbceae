"""Dollars against a ledger of real processes: ours, and what people write instead, in the same run.

    python benchmarks/ledger.py [SECONDS]

Prints the worst label set's error in per cent, for exporters with a state directory (against the ledger) and without
one (against the raw samples, each process's life counted from zero).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from asahi_exporter.conventions import FAMILIES
from support.ledger_run import LABELS, Outcome, Plan, family_of, ledger_run, worst


def peers(outcome: Outcome, label: str) -> dict[str, float]:
    """The worst label set's error of each way to ask, 0-1."""
    counter, window = FAMILIES[family_of(label)].source, f"{round(outcome.window.seconds)}s"
    truth = outcome.ledger(label) if outcome.stored else outcome.scraped(label)
    summed = f"sum_over_time(increase({counter}[10s])[{window}:10s])"
    tiles = f"sum by ({label}) (increase({counter}[60s]))"
    ways = {
        "increase(window)": f"sum by ({label}) (increase({counter}[{window}]))",
        "increase[10s] summed": f"sum by ({label}) ({summed})",
        "increase tiles": f"sum_over_time(({tiles})[{window}:60s])",
    }
    errors = {name: worst(outcome.asked(promql, label), truth) for name, promql in ways.items()}
    return {"asahi": worst(outcome.composed(label), truth), **errors}


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 900.0
    outages = ((seconds * 0.3, min(45.0, seconds * 0.1)), (seconds * 0.6, min(600.0, seconds * 0.25)))
    blackout = (seconds * 0.15, min(120.0, seconds * 0.1))
    for stored in (True, False):
        plan = Plan(
            stored=stored, seconds=seconds, outages=outages, blackout=blackout, kill_every=seconds / 12
        )
        truth = "with a state directory, against the ledger" if stored else "without, against the raw samples"
        print(f"\nWorst label set, {truth} ({seconds:g} s of faults)")
        with tempfile.TemporaryDirectory() as folder, ledger_run(Path(folder), plan) as outcome:
            for label in LABELS:
                row = "  ".join(f"{name} {error:9.4%}" for name, error in peers(outcome, label).items())
                print(f"  {label:11s} {row}", flush=True)


if __name__ == "__main__":
    main()
