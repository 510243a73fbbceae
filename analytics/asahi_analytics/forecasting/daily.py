"""Whole days of history, as the engine's composer has them: today's partial day and unbelievable days left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.composer import Ask, Trust
from asahi_analytics.engine import AnalyticsEngine
from asahi_analytics.forecasting.gaps import without_gaps
from asahi_analytics.forecasting.pattern import NOTHING
from asahi_analytics.windows import Window

DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class DailyHistory:
    """Whole UTC days up to yesterday: one column per name (``total`` when there is one), NaN: nothing is known."""

    frame: pd.DataFrame
    today: datetime
    trust: Trust
    since: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))
    """What came to each name since ``today`` began, as far as it was asked for."""
    own_unpriced: float | None = None
    """The share of the requests of the one name that had no price; None: only that of all requests is known."""

    @property
    def total(self) -> pd.Series:
        """Return the sum of the columns; NaN only where all of them are."""
        return self.frame.sum(axis=1, min_count=1)

    def active(self, name: str | None = None) -> pd.Series:
        """Return the days of ``name`` (None: of the total) from the first that spent; empty when none did."""
        if name is not None and name not in self.frame:
            return self.total.iloc[:0]
        return from_first_spend(self.total if name is None else self.frame[name])

    @property
    def silent(self) -> bool:
        """Whether one of the names that have spent did not on its last known day."""
        spent = self.frame.loc[:, (self.frame > 0).any()]
        return bool((spent.ffill().tail(1) <= 0).to_numpy().any())

    def resumed(self, name: str | None = None) -> bool:
        """Return whether ``name`` (None: all of them) has spent since ``today`` began, as far as that was asked for.

        It takes more than ``NOTHING`` of a usual day: a stray request brings nothing back.
        """
        days = self.active(name)
        since = float(self.since.sum() if name is None else self.since.get(name, 0.0))
        return bool(since > NOTHING * days[days > 0].median())


def from_first_spend(series: pd.Series) -> pd.Series:
    """Return ``series`` from its first positive value; empty when it has none."""
    spent = np.flatnonzero(series.to_numpy() > 0)
    return series.iloc[spent[0] :] if len(spent) else series.iloc[:0]


def read_daily(
    engine: AnalyticsEngine,
    family: str,
    by: Sequence[str],
    days: int,
    where: dict[str, list[str]] | None = None,
) -> DailyHistory:
    """Return the last ``days`` whole UTC days of ``family`` by ``by``, of the label sets ``where`` lets through."""
    today = midnight(engine.clock())
    sums = engine.composer.series(family, by, Window(today - days * DAY, today), DAY, where)
    return DailyHistory(without_gaps(sums.frame, sums.trust.gaps, DAY), today, sums.trust)


def with_today(
    engine: AnalyticsEngine,
    history: DailyHistory,
    family: str,
    by: Sequence[str],
    where: dict[str, list[str]] | None = None,
) -> DailyHistory:
    """Return ``history`` with what came since its end where a name fell silent before: that may be back by now."""
    now = engine.clock()
    if not history.silent or now <= history.today:
        return history
    ask = Ask(family, by, Window(history.today, now), where, trusted=False)
    return replace(history, since=engine.composer.totals([ask])[0].values)


def midnight(now: datetime) -> datetime:
    """Return the start of the UTC day of ``now``."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
