"""How far a series strays above what was expected of it."""

from __future__ import annotations

from typing import Final

import numpy as np

from asahi_analytics.anomaly.bins import Bins, Floats, lagged, past
from asahi_analytics.anomaly.erratic import NOISE_HOURS, RECENT_HOURS

NOISE_MIN_HOURS: Final = 3.0
NOISE_QUANTILE: Final = 0.88
NOISE_Z: Final = 1.175
"""The standard normal quantile of ``NOISE_QUANTILE``: residuals over it are a standard deviation."""
NOISE_SIGMAS: Final = 5.0


def noise_aware(ratio: float, expected: Floats, sigma: Floats, ceiling: Floats) -> Floats:
    """Return ``ratio`` times the expectation, or more for noise, but not above ``ratio`` times the ``ceiling``."""
    noise = np.exp(NOISE_SIGMAS * np.minimum(sigma, 9.0))
    return np.fmin(np.maximum(ratio, noise) * expected, ratio * ceiling)


def upward_noise(bins: Bins, expected: Floats) -> Floats:
    """Return the spread of the past week's positive log residuals; infinite while none is known.

    It is read from a quantile that incidents do not reach, over bins that carry anything.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.clip(np.log(bins.values / expected), -9.0, 9.0)
    residual[~(bins.values > 0)] = np.nan
    week, at_least = bins.within(NOISE_HOURS, 6), bins.within(NOISE_MIN_HOURS, 3)
    sigma = past(residual, week, ("quantile", NOISE_QUANTILE), at_least) / NOISE_Z
    return np.where(np.isnan(sigma), np.inf, sigma)


def hours_ago(bins: Bins, noise: Floats) -> Floats:
    """Return the ``noise`` of so long ago that no incident is in it."""
    return lagged(noise, bins.within(RECENT_HOURS, 3))
