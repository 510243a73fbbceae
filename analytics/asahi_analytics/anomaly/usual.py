"""The usual value of a time of day, and how far above or below it the traffic runs."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.anomaly.bins import DAY_SECONDS, Bins, Bools, Floats

SMOOTHING_HOURS: Final = 1.0
HABIT_DAYS: Final = 3
"""So many anomalies at the same time of day, on more than half of the days, are a habit and no longer left out."""


def smoothed(values: Floats, bins: Bins) -> Floats:
    """Return the centred median over an hour, of what is known."""
    width = bins.within(SMOOTHING_HOURS) // 2 * 2 + 1
    if width == 1:
        return values
    return pd.Series(values).rolling(width, center=True, min_periods=1).median().to_numpy()


def nanmedian_rows(rows: Floats) -> Floats:
    """Return the median of each column of ``rows``, of what is known; NaN where nothing is.

    Sorting puts NaN last, so that the middle of the known ones is found without a loop.
    """
    ordered = np.sort(rows, axis=0)
    known = np.sum(~np.isnan(rows), axis=0)
    columns = np.arange(rows.shape[1])
    low = ordered[np.maximum(known - 1, 0) // 2, columns]
    high = ordered[np.minimum(known // 2, len(rows) - 1), columns]
    middle: Floats = (low + high) / 2
    return middle


def previous_days(values: Floats, bins: Bins, days: int) -> Floats:
    """Return the values at the same time of the ``days`` days before, one row a day; NaN before the start."""
    rows = np.full((days, len(values)), np.nan)
    for day in range(1, days + 1):
        lag = round(day * DAY_SECONDS / bins.step)
        if lag >= len(values):
            return rows[: max(1, day - 1)]
        rows[day - 1, lag:] = values[:-lag]
    return rows


def usual(values: Floats, left_out: Bools, bins: Bins, days: int) -> Floats:
    """Return the usual value of each bin's time of day: the median over previous days of the hour around it.

    Bins ``left_out`` (anomalies) do not count, unless they have become a habit. NaN on the first day.
    """
    if bins.per_day < 2:
        return np.full(len(values), np.nan)
    everything = previous_days(smoothed(values, bins), bins, days)
    if not left_out.any():
        return nanmedian_rows(everything)
    known = previous_days(smoothed(np.where(left_out, np.nan, values), bins), bins, days)
    missing = np.sum(np.isnan(known) & ~np.isnan(everything), axis=0)
    habit = (missing >= HABIT_DAYS) & (2 * missing > np.sum(~np.isnan(everything), axis=0))
    return nanmedian_rows(np.where(habit, everything, known))
