"""Replays traces into a Prometheus and compares the service's dollars with the sum straight from the file.

    python benchmarks/replay_compare.py TRACE [TRACE ...] [--price MODEL=IN,OUT ...] [--model NAME]

For each trace: played through the exporter into a data directory, served by a real Prometheus, asked by the analytics
engine for cost by model and by user over the last day and week, and the same summed from the rows of the file, bin by
bin. Prints both and the largest difference over all labels. Ends with code 1 if any label is off by more than 0.1 %.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pandas as pd

from asahi_analytics.demo.servers import prometheus, prometheus_config, running
from asahi_analytics.engine import AnalyticsEngine
from asahi_analytics.prices import given_prices
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.settings import PrometheusSettings
from asahi_analytics.traffic.traces import read_trace

TOLERANCE: Final = 1e-3
PRICES: Final = ("m-large=1.60,6.40", "m-small=0.05,0.20")
SPANS: Final = {"day": timedelta(days=1), "week": timedelta(days=7)}
GROUPS: Final = ("model", "user")
_REPLAY: Final = "import sys; from asahi_analytics.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class Comparison:
    """One question: the dollars of the file and of the service by label."""

    period: str
    group: str
    ledger: dict[str, float]
    service: dict[str, float]

    @property
    def worst(self) -> tuple[float, str]:
        """The largest relative difference, and the label that has it; a label that only one side has counts as 1."""
        differences = {
            name: abs(self.service.get(name, 0.0) - self.ledger.get(name, 0.0))
            / max(self.ledger.get(name, 0.0), 1e-12)
            for name in self.ledger.keys() | self.service.keys()
            if self.ledger.get(name, 0.0) or self.service.get(name, 0.0)
        }
        return max(((value, name) for name, value in differences.items()), default=(0.0, "-"))


def ledger_of(path: Path, prices: list[str], model: str) -> tuple[pd.DataFrame, float]:
    """Return the rows of the file with their dollars, read by pandas alone, and the seconds of its end."""
    rows = pd.read_csv(path)
    trace = read_trace(path)
    if "TIMESTAMP" in rows:
        at = pd.to_datetime(rows["TIMESTAMP"], utc=True)
        rows = rows.assign(model=model, user="unknown", t_s=(at - at.min()).dt.total_seconds(), requests=1)
        rows = rows.rename(columns={"ContextTokens": "input", "GeneratedTokens": "output"})
    else:
        rows = rows.assign(user=rows["client"].astype(str))
        rows = rows.rename(columns={"input_tokens_mean": "input", "output_tokens_mean": "output"})
    table, now = given_prices(prices), datetime.now(UTC)
    rates = {name: table.rate(name, now) for name in rows["model"].unique()}
    dollars_in = rows["model"].map({name: float(rate.input) for name, rate in rates.items() if rate})
    dollars_out = rows["model"].map({name: float(rate.output) for name, rate in rates.items() if rate})
    dollars = rows["requests"] * (rows["input"] * dollars_in + rows["output"] * dollars_out) / 1e6
    return rows.assign(dollars=dollars), trace.length_s


def compare(path: Path, prices: list[str], model: str, port: int | None = None) -> Iterator[Comparison]:
    """Replay ``path`` and yield each question's comparison."""
    rows, length_s = ledger_of(path, prices, model)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    with tempfile.TemporaryDirectory(prefix="replay-compare-") as scratch:
        folder = Path(scratch)
        command = [sys.executable, "-c", _REPLAY, "replay", str(path), "--data-dir", str(folder / "data")]
        command += [
            "--end",
            end.isoformat(),
            "--model",
            model,
            *(part for price in prices for part in ("--price", price)),
        ]
        started = time.monotonic()
        subprocess.run(command, check=True)
        print(f"replayed {path.name} in {time.monotonic() - started:.0f} s")
        with running(
            prometheus(folder, prometheus_config(), data=folder / "data", port=port), 120.0
        ) as server:
            client = PrometheusClient(PrometheusSettings(url=server.url))
            engine = AnalyticsEngine(client, clock=lambda: end)
            for period, span in SPANS.items():
                late = rows[rows["t_s"] >= length_s - span.total_seconds()]
                for group in GROUPS:
                    ledger = late.groupby(group)["dollars"].sum().to_dict()
                    yield Comparison(period, group, ledger, engine.cost_breakdown(period, group).breakdown)


def show(one: Comparison) -> None:
    """Print one comparison: every model, the five dearest users, and the worst label."""
    print(f"\ncost by {one.group}, last {one.period} ({len(one.ledger)} labels)")
    print(f"  {'label':<16} {'file':>20} {'service':>20} {'difference':>12}")
    for name, dollars in sorted(one.ledger.items(), key=lambda item: -item[1])[:5]:
        service = one.service.get(name, 0.0)
        print(
            f"  {name:<16} {dollars:>20.9f} {service:>20.9f} {(service - dollars) / dollars if dollars else 0:>12.1e}"
        )
    worst, name = one.worst
    print(f"  worst of all labels: {worst:.1e} ({name})")


def main() -> int:
    """Compare every trace that was given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE")
    parser.add_argument(
        "--price", action="append", metavar="MODEL=IN,OUT", help=f"default: {' '.join(PRICES)}"
    )
    parser.add_argument(
        "--model", default="m-large", help="model of traces that name none (default: m-large)"
    )
    arguments = parser.parse_args()
    worst = 0.0
    for path in arguments.traces:
        for one in compare(path, arguments.price or list(PRICES), arguments.model):
            show(one)
            worst = max(worst, one.worst[0])
    print(f"\nworst label of all: {worst:.1e}; allowed: {TOLERANCE:.0e}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
