"""``asahi-obs report``: what traffic cost and what was saved, in a terminal of 80 columns or as JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from asahi_analytics import deadline, windows
from asahi_analytics.cli.files import check_files
from asahi_analytics.cli.options import add_connection_options, settings_of
from asahi_analytics.cli.printing import Printing, name_text
from asahi_analytics.composer import Trust
from asahi_analytics.engine import AnalyticsEngine, utc_now
from asahi_analytics.models import GROUPINGS, BaselineComparison, CostBreakdown, Point, Trend
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.threads import Threads
from asahi_analytics.windows import PERIODS, Period, Window
from asahi_exporter.prose import percent, spoken

WIDTH: Final = 80
MAX_ROWS: Final = 12
_BARS: Final = "▁▂▃▄▅▆▇█"
_TREND_BINS: Final[dict[Period, tuple[Period, int]]] = {
    "hour": ("hour", 24),
    "day": ("hour", 24),
    "week": ("day", 7),
    "month": ("day", 30),
}


@dataclass(frozen=True)
class Report:
    """The answers that a report is made of."""

    cost: CostBreakdown
    baseline: BaselineComparison
    trend: Trend


def add_parser(subparsers: Any, **words: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser("report", **words)
    parser.add_argument(
        "--period", choices=PERIODS, default="day", help="trailing window (default: %(default)s)"
    )
    parser.add_argument(
        "--window", metavar="NAME|START,END", help=f"{', '.join(windows.WINDOW_NAMES)}, or two RFC 3339 times"
    )
    parser.add_argument(
        "--group-by", choices=GROUPINGS, default="model", help="break the cost down by (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")
    add_connection_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report."""
    settings = settings_of(arguments)
    check_files(settings)
    now = utc_now()
    engine = AnalyticsEngine(PrometheusClient(settings.prometheus), settings=settings, clock=lambda: now)
    with deadline.within(settings.answer_deadline_seconds):
        report = gather(engine, arguments.period, arguments.group_by, arguments.window)
    if arguments.json:
        sys.stdout.write(as_json(report).decode() + "\n")
    else:
        Printing(WIDTH).print(render(report))
    return 0


def gather(engine: AnalyticsEngine, period: Period, group_by: Any, window_name: str | None) -> Report:
    """Ask the engine, concurrently."""
    now = engine.clock()
    window = windows.parse(window_name, now, engine.settings.zone) if window_name else None
    bin_length, bins = _TREND_BINS[period] if window is None else _bins_of(window)
    asked: list[Callable[[], Any]] = [
        partial(engine.cost_breakdown, period, group_by, window),
        partial(engine.compare_to_baseline, period, None, window),
        partial(engine.trend, "cost", bin_length, bins, window.end if window else None),
    ]
    return Report(*Threads(len(asked), "report").map(lambda ask: ask(), asked))


def as_json(report: Report) -> bytes:
    """Return the answers as one JSON object."""
    answers = {
        "cost_breakdown": report.cost.model_dump(mode="json"),
        "baseline": report.baseline.model_dump(mode="json"),
        "trend": report.trend.model_dump(mode="json"),
    }
    return orjson.dumps(answers, option=orjson.OPT_INDENT_2)


def render(report: Report) -> RenderableType:
    """Return the report for a terminal."""
    cost = report.cost
    title = f"{cost.start:%Y-%m-%d %H:%M} to {cost.end:%Y-%m-%d %H:%M} UTC"
    return Group(
        Panel(_totals(report), title=title, title_align="left"),
        _breakdown(cost),
        _savings(report.baseline),
        _trend(report.trend),
        _trust(cost.trust),
    )


def dollars(value: float | None) -> str:
    """Return an amount with two decimals, or four significant digits where it is below ten cents."""
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 0.1:
        return f"${value:,.2f}" if value >= 0 else f"-${-value:,.2f}"
    return f"${value:.4g}"


