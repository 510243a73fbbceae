"""One ask, checked, and the ways to answer it: running totals, or raw samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

from asahi_analytics.composer.edge import Based, Edge
from asahi_analytics.composer.ledger import Amounts, add, amounts_of, subtract
from asahi_analytics.composer.listener import Client
from asahi_analytics.composer.raw import RawSums
from asahi_analytics.composer.raw_questions import DAY, RawQuestions, cut
from asahi_analytics.composer.rounds import Answered, Asking, Request, is_wide, of_name, together, value, work
from asahi_analytics.composer.runs import Piece, Run, look_in, moment, pieces
from asahi_analytics.composer.values import Ask
from asahi_analytics.errors import UserInputError
from asahi_analytics.levels import levels_of
from asahi_analytics.promql import NAMES, by_clause, duration, matchers
from asahi_analytics.replies import Vector
from asahi_analytics.tiles import PART, RUNNING, SNAPSHOT, RuleParameters, state_metric
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
        """Seconds between snapshots of the state."""
        return self.rules.state_interval.total_seconds()

    @property
    def rejoin(self) -> float:
        """Seconds from an interruption's end to the run that follows."""
        return self.rules.rejoin.total_seconds()

    def plan(self) -> Asking[list[Piece]]:
        """Find which parts of the window recorded totals answer for."""
        look = look_in(state_metric(self.family))
        start, end = self.ask.window.start.timestamp(), self.ask.window.end.timestamp()
        return (yield from pieces(start, end, look, self.rules.state_lookback.total_seconds(), self.rejoin))

    def plan_ahead(self, ahead: Sequence[Asking[Any]]) -> Asking[list[Piece]]:
        """Find the same, and with it what a window in one run, as most are, is going to need.

        What ``ahead`` asks is known when it is asked again.
        """
        askings: list[Asking[Any]] = [self.plan(), *ahead]
        plan: list[Piece] = (yield from together(askings))[0]
        return plan

    def edges_ahead(self) -> list[Asking[Any]]:
        """Ask what both edges of the window need."""
        window = self.ask.window
        return [self.edge_ahead(at.timestamp()) for at in (window.end, window.start)]

    def certified_ahead(self) -> Asking[list[Piece]]:
        """Find the plan, and ask what certifies both edges, whatever label sets are then asked for."""
        window = self.ask.window
        askings: list[Asking[Any]] = []
        for at in (window.end.timestamp(), window.start.timestamp()):
            if at % self.interval:
                askings += [self._look(at), self._edge.standing(moment(at))]
        return (yield from self.plan_ahead(askings))

    def edge_ahead(self, at: float) -> Asking[Any]:
        """Ask what ``running`` asks first of a moment."""
        metric = state_metric(self.family)
        return self._at_snapshot(metric, at) if at % self.interval == 0 else self._recorded_at(at)

    def from_samples(self, edges: Sequence[float]) -> Asking[list[Amounts]]:
        """Find from raw samples what was counted between ``edges``, one after the other.

        What that asks first is asked at once, and told when it is asked for.
        """
        where, lookback = self.ask.where, self.rules.state_lookback
        first = RawQuestions(self.family, matchers(where)[1:-1], lookback.total_seconds()).first(edges)
        known: dict[Request, Any] = dict(zip(first, (yield first), strict=True))

        def sums(client: Client) -> list[Amounts]:
            raw = RawSums(Answered(client, known), self.family, where, lookback)
            return list(raw.each_bin(self.ask.by, edges))

        return (yield from work(sums))

    def planned(self, known: list[Piece] | None = None) -> Asking[tuple[list[Piece], Amounts]]:
        """Find what was counted within the window, and by which plan, unless that is ``known``."""
        plan = known if known is not None else (yield from self.plan_ahead(self.edges_ahead()))
        parts = yield from together([self.amounts(piece) for piece in plan])
        return plan, reduce(add, parts)

    def amounts(self, piece: Piece) -> Asking[Amounts]:
        """Find what was counted within ``piece``."""
        if piece.run is None:
            return (yield from self._from_samples(piece.start, piece.end))
        run = piece.run
        later, earlier = yield from together([self.running(run, at) for at in (piece.end, piece.start)])
        return subtract(later, earlier)

    def _from_samples(self, start: float, end: float) -> Asking[Amounts]:
        return reduce(add, (yield from self.from_samples(cut(start, end, DAY))))

    @property
    def after(self) -> float:
        """Seconds after a snapshot at which its evaluation is sure to have been, and the next one not."""
        return self.rules.settle.total_seconds() + self.interval - 0.001

    def running(self, run: Run, at: float) -> Asking[Amounts]:
        """Find the running total of ``run`` at a moment within it."""
        if at % self.interval == 0:
            found, recorded = yield from self._at_snapshot(run.metric, at)
            if found is not None and found.snapshot == at and found.since == run.since:
                return amounts_of(recorded.samples, self.ask.by)
        found, based = yield from self._recorded_at(at)
        if found is None or found.since != run.since:  # its first evaluation is still to come
            return (yield from self._from_samples(run.since, at)) if at > run.since else {}
        total = yield from self._edge.total(self.ask.by, moment(at), found, based)
        if total is not None:
            return total
        then, after = self.running(run, found.snapshot), self._from_samples(found.snapshot, at)
        return add(*(yield from together([then, after])))

    def _at_snapshot(self, metric: str, at: float) -> Asking[tuple[Run | None, Vector]]:
        """Find the total that ``metric`` recorded of the snapshot at ``at``, and what it says of itself."""
        recorded = self._recorded_by(metric, moment(at + self.after))
        askings: tuple[Asking[Any], ...] = (look_in(metric)(at + self.after, self.after), recorded)
        found, total = yield from together(askings)
        return found, total

    def _recorded_by(self, metric: str, at: datetime) -> Asking[Vector]:
        """Find the running total that ``metric`` recorded last before ``at``, together with that of others."""
        if self._as_recorded(metric) and not is_wide(self.ask.by):
            looked = duration(timedelta(seconds=self.after))
            return (yield from of_name(f"last_over_time({{{NAMES},{self._running}}}[{looked}])", metric, at))
        return (yield from value(self.recorded(metric, self.after), at, self.ask.by))

    @property
    def _edge(self) -> Edge:
        return Edge(self.family, self.rules, self.ask.where)

    def _recorded_at(self, at: float) -> Asking[tuple[Run | None, Based]]:
        """Find what the rules had recorded last at a moment, and what the last base and the counters come to."""
        askings: tuple[Asking[Any], ...] = (self._look(at), self._edge.based(self.ask.by, moment(at)))
        found, based = yield from together(askings)
        return found, based

    def _look(self, at: float) -> Asking[Run | None]:
        look = look_in(state_metric(self.family))
        return (yield from look(at, self.rules.state_lookback.total_seconds()))

    def recorded(self, metric: str, back: float) -> str:
        """Return in PromQL the running total that ``metric`` recorded last in ``back`` seconds."""
        looked = duration(timedelta(seconds=back))
        return self._summed((), f"last_over_time({metric}{{{self._running}}}[{looked}])", metric)

    @property
    def _running(self) -> str:
        """What matches running totals of the label sets asked for."""
        return ",".join(filter(None, (f'{PART}="{RUNNING}"', matchers(self.ask.where)[1:-1])))

    def totals(self, metric: str, back: float, more: str = "") -> str:
        """Return the same with the snapshot that it is of beside it, told apart by the label ``part``.

        ``more``: a matcher on a label of ``metric`` that the family does not have.
        """
        looked = duration(timedelta(seconds=back))
        if self.ask.where:
            mark = f'max by ({PART}) (last_over_time({metric}{{{PART}="{SNAPSHOT}"}}[{looked}]))'
            return f"{self.recorded(metric, back)} or {mark}"
        matching = ",".join(filter(None, (f'{PART}=~"{RUNNING}|{SNAPSHOT}"', more)))
        return self._summed((PART,), f"last_over_time({metric}{{{matching}}}[{looked}])", metric)

    def _summed(self, more: Sequence[str], read: str, metric: str) -> str:
        """Return the sum of what is ``read`` of ``metric``, by the labels asked for and ``more``."""
        return read if self._as_recorded(metric) else f"sum {by_clause((*more, *self.ask.by))} ({read})"

    def _as_recorded(self, metric: str) -> bool:
        """Tell whether no label of ``metric`` but those asked for tells series apart.

        They are not summed: over thousands of points that costs more than reading them.
        """
        copies = {level.metric: level.labels for level in levels_of(self.family, self.rules)}
        alike = {label for label, values in (self.ask.where or {}).items() if len(values) == 1}
        return {*self.ask.by, *alike} >= set(copies.get(metric, self.family.labels))
