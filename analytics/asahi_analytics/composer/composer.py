"""How much of a family, by which labels, between which two moments: the only place where counters are summed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import reduce
from typing import TypeVar

import pandas as pd

from asahi_analytics.composer.bins import Bins
from asahi_analytics.composer.context import PRICED, Context
from asahi_analytics.composer.ledger import add, index_of, series_of
from asahi_analytics.composer.listener import Client, Listener
from asahi_analytics.composer.question import Question
from asahi_analytics.composer.values import Ask, Sums, SumSeries
from asahi_analytics.errors import UserInputError
from asahi_analytics.tiles import RuleParameters
from asahi_analytics.windows import Window

Item = TypeVar("Item")
Result = TypeVar("Result")


class Composer:
    """Sums any family by any of its labels over any window, and says how far each sum can be trusted.

    Inside an unbroken run of the recording rules a window is the difference of two running totals; everything
    else is summed from raw samples. Thread-safe. Every method raises ``UserInputError`` for a family or label
    that does not exist and a ``PrometheusError`` when there is no usable answer.
    """

    def __init__(self, client: Client, rules: RuleParameters | None = None) -> None:
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
        client = Listener(self._client)
        questions = [Question.of(ask, self.rules) for ask in asks]
        about = {_about(question): question for question in questions}
        contexts = [self._threads().submit(Context.of, client, question) for question in about.values()]
        plans = self._map(lambda question: question.plan(client), questions)
        jobs = [(question, piece) for question, plan in zip(questions, plans, strict=True) for piece in plan]
        amounts = iter(self._map(lambda job: job[0].amounts(client, job[1]), jobs))
        sums = [reduce(add, [next(amounts) for _ in plan]) for plan in plans]
        known = {key: context.result() for key, context in zip(about, contexts, strict=True)}
        return [
            Sums(
                series_of(amount, question.ask.by),
                question.ask.window,
                known[_about(question)].trust(plan, client.warnings),
            )
            for question, plan, amount in zip(questions, plans, sums, strict=True)
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
        if count < 1 or abs(window.length - count * step) > timedelta(milliseconds=1):
            raise UserInputError(f"a window of {window.length} is not a whole number of steps of {step}")
        question = Question.of(Ask(family, by, window, where), self.rules)
        client = Listener(self._client)
        context = self._threads().submit(Context.of, client, question)
        bins = Bins(client, question, count).answer()
        frame = pd.DataFrame(
            bins.values, columns=index_of(bins.keys, by) if bins.keys else series_of({}, by).index
        )
        frame.index = pd.date_range(window.start, periods=count, freq=step)
        return SumSeries(frame, window, context.result().trust(bins.plan, client.warnings))

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


def _about(question: Question) -> tuple[Window, bool]:
    return question.ask.window, question.family.name in PRICED
