"""Copies of the running totals that make long windows cheap: the fewer series, the more often.

A chart of 90 days needs the totals at 91 moments, but Prometheus reads every sample between them. ``whole`` keeps
one series for each family (one for each bound of a histogram) at every snapshot, or every minute for which a base
stands, ``model`` one for each model every ten minutes, ``hour`` every series of the family at full hours: a tenth to a
thousandth of the samples. Each says which moment it is of, so that a copy that was missed is noticed and read from
the state itself.

What is kept by the minute carries the label ``quarter``, the quarter of the day, 0-3 in UTC, that its moment lies in: a
chart of a year with a point a day reads a fourth of its samples.

A copy of snapshot T is taken at the last grid point T that is ``delay`` ago, when its state is sure to be stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.bases import Base
from asahi_analytics.promql import MILLISECOND, at_grid, by_clause, of_snapshot
from asahi_analytics.rule_text import grids_text
from asahi_analytics.tiles import (
    BACKFILLED,
    MINUTE_FAMILIES,
    PART,
    RUNNING,
    SINCE,
    SNAPSHOT,
    RuleParameters,
    part,
    state_metric,
)
from asahi_exporter.conventions import FAMILIES, MODEL, Family

HOUR: Final = timedelta(hours=1)
TEN_MINUTES: Final = timedelta(minutes=10)
BOUND: Final = "le"
WHOLE_FAMILIES: Final = frozenset(
    {
        "requests",
        "cost_dollars",
        "savings_dollars",
        "corrections_dollars",
        "wasted_cost_dollars",
        "unpriced_requests",
        "tokens",
        "errors",
        "quality_points",
        "quality_samples",
        "latency_ms_bucket",
        "latency_ms_sum",
        "latency_ms_count",
    }
)
"""Families that charts show as a whole and that have more than a handful of series."""
MODEL_FAMILIES: Final = frozenset(
    {"requests", "cost_dollars", "tokens", "quality_points", "quality_samples", "latency_ms_bucket"}
)
"""Families that are judged by model, in bins of ten minutes."""


QUARTER: Final = "quarter"
QUARTERS: Final = 4
QUARTER_HOURS: Final = 24 // QUARTERS
WHOLE: Final = "whole"
BY_MODEL: Final = "model"
BY_HOUR: Final = "hour"


def copy_metric(family: Family, level: str) -> str:
    """Return the name of the copies of ``family`` that are kept at ``level``."""
    return f"asahi:{family.name}:{level}"


@dataclass(frozen=True)
class Level:
    """A copy of the running total of ``family``: by ``labels``, at multiples of ``grid`` that are ``delay`` ago.

    ``held``: what holds it at such a multiple, in PromQL; ``quartered``: whether the quarter of the day is a label.
    """

    name: str
    family: Family
    labels: tuple[str, ...]
    grid: timedelta
    delay: timedelta
    held: str
    quartered: bool = False

    @property
    def metric(self) -> str:
        """The name of its series, which carry the label ``part`` as those of the state do."""
        return copy_metric(self.family, self.name)

    @property
    def after(self) -> timedelta:
        """How long after a snapshot its copy is sure to be there, and no later one: read ``grid`` back from then."""
        return self.delay + self.grid - MILLISECOND

    def holds(self, labels: Iterable[str]) -> bool:
        """Tell whether sums by these labels, and filters on them, can be read from it."""
        return set(labels) <= set(self.labels)

    def expression(self) -> str:
        """Return the recording rule."""
        return at_grid(self.held, self.grid, self.delay)


@cache
def levels_of(family: Family, rules: RuleParameters) -> tuple[Level, ...]:
    """Return the copies that are kept of ``family``, the one with the fewest samples first."""
    bound = (BOUND,) if BOUND in family.labels else ()
    by_minute = family.name in MINUTE_FAMILIES and rules.interval < rules.state_interval
    wanted = [
        (WHOLE, bound, rules.state_interval, family.name in WHOLE_FAMILIES and not by_minute),
        (BY_MODEL, (MODEL, *bound), TEN_MINUTES, family.name in MODEL_FAMILIES),
        (BY_HOUR, family.labels, HOUR, True),
    ]
    copies = (
        _of_state(name, family, labels, grid, rules)
        for name, labels, grid, kept in wanted
        if kept and not grid % rules.state_interval
    )
    whole = family.name in WHOLE_FAMILIES and by_minute
    return (*((_of_counters(family, rules),) if whole else ()), *copies)


def _of_state(
    name: str, family: Family, labels: tuple[str, ...], grid: timedelta, rules: RuleParameters
) -> Level:
    """A copy of what the state held of the grid point, which was recorded ``kept`` after it at the latest."""
    parts = "|".join((RUNNING, SINCE, SNAPSHOT, BACKFILLED))
    state = of_snapshot(f'{state_metric(family)}{{{PART}=~"{parts}"}}', rules.kept - MILLISECOND)
    held = f"sum {by_clause((PART, *labels))} ({state})"
    return Level(name, family, labels, grid, rules.stored, held)


def _of_counters(family: Family, rules: RuleParameters) -> Level:
    """The whole at every minute for which the base stands; the state knows every fifth only."""
    base = Base(family, rules)
    total, mark = part(RUNNING, base.total(())), part(SNAPSHOT, "vector(time())")
    quarter = f'count_values("{QUARTER}", floor(hour() / {QUARTER_HOURS}))'
    both = f"({total} or on ({PART}) {mark}) * on () group_left ({QUARTER}) {quarter}"
    held = f"{both} and on () {base.certified}"
    return Level(WHOLE, family, (), rules.interval, rules.settle, held, quartered=True)


def quarters_of(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the quarter of the day, in UTC, that each moment, in seconds since 1970, lies in."""
    quarters: npt.NDArray[np.int64] = (seconds // (QUARTER_HOURS * 3600)).astype(np.int64) % QUARTERS
    return quarters


def rule_files(
    rules: RuleParameters | None = None, families: Mapping[str, Family] = FAMILIES
) -> dict[str, str]:
    """Return the text of each rule file by its name."""
    levels = (level for family in families.values() for level in levels_of(family, rules or RuleParameters()))
    recorded = ((level.grid, level.metric, level.expression()) for level in levels)
    return {"asahi_levels.yml": grids_text("asahi_levels", recorded)}
