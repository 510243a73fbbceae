"""Copies of the running totals that make long windows cheap: the fewer series, the more often.

A chart of 90 days needs the totals at 91 moments, but Prometheus reads every sample between them. ``whole`` keeps
one series for each family (one for each bound of a histogram) at every snapshot, ``model`` one for each model every
ten minutes, ``hour`` every series of the family at full hours: a tenth to a thousandth of the samples. Each says
which snapshot it is of, so that a copy that was missed is noticed and read from the state itself.

A copy of snapshot T is taken at the last grid point T that is ``delay`` ago, when its state is sure to be stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from asahi_analytics.promql import by_clause, duration
from asahi_analytics.rule_text import grids_text
from asahi_analytics.tiles import (
    BACKFILLED,
    PART,
    RUNNING,
    SINCE,
    SNAPSHOT,
    RuleParameters,
    state_metric,
)
from asahi_exporter.conventions import FAMILIES, MODEL, Family

HOUR: Final = timedelta(hours=1)
TEN_MINUTES: Final = timedelta(minutes=10)
MILLISECOND: Final = timedelta(milliseconds=1)
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


WHOLE: Final = "whole"
BY_MODEL: Final = "model"
BY_HOUR: Final = "hour"


def copy_metric(family: Family, level: str) -> str:
    """Return the name of the copies of ``family`` that are kept at ``level``."""
    return f"asahi:{family.name}:{level}"


def of_snapshot(state: str, kept: timedelta) -> str:
    """Return what ``state`` recorded of the snapshot at the moment of evaluation, up to ``kept`` after it."""
    return f"last_over_time({state}[{duration(kept)}] offset -{duration(kept)})"


def at_grid(expression: str, grid: timedelta, delay: timedelta) -> str:
    """Return ``expression`` as of the last multiple of ``grid`` that is ``delay`` ago."""
    step = duration(grid)
    return f"last_over_time(({expression})[{step}:{step}] offset {duration(delay)})"


@dataclass(frozen=True)
class Level:
    """A copy of the running total of ``family``: by ``labels``, at multiples of ``grid``."""

    name: str
    family: Family
    labels: tuple[str, ...]
    grid: timedelta
    kept: timedelta
    settle: timedelta

    @property
    def metric(self) -> str:
        """The name of its series, which carry the label ``part`` as those of the state do."""
        return copy_metric(self.family, self.name)

    @property
    def delay(self) -> timedelta:
        """How old a snapshot is at least when it is copied: its evaluation was ``kept`` after it at the latest."""
        return self.kept + self.settle

    @property
    def after(self) -> timedelta:
        """How long after a snapshot its copy is sure to be there, and no later one: read ``grid`` back from then."""
        return self.delay + self.grid - MILLISECOND

    def holds(self, labels: Iterable[str]) -> bool:
        """Tell whether sums by these labels, and filters on them, can be read from it."""
        return set(labels) <= set(self.labels)

    def expression(self) -> str:
        """Return the recording rule: what the state held of the grid point, at the grid point."""
        parts = "|".join((RUNNING, SINCE, SNAPSHOT, BACKFILLED))
        state = of_snapshot(f'{state_metric(self.family)}{{{PART}=~"{parts}"}}', self.kept - MILLISECOND)
        return at_grid(f"sum {by_clause((PART, *self.labels))} ({state})", self.grid, self.delay)


def levels_of(family: Family, rules: RuleParameters) -> list[Level]:
    """Return the copies that are kept of ``family``, the one with the fewest samples first."""
    interval = rules.interval_of(family)
    bound = (BOUND,) if BOUND in family.labels else ()
    wanted = [
        (WHOLE, bound, interval, family.name in WHOLE_FAMILIES),
        (BY_MODEL, (MODEL, *bound), TEN_MINUTES, family.name in MODEL_FAMILIES),
        (BY_HOUR, family.labels, HOUR, True),
    ]
    return [
        Level(name, family, labels, grid, interval + rules.settle, rules.settle)
        for name, labels, grid, kept in wanted
        if kept and not grid % interval
    ]


def rule_files(
    rules: RuleParameters | None = None, families: Mapping[str, Family] = FAMILIES
) -> dict[str, str]:
    """Return the text of each rule file by its name."""
    levels = (level for family in families.values() for level in levels_of(family, rules or RuleParameters()))
    recorded = ((level.grid, level.metric, level.expression()) for level in levels)
    return {"asahi_levels.yml": grids_text("asahi_levels", recorded)}
