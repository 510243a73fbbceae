"""Spend (or any flow) far above what was to be expected.

The expectation is the usual value of the time of day, scaled by how the traffic has run lately. All windows end
before the bin that is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from asahi_analytics.anomaly.bins import Bins, Bools, Floats, past, persistent
from asahi_analytics.anomaly.usual import usual

RECENT_HOURS: Final = 3.0
REGIME_HOURS: Final = 24.0
LULL_TRUST: Final = 0.6
"""How far a lull lowers the expectation: 1 follows it all the way, 0 ignores it."""
LULL_FLOOR: Final = 0.43
"""A deeper lull lowers it no further: recovering from one is not a spike."""
OUTAGE_RATIO: Final = 0.05
"""Below this share of the usual a bin says nothing about the level to come."""


@dataclass(frozen=True)
class SpikeRule:
    """What makes a spike: ``ratio`` over the expectation, and ``excess_share`` of the last day's mean bin."""

    ratio: float
    excess_share: float
    mean_hours: float
    min_history_hours: float
    profile_days: int


@dataclass(frozen=True)
class Spikes:
    """What was expected, the threshold, and where it was exceeded persistently."""

    expected: Floats
    threshold: Floats
    flagged: Bools


def find_spikes(bins: Bins, rule: SpikeRule) -> Spikes:
    """Return the spikes of ``bins``; twice, so that those found do not count as usual the second time."""
    first = _judge(bins, rule, np.zeros(len(bins), dtype=bool))
    return _judge(bins, rule, first.flagged) if first.flagged.any() else first


def _judge(bins: Bins, rule: SpikeRule, left_out: Bools) -> Spikes:
    profile = usual(bins.values, left_out, bins, rule.profile_days)
    day_mean = past(bins.values, bins.within(rule.mean_hours), "mean", bins.within(rule.min_history_hours))
    expected = _expected(bins, profile, day_mean)
    threshold = np.maximum(rule.ratio * expected, expected + rule.excess_share * day_mean)
    return Spikes(expected, threshold, persistent(bins.values > threshold))


def _expected(bins: Bins, profile: Floats, day_mean: Floats) -> Floats:
    """Return the expectation: profile times level; where there is no profile, the mean or the recent median."""
    recent_bins = bins.within(RECENT_HOURS, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = bins.values / profile
    ratio[~np.isfinite(ratio) | (ratio < OUTAGE_RATIO)] = np.nan
    recent = past(ratio, recent_bins, "median", recent_bins // 3)
    regime = past(ratio, bins.within(REGIME_HOURS, 3), "median", bins.within(REGIME_HOURS / 2, 2))
    regime[np.isnan(regime)] = 1.0
    with_profile = profile * regime * _lull(np.where(np.isnan(recent), 1.0, recent / regime))
    recent_median = past(bins.values, recent_bins, "median", recent_bins // 3)
    return np.where(np.isnan(profile), np.fmax(day_mean, recent_median), with_profile)


def _lull(level: Floats) -> Floats:
    """Return ``level`` with lulls followed only part of the way."""
    return np.where(level < 1, np.maximum(level, LULL_FLOOR) ** LULL_TRUST, level)
