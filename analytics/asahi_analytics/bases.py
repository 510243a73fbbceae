"""What running totals hold beyond the counters that live now: with it, a total needs no more than one look at these.

``asahi:<family>:base`` is the running total less what the counters of all memories said at the same snapshot: what was
counted by memories that are gone, and nothing for most label sets, which then have no series. As long as the same
memories are scraped and none was set back, the total at any moment is the base and what the counters say then.

It is kept every few minutes, with the certificate and the memories of the snapshot that it is of, by the label
``part``. ``docs/exact-dollars.md`` tells where it is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Final

from asahi_analytics.promql import MILLISECOND, NAME, NAMES, at_grid, by_clause, duration, of_snapshot
from asahi_analytics.rule_text import grids_text
from asahi_analytics.tiles import (
    MEMORY,
    PART,
    PLAIN_CREATED,
    PROCESS,
    RUNNING,
    SEEN,
    SINCE,
    SNAPSHOT,
    RuleParameters,
    part,
    state_metric,
)
from asahi_exporter.conventions import DIRECTION, FAMILIES, INPUT, STORE, STORE_CREATED, TOKEN_COUNT, Family

LEAST: Final = "1e-7"
"""A ten-millionth of a dollar: what adding up increments in floating point leaves is smaller, and is no base."""
GROUP: Final = "asahi_bases"
_SIGN: Final = f'{TOKEN_COUNT.name}_count{{{DIRECTION}="{INPUT}",{STORE}!=""}}'
"""Counts every request in one series of a memory: it falls when the memory is set back."""
SCRAPED: Final = "scraped"
BEGUN: Final = "begun"
MOVED: Final = "moved"
KNOWN: Final = "known"
KNOWN_SCRAPED: Final = "known scraped"
LIVES: Final = "lives"
LIVES_BEGUN: Final = "lives begun"
"""Parts of ``Signs``: memories scraped and known, and processes without one that began and are known as such."""


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
        interval = self.rules.state_interval
        return interval * math.ceil(self.rules.lookback / interval)

    @property
    def age(self) -> timedelta:
        """How old the snapshot of the base that was recorded last is at most.

        Its state is of the snapshot before where an evaluation was missed.
        """
        return 2 * self.grid + self.rules.stored + self.rules.state_interval

    @property
    def several(self) -> str:
        """Return in PromQL how many bases are within reach of the time of the query."""
        return f'count_over_time({self.metric}{{{PART}="{SNAPSHOT}"}}[{duration(self.grid)}])'

    @property
    def settled(self) -> timedelta:
        """How long a run goes on at least before its base may stand."""
        return self.grid + self.age

    @property
    def standing(self) -> str:
        """Return in PromQL since when the run of the base goes on that may stand at the time of the query, if one may.

        It may while the memories and processes that it knows, and no others, are scraped; while each counter has a
        memory; and while no other base is within reach, of which a series may not be in the last.
        """
        there, begun = served(self.grid), _begun(self.grid)
        known = {store: self._recorded(f'{PART}="{MEMORY}",{STORE}{store}""') for store in ("!=", "=")}
        kept, lives = f"max by ({STORE}) ({known['!=']})", f"max by {PROCESS} ({known['=']})"
        plain = f'{self.family.source}{{{STORE}=""}}[{duration(self.age)}]'
        doubts = (
            f"{there} unless on ({STORE}) {kept}",
            f"{kept} unless on ({STORE}) {there}",
            f"{begun} unless on {PROCESS} ({begun} == on {PROCESS} {lives})",
            f"{lives} unless on {PROCESS} {begun}",
            f"last_over_time({plain}) unless on {PROCESS} {_begun(self.back)}",
            f"{self.several} > 1",
        )
        certificate = self._recorded(f'{PART}="{SINCE}"')
        settled = f"{self.settled.total_seconds():g}"
        return f"max by () ({certificate}) <= time() - {settled} unless on () ({any_of(doubts)})"

    @property
    def moved(self) -> str:
        """Return in PromQL whether no base stands, as something came, went, moved, was set back or began anew lately.

        Lately: since the snapshot of the base that was recorded last, and for a look-back before it. It is the same for
        all families.
        """
        serving, begun = served(self.back), _begun(self.back)
        doubts = (
            f"{serving} unless on ({STORE}) {served(self.grid)}",
            f"{serving} > 1",
            memory_set_back(self.back),
            f"{begun} unless on {PROCESS} {_begun(self.grid)}",
            f"changes({PLAIN_CREATED}[{duration(self.back)}]) > 0",
        )
        return any_of(doubts)

    @property
    def back(self) -> timedelta:
        """How far back from the time of the query nothing may have moved."""
        return self.age + self.rules.lookback

    @property
    def certified(self) -> str:
        """Return in PromQL since when the run goes on of which a base stands, where it is the one that goes on now."""
        state = f'{state_metric(self.family)}{{{PART}="{SINCE}"}}[{duration(self.rules.state_lookback)}]'
        return f"(({self.standing} unless on () ({self.moved})) == on () max by () (last_over_time({state})))"

    def _recorded(self, matching: str) -> str:
        return f"last_over_time({self.metric}{{{matching}}}[{duration(self.grid)}])"

    def total(self, by: Iterable[str]) -> str:
        """Return in PromQL the running total by ``by`` at the time of the query, where the base stands."""
        return f"sum {by_clause(tuple(by))} ({self.amounts()})"

    def amounts(self, where: str = "") -> str:
        """Return in PromQL what the total is the sum of: the base and the counters; ``where``: matchers on labels.

        One selector of both is read and summed fastest.
        """
        names = f'{NAME}=~"{self.metric}|{self.family.source}",{PART}=""'
        amounts = ",".join(filter(None, (names, where)))
        return f"last_over_time({{{amounts}}}[{duration(self.grid)}])"

    def expression(self) -> str:
        """Return the recording rule."""
        state, kept = state_metric(self.family), self.rules.kept - MILLISECOND

        def held(matching: str) -> str:
            return of_snapshot(f"{state}{{{matching}}}", kept)

        running, seen, memories = (held(f'{PART}="{name}"') for name in (RUNNING, SEEN, MEMORY))
        base = f"round(sum {by_clause(self.family.labels)} (-{seen} or on ({PART}) {running}), {LEAST}) != 0"
        certificate = held(f'{PART}=~"{SINCE}|{SNAPSHOT}"')
        return at_grid(f"{base} or {certificate} or {memories}", self.grid, self.rules.stored)


@dataclass(frozen=True)
class Signs:
    """What tells the composer whether bases stand: of many families at once, where a rule asks about its own.

    ``Base.standing`` compares what the base knows with what is scraped one by one; here both are counted, and what they
    have in common: where all counts are alike, so are the sets. Counts are told apart by the label ``part``.
    """

    base: Base

    @cached_property
    def of_all(self) -> str:
        """Return in PromQL what is the same for all families: what was scraped, and whether anything moved."""
        grid = self.base.grid
        scraped = part(SCRAPED, f"count({served(grid)})")
        return f"{scraped} or {part(BEGUN, f'count({_begun(grid)})')} or {part(MOVED, self.base.moved)}"

    @cached_property
    def of_base(self) -> str:
        """Return a template of names of bases: since when the run goes on, and what the base knows."""
        back, process = duration(self.base.grid), PROCESS.strip("()")
        since, stored, plain = (
            f"max by ({labels}) (last_over_time({{{NAMES},{matching}}}[{back}]))"
            for labels, matching in (
                (NAME, f'{PART}="{SINCE}"'),
                (f"{NAME}, {STORE}", f'{PART}="{MEMORY}",{STORE}!=""'),
                (f"{NAME}, {process}", f'{PART}="{MEMORY}",{STORE}=""'),
            )
        )
        counted = {
            KNOWN: stored,
            KNOWN_SCRAPED: f"{stored} and on ({STORE}) {served(self.base.grid)}",
            LIVES: plain,
            LIVES_BEGUN: f"{plain} == on {PROCESS} group_left () {_begun(self.base.grid)}",
        }
        counts = (part(name, f"count by ({NAME}) ({what})") for name, what in counted.items())
        return " or ".join((part(SINCE, since), *counts))

    @cached_property
    def of_counters(self) -> str:
        """Return a template of names of counters: those of processes that were not scraped, which no memory holds."""
        plain = f'last_over_time({{{NAMES},{STORE}=""}}[{duration(self.base.age)}])'
        return f"count by ({NAME}) ({plain} unless on {PROCESS} {_begun(self.base.back)})"

    def since(self, found: Mapping[str, float], at: float) -> float | None:
        """Return since when the run of the base that stands at ``at`` goes on; ``None`` where none does.

        ``found``: what is the same for all and what is of the base, by part.
        """
        since = found.get(SINCE)
        alike = all(
            len({found.get(name, 0.0) for name in names}) == 1
            for names in ((SCRAPED, KNOWN, KNOWN_SCRAPED), (BEGUN, LIVES, LIVES_BEGUN))
        )
        if since is None or not alike or MOVED in found:
            return None
        return since if since <= at - self.base.settled.total_seconds() else None


@lru_cache(maxsize=256)
def base_of(family: Family, rules: RuleParameters) -> tuple[Base, Signs]:
    """Return the base of ``family`` and its signs; what they are asked by is worded once."""
    base = Base(family, rules)
    return base, Signs(base)


def any_of(doubts: Iterable[str]) -> str:
    """Return in PromQL whether any of ``doubts`` has a series."""
    return " or ".join(f"count({doubt})" for doubt in doubts)


def memory_set_back(back: timedelta) -> str:
    """Return in PromQL the signs that a memory was set back within ``back``."""
    return f"resets({_SIGN}[{duration(back)}]) > 0"


def served(back: timedelta, offset: str = "") -> str:
    """Return in PromQL how many processes served each memory that was scraped within ``back``."""
    created = f'{STORE_CREATED.name}{{{STORE}!=""}}[{duration(back)}]'
    return f"count by ({STORE}) (last_over_time({created}{offset}))"


def _begun(back: timedelta) -> str:
    """When each process that was scraped within ``back`` and has no memory but its own began."""
    return f"max by {PROCESS} (last_over_time({PLAIN_CREATED}[{duration(back)}]))"


def rule_files(
    rules: RuleParameters | None = None, families: Mapping[str, Family] = FAMILIES
) -> dict[str, str]:
    """Return the text of each rule file by its name."""
    bases = (Base(family, rules or RuleParameters()) for family in families.values())
    return {
        "asahi_bases.yml": grids_text(GROUP, ((base.grid, base.metric, base.expression()) for base in bases))
    }
