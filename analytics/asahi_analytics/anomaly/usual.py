"""The usual value of a time of day, and how far above or below it the traffic runs."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import pandas as pd

from asahi_analytics.anomaly.bins import DAY_SECONDS, Bins, Bools, Floats, past

SMOOTHING_HOURS: Final = 1.0
WEEK_HOURS: Final = 168.0
WEEKDAY_HOURS: Final = 6.0
"""Length of the window that tells how a weekday runs against the other days."""
HABIT_DAYS: Final = 3
"""So many anomalies at the same time of day, on more than half of the days, are a habit and no longer left out."""

FIRST_WEEKEND_DAY: Final = 5
STEEP: Final = 1.5
FOLLOWED: Final = 0.5
TODAY_HOURS: Final = 3.0

Middle = Literal["mean", "median"]


def smoothed(values: Floats, bins: Bins, how: Middle) -> Floats:
    """Return the centred mean or median over an hour, of what is known."""
    width = bins.within(SMOOTHING_HOURS) // 2 * 2 + 1
    if width == 1:
        return values
    rolling = pd.Series(values).rolling(width, center=True, min_periods=1)
    if how == "median":
        return np.asarray(rolling.median(), dtype=np.float64)
    return np.fmax(rolling.mean().to_numpy(), _hourly(values, bins))


def _hourly(values: Floats, bins: Bins) -> Floats:
    """Return the mean of the clock hour of each bin, of what is known."""
    hour = ((bins.start + bins.step * np.arange(len(values))) // 3600).astype(np.int64)
    hour -= hour[0]
    known = ~np.isnan(values)
    count = np.bincount(hour, known)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(hour, np.where(known, values, 0.0)) / count
    return mean[hour]


def nanquantile_rows(rows: Floats, quantile: float) -> Floats:
    """Return the ``quantile`` of each column of ``rows``, of what is known; NaN where nothing is.

    Sorting puts NaN last, so that those of the known ones are found without a loop; linear between two of them.
    """
    ordered = np.sort(rows, axis=0)
    last = np.maximum(np.sum(~np.isnan(rows), axis=0) - 1, 0)
    columns = np.arange(rows.shape[1])
    position = quantile * last
    low = position.astype(np.int64)
    below, above = ordered[low, columns], ordered[np.minimum(low + 1, last), columns]
    found: Floats = below + (above - below) * (position - low)
    return found


def previous_days(values: Floats, bins: Bins, days: int) -> Floats:
    """Return the values at the same time of the ``days`` days before, one row a day; NaN before the start."""
    rows = np.full((days, len(values)), np.nan)
    for day in range(1, days + 1):
        lag = round(day * DAY_SECONDS / bins.step)
        if lag >= len(values):
            return rows[: max(1, day - 1)]
        rows[day - 1, lag:] = values[:-lag]
    return rows


def usual(
    values: Floats,
    left_out: Bools,
    bins: Bins,
    days: int,
    *,
    how: Middle = "median",
    today: Floats | None = None,
) -> Floats:
    """Return the usual value of each bin's time of day: the median over previous days of the hour around it.

    ``how`` tells what stands for that hour of a day. ``today``, what the hours before each bin were like, counts as
    one more day where it is given. Bins ``left_out`` (anomalies) do not count, unless they have become a habit. NaN
    on the first day.
    """
    if bins.per_day < 2:
        return np.full(len(values), np.nan)
    known = everything = previous_days(smoothed(values, bins, how), bins, days)
    if left_out.any():
        kept = previous_days(smoothed(np.where(left_out, np.nan, values), bins, how), bins, days)
        missing = np.sum(np.isnan(kept) & ~np.isnan(everything), axis=0)
        habit = (missing >= HABIT_DAYS) & (2 * missing > np.sum(~np.isnan(everything), axis=0))
        known = np.where(habit, everything, kept)
    if today is None:
        return nanquantile_rows(known, 0.5)
    known = _of_working_days(known, bins)
    count = np.sum(~np.isnan(known), axis=0)
    new = np.where((count > 1) | ((count == 1) & ~rose_yesterday(bins)), today, np.nan)
    return nanquantile_rows(np.vstack([known, new]), 0.5)


def rose_yesterday(bins: Bins) -> Bools:
    """Return where the day before rose steeply at this time and stayed up, as at the start of a working day.

    Not where today has not followed in the hour before.
    """
    hours, values = bins.within(TODAY_HOURS), smoothed(bins.values, bins, "mean")
    before_it, after_it = past(values, hours, "median", 1), past(values[::-1], hours, "median", 1)[::-1]
    rose = ~(values <= STEEP * before_it) & (values <= STEEP * after_it)
    yesterday = previous_days(values, bins, 1)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        followed = past(bins.values / yesterday, bins.within(SMOOTHING_HOURS, 3), "median", 1)
    return (previous_days(rose.astype(np.float64), bins, 1)[0] == 1.0) & ~(followed < FOLLOWED)


def _of_working_days(rows: Floats, bins: Bins) -> Floats:
    """Return ``rows`` (previous days) without those of weekends where the bin is of a working day, if others are known."""
    weekend = bins.weekdays >= FIRST_WEEKEND_DAY
    ago = previous_days(weekend.astype(np.float64), bins, len(rows)) == 1.0
    other = np.where(ago & ~weekend, np.nan, rows)
    return np.where(np.isnan(other).all(axis=0), rows, other)


def low_usual(bins: Bins, days: int, quantile: float) -> Floats:
    """Return a lower ``quantile`` than the median of the previous days, all of them. NaN on the first day."""
    if bins.per_day < 2:
        return np.full(len(bins), np.nan)
    rows = previous_days(smoothed(bins.values, bins, "mean"), bins, days)
    return nanquantile_rows(_of_working_days(rows, bins), quantile)


def weekly_factor(bins: Bins, profile: Floats) -> Floats:
    """Return how this weekday runs against the profile of all days: 1.0 until it is known from two weeks.

    It is read from the same hours one and two weeks before; where they disagree, the one closer to 1 counts.
    """
    one = np.ones(len(bins))
    week = bins.within(WEEK_HOURS)
    around = bins.within(WEEKDAY_HOURS)
    if len(bins) <= 2 * week or bins.per_day < 2:
        return one
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.log(bins.values / profile)
    off[~np.isfinite(off)] = np.nan
    run = past(off, around, "median", max(1, around // 2))
    first, second = (_lagged(run, lag * week - around // 2) for lag in (1, 2))
    agreed = np.where(first * second > 0, np.sign(first) * np.minimum(np.abs(first), np.abs(second)), 0.0)
    return np.exp(np.where(np.isnan(agreed), 0.0, agreed))


def _lagged(values: Floats, bins: int) -> Floats:
    """Return the values ``bins`` before each one, NaN before the start."""
    lagged = np.full(len(values), np.nan)
    lagged[bins:] = values[: len(values) - bins]
    return lagged
