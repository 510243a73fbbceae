"""Dollars against a ledger of real processes: ours, and what people write instead, in the same run.

    python benchmarks/ledger.py [--quick SECONDS]

Prints the worst label set's error in per cent, for exporters with a state directory (against the ledger) and without
one (against the raw samples, each process's life counted from zero); both run side by side. In full it takes half an
hour: rules every minute, scrapes every 10, 15 and 30 s, two minutes without scrapes of one exporter, 45 s and ten
minutes without Prometheus, an exporter killed every 45 s or so. ``--quick`` does the same in SECONDS, with rules every
2 s and scrapes every 1 and 2 s, and reloads the rules under other names on the way.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from asahi_analytics.tiles import RuleParameters
from asahi_exporter.conventions import FAMILIES
from support.ledger_run import LABELS, Outcome, Plan, family_of, ledger_run, worst


def full(*, stored: bool) -> Plan:
    """The faults at their real length, with the rules as shipped but for the shortest scrape interval."""
    return Plan(
        stored=stored,
        seconds=1_560.0,
        scrapes=(10.0, 15.0, 30.0),
        outages=((420.0, 45.0), (700.0, 600.0)),
        blackout=(200.0, 120.0),
        reload=math.inf,
        kill_every=45.0,
        birth_every=150.0,
        jitter=1.5,
        scrape_timeout=8,
        rules=RuleParameters(scrape_interval=timedelta(seconds=10)),
    )


def quick(seconds: float) -> Callable[..., Plan]:
    """Return the same faults scaled to ``seconds``."""
    outages = ((seconds * 0.3, min(45.0, seconds * 0.1)), (seconds * 0.6, min(600.0, seconds * 0.25)))
    blackout = (seconds * 0.15, min(120.0, seconds * 0.1))

    def plan(*, stored: bool) -> Plan:
        return Plan(
            stored=stored,
            seconds=seconds,
            outages=outages,
            blackout=blackout,
            reload=seconds * 0.5,
            kill_every=seconds / 12,
        )

    return plan


def peers(outcome: Outcome, label: str, tile_seconds: float) -> dict[str, float]:
    """The worst label set's error of each way to ask, 0-1."""
    counter, window = FAMILIES[family_of(label)].source, f"{round(outcome.window.seconds)}s"
    truth = outcome.ledger(label) if outcome.stored else outcome.scraped(label)
    tile = f"{tile_seconds:g}s"
    ways = {
        "increase(window)": f"sum by ({label}) (increase({counter}[{window}]))",
        f"increase[{tile}] summed": f"sum by ({label}) (sum_over_time(increase({counter}[{tile}])[{window}:{tile}]))",
        "recorded tiles (Pyrra)": f"sum_over_time(peer:{label}:increase[{window}:{tile}])",
    }
    errors = {name: worst(outcome.asked(promql, label), truth) for name, promql in ways.items()}
    return {"asahi": worst(outcome.composed(label), truth), **errors}


def table(plan: Plan) -> str:
    """Run ``plan`` and return its table."""
    truth = (
        "with a state directory, against the ledger" if plan.stored else "without, against the raw samples"
    )
    lines = [f"\nWorst label set, {truth} ({plan.seconds:g} s of faults)"]
    with tempfile.TemporaryDirectory() as folder, ledger_run(Path(folder), plan) as outcome:
        total = sum(outcome.ledger("model").values())
        lines.append(f"  ${total:.2f} in the ledger, {outcome.deaths} deaths by SIGKILL")
        for label in LABELS:
            row = "  ".join(
                f"{name} {error:9.4%}" for name, error in peers(outcome, label, plan.tile_seconds).items()
            )
            lines.append(f"  {label:11s} {row}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Dollars against a ledger")
    parser.add_argument("--quick", type=float, metavar="SECONDS", help="scaled to so many seconds")
    args = parser.parse_args()
    plan = quick(args.quick) if args.quick else full
    with ThreadPoolExecutor(2) as pool:
        for text in pool.map(table, [plan(stored=True), plan(stored=False)]):
            print(text, flush=True)


if __name__ == "__main__":
    main()
