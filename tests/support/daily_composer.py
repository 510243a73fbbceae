"""A composer over hourly ledgers: sums what lies in a window, hour by hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from asahi_analytics.composer import Ask, Sums, SumSeries, Trust
from asahi_analytics.settings import Settings
from asahi_analytics.windows import Window
from support.amounts import sums_of
from support.one_by_one import OneByOne

HOURS = 24
HOUR = 3600.0


def hourly(start: datetime, daily: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Return a ledger whose days from ``start`` on hold the given sums, spread evenly over their hours."""
    length = max(len(values) for values in daily.values())
    index = pd.date_range(start, periods=length * HOURS, freq="h")
    return pd.DataFrame(
        {name: np.repeat(values, HOURS) / HOURS for name, values in daily.items()}, index=index
    )


@dataclass
class DailyComposer(OneByOne):
    """Answers for ``ledgers``: by family, columns are the values of its one label; of others nothing was counted."""

    ledgers: Mapping[str, pd.DataFrame]
    trust: Trust = field(default_factory=Trust)
    asked: list[str] = field(default_factory=list)

    def totals(self, asks: Sequence[Ask]) -> list[Sums]:
        self.asked += [ask.family for ask in asks]
        return [sums_of(self._sum(ask), ask.by, ask.window, self.trust) for ask in asks]

    def series(
        self,
        family: str,
        by: Sequence[str],
        window: Window,
        step: timedelta,
        where: Mapping[str, Sequence[str]] | None = None,
    ) -> SumSeries:
        self.asked.append(family)
        starts = [window.start + number * step for number in range(round(window.length / step))]
        rows = [self._sum(Ask(family, by, Window(start, start + step), where)) for start in starts]
        frame = pd.DataFrame(rows, index=pd.DatetimeIndex(starts)).fillna(0.0)
        return SumSeries(frame, window, self.trust)

    def _sum(self, ask: Ask) -> pd.Series:
        if ask.family not in self.ledgers:
            return pd.Series(dtype=float)
        ledger = self.ledgers[ask.family]
        for wanted in (ask.where or {}).values():
            ledger = ledger[[name for name in ledger if name in wanted]]
        first, last = (moment.timestamp() for moment in (ask.window.start, ask.window.end))
        starts = ledger.index.as_unit("ns").asi8 / 1e9
        inside = np.minimum(starts + HOUR, last) - np.maximum(starts, first)
        sums = pd.Series(np.clip(inside, 0.0, None) / HOUR @ ledger.to_numpy(), index=ledger.columns)
        return sums if ask.by else pd.Series({"total": sums.sum()})


@dataclass
class LedgerEngine:
    """What the forecasts need of an engine."""

    composer: DailyComposer
    now: datetime
    settings: Settings = field(default_factory=Settings)

    def clock(self) -> datetime:
        return self.now