def sparkline(points: Sequence[Point]) -> str:
    """Return one character for each point; a blank where nothing was scraped."""
    known = [point.value for point in points if point.value is not None]
    top = max(known, default=0.0)
    if top <= 0:
        return "".join(" " if point.value is None else _BARS[0] for point in points)
    return "".join(
        " " if point.value is None else _BARS[round(max(point.value, 0.0) / top * (len(_BARS) - 1))]
        for point in points
    )


def _bins_of(window: Window) -> tuple[Period, int]:
    """Days for a window of more than two days, hours for a shorter one; they end with the window."""
    days = window.seconds / 86_400
    return ("day", min(60, max(2, round(days)))) if days > 2 else ("hour", 24)


def _totals(report: Report) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        "Cost",
        Text(dollars(report.cost.total_cost), style="bold"),
        "Requests",
        f"{report.cost.requests:,.0f}",
    )
    saved = report.baseline
    share = f" ({percent(saved.savings_pct / 100)})" if saved.savings_pct is not None else ""
    grid.add_row(
        "Saved", dollars(saved.savings) + share, "Per request", dollars(report.cost.cost_per_request)
    )
    grid.add_row("Baseline", dollars(saved.baseline_cost), "Credits", dollars(report.cost.corrections))
    return grid


def _breakdown(cost: CostBreakdown) -> Table:
    grouped = spoken(cost.group_by)
    table = Table(title=f"Cost by {grouped}", title_justify="left", expand=True)
    table.add_column(grouped, overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("dollars", justify="right")
    table.add_column("share", justify="right")
    rows = list(cost.breakdown.items())
    unpriced = cost.unpriced_requests or {}
    for name, value in rows[:MAX_ROWS]:
        if value == 0 and unpriced.get(name):  # not known is not zero
            table.add_row(name_text(name), "no price", "-")
        else:
            table.add_row(name_text(name), dollars(value), _share(value, cost.total_cost))
    if len(rows) > MAX_ROWS:
        rest = sum(value for _, value in rows[MAX_ROWS:])
        table.add_row(f"({len(rows) - MAX_ROWS} more)", dollars(rest), _share(rest, cost.total_cost))
    if not rows:
        table.add_row("(nothing was counted)", dollars(0.0), "-")
    return table


def _share(value: float, total: float) -> str:
    return percent(value / total, column=True) if total > 0 else "-"


def _savings(baseline: BaselineComparison) -> Table:
    table = Table(title="Savings by phase", title_justify="left", expand=True)
    table.add_column("phase", ratio=1)
    table.add_column("dollars", justify="right")
    table.add_column("share", justify="right")
    for phase, value in baseline.savings_by_phase.items():
        table.add_row(name_text(phase), dollars(value), _share(value, baseline.savings))
    if not baseline.savings_by_phase:
        table.add_row("(nothing was saved)", dollars(0.0), "-")
    return table


def _trend(trend: Trend) -> Text:
    hours = trend.interval_seconds / 3600
    unit = "day" if hours >= 24 else "hour"
    known = [point.value for point in trend.points if point.value is not None]
    top = f"highest {dollars(max(known))}" if known else "nothing was scraped"
    return Text(
        f"\nCost of {len(trend.points)} {unit}s to {trend.end:%d %b}: {sparkline(trend.points)}  {top}"
    )


def _trust(trust: Trust) -> Text:
    """What the reader should know before believing the figures."""
    parts = [
        _ratio("scraped", trust.scraped_ratio),
        f"gaps {len(trust.gaps)}",
        f"resets {'?' if trust.resets is None else trust.resets}",
        _ratio("from raw samples", trust.repaired_ratio),
        _ratio("requests without a price", trust.unpriced_ratio),
    ]
    text = Text("\nTrust: " + ", ".join(parts))
    for warning in trust.warnings:
        text.append(f"\n  ! {warning}", style="yellow")
    return text


def _ratio(name: str, value: float | None) -> str:
    return f"{name} {'?' if value is None else percent(value)}"
