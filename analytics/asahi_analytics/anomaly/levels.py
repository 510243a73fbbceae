"""Measures that have a level rather than a flow: latency, error rate, hit rate, quality score.

Their expectation is the usual value of the time of day, moved by how the last day ran against it; their noise is
the spread of the past week's differences from the expectation. All windows end before the bin that is judged. Several
series of the same bins are worked out at once, each as if it were alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from asahi_analytics.anomaly.bins import Bins, Bools, Floats, past, persistent
from asahi_analytics.anomaly.usual import usual

REGIME_HOURS: Final = 24.0
NOISE_HOURS: Final = 7 * 24.0
NOISE_SIGMAS: Final = 4.0
NOISE_MIN_BINS: Final = 6
MAD_TO_SIGMA: Final = 1.4826
"""Standard deviation of a normal law over the median of its distance from the mean."""
TAIL_QUANTILE: Final = 0.975
TAIL_Z: Final = 2.2414
"""The distance from the mean, in standard deviations, that ``TAIL_QUANTILE`` of a normal law stays within."""

Scale = Literal["factor", "difference"]


@dataclass(frozen=True)
class Level:
    """What was expected of each bin, and the noise around it.

    ``sigma`` is a standard deviation in the measure's own unit, or of its logarithm on the scale ``factor``; NaN
    while it is not known.
    """

    expected: Floats
    sigma: Floats


def expected_level(bins: Bins, days: int, min_history_hours: float, scale: Scale) -> Level:
    """Return the expectation of each bin; twice, so that what lay far off does not count as usual.

    On the scale ``factor`` levels move by ratios and noise is measured in logarithms, on ``difference`` both by
    differences.
    """
    first = _level(bins, np.zeros(bins.values.shape, dtype=bool), days, min_history_hours, scale)
    far = persistent(_distance(bins.values, first.expected, scale) > 2 * NOISE_SIGMAS * first.sigma)
    some = far.any(axis=-1)
    if some.any():
        again = _level(replace(bins, values=bins.values[some]), far[some], days, min_history_hours, scale)
        first.expected[some], first.sigma[some] = again.expected, again.sigma
    return first


def _level(bins: Bins, left_out: Bools, days: int, min_history_hours: float, scale: Scale) -> Level:
    profile = usual(bins.values, left_out, bins, days)
    at_least = bins.within(min_history_hours, 2)
    expected = _moved(bins, profile, at_least, scale)
    unknown = np.isnan(expected)
    # Mostly that is the first day, and of the rest no median is asked.
    until = int(np.max(np.nonzero(unknown)[-1], initial=-1)) + 1
    day = past(bins.values[..., :until], bins.within(REGIME_HOURS, 3), "median", at_least)
    np.copyto(expected[..., :until], day, where=unknown[..., :until])
    return Level(expected, _sigma(_distance(bins.values, expected, scale), bins))


def _distance(values: Floats, expected: Floats, scale: Scale) -> Floats:
    """Return how far each value lies from what was expected; NaN where that is not defined."""
    if scale == "difference":
        return np.abs(values - expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.log(values / expected))
    distance[~np.isfinite(distance)] = np.nan
    return distance


def _sigma(distance: Floats, bins: Bins) -> Floats:
    """Return the spread of the past week, from the middle or the tail of the distances, whichever is wider."""
    week, least = bins.within(NOISE_HOURS, NOISE_MIN_BINS), NOISE_MIN_BINS
    middle = MAD_TO_SIGMA * past(distance, week, "median", least)
    tail = past(distance, week, ("quantile", TAIL_QUANTILE), least) / TAIL_Z
    return np.maximum(middle, tail)


def _moved(bins: Bins, profile: Floats, at_least: int, scale: Scale) -> Floats:
    """Return the profile, moved by the median of how the last day differed from it."""
    width = bins.within(REGIME_HOURS, 3)
    if scale == "difference":
        off = past(bins.values - profile, width, "median", at_least)
        return profile + np.where(np.isnan(off), 0.0, off)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = bins.values / profile
    ratio[~np.isfinite(ratio)] = np.nan
    factor = past(ratio, width, "median", at_least)
    return profile * np.where(np.isnan(factor), 1.0, factor)
