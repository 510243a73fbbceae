"""Asking a Prometheus every query of a dashboard, as Grafana would when the dashboard is opened."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from asahi_analytics.dashboards.grafana import MIN_STEP_SECONDS, Json
from asahi_analytics.dashboards.queries import substitute, unknown_names
from asahi_analytics.errors import UserInputError
from asahi_analytics.replies import Matrix, Vector
from asahi_exporter.conventions import SERVICE_METRICS

DATA_POINTS: Final = 1000
"""About what Grafana asks for on a panel that fills half a screen."""
_LAST: Final = re.compile(r"now-(\d+)([mhd])")
_CALENDAR: Final = {"now/d": 0, "now/M": 1}
"""The day of the month that a range begins on; 0 is today."""
SHORTEST: Final = timedelta(minutes=1)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_RECORDED: Final = re.compile(r"\basahi:")
_ROUND_STEPS: Final = (
    MIN_STEP_SECONDS,
    120,
    300,
    600,
    900,
    1200,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
)


class Asker(Protocol):
    """What the check needs of a Prometheus client."""

    def query(self, promql: str, at: datetime) -> Vector:
        """Return the answer of an instant query."""
        ...

    def query_range(self, promql: str, start: datetime, end: datetime, step: timedelta) -> Matrix:
        """Return the answer of a range query."""
        ...


@dataclass(frozen=True)
class Answer:
    """What one query of a panel gave: ``series`` counts those with at least one finite value."""

    dashboard: str
    panel: str
    query: str
    series: int
    unknown: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether there is something to see and every name exists."""
        return self.series > 0 and not self.unknown


def range_start(since: str, now: datetime) -> datetime:
    """Return when a time range from ``since`` (``now/d``, ``now/M``, ``now-24h``) begins; midnights are UTC's.

    Raises ``UserInputError`` for any other form.
    """
    if since in _CALENDAR:
        return min(
            now.replace(day=_CALENDAR[since] or now.day, hour=0, minute=0, second=0, microsecond=0),
            now - SHORTEST,
        )
    if match := _LAST.fullmatch(since):
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    raise UserInputError(f"the time range starts at {since!r}; pass now/d, now/M or now-<number><m|h|d>")


def step_seconds(range_seconds: int, least: int = MIN_STEP_SECONDS) -> int:
    """Return the resolution that Grafana takes for a range: a round step, at most about ``DATA_POINTS`` points, and
    ``least`` seconds or more."""
    wanted = max(range_seconds / DATA_POINTS, least)
    return next((step for step in _ROUND_STEPS if step >= wanted), _ROUND_STEPS[-1])


def ask(asker: Asker, dashboard: Json, now: datetime, *, since: str | None = None) -> Iterator[Answer]:
    """Yield the answer to every query of ``dashboard``, over its own range or from ``since`` to ``now``.

    A panel with a time override keeps it. Raises what the client raises: a refused query is an error.
    """
    for panel in dashboard["panels"]:
        start = range_start(panel.get("timeFrom") or since or dashboard["time"]["from"], now)
        range_seconds = math.ceil((now - start).total_seconds())
        for target in panel["targets"]:
            least = int(target["interval"].removesuffix("s"))
            step = step_seconds(range_seconds, least)
            query = substitute(
                target["expr"],
                range_seconds=range_seconds,
                interval_seconds=step,
                min_step_seconds=least,
            )
            if target["instant"]:
                series = _finite_samples(asker.query(query, now))
            else:
                series = _finite_series(asker.query_range(query, start, now, timedelta(seconds=step)))
            unknown = tuple(unknown_names(target["expr"]))
            yield Answer(dashboard["title"], panel["title"], target["expr"], series, unknown)


def _finite_samples(vector: Vector) -> int:
    return sum(math.isfinite(sample.value) for sample in vector.samples)


def _finite_series(matrix: Matrix) -> int:
    return sum(any(map(math.isfinite, series.values)) for series in matrix.series)


def listing(answers: Sequence[Answer]) -> str:
    """Return a line for each answer: the verdict, dashboard and panel, how many series."""
    return "\n".join(
        f"{'ok' if answer.good else 'FAIL':>4}  {answer.dashboard}: {answer.panel} ({answer.series} series)"
        for answer in answers
    )


def problems(answers: Sequence[Answer]) -> list[str]:
    """Return a sentence for each panel that is empty or asks for an unknown name, and one on what may be the cause."""
    found = dict.fromkeys(
        f"{answer.dashboard}: panel {answer.panel!r}: "
        + (f"unknown {', '.join(answer.unknown)}" if answer.unknown else "nothing to show")
        for answer in answers
        if not answer.good
    )
    empty = [answer for answer in answers if not answer.series]
    return [*found, *(hint for asked, hint in _HINTS if any(asked(answer.query) for answer in empty))]


def _asks_the_service(query: str) -> bool:
    return any(metric.name in query for metric in SERVICE_METRICS)


def _asks_the_rules(query: str) -> bool:
    return _RECORDED.search(query) is not None


_HINTS: Final = (
    (
        _asks_the_service,
        "budgets and forecasts are metrics of asahi-obs serve, which Prometheus must scrape (docs/configuration.md); "
        "they need a budgets file (docs/budgets.md) and two days of history",
    ),
    (_asks_the_rules, "asahi-obs doctor tells whether the recording rules run"),
)
"""Whether a query that found nothing is such a one, and what to see to."""
