"""The running total at a moment between two evaluations of the rules.

While the same memories and processes are scraped at the moment as at the snapshot of the last base, and none was set
back or began anew, nothing was born, moved or lost in between but label sets, which count from zero: then the total is
the base and what the counters say, summed at once. Both are asked for together with whether it is so; if not, every
counter is followed by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from asahi_analytics.bases import any_of, base_of, memory_set_back, served
from asahi_analytics.composer.ledger import Amounts, amounts_of
from asahi_analytics.composer.rounds import Asking, At, Named, is_wide, summed, together, value
from asahi_analytics.composer.runs import Run
from asahi_analytics.promql import by_clause, duration, matchers
from asahi_analytics.replies import Vector, label_of
from asahi_analytics.tiles import (
    PART,
    RUNNING,
    SEEN,
    RuleParameters,
    part,
    terms_at_query_time,
)
from asahi_exporter.conventions import STORE, STORE_CREATED, Family


@dataclass(frozen=True)
class Based:
    """What the last base and the counters come to, and of which run that is the total, by when it began.

    ``since`` is ``None`` where they do not lead to a total.
    """

    since: float | None
    found: Vector


@dataclass(frozen=True)
class Edge:
    """The edge of a sum of ``family``, of the label sets that ``where`` lets through."""

    family: Family
    rules: RuleParameters
    where: Mapping[str, Sequence[str]] | None = None

    def based(self, by: Sequence[str], at: datetime) -> Asking[Based]:
        """Find what the last base and the counters come to by ``by`` at ``at``."""
        amounts = base_of(self.family, self.rules)[0].amounts(self._matching())
        askings: list[Asking[Any]] = [self.standing(at), summed(amounts, by, at, is_wide(by, self.where))]
        since, found = yield from together(askings)
        return Based(since, found)

    def standing(self, at: datetime) -> Asking[float | None]:
        """Find since when the run goes on whose base stands at ``at``; ``None`` where none does."""
        base, signs = base_of(self.family, self.rules)
        shared, known, stray, several = yield (
            At(signs.of_all, at),
            Named(signs.of_base, base.metric, at),
            Named(signs.of_counters, self.family.source, at),
            At(base.several, at),
        )
        told = {label_of(sample.labels, PART): sample.value for sample in (*shared.samples, *known.samples)}
        alone = not stray.samples and all(sample.value <= 1 for sample in several.samples)
        return signs.since(told, at.timestamp()) if alone else None

    def total(self, by: Sequence[str], at: datetime, run: Run, based: Based) -> Asking[Amounts | None]:
        """Find the running total of ``run`` by ``by`` at ``at``.

        ``None`` where totals that were filled in do not lead to it.
        """
        since = timedelta(seconds=max(round(at.timestamp() - run.snapshot, 3), 0.001))
        if run.backfilled:
            return (yield from self._filled(by, at, run.metric, since))
        if based.since == run.since:
            return amounts_of(based.found.samples, by)
        terms = terms_at_query_time(self.family, self.rules, run.metric, since, self._matching())
        found = yield from value(terms.total(by), at, by)
        return amounts_of(found.samples, by)

    def _matching(self, *more: str) -> str:
        return ",".join(filter(None, (*more, matchers(self.where)[1:-1])))

    def _filled(
        self, by: Sequence[str], at: datetime, metric: str, since: timedelta
    ) -> Asking[Amounts | None]:
        """From a total that was filled in, which holds no memories and no counters: the samples do."""
        reach, before = max(self.rules.lookback, since), f" offset {duration(since)}"
        running, stored = self._matching(f'{PART}="{RUNNING}"'), self._matching(f'{STORE}!=""')
        recorded = f"last_over_time({metric}{{{running}}}[{duration(since)}])"
        counters = f"last_over_time({self.family.source}{{{stored}}}[{duration(reach)}]"
        seen = part(SEEN, f"{counters}{before})")
        since_then = f"sum {by_clause(by)} ({recorded} or {counters}) or -1 * {seen})"
        now, then, plain = served(reach), served(reach, before), f'{{{STORE}=""}}[{duration(reach)}]'
        doubts = (
            f"{now} unless on ({STORE}) {then}",
            f"{then} unless on ({STORE}) {now}",
            f"{now} > 1",
            f"{then} > 1",
            memory_set_back(reach),
            f"last_over_time({self.family.source}{plain})",
            f"last_over_time({STORE_CREATED.name}{plain})",
        )
        asked = (value(since_then, at, by), value(any_of(doubts), at))
        total, doubted = yield from together(list(asked))
        return None if doubted.samples else amounts_of(total.samples, by)
