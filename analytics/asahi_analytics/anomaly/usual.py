"""The usual value of a time of day, and how far above or below it the traffic runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np

from asahi_analytics.anomaly.bins import DAY_SECONDS, Bins, Bools, Floats, by_bin, lagged, nanquantile, past

SMOOTHING_HOURS: Final = 1.0
WEEK_HOURS: Final = 168.0
WEEKDAY_HOURS: Final = 6.0
"""Length of the window that tells how a weekday runs against the other days."""
HABIT_DAYS: Final = 3
"""So many anomalies at the same time of day, on more than half of the days, are a habit and no longer left out."""

FIRST_WEEKEND_DAY: Final = 5
"""Saturday, where Monday is 0."""
STEEP: Final = 1.5
"""A rise to so many times the hours before is steep..."""
STEEP_HOURS: Final = 3.0
FOLLOWED: Final = 0.5
"""...and today follows it while it reaches this share of it."""

Middle = Literal["mean", "median"]


def smoothed(values: Floats, bins: Bins, how: Middle) -> Floats:
    """Return the centred mean or median over an hour, of what is known; a mean no less than that of the clock hour.

    So the start of a working day or of a nightly job, which differs by minutes from day to day, counts in full.
    """
    width = bins.within(SMOOTHING_HOURS) // 2 * 2 + 1
    if width == 1 or not values.size:
        return values
    rolling = by_bin(values).rolling(width, center=True, min_periods=1)
    if how == "median":
        return np.asarray(rolling.median().to_numpy().T, dtype=np.float64)
    return np.fmax(np.asarray(rolling.mean().to_numpy().T, dtype=np.float64), _hourly(values, bins))


def _hourly(values: Floats, bins: Bins) -> Floats:
    """Return the mean of the clock hour of each bin, of what is known."""
    hour = ((bins.start + bins.step * np.arange(values.shape[-1])) // 3600).astype(np.int64)
    first = np.flatnonzero(np.diff(hour, prepend=hour[0] - 1))
    known = ~np.isnan(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.add.reduceat(np.where(known, values, 0.0), first, axis=-1) / np.add.reduceat(
            known.astype(np.float64), first, axis=-1
        )
    hourly: Floats = mean[..., np.searchsorted(first, np.arange(len(hour)), side="right") - 1]
    return hourly


def previous_days(values: Floats, bins: Bins, days: int) -> Floats:
    """Return the values at the same time of the ``days`` days before, a last axis of days; NaN before the start."""
    found = np.full((*values.shape, days), np.nan)
    for day in range(1, days + 1):
        lag = round(day * DAY_SECONDS / bins.step)
        if lag >= len(bins):
            return found[..., : max(1, day - 1)]
        found[..., lag:, day - 1] = values[..., :-lag]
    return found


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
    one more day where it is given; then a working day is compared with working days only, if any is known. Bins
    ``left_out`` (anomalies) do not count, unless they have become a habit. NaN on the first day.
    """
    if bins.per_day < 2:
        return np.full(values.shape, np.nan)
    known = everything = previous_days(smoothed(values, bins, how), bins, days)
    if left_out.any():
        kept = previous_days(smoothed(np.where(left_out, np.nan, values), bins, how), bins, days)
        missing = np.sum(np.isnan(kept) & ~np.isnan(everything), axis=-1)
        habit = (missing >= HABIT_DAYS) & (2 * missing > np.sum(~np.isnan(everything), axis=-1))
        known = np.where(habit[..., None], everything, kept)
    if today is None:
        return nanquantile(known, 0.5)
    known = _of_working_days(known, bins)
    new = np.where(np.isnan(known).all(axis=-1), np.nan, today)
    return nanquantile(np.concatenate([known, new[..., None]], axis=-1), 0.5)


def rose_yesterday(bins: Bins) -> Bools:
    """Return where the first day rose steeply at this time and stayed up, as at the start of a working day.

    That is where one day alone is known, and not where the second has not followed in the hour before.
    """
    young = replace(bins, values=bins.values[..., : 2 * bins.per_day])
    hours, values = bins.within(STEEP_HOURS), smoothed(young.values, young, "mean")
    earlier, later = past(values, hours, "median"), past(values[..., ::-1], hours, "median")[..., ::-1]
    rose = ~(values <= STEEP * earlier) & (values <= STEEP * later)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = young.values / lagged(values, bins.per_day)
    followed = ~(past(share, bins.within(SMOOTHING_HOURS, 3), "median") < FOLLOWED)
    found = np.zeros(bins.values.shape, dtype=bool)
    found[..., : len(young)] = (lagged(rose.astype(np.float64), bins.per_day) == 1.0) & followed
    return found


def _of_working_days(days: Floats, bins: Bins) -> Floats:
    """Return ``previous_days`` without weekends where a bin is of a working day and another is known."""
    weekdays = bins.weekdays[:, None]
    ago = (weekdays - np.arange(1, days.shape[-1] + 1)) % 7
    unlike = (ago >= FIRST_WEEKEND_DAY) & (weekdays < FIRST_WEEKEND_DAY)
    other = np.where(unlike, np.nan, days)
    return np.where(np.isnan(other).all(axis=-1, keepdims=True), days, other)


def low_usual(bins: Bins, days: int, quantile: float) -> Floats:
    """Return a lower ``quantile`` than the median of the previous days, incidents or not. NaN on the first day."""
    if bins.per_day < 2:
        return np.full(bins.values.shape, np.nan)
    known = previous_days(smoothed(bins.values, bins, "mean"), bins, days)
    return nanquantile(_of_working_days(known, bins), quantile)


def weekly_factor(bins: Bins, profile: Floats) -> Floats:
    """Return how this weekday runs against the profile of all days: 1.0 until it is known from two weeks.

    It is read from the same hours one and two weeks before; where they disagree, the one closer to 1 counts.
    """
    one = np.ones(bins.values.shape)
    week = bins.within(WEEK_HOURS)
    around = bins.within(WEEKDAY_HOURS)
    if len(bins) <= 2 * week or bins.per_day < 2:
        return one
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.log(bins.values / profile)
    off[~np.isfinite(off)] = np.nan
    run = past(off, around, "median", max(1, around // 2))
    first, second = (lagged(run, lag * week - around // 2) for lag in (1, 2))
    agreed = np.where(first * second > 0, np.sign(first) * np.minimum(np.abs(first), np.abs(second)), 0.0)
    return np.exp(np.where(np.isnan(agreed), 0.0, agreed))
