"""Bursts at the same time of most days, or of each week, as of a job: they are usual as high as they were."""

from __future__ import annotations

from typing import Final

import numpy as np

from asahi_analytics.anomaly.bins import Bins, Floats, lagged, windowed
from asahi_analytics.anomaly.erratic import twice
from asahi_analytics.anomaly.usual import LOW_QUANTILE, WEEK_HOURS, Days, previous_days

BURST_FACTOR: Final = 1.7
"""A burst is what reaches so many times the median around it, twice within three bins..."""
AROUND_HOURS: Final = 3.0
"""...of so long."""
LATE_HOURS: Final = 0.5
"""A job may start so much earlier or later than on other days..."""
MORE_FACTOR: Final = 1.15
"""...and cost so many times as much."""


def habitual_bursts(bins: Bins, days: int) -> Floats:
    """Return what the bursts around this time of the ``days`` days before account for; 0 where most had none.

    One day alone counts in full. A working day is compared with working days, if any is known. What both the last two
    weeks had on this weekday counts, too: the lower of the two.
    """
    if bins.per_day < 2:
        return np.zeros(bins.values.shape)
    width = bins.within(AROUND_HOURS, 3)
    around = windowed(bins.values, width, "median", ahead=width // 2)
    highest = _highest_around(twice(bins.values), bins.within(LATE_HOURS, 0))
    highest[highest < BURST_FACTOR * around] = 0.0
    found = np.zeros(bins.values.shape)
    some = (highest > 0).any(axis=-1)
    if some.any():
        bursts = highest[some]
        usually = Days.of(previous_days(bursts, bins, days), bins).quantile(LOW_QUANTILE)
        last, second_last = (lagged(bursts, weeks * bins.within(WEEK_HOURS)) for weeks in (1, 2))
        found[some] = MORE_FACTOR * np.nan_to_num(np.fmax(usually, np.minimum(last, second_last)))
    return found


def _highest_around(values: Floats, late: int) -> Floats:
    """Return the highest from ``late`` bins before each one to one more than that after it; NaN where none is known."""
    gaps = [np.full((*values.shape[:-1], width), np.nan) for width in (late, late + 1)]
    padded = np.concatenate([gaps[0], values, gaps[1]], axis=-1)
    highest = values.copy()
    for place in range(2 * late + 2):
        highest = np.fmax(highest, padded[..., place : place + values.shape[-1]])
    return highest
