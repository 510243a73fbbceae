"""When a rate seen on so many requests is more than chance."""

from __future__ import annotations

from typing import Final

import numpy as np

from asahi_analytics.anomaly.bins import Bins, Floats, past, summed

EVIDENCE_HOURS: Final = (1 / 6, 0.5, 1.0, 3.0)
"""Few errors in few requests add up to evidence: over one bin, half an hour, an hour, three."""

WEEK_HOURS: Final = 7 * 24.0
CHANCE_FACTOR: Final = 3.0
"""Spread of a rate up to this multiple of its sampling variance is taken for chance."""


def spread_beyond_chance(bins: Bins, counts: Floats, sigma: Floats) -> Floats:
    """Return what remains of ``sigma``, the spread of a rate, when that of counting so few events is taken off."""
    week = bins.within(WEEK_HOURS, 6)
    known = np.where(np.isnan(bins.values), np.nan, counts)
    requests = np.maximum(past(known, week, "mean"), 1.0)
    rate = past(bins.values * known, week, "mean") / requests
    spread: Floats = np.sqrt(np.maximum(sigma**2 - CHANCE_FACTOR * rate * (1 - rate) / requests, 0.0))
    return np.nan_to_num(spread)


def rate_threshold(bins: Bins, counts: Floats, limit: Floats, sigmas: float) -> Floats:
    """Return the rate from which on a bin makes the evidence beyond chance that the true rate exceeds ``limit``.

    The evidence is the events among the requests of the bin and those before it, over windows of several lengths;
    the lowest of the thresholds counts. ``bins`` holds rates, ``counts`` the requests of each bin; bins of which
    nothing is known add nothing. A window's own threshold is the score test's: the rate ``r`` with
    ``r - limit = sigmas * sqrt(limit * (1 - limit) / n)``, with half an event added for continuity (E. B. Wilson,
    "Probable inference, the law of succession, and statistical inference", JASA 22 (1927) 209-212).
    """
    seen = np.where(np.isnan(bins.values), 0.0, counts)
    events = np.nan_to_num(bins.values) * seen
    windows = sorted({bins.within(hours) for hours in EVIDENCE_HOURS})
    with np.errstate(divide="ignore", invalid="ignore"):
        thresholds = [
            (_events_needed(summed(seen, window), limit, sigmas) - summed(events, window) + events) / seen
            for window in windows
        ]
    lowest: Floats = np.min(thresholds, axis=0)
    return np.where(seen > 0, lowest, np.inf)


def _events_needed(requests: Floats, limit: Floats, sigmas: float) -> Floats:
    """Return how many events among ``requests`` are beyond chance at a rate of ``limit``."""
    needed: Floats = requests * limit + sigmas * np.sqrt(requests * limit * (1 - limit)) + 0.5
    return needed
