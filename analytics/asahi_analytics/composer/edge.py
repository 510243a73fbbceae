"""The running total at a moment between two evaluations of the rules.

While the same memories are scraped at the moment as at the snapshot of the last base, and none was set back, nothing
was born, moved or lost in between but label sets, which count from zero: then the total is the base and what the
counters say, summed at once. Whether it is so is asked first; if not, every counter is followed by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from asahi_analytics.bases import Base
from asahi_analytics.composer.ledger import Amounts, amounts_of
from asahi_analytics.composer.rounds import Asking, together, value
from asahi_analytics.composer.runs import Run
from asahi_analytics.promql import by_clause, duration
from asahi_analytics.replies import Vector
from asahi_analytics.tiles import (
    MEMORY,
    PART,
    RUNNING,
    SEEN,
    SINCE,
    RuleParameters,
    part,
    terms_at_query_time,
)
from asahi_exporter.conventions import FAMILIES, STORE, STORE_CREATED, Family

_SIGN: Final = FAMILIES["token_count_count"]
"""Counts every request in no more than two series of a memory: it falls when the memory is set back."""


@dataclass(frozen=True)
class Signs:
    """What was scraped at a moment, and what the last base says of itself.

    ``processes``: how many serve each memory; ``followed_only``: some counters die with their process, or a memory was
    set back; ``since``: of the run that the base belongs to; ``memories``: those that it knew.
    """

    processes: Mapping[str, float]
    followed_only: bool
    since: float | None
    memories: frozenset[str]

    @property
    def same_memories(self) -> bool:
        """Whether each memory that was scraped is served by one process and was known, and none is gone."""
        return _same(self.processes, self.memories)


@dataclass(frozen=True)
class Edge:
    """The edge of a sum of ``family``; ``where`` holds matchers on the family's labels."""

    family: Family
    rules: RuleParameters
    where: str

    def signs(self, at: datetime) -> Asking[Signs]:
        """Find what tells how the total at ``at`` is to be read."""
        asked = (
            self._base.certificate,
            _scraped(self._reach),
            *self._to_be_followed(self._reach, self._base.age + self.rules.lookback),
        )
        base, scraped, *followed = yield from together([value(promql, at) for promql in asked])
        parts = {sample.labels.get(PART): sample.value for sample in base.samples}
        memories = (sample.labels[STORE] for sample in base.samples if sample.labels.get(PART) == MEMORY)
        return Signs(
            _processes(scraped),
            any(sign.samples for sign in followed),
            parts.get(SINCE),
            frozenset(memories),
        )

    def total(self, by: Sequence[str], at: datetime, run: Run, signs: Signs) -> Asking[Amounts | None]:
        """Find the running total of ``run`` by ``by`` at ``at``.

        ``None`` where totals that were filled in do not lead to it.
        """
        since = timedelta(seconds=max(round(at.timestamp() - run.snapshot, 3), 0.001))
        if run.backfilled:
            return (yield from self._filled(by, at, run.metric, since))
        if self._stands(at, run, signs):
            found = yield from value(self._based(by), at, by)
        else:
            terms = terms_at_query_time(self.family, self.rules, run.metric, since, self.where)
            found = yield from value(terms.total(by), at, by)
        return amounts_of(found.samples, by)

    @property
    def _base(self) -> Base:
        return Base(self.family, self.rules)

    @property
    def _reach(self) -> timedelta:
        """How far back the last base, and the last sample of every counter, is sure to be found."""
        return max(self.rules.lookback, self._base.grid)

    def _stands(self, at: datetime, run: Run, signs: Signs) -> bool:
        """Whether all that was recorded within reach is of ``run``, and leads to ``at``."""
        settled = run.since <= (at - self._reach - self._base.age).timestamp()
        return settled and signs.since == run.since and signs.same_memories and not signs.followed_only

    def _matching(self, *more: str) -> str:
        return ",".join(filter(None, (*more, self.where)))

    def _based(self, by: Sequence[str]) -> str:
        """The base and the counters; one selector of both is read and summed fastest."""
        names = f'__name__=~"{self._base.metric}|{self.family.source}"'
        amounts = self._matching(names, f'{PART}=""')
        return f"sum {by_clause(by)} (last_over_time({{{amounts}}}[{duration(self._reach)}]))"

    def _filled(
        self, by: Sequence[str], at: datetime, metric: str, since: timedelta
    ) -> Asking[Amounts | None]:
        """From a total that was filled in, which holds no memories and no counters: the samples do."""
        reach, before = max(self.rules.lookback, since), f" offset {duration(since)}"
        running, stored = self._matching(f'{PART}="{RUNNING}"'), self._matching(f'{STORE}!=""')
        recorded = f"last_over_time({metric}{{{running}}}[{duration(since)}])"
        counters = f"last_over_time({self.family.source}{{{stored}}}[{duration(reach)}]"
        seen = part(SEEN, f"{counters}{before})")
        summed = f"sum {by_clause(by)} ({recorded} or {counters}) or -1 * {seen})"
        asked = (summed, _scraped(reach), _scraped(reach, before), *self._to_be_followed(reach, reach))
        total, now, then, *followed = yield from together([value(promql, at) for promql in asked])
        leads = all(_same(_processes(each), _processes(then)) for each in (now, then))
        leads = leads and not any(sign.samples for sign in followed)
        return amounts_of(total.samples, by) if leads else None

    def _to_be_followed(self, reach: timedelta, back: timedelta) -> tuple[str, ...]:
        """Whether there are counters, or processes, without a memory that outlives them, or one was set back."""
        plain, stored = f'{{{STORE}=""}}[{duration(reach)}]', f'{{{STORE}!=""}}[{duration(back)}]'
        return (
            f"count(last_over_time({self.family.source}{plain}))",
            f"count(last_over_time({STORE_CREATED.name}{plain}))",
            f"count(resets({_SIGN.source}{stored}) > 0)",
        )


def _scraped(reach: timedelta, before: str = "") -> str:
    """How many processes serve each memory that was scraped within ``reach``."""
    created = f'{STORE_CREATED.name}{{{STORE}!=""}}[{duration(reach)}]'
    return f"count by ({STORE}) (last_over_time({created}{before}))"


def _processes(scraped: Vector) -> dict[str, float]:
    return {sample.labels[STORE]: sample.value for sample in scraped.samples}


def _same(processes: Mapping[str, float], known: Iterable[str]) -> bool:
    return processes.keys() == set(known) and all(count == 1 for count in processes.values())
