"""How much of a family, by which labels, between which two moments: the only place where counters are summed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

import pandas as pd

from asahi_analytics.composer.bins import Binned, Bins
from asahi_analytics.composer.context import Context, looks_at_prices
from asahi_analytics.composer.latencies import Latencies, recorded
from asahi_analytics.composer.ledger import index_of, series_of
from asahi_analytics.composer.listener import Client, Listener
from asahi_analytics.composer.question import Question
from asahi_analytics.composer.rounds import Asking, run, together
from asahi_analytics.composer.runs import Piece
from asahi_analytics.composer.shares import largest_shares
from asahi_analytics.composer.values import Ask, SeriesAsk, Sums, SumSeries, Trust
from asahi_analytics.errors import UserInputError
from asahi_analytics.latency_bins import LatencyBins
from asahi_analytics.replies import Floats
from asahi_analytics.threads import Threads
from asahi_analytics.tiles import RuleParameters
from asahi_analytics.windows import Window

Result = TypeVar("Result")
THREADS: Final = 16
"""Requests to Prometheus under way together, per process, for all sums."""


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
        self._threads = Threads(THREADS, "composer")

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
        """Return the answer to each ask, in order; what they ask at the same moment is asked as one."""
        return self.answer(lambda client: self.summing(asks, client))

    def answer(self, asking: Callable[[Listener], Asking[Result]]) -> Result:
        """Return the result of ``asking``, which may sum several times: nothing is asked twice."""
        client = Listener(self._client)
        return run(asking(client), client, self._threads)

    def summing(
        self, asks: Sequence[Ask], client: Listener, plans: Sequence[list[Piece] | None] = ()
    ) -> Asking[list[Sums]]:
        """Find the answer to each ask, in order; ``client`` is the one of ``answer``.

        ``plans``: what ``certifying`` found of the same asks.
        """
        questions = [Question.of(ask, self.rules) for ask in asks]
        planned = [
            each.planned(plan) for each, plan in zip(questions, plans or [None] * len(asks), strict=True)
        ]
        found, trusts = yield from _with_trust(client, questions, planned)
        return [
            Sums(amounts, question.ask.by, question.ask.window, trust(plan))
            for question, (plan, amounts), trust in zip(questions, found, trusts, strict=True)
        ]

    def certifying(self, asks: Sequence[Ask]) -> Asking[list[list[Piece]]]:
        """Find the plan of each of ``asks``, of which the label sets are not known yet, and what certifies it."""
        return (yield from together([Question.of(ask, self.rules).certified_ahead() for ask in asks]))

    def series(
        self,
        family: str,
        by: Sequence[str],
        window: Window,
        step: timedelta,
        where: Mapping[str, Sequence[str]] | None = None,
    ) -> SumSeries:
        """Return the amounts in bins of ``step``; the window must be a whole number of them."""
        return self.all_series([SeriesAsk(family, by, window, where, step)])[0]

    def all_series(self, asks: Sequence[SeriesAsk]) -> list[SumSeries]:
        """Return the answer to each ask, in order; asked as by ``totals``."""
        return self.answer(lambda client: self._summing_bins(asks, client))

    def _summing_bins(self, asks: Sequence[SeriesAsk], client: Listener) -> Asking[list[SumSeries]]:
        questions = [Question.of(ask, self.rules) for ask in asks]
        counts = [_bins_in(ask) for ask in asks]
        bins = [Bins(question, count).answer() for question, count in zip(questions, counts, strict=True)]
        found, trusts = yield from _with_trust(client, questions, bins)
        spans = {(ask.window, ask.step): ask for ask in asks}
        starts = {span: _starts(ask) for span, ask in spans.items()}
        return [
            SumSeries(_frame(binned, ask, starts[ask.window, ask.step]), ask.window, trust(binned.plan))
            for ask, binned, trust in zip(asks, found, trusts, strict=True)
        ]

    def series_and_latencies(
        self, asks: Sequence[SeriesAsk], window: Window, quantile: float
    ) -> tuple[list[SumSeries], Latencies]:
        """Return what ``all_series`` does, and what the rules recorded of a ``quantile`` of latency, 0-1.

        Its bins are of ten minutes. Not every one need be known: in others, and of other quantiles, it is worked out
        from sums of the buckets. What both need is asked once.
        """
        bins = LatencyBins(quantile, self.rules)

        def both(client: Listener) -> Asking[list[Any]]:
            askings: list[Asking[Any]] = [
                self._summing_bins(asks, client),
                recorded(bins, window, client),
            ]
            return (yield from together(askings))

        found, latencies = self.answer(both)
        return found, latencies

    def series_and_largest_shares(
        self, asks: Sequence[SeriesAsk], window: Window
    ) -> tuple[list[SumSeries], Floats]:
        """Return what ``all_series`` does, and the largest share, 0-1, of each day of ``window`` that one user had.

        NaN where that was not recorded, or nothing was spent.
        """

        def both(client: Listener) -> Asking[list[Any]]:
            shares = largest_shares(self.rules, window)
            askings: list[Asking[Any]] = [self._summing_bins(asks, client), shares]
            return (yield from together(askings))

        found, shares = self.answer(both)
        return found, shares


def _with_trust(
    client: Listener, questions: Sequence[Question], askings: Sequence[Asking[Result]]
) -> Asking[tuple[list[Result], list[Callable[[Sequence[Piece]], Trust]]]]:
    """Find the results of ``askings``, and for each what turns its plan into its trust."""
    trusted = [question for question in questions if question.ask.trusted]
    # The last of a window counts: one that looks at prices, if there is any.
    about = {question.ask.window: question for question in sorted(trusted, key=looks_at_prices)}
    both: list[Asking[Any]] = [*askings, *(Context.of(question) for question in about.values())]
    found = yield from together(both)
    known = dict(zip(about, found[len(askings) :], strict=True))
    contexts = [
        known.get(each.ask.window, Context.unknown(each.ask.window)).about(each) for each in questions
    ]
    return found[: len(askings)], [partial(context.trust, heard=client.warnings) for context in contexts]


def _bins_in(ask: SeriesAsk) -> int:
    count = round(ask.window.length / ask.step)
    if count < 1 or abs(ask.window.length - count * ask.step) > timedelta(milliseconds=1):
        raise UserInputError(f"a window of {ask.window.length} is not a whole number of steps of {ask.step}")
    return count


def _starts(ask: SeriesAsk) -> pd.DatetimeIndex:
    return pd.date_range(ask.window.start, periods=_bins_in(ask), freq=ask.step)


def _frame(binned: Binned, ask: SeriesAsk, starts: pd.DatetimeIndex) -> pd.DataFrame:
    columns = index_of(binned.keys, ask.by) if binned.keys else series_of({}, ask.by).index
    return pd.DataFrame(binned.values, index=starts, columns=columns)
