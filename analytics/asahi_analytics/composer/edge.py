"""The running total at a moment between two evaluations of the rules: what was recorded, and what was scraped since.

While the same memories are scraped at the moment as at the snapshot, nothing was born, moved or lost in between
but label sets, which count from zero: then the total is what was recorded, plus what the counters say now, less
what they said then, summed at once. Whether it is so is asked with it; if not, every counter is followed by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from asahi_analytics.composer.ledger import Amounts, amounts_of
from asahi_analytics.composer.rounds import Asking, together, value
from asahi_analytics.promql import by_clause, duration
from asahi_analytics.replies import Vector
from asahi_analytics.tiles import (
    MEMORY,
    PART,
    RUNNING,
    SEEN,
    RuleParameters,
    part,
    terms_at_query_time,
)
from asahi_exporter.conventions import REQUESTS, STORE, STORE_CREATED, Family


@dataclass(frozen=True)
class Edge:
    """``since`` is how long ago ``metric`` had counted everything; ``where`` holds matchers on the family's labels.

    ``filled``: it was filled in from samples, and holds no memories and counters as last seen; the samples do.
    """

    family: Family
    rules: RuleParameters
    metric: str
    since: timedelta
    where: str
    filled: bool = False

    def total(self, by: Sequence[str], at: datetime) -> Asking[Amounts | None]:
        """Find the running total by ``by`` at ``at``; ``None`` where totals that were filled in do not lead to it."""
        asked = (self._summed(by), self._scraped(), self._remembered(), self._followed_only())
        summed, scraped, remembered, followed = yield from together([value(promql, at) for promql in asked])
        if followed.samples or not _same_memories(scraped, remembered):
            if self.filled:
                return None
            summed = yield from value(self._followed(by), at)
        return amounts_of(summed.samples, by)

    @property
    def _reach(self) -> str:
        return duration(max(self.rules.lookback, self.since))

    def _matching(self, *more: str) -> str:
        return ",".join(filter(None, (*more, self.where)))

    def _summed(self, by: Sequence[str]) -> str:
        recent, stored = duration(self.since), f'{STORE}!=""'
        running, seen = self._matching(f'{PART}="{RUNNING}"'), self._matching(f'{PART}="{SEEN}"', stored)
        recorded = f"last_over_time({self.metric}{{{running}}}[{recent}])"
        scraped = f"{self.family.source}{{{self._matching(stored)}}}[{self._reach}]"
        then = f"last_over_time({self.metric}{{{seen}}}[{recent}])"
        if self.filled:
            then = part(SEEN, f"last_over_time({scraped} offset {recent})")
        return f"sum {by_clause(by)} ({recorded} or last_over_time({scraped}) or -1 * {then})"

    def _scraped(self, offset: str = "") -> str:
        """How many processes serve each memory that was scraped, now or ``offset`` before."""
        selector = f'{STORE_CREATED.name}{{{STORE}!=""}}[{self._reach}]{offset}'
        return f"count by ({STORE}) (last_over_time({selector}))"

    def _remembered(self) -> str:
        """The memories that were scraped when the snapshot was taken."""
        if self.filled:
            return self._scraped(f" offset {duration(self.since)}")
        selector = f'{self.metric}{{{PART}="{MEMORY}",{STORE}!=""}}[{duration(self.since)}]'
        return f"count by ({STORE}) (last_over_time({selector}))"

    def _followed_only(self) -> str:
        """Whether there are counters that die with their process, or a memory that was set back."""
        counters = f'{self.family.source}{{{STORE}=""}}[{self._reach}]'
        memories = f'{STORE_CREATED.name}{{{STORE}=""}}[{self._reach}]'
        fell = f'resets({REQUESTS.name}{{{STORE}!=""}}[{self._reach}]) > 0'
        return f"count(last_over_time({counters})) or count(last_over_time({memories})) or count({fell})"

    def _followed(self, by: Sequence[str]) -> str:
        return terms_at_query_time(self.family, self.rules, self.metric, self.since, self.where).total(by)


def _same_memories(scraped: Vector, remembered: Vector) -> bool:
    """Whether each memory that was scraped is served by one process and was there at the snapshot, and none is gone."""
    now, then = (
        {sample.labels.get(STORE): sample.value for sample in memories.samples}
        for memories in (scraped, remembered)
    )
    return now == then and all(count == 1 for count in now.values())
