"""From what a change would have saved each day to dollars per month, with a range, a confidence and a priority."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from asahi_analytics.recommendations.models import Level

Floats = npt.NDArray[np.float64]
MONTH_DAYS: Final = 365.25 / 12
INTERVAL: Final = 0.90
FEW_DAYS: Final = 3
WEEK: Final = 7
WEEKS_DAYS: Final = 2 * WEEK
"""Days from which weekdays, and what days carry on to the next, are told by themselves."""
HIGH_SHARE, LOW_SHARE = 0.10, 0.02
"""Shares of the monthly cost from which a saving is of high, and below which it is of low, priority."""


ROUNDING: Final = 1e-9
MOST_CARRIED: Final = 0.8
"""Share of a day's departure that is taken to be there still on the next day, at most."""
FEWEST_FREE: Final = 2.0


@dataclass(frozen=True)
class Monthly:
    """Dollars per month and the ends of their 90 % interval; ``days`` is how many days it rests on."""

    mean: float
    low: float
    high: float
    days: int


def monthly(daily_dollars: pd.Series, traffic: pd.Series, error_dollars: float = 0.0) -> Monthly:
    """Scale daily savings to a month; on a day they may be below zero, in the month they are not.

    The interval is for the dollars of a month to come in which days are as they were: Student's t, of the mean of the
    days seen and of the month's own days. Weekdays are told apart; in less than two weeks they are those of
    ``traffic``, the daily requests of other days, where savings follow them. ``error_dollars`` is the standard
    error, in dollars a day, of what was worked out once for all days: daily values do not show it. With fewer than
    three days it is half to one and a half times the mean, for lack of anything better. No days give zero.
    """
    count = len(daily_dollars)
    if count == 0:
        return Monthly(0.0, 0.0, 0.0, 0)
    found = _spread(daily_dollars, traffic)
    half = abs(found.mean) / 2 if count < FEW_DAYS else _half_width(found, count, error_dollars)
    mean, low, high = (
        max(amount, 0.0) * MONTH_DAYS for amount in (found.mean, found.mean - half, found.mean + half)
    )
    return Monthly(mean, low, high, count)


@dataclass(frozen=True)
class Spread:
    """The mean of days, the variance around it or around their weekdays, and how many days are free to vary.

    ``carried`` is the share of a day's departure that the next day has too.
    """

    mean: float
    variance: float
    free: int
    carried: float


def _half_width(spread: Spread, count: int, error_dollars: float) -> float:
    """Return half the interval of a month's mean day.

    The variance of a mean of n days, each of which carries the share r of its departure on to the next, is that of
    independent days times (1 + r) / (1 - r) (Wilks, Statistical Methods in the Atmospheric Sciences, ch. 5).
    """
    fewer = (1 + spread.carried) / (1 - spread.carried)
    variance = spread.variance * fewer * (1 / count + 1 / MONTH_DAYS) + error_dollars**2
    quantile = float(stats.t.ppf((1 + INTERVAL) / 2, max(spread.free / fewer, FEWEST_FREE)))
    return quantile * float(np.sqrt(variance))


def _spread(daily_dollars: pd.Series, traffic: pd.Series) -> Spread:
    values = daily_dollars.to_numpy(dtype=float)
    if values.size >= WEEKS_DAYS:
        return _of_weeks(daily_dollars)
    plain = Spread(
        float(values.mean()), float(values.var(ddof=1)) if values.size > 1 else 0.0, values.size - 1, 0.0
    )
    if len(traffic) < WEEKS_DAYS:
        return plain
    usual = _weekday_means(traffic)[_weekdays(daily_dollars)] / float(traffic.mean())
    mean = float(values.sum() / usual.sum()) if usual.sum() > 0 else plain.mean
    variance = float(np.sum((values - mean * usual) ** 2)) / max(plain.free, 1)
    worse = variance > plain.variance * (1 + ROUNDING) + (ROUNDING * mean) ** 2
    best = plain if worse else replace(plain, mean=mean, variance=variance)
    return replace(best, carried=_of_weeks(traffic).carried)


def _of_weeks(days: pd.Series) -> Spread:
    """Return the spread of two weeks or more, weekday by weekday."""
    values, weekday = days.to_numpy(dtype=float), _weekdays(days)
    departures = values - _weekday_means(days)[weekday]
    free, squares = values.size - len(np.unique(weekday)), float(departures @ departures)
    return Spread(float(values.mean()), squares / free, free, _carried(departures, squares))


def _weekdays(days: pd.Series) -> npt.NDArray[np.int64]:
    return pd.DatetimeIndex(days.index).day_of_week.to_numpy().astype(np.int64)


def _weekday_means(days: pd.Series) -> Floats:
    """Return the mean of each weekday, Monday first; of one without days, that of all."""
    weekday, values = _weekdays(days), days.to_numpy(dtype=float)
    count = np.bincount(weekday, minlength=WEEK)
    means: Floats = np.where(
        count > 0, np.bincount(weekday, values, minlength=WEEK) / np.maximum(count, 1), values.mean()
    )
    return means


def _carried(departures: Floats, squares: float) -> float:
    """Return the share of a day's departure that the next day has, 0-0.8.

    The autocorrelation of so few days comes out too low by about (1 + 3 r) / n (Kendall, Biometrika 41, 1954).
    """
    seen = float(departures[1:] @ departures[:-1]) / squares if squares > 0 else 0.0
    return min(max(seen + (1 + 3 * max(seen, 0.0)) / departures.size, 0.0), MOST_CARRIED)


def confidence(saving: Monthly, *, known: bool) -> Level:
    """Return how far the figure can be relied on; ``known`` is False where its premise is still to be measured."""
    if not known or saving.days < FEW_DAYS:
        return "low"
    steady = saving.high - saving.low <= saving.mean
    return "high" if steady and saving.days >= 14 else "medium"


def priority(saving: Monthly, level: Level, monthly_cost: float) -> Level:
    """Return the priority: by the share of the monthly cost that would be saved, lowered by low confidence."""
    if level == "low" or saving.mean < LOW_SHARE * monthly_cost:
        return "low"
    return "high" if saving.mean >= HIGH_SHARE * monthly_cost else "medium"
