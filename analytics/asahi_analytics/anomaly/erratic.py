"""Series for which a doubling is everyday, such as a client that comes and goes, and their peaks."""

from __future__ import annotations

from typing import Final

import numpy as np

from asahi_analytics.anomaly.bins import (
    Bins,
    Bools,
    Floats,
    before,
    highest,
    lagged,
    persistent,
    share_of,
    summed,
)

NOISE_HOURS: Final = 7 * 24.0
RECENT_HOURS: Final = 3.0
"""So long ago at least is what tells whether a series is erratic, so that no incident hides itself."""
EVERYDAY_SPIKES: Final = 2
"""Without so many spikes in the past week a doubling is not everyday, however noisy or idle the series."""
EVERYDAY_SIGMA: Final = 0.85
"""With them it is where the noise (of the logarithm) is larger than this: an eighth of bins is 2.7-fold..."""
ERRATIC_SIGMA: Final = 0.3
"""...or larger than this..."""
EVERYDAY_IDLE: Final = 0.04
"""...and the series idles for this share of a week..."""
QUIET_SHARE: Final = 0.2
ERRATIC_QUIET: Final = 0.13
"""...or is quiet (below ``QUIET_SHARE`` of the last day's mean) or not at no set time for this share of it."""
IDLE_SHARE: Final = 0.05
"""A bin below this share of the last day's mean is idle."""
ERRATIC_IDLE: Final = 0.07
"""A series that idles (or does not) at no set time for this share of a week is erratic too."""
PEAK_FACTOR: Final = 2.0


def spikes_of_week(bins: Bins, exceeds: Bools) -> Floats:
    """Return how often in the past week, but for the last hours, ``exceeds`` held persistently.

    What comes again within an hour is the same spike.
    """
    persists = persistent(exceeds)
    begins = persists & ~(share_of(persists, bins.within(1.0)) > 0)
    week = summed(begins.astype(np.float64), bins.within(NOISE_HOURS, 6))
    return lagged(week, bins.within(RECENT_HOURS, 3) + 1)


def doublings(bins: Bins, noise: Floats, profile: Floats, day_mean: Floats) -> Bools:
    """Return where spikes are everyday: a series is very noisy, noisy and idle, or quiet or idle at no set time.

    ``noise`` is that (of the logarithm) of hours ago.
    """
    week = bins.within(NOISE_HOURS, 6)
    unset = _strayed(bins, profile, QUIET_SHARE * day_mean, week) > ERRATIC_QUIET
    strays = _strayed(bins, profile, IDLE_SHARE * day_mean, week) > ERRATIC_IDLE
    idles = share_of(bins.values <= IDLE_SHARE * day_mean, week) > EVERYDAY_IDLE
    found: Bools = (noise > EVERYDAY_SIGMA) | ((unset | idles) & (noise > ERRATIC_SIGMA)) | strays
    return found


def _strayed(bins: Bins, profile: Floats, low: Floats, week: int) -> Floats:
    """Return how much of the past week was below ``low``, or above it, against all habit.

    That is, neither as is usual at that time nor as on the day before.
    """
    now, usually = bins.values <= low, profile <= low
    yesterday = lagged(now.astype(np.float64), bins.per_day) == 1.0
    known = np.isfinite(bins.values + profile)
    astray = (now != usually) & (now != yesterday) & known
    return share_of(astray, week)


def peaks(bins: Bins) -> Floats:
    """Return what an erratic series must exceed: the highest of its past week, but for the last hours, many times.

    That is of what was reached twice within three bins; 0 while nothing is known.
    """
    reached = highest(twice(bins.values), bins.within(NOISE_HOURS, 6))
    return PEAK_FACTOR * np.nan_to_num(lagged(reached, bins.within(RECENT_HOURS, 3) + 1))


def twice(values: Floats) -> Floats:
    """Return what each value and one of the two before it have reached."""
    one = before(values)
    reached: Floats = np.fmin(values, np.fmax(one, before(one)))
    return reached
