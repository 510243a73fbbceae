"""The usual value of a time of day, and how far above or below it the traffic runs."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from asahi_analytics.anomaly.bins import DAY_SECONDS, Bins, Bools, Floats, by_bin, past

SMOOTHING_HOURS: Final = 1.0
WEEK_HOURS: Final = 168.0
WEEKDAY_HOURS: Final = 6.0
"""Length of the window that tells how a weekday runs against the other days."""
HABIT_DAYS: Final = 3
"""So many anomalies at the same time of day, on more than half of the days, are a habit and no longer left out."""


Middle = Literal["mean", "median"]


def smoothed(values: Floats, bins: Bins, how: Middle) -> Floats:
    """Return the centred mean or median over an hour, of what is known."""
    width = bins.within(SMOOTHING_HOURS) // 2 * 2 + 1
    if width == 1:
        return values
    rolling = by_bin(values).rolling(width, center=True, min_periods=1)
    middle: Floats = (rolling.mean() if how == "mean" else rolling.median()).to_numpy().T
    return middle


def nanquantile_rows(rows: Floats, quantile: float) -> Floats:
    """Return the ``quantile`` over the first axis of ``rows``, of what is known; NaN where nothing is.

    Sorting puts NaN last, so that those of the known ones are found without a loop; linear between two of them.
    """
    ordered = np.sort(rows.reshape(len(rows), -1), axis=0)
    last = np.maximum(np.sum(~np.isnan(ordered), axis=0) - 1, 0)
    columns = np.arange(ordered.shape[1])
    position = quantile * last
    low = position.astype(np.int64)
    below, above = ordered[low, columns], ordered[np.minimum(low + 1, last), columns]
    found: Floats = below + (above - below) * (position - low)
    return found.reshape(rows.shape[1:])


def previous_days(values: Floats, bins: Bins, days: int) -> Floats:
    """Return the values at the same time of the ``days`` days before, a first axis of days; NaN before the start."""
    rows = np.full((days, *values.shape), np.nan)
    for day in range(1, days + 1):
        lag = round(day * DAY_SECONDS / bins.step)
        if lag >= len(bins):
            return rows[: max(1, day - 1)]
        rows[day - 1, ..., lag:] = values[..., :-lag]
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
        return np.full(values.shape, np.nan)
    known = everything = previous_days(smoothed(values, bins, how), bins, days)
    if left_out.any():
        kept = previous_days(smoothed(np.where(left_out, np.nan, values), bins, how), bins, days)
        missing = np.sum(np.isnan(kept) & ~np.isnan(everything), axis=0)
        habit = (missing >= HABIT_DAYS) & (2 * missing > np.sum(~np.isnan(everything), axis=0))
        known = np.where(habit, everything, kept)
    if today is None:
        return nanquantile_rows(known, 0.5)
    new = np.where(np.isnan(known).all(axis=0), np.nan, today)
    return nanquantile_rows(np.concatenate([known, new[None]]), 0.5)


def low_usual(bins: Bins, days: int, quantile: float) -> Floats:
    """Return a lower ``quantile`` than the median of the previous days, all of them. NaN on the first day."""
    if bins.per_day < 2:
        return np.full(len(bins), np.nan)
    return nanquantile_rows(previous_days(smoothed(bins.values, bins, "mean"), bins, days), quantile)


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
