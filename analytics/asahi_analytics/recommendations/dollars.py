"""From what a change would have saved each day to dollars per month, with a range, a confidence and a priority."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from asahi_analytics.recommendations.models import Level

MONTH_DAYS: Final = 365.25 / 12
INTERVAL: Final = 0.90
FEW_DAYS: Final = 3
HIGH_SHARE, LOW_SHARE = 0.10, 0.02
"""Shares of the monthly cost from which a saving is of high, and below which it is of low, priority."""


@dataclass(frozen=True)
class Monthly:
    """Dollars per month and the ends of their 90 % interval; ``days`` is how many days it rests on."""

    mean: float
    low: float
    high: float
    days: int


def monthly(daily_dollars: pd.Series) -> Monthly:
    """Scale daily savings to a month; on a day they may be below zero, in the month they are not.

    The interval is Student's t interval of the mean of the days; with fewer than three days it is half to one and a
    half times the mean, for lack of anything better. No days give zero.
    """
    values = daily_dollars.to_numpy(dtype=float)
    if values.size == 0:
        return Monthly(0.0, 0.0, 0.0, 0)
    mean = float(values.mean())
    if values.size < FEW_DAYS:
        half = abs(mean) / 2
    else:
        quantile = float(stats.t.ppf((1 + INTERVAL) / 2, values.size - 1))
        half = quantile * float(values.std(ddof=1)) / float(np.sqrt(values.size))
    mean_month, low, high = (max(amount, 0.0) * MONTH_DAYS for amount in (mean, mean - half, mean + half))
    return Monthly(mean_month, low, high, int(values.size))


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
