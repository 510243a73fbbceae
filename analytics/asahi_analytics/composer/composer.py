"""How much of a family, by which labels, between which two moments: the only place where counters are summed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import pandas as pd

from asahi_analytics.composer.ledger import Amounts, add, amounts_of, series_of, subtract
from asahi_analytics.composer.raw import RawSums
from asahi_analytics.composer.runs import Piece, look_in, moment, pieces
from asahi_analytics.composer.values import Ask, Sums, SumSeries, Trust
from asahi_analytics.errors import UserInputError
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.promql import by_clause, duration, matchers
from asahi_analytics.tiles import PART, RUNNING, RuleParameters, state_metric, terms_at_query_time
from asahi_analytics.windows import Window
from asahi_exporter.conventions import FAMILIES, Family

Item = TypeVar("Item")
Result = TypeVar("Result")


class Composer:
    """Sums any family by any of its labels over any window, and says how far each sum can be trusted.

    Inside an unbroken run of the recording rules a window is the difference of two running totals; everything
    else is summed from raw samples. Thread-safe. Every method raises ``UserInputError`` for a family or label
    that does not exist and a ``PrometheusError`` when there is no usable answer.
    """

    def __init__(self, client: PrometheusClient, rules: RuleParameters | None = None) -> None:
        """Ask nothing yet; ``rules`` are the parameters that the recording rules were built with."""
        self._client = client
        self.rules = rules or RuleParameters()
        self._lock = threading.Lock()
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def total(
        self,
        family: str,
        by: Sequence[str],
        window: Window,
        where: Mapping[str, Sequence[str]] | None = None,
    ) -> Sums:
        """Return the amount of ``family`` by ``by`` in ``window``, of the label sets that ``where`` lets through."""
        return self.totals([Ask(family, by, window, where)])[0]

    def totals(self, asks: Sequence[Ask]) -> list[Sums]:
        """Return the answer to each ask, in order; they are asked concurrently."""
        questions = [Question.of(ask, self.rules) for ask in asks]
        plans = self._map(lambda question: question.plan(self._client), questions)
        jobs = [(question, piece) for question, plan in zip(questions, plans, strict=True) for piece in plan]
        amounts = iter(self._map(lambda job: job[0].amounts(self._client, job[1]), jobs))
        return [
            _sums(question, plan, [next(amounts) for _ in plan])
            for question, plan in zip(questions, plans, strict=True)
        ]

    def series(
        self,
        family: str,
        by: Sequence[str],
        window: Window,
        step: timedelta,
        where: Mapping[str, Sequence[str]] | None = None,
    ) -> SumSeries:
        """Return the amounts in bins of ``step``; the window must be a whole number of them."""
        count = round(window.length / step)
        edges = [window.start + index * step for index in range(count + 1)]
        asks = [Ask(family, by, Window(a, b), where) for a, b in zip(edges, edges[1:], strict=False)]
        sums = self.totals(asks)
        frame = pd.DataFrame({edge: one.values for edge, one in zip(edges, sums, strict=False)}).T
        frame.index = pd.DatetimeIndex(edges[:-1])
        return SumSeries(frame.fillna(0.0).astype(float), window, sums[-1].trust)

    def _map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        todo = list(items)
        if len(todo) < 2:
            return [function(item) for item in todo]
        return list(self._threads().map(function, todo))

    def _threads(self) -> ThreadPoolExecutor:
        """Threads of this process; their work never waits for other work of theirs."""
        with self._lock:
            if self._pool is None or self._pool[0] != os.getpid():
                self._pool = (os.getpid(), ThreadPoolExecutor(16, thread_name_prefix="composer"))
            return self._pool[1]


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

    def plan(self, client: PrometheusClient) -> list[Piece]:
        """Return which parts of the window recorded totals answer for."""
        look = look_in(client, state_metric(self.family))
        start, end = self.ask.window.start.timestamp(), self.ask.window.end.timestamp()
        return pieces(start, end, look, self.rules.state_lookback.total_seconds(), self.rejoin)

    def amounts(self, client: PrometheusClient, piece: Piece) -> Amounts:
        """Return what was counted within ``piece``."""
        if piece.run is None:
            raw = RawSums(client, self.family, self.ask.where, self.rules.state_lookback)
            return raw.between(self.ask.by, piece.start, piece.end)[0]
        return subtract(self.running(client, piece, piece.end), self.running(client, piece, piece.start))

    def running(self, client: PrometheusClient, piece: Piece, at: float) -> Amounts:
        """Return the running total of the piece's run at a moment within it."""
        if piece.run is None:
            return {}
        look = look_in(client, piece.run.metric)
        after = self.rules.settle.total_seconds() + self.interval - 0.001
        if at % self.interval == 0:
            run = look(at + after, after)
            if run is not None and run.snapshot == at:
                return self._recorded(client, piece.run.metric, at + after)
        run = look(at, self.rules.state_lookback.total_seconds())
        if run is None:
            return {}
        return self._with_samples_since(client, piece.run.metric, at, at - run.snapshot)

    def _recorded(self, client: PrometheusClient, metric: str, at: float) -> Amounts:
        after = self.rules.settle + self.rules.interval_of(self.family)
        where = matchers(self.ask.where)[1:-1]
        matching = ",".join(filter(None, (f'{PART}="{RUNNING}"', where)))
        recorded = f"last_over_time({metric}{{{matching}}}[{duration(after)}])"
        return amounts_of(
            client.query(f"sum {by_clause(self.ask.by)} ({recorded})", moment(at)).samples, self.ask.by
        )

    def _with_samples_since(
        self, client: PrometheusClient, metric: str, at: float, seconds: float
    ) -> Amounts:
        since = timedelta(seconds=max(round(seconds, 3), 0.001))
        terms = terms_at_query_time(self.family, self.rules, metric, since, matchers(self.ask.where)[1:-1])
        return amounts_of(client.query(terms.total(self.ask.by), moment(at)).samples, self.ask.by)


def _sums(question: Question, plan: Sequence[Piece], amounts: Sequence[Amounts]) -> Sums:
    total: Amounts = {}
    for part in amounts:
        total = add(total, part)
    raw_seconds = sum(piece.end - piece.start for piece in plan if piece.run is None)
    ratio = raw_seconds / question.ask.window.seconds
    source = " and ".join(
        dict.fromkeys("raw samples" if piece.run is None else "running totals" for piece in plan)
    )
    return Sums(
        series_of(total, question.ask.by), question.ask.window, Trust(repaired_ratio=ratio, source=source)
    )
