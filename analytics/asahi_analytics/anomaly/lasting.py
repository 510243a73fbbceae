"""What lasts: a surge that is near the hours before, as the traffic falls, until these are the surge itself."""

from __future__ import annotations

from typing import Final

import numpy as np

from asahi_analytics.anomaly.bins import Bins, Bools, Floats, highest, lagged, persistent, share_of, summed

LASTING_HOURS: Final = 2.0
"""A surge lasts that for most of so long is above what is usually low by the ratio..."""
LASTING_FACTOR: Final = 1.4
"""...above the hours before by so many times..."""
DAY_FACTOR: Final = 1.15
"""...and so many times as far above the usual..."""
DAY_HOURS: Final = 24.0
"""...as the traffic has run in so long before, in which there was no spike: what follows a step is none."""


def hours_before(bins: Bins, recent: Floats) -> Floats:
    """Return the ``recent`` level of so long ago that what lasts is not in it."""
    return lagged(recent, _width(bins))


def highest_before(bins: Bins, level: Floats) -> Floats:
    """Return the highest ``level`` of the day before what lasts."""
    return hours_before(bins, highest(level, bins.within(DAY_HOURS, 3)))


def lasts(bins: Bins, exceeds: Bools, spikes: Bools) -> Bools:
    """Return where ``exceeds`` holds and has held in most bins of the last hours, after a day without ``spikes``."""
    width = _width(bins)
    mostly = 2 * summed(exceeds.astype(np.int64), width) > width
    quiet = ~(share_of(persistent(spikes), bins.within(DAY_HOURS, 3)) > 0)
    found: Bools = exceeds & mostly & quiet
    return found


def _width(bins: Bins) -> int:
    return bins.within(LASTING_HOURS, 3)
