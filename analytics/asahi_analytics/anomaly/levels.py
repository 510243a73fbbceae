"""Measures that have a level rather than a flow: latency, error rate, hit rate, quality score.

Their expectation is the usual value of the time of day, moved by how the last day ran against it; their noise is
the robust spread of the past differences from the expectation. All windows end before the bin that is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from asahi_analytics.anomaly.bins import Bins, Bools, Floats, past, persistent
from asahi_analytics.anomaly.usual import usual

REGIME_HOURS: Final = 24.0
NOISE_HOURS: Final = 7 * 24.0
MAD_TO_SIGMA: Final = 1.4826
"""Standard deviation of a normal law over its median absolute deviation."""
NOISE_SIGMAS: Final = 3.5

Shift = Literal["factor", "difference"]


@dataclass(frozen=True)
class Level:
    """What was expected of each bin, and the noise around it in the measure's own unit."""

    expected: Floats
    noise: Floats


def expected_level(bins: Bins, days: int, min_history_hours: float, shift: Shift) -> Level:
    """Return the expectation of each bin; twice, so that what lay far off does not count as usual."""
    first = _level(bins, np.zeros(len(bins), dtype=bool), days, min_history_hours, shift)
    far = np.abs(bins.values - first.expected) > 2 * NOISE_SIGMAS * first.noise
    return _level(bins, far & persistent(far), days, min_history_hours, shift) if far.any() else first


def _level(bins: Bins, left_out: Bools, days: int, min_history_hours: float, shift: Shift) -> Level:
    profile = usual(bins.values, left_out, bins, days)
    at_least = bins.within(min_history_hours, 2)
    day = past(bins.values, bins.within(REGIME_HOURS, 3), "median", at_least)
    moved = _moved(bins, profile, at_least, shift)
    expected = np.where(np.isnan(moved), day, moved)
    distance = past(np.abs(bins.values - expected), bins.within(NOISE_HOURS, 6), "median", at_least)
    return Level(expected, MAD_TO_SIGMA * np.where(np.isnan(distance), 0.0, distance))


def _moved(bins: Bins, profile: Floats, at_least: int, shift: Shift) -> Floats:
    """Return the profile, moved by the median of how the last day differed from it."""
    width = bins.within(REGIME_HOURS, 3)
    if shift == "difference":
        off = past(bins.values - profile, width, "median", at_least)
        return profile + np.where(np.isnan(off), 0.0, off)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = bins.values / profile
    ratio[~np.isfinite(ratio)] = np.nan
    factor = past(ratio, width, "median", at_least)
    return profile * np.where(np.isnan(factor), 1.0, factor)
