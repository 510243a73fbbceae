"""What composers made for tests have in common: several questions are answered one by one."""

from __future__ import annotations

from collections.abc import Sequence

from asahi_analytics.composer import SeriesAsk, SumSeries


class OneByOne:
    """Answers ``all_series`` by ``series``."""

    def all_series(self, asks: Sequence[SeriesAsk]) -> list[SumSeries]:
        return [
            self.series(ask.family, ask.by, ask.window, ask.step, *([ask.where] if ask.where else []))
            for ask in asks
        ]
