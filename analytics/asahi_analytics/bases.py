"""What running totals hold beyond the counters that live now: with it, a total needs no more than one look at these.

``asahi:<family>:base`` is the running total less what the counters of all memories said at the same snapshot: what was
counted by memories that are gone, and nothing for most label sets, which then have no series. As long as the same
memories are scraped and none was set back, the total at any moment is the base and what the counters say then.

It is kept every few minutes, with the certificate and the memories of the snapshot that it is of, by the label
``part``. ``docs/exact-dollars.md`` tells where it is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from asahi_analytics.levels import MILLISECOND, at_grid, of_snapshot
from asahi_analytics.promql import by_clause, duration
from asahi_analytics.rule_text import grids_text
from asahi_analytics.tiles import (
    MEMORY,
    PART,
    RUNNING,
    SEEN,
    SINCE,
    SNAPSHOT,
    RuleParameters,
    state_metric,
)
from asahi_exporter.conventions import FAMILIES, STORE, Family

LEAST: Final = "1e-7"
"""A ten-millionth of a dollar: what adding up increments in floating point leaves is smaller, and is no base."""
GROUP: Final = "asahi_bases"


@dataclass(frozen=True)
class Base:
    """The bases of ``family``."""

    family: Family
    rules: RuleParameters

    @property
    def metric(self) -> str:
        """The name of its series: amounts by the family's labels, and parts of the certificate."""
        return f"asahi:{self.family.name}:base"

    @property
    def grid(self) -> timedelta:
        """How far snapshots lie apart of which the base is kept: no less than counters are looked back for.

        So one range holds the last sample of each counter that lives, and of bases no more than the last.
        """
        interval = self.rules.interval_of(self.family)
        return interval * math.ceil(self.rules.lookback / interval)

    @property
    def _kept(self) -> timedelta:
        """How long after a snapshot its evaluation was at the latest."""
        return self.rules.interval_of(self.family) + self.rules.settle

    @property
    def delay(self) -> timedelta:
        """How old a snapshot is at least when its base is recorded: its state is sure to be stored."""
        return self._kept + self.rules.settle

    @property
    def age(self) -> timedelta:
        """How old the snapshot of the base that was recorded last is at most.

        Its state is of the snapshot before where an evaluation was missed.
        """
        return 2 * self.grid + self.delay + self.rules.interval_of(self.family)

    @property
    def certificate(self) -> str:
        """Return in PromQL what the base that was recorded last says of itself, and of the memories it knew."""
        recorded = f'{self.metric}{{{PART}!=""}}[{duration(self.grid)}]'
        return f"max by ({PART}, {STORE}) (last_over_time({recorded}))"

    @property
    def several(self) -> str:
        """Return in PromQL whether more than one is within reach: a series of the first may not be in the last."""
        recorded = f'{self.metric}{{{PART}="{SNAPSHOT}"}}[{duration(self.grid)}]'
        return f"count(count_over_time({recorded}) > 1)"

    def expression(self) -> str:
        """Return the recording rule."""
        state, kept = state_metric(self.family), self._kept - MILLISECOND

        def held(matching: str) -> str:
            return of_snapshot(f"{state}{{{matching}}}", kept)

        running, seen = held(f'{PART}="{RUNNING}"'), held(f'{PART}="{SEEN}",{STORE}!=""')
        base = f"round(sum {by_clause(self.family.labels)} ({running} or -1 * {seen}), {LEAST}) != 0"
        certificate = held(f'{PART}=~"{SINCE}|{SNAPSHOT}"')
        memories = held(f'{PART}="{MEMORY}",{STORE}!=""')
        return at_grid(f"{base} or {certificate} or {memories}", self.grid, self.delay)


def rule_files(
    rules: RuleParameters | None = None, families: Mapping[str, Family] = FAMILIES
) -> dict[str, str]:
    """Return the text of each rule file by its name."""
    bases = (Base(family, rules or RuleParameters()) for family in families.values())
    return {
        "asahi_bases.yml": grids_text(GROUP, ((base.grid, base.metric, base.expression()) for base in bases))
    }
