"""The usual value of a time of day, and how far above or below it the traffic runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from asahi_analytics.anomaly.bins import (
    DAY_SECONDS,
    Bins,
    Bools,
    Counts,
    Floats,
    counted,
    lagged,
    nanquantile,
    of_sorted,
    past,
    windowed,
)

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
"""...and today follows it while it reaches this share of it..."""
SATURDAY_FOLLOWED: Final = 0.15
"""...or this one on a Saturday, after a Friday."""
FIRST_WORKING: Final = 1.5
"""A working day is expected to have so many times what the weekend had, while that alone is known."""
LOW_QUANTILE: Final = 0.35
"""A quantile of the previous days that is lower than the usual value."""

Middle = Literal["mean", "median"]


def smoothed(values: Floats, bins: Bins, how: Middle) -> Floats:
    """Return the centred mean or median over an hour, of what is known; a mean no less than that of the clock hour.

    So the start of a working day or of a nightly job, which differs by minutes from day to day, counts in full.
    """
    width = bins.within(SMOOTHING_HOURS) // 2 * 2 + 1
    if width == 1 or not values.size:
        return values
    middle = windowed(values, width, how, ahead=width // 2)
    return middle if how == "median" else np.fmax(middle, _hourly(values, bins))


def _hourly(values: Floats, bins: Bins) -> Floats:
    """Return the mean of the clock hour of each bin, of what is known."""
    count = values.shape[-1]
    hour = ((bins.start + bins.step * np.arange(count)) // 3600).astype(np.int64)
    first = np.flatnonzero(np.diff(hour, prepend=hour[0] - 1))
    known = ~np.isnan(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.add.reduceat(np.where(known, values, 0.0), first, axis=-1) / np.add.reduceat(
            known.astype(np.float64), first, axis=-1
        )
    hourly: Floats = np.repeat(mean, np.diff(first, append=count), axis=-1)
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


def usual(values: Floats, left_out: Bools, bins: Bins, days: int) -> Floats:
    """Return the usual value of each bin's time of day: the median over previous days of the hour around it.

    Bins ``left_out`` (anomalies) do not count, unless they have become a habit. NaN on the first day.
    """
    if bins.per_day < 2:
        return np.full(values.shape, np.nan)
    everything = previous_days(smoothed(values, bins, "median"), bins, days)
    return nanquantile(without(left_out, everything, values, bins, "median"), 0.5)


def without(left_out: Bools, everything: Floats, values: Floats, bins: Bins, how: Middle) -> Floats:
    """Return ``everything``, the ``previous_days`` of ``values``, without what is ``left_out``, but for habits."""
    if not left_out.any():
        return everything
    rest = smoothed(np.where(left_out, np.nan, values), bins, how)
    kept = previous_days(rest, bins, everything.shape[-1])
    known = ~np.isnan(everything)
    missing = counted(np.isnan(kept) & known)
    habit = (missing >= HABIT_DAYS) & (2 * missing > counted(known))
    return np.where(habit[..., None], everything, kept)


@dataclass(frozen=True)
class Days:
    """What previous days had around the time of each bin: in order along the last axis, of which ``count`` are known.

    A working day is compared with working days only, if any is known.
    """

    ordered: Floats
    count: Counts

    @classmethod
    def of(cls, known: Floats, bins: Bins) -> Days:
        """Return ``previous_days`` in order."""
        working, count = _of_working_days(known, bins)
        working.sort(axis=-1)
        return cls(working, count)

    def quantile(self, quantile: float) -> Floats:
        """Return the ``quantile`` over the days; NaN where none is known."""
        return of_sorted(self.ordered, self.count, quantile)

    def median_with(self, today: Floats) -> Floats:
        """Return the median of the days and of ``today`` where that is known; NaN where no day is.

        One value more moves the median between its neighbours in the middle, and no further.
        """
        half, odd = self.count // 2, self.count % 2
        low, middle, high = (
            self._at(half + more, beyond) for more, beyond in ((-1, -np.inf), (0, np.nan), (odd, np.inf))
        )
        bounded = np.clip(today, low, high)
        found = np.where(odd == 1, (middle + bounded) / 2, bounded)
        found = np.where(np.isnan(today), self.quantile(0.5), found)
        found[self.count == 0] = np.nan
        return found

    def _at(self, place: Counts, beyond: float) -> Floats:
        """Return the value at ``place``, and ``beyond`` where there are fewer or it lies before the first."""
        within = (place >= 0) & (place < self.count)
        found = np.take_along_axis(self.ordered, np.where(within, place, 0)[..., None], axis=-1)[..., 0]
        return np.where(within, found, beyond)


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
    follows = ~(past(share, bins.within(SMOOTHING_HOURS, 3), "median") < followed(young))
    found = np.zeros(bins.values.shape, dtype=bool)
    found[..., : len(young)] = (lagged(rose.astype(np.float64), bins.per_day) == 1.0) & follows
    return found


def followed(bins: Bins) -> Floats:
    """Return for each bin which share of yesterday's rise today must reach to follow it."""
    return np.where(bins.weekdays == FIRST_WEEKEND_DAY, SATURDAY_FOLLOWED, FOLLOWED)


def _of_working_days(days: Floats, bins: Bins) -> tuple[Floats, Counts]:
    """Return ``previous_days`` without weekends where a bin is of a working day and another is known, and how many.

    A weekend that alone is known before a working day counts ``FIRST_WORKING`` times.
    """
    weekdays = np.arange(7)[:, None]
    ago = (weekdays - np.arange(1, days.shape[-1] + 1)) % 7
    unlike = ((ago >= FIRST_WEEKEND_DAY) & (weekdays < FIRST_WEEKEND_DAY))[bins.weekdays]
    other = np.where(unlike, np.nan, days)
    count = counted(~np.isnan(other))
    unknown = count == 0
    weekend, alone = np.broadcast_to(unlike, days.shape)[unknown], days[unknown]
    other[unknown] = np.where(weekend, FIRST_WORKING * alone, alone)
    count[unknown] = counted(~np.isnan(alone))
    return other, count


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
