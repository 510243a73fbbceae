"""What composers made for tests have in common: several questions are answered one by one, and at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from asahi_analytics.composer import Ask, Asking, Latencies, SeriesAsk, Sums, SumSeries
from asahi_analytics.windows import Window


class OneByOne:
    """Answers ``all_series`` by ``series``, and ``answer`` by ``totals``; no latencies and no shares were recorded."""

    largest_shares: Sequence[float] = (np.nan,)

    def all_series(self, asks: Sequence[SeriesAsk]) -> list[SumSeries]:
        return [
            self.series(ask.family, ask.by, ask.window, ask.step, *([ask.where] if ask.where else []))
            for ask in asks
        ]

    def series_and_latencies(
        self, asks: Sequence[SeriesAsk], window: Window, quantile: float
    ) -> tuple[list[SumSeries], Latencies]:
        return self.all_series(asks), self.latencies(window, quantile)

    def series_and_largest_shares(
        self, asks: Sequence[SeriesAsk], _window: Window
    ) -> tuple[list[SumSeries], np.ndarray]:
        return self.all_series(asks), np.array(self.largest_shares)

    def latencies(self, window: Window, _quantile: float) -> Latencies:
        return Latencies.unknown(window)

    def answer(self, asking: Callable[[Any], Asking[Any]]) -> Any:
        steps = asking(None)
        try:
            asks = next(steps)
            while True:
                asks = steps.send(tuple(self.totals(asks)))
        except StopIteration as done:
            return done.value

    def summing(self, asks: Sequence[Ask], _client: Any, _plans: Sequence[Any] = ()) -> Asking[list[Sums]]:
        return [*(yield tuple(asks))]

    def certifying(self, _asks: Sequence[Ask]) -> Asking[list[Any]]:
        yield from ()
        return []
