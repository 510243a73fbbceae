"""One ask, checked, and the ways to answer it: running totals, or raw samples."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from asahi_analytics.composer.ledger import Amounts, add, amounts_of, subtract
from asahi_analytics.composer.listener import Client
from asahi_analytics.composer.raw import RawSums
from asahi_analytics.composer.runs import Piece, Run, look_in, moment, pieces
from asahi_analytics.composer.values import Ask
from asahi_analytics.errors import UserInputError
from asahi_analytics.promql import by_clause, duration, matchers
from asahi_analytics.tiles import PART, RUNNING, RuleParameters, state_metric, terms_at_query_time
from asahi_exporter.conventions import FAMILIES, Family


@dataclass(frozen=True)
class Question:
    """An ask that was checked, and what is needed to answer it."""

    ask: Ask
    family: Family
    rules: RuleParameters

    @classmethod
    def of(cls, ask: Ask, rules: RuleParameters) -> Question:
        """Check ``ask``; raise ``UserInputError`` for a family or label that does not exist."""
        if ask.family not in FAMILIES:
            raise UserInputError(f"family must be one of {', '.join(FAMILIES)}; got {ask.family!r}")
        family = FAMILIES[ask.family]
        if unknown := [name for name in (*ask.by, *(ask.where or ())) if name not in family.labels]:
            raise UserInputError(
                f"{ask.family} has the labels {', '.join(family.labels)}; got {unknown[0]!r}"
            )
        return cls(ask, family, rules)

    @property
    def interval(self) -> float:
        """Seconds between evaluations of the family's rules."""
        return self.rules.interval_of(self.family).total_seconds()

    @property
    def rejoin(self) -> float:
        """Seconds from an interruption's end to the run that follows."""
        return self.rules.rejoin_of(self.family).total_seconds()

    def plan(self, client: Client) -> list[Piece]:
        """Return which parts of the window recorded totals answer for."""
        look = look_in(client, state_metric(self.family))
        start, end = self.ask.window.start.timestamp(), self.ask.window.end.timestamp()
        return pieces(start, end, look, self.rules.state_lookback.total_seconds(), self.rejoin)

    def raw(self, client: Client) -> RawSums:
        """Return the way to sum from raw samples."""
        return RawSums(client, self.family, self.ask.where, self.rules.state_lookback)

    def amounts(self, client: Client, piece: Piece) -> Amounts:
        """Return what was counted within ``piece``."""
        if piece.run is None:
            return self.raw(client).between(self.ask.by, piece.start, piece.end)
        return subtract(
            self.running(client, piece.run, piece.end), self.running(client, piece.run, piece.start)
        )

    @property
    def after(self) -> float:
        """Seconds after a snapshot at which its evaluation is sure to have been, and the next one not."""
        return self.rules.settle.total_seconds() + self.interval - 0.001

    def running(self, client: Client, run: Run, at: float) -> Amounts:
        """Return the running total of ``run`` at a moment within it."""
        look = look_in(client, run.metric)
        if at % self.interval == 0:
            found = look(at + self.after, self.after)
            if found is not None and found.snapshot == at:
                answer = client.query(self.recorded(run.metric), moment(at + self.after))
                return amounts_of(answer.samples, self.ask.by)
        found = look(at, self.rules.state_lookback.total_seconds())
        if found is None:
            return {}
        if not found.backfilled:
            return self._with_samples_since(client, run.metric, at, at - found.snapshot)
        recorded = self.running(client, run, found.snapshot)
        return add(recorded, self.raw(client).between(self.ask.by, found.snapshot, at))

    def recorded(self, metric: str, slack: float = 0.0) -> str:
        """Return the running total at a snapshot in PromQL, ``after`` seconds later; or up to ``slack`` before."""
        after = self.rules.settle + self.rules.interval_of(self.family) + timedelta(seconds=slack)
        where = matchers(self.ask.where)[1:-1]
        matching = ",".join(filter(None, (f'{PART}="{RUNNING}"', where)))
        return f"sum {by_clause(self.ask.by)} (last_over_time({metric}{{{matching}}}[{duration(after)}]))"

    def _with_samples_since(self, client: Client, metric: str, at: float, seconds: float) -> Amounts:
        since = timedelta(seconds=max(round(seconds, 3), 0.001))
        terms = terms_at_query_time(self.family, self.rules, metric, since, matchers(self.ask.where)[1:-1])
        return amounts_of(client.query(terms.total(self.ask.by), moment(at)).samples, self.ask.by)
