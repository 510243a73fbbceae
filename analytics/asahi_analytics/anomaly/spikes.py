"""Spend (or any flow) far above what was to be expected.

The expectation is the usual value of the time of day, moved by how the traffic ran against it lately: all the way
up, part of the way down. The threshold is the configured ratio over it, and more where the series is noisy. All
windows end before the bin that is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from asahi_analytics.anomaly.bins import Bins, Bools, Floats, before, past, persistent
from asahi_analytics.anomaly.usual import usual, weekly_factor

LEVEL_HOURS: Final = 1.5
"""How long the traffic must have run off its usual for the expectation to follow."""
RECENT_HOURS: Final = 3.0
SLOW_HOURS: Final = 4.0
"""The lower of the medians of both counts, so that an incident does not soon become its own reference."""
REGIME_HOURS: Final = 24.0
SURE_REGIME: Final = 1.5
"""How far above its usual the traffic must run for most of that time for the usual to be moved beyond doubt."""
MEAN_MIN_BINS: Final = 7
LULL_TRUST: Final = 0.8
"""How far a lull lowers the expectation: 1 follows it all the way, 0 ignores it."""
LULL_FLOOR: Final = 0.5
"""A deeper lull lowers it no further: recovering from one is not a spike."""
OUTAGE_RATIO: Final = 0.05
"""Below this share of the usual a bin says nothing about the level to come."""
NOISE_HOURS: Final = 7 * 24.0
NOISE_MIN_HOURS: Final = 3.0
NOISE_QUANTILE: Final = 0.88
NOISE_Z: Final = 1.175
"""The standard normal quantile of ``NOISE_QUANTILE``: residuals over it are a standard deviation."""
NOISE_SIGMAS: Final = 4.0
ERRATIC_SIGMA: Final = 0.3
"""Noise (of the logarithm) from which on a doubling is everyday, and the peaks of the past week are the measure."""
YOUNG_DAYS: Final = 3
YOUNG_ERRATIC_SIGMA: Final = 0.45
"""The same while the profile is too young to be trusted, and noise is that of the profile."""
PEAK_FACTOR: Final = 1.3


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


@dataclass(frozen=True)
class _Reference:
    """What a bin can be held against: each the same length as the series.

    ``base`` is the profile of this weekday, ``ratio`` each bin against it, ``regime`` how far above it the traffic
    has run for most of ``REGIME_HOURS``.
    """

    profile: Floats
    base: Floats
    ratio: Floats
    regime: Floats
    recent: Floats
    day_mean: Floats

    @property
    def largest(self) -> Floats:
        """Return the larger of the usual value, moved to the regime, and the recent median."""
        return np.fmax(self.profile * self.regime, self.recent)

    @property
    def ceiling(self) -> Floats:
        """Return the same, moved only where the regime is beyond doubt: who doubles this has doubled anything."""
        sure = self.profile * np.maximum(self.regime / SURE_REGIME, 1.0)
        return np.fmax(np.where(np.isnan(self.profile), self.day_mean, sure), self.recent)


def find_spikes(bins: Bins, rule: SpikeRule) -> Spikes:
    """Return the spikes of ``bins``; twice, so that those found do not count as usual the second time."""
    first = _judge(bins, rule, np.zeros(len(bins), dtype=bool))
    return _judge(bins, rule, first.flagged) if first.flagged.any() else first


def _judge(bins: Bins, rule: SpikeRule, left_out: Bools) -> Spikes:
    reference = _reference(bins, rule, left_out)
    expected = _expected(bins, reference)
    limit = _noise_aware(bins, rule.ratio, expected, reference)
    expected = np.where(expected > reference.ceiling, reference.ceiling, expected)
    threshold = np.maximum(limit, expected + rule.excess_share * reference.day_mean)
    return Spikes(expected, threshold, persistent(bins.values > threshold))


def _reference(bins: Bins, rule: SpikeRule, left_out: Bools) -> _Reference:
    recent = _recent(bins)
    profile = usual(bins.values, left_out, bins, rule.profile_days)
    profile = np.where(np.arange(len(bins)) < 2 * bins.per_day, _doubted(profile, recent), profile)
    base = profile * weekly_factor(bins, profile)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = bins.values / base
    ratio[~np.isfinite(ratio) | (ratio < OUTAGE_RATIO)] = np.nan
    regime = past(ratio, bins.within(REGIME_HOURS, 3), "median", bins.within(REGIME_HOURS / 2, 2))
    return _Reference(
        profile=profile,
        base=base,
        ratio=ratio,
        regime=np.where(np.isnan(regime), 1.0, np.maximum(regime, 1.0)),
        recent=recent,
        day_mean=past(
            bins.values,
            bins.within(rule.mean_hours, MEAN_MIN_BINS),
            "mean",
            bins.within(rule.min_history_hours),
        ),
    )


def _recent(bins: Bins) -> Floats:
    """Return the recent median: the lower of two lengths, but for the first day, when nothing else is known."""
    quick, slow = (
        past(bins.values, width, "median", width // 3)
        for width in (bins.within(RECENT_HOURS, 3), bins.within(SLOW_HOURS, 5))
    )
    return np.where(np.arange(len(bins)) < bins.per_day, quick, np.fmin(quick, slow))


def _doubted(profile: Floats, recent: Floats) -> Floats:
    """Return a profile that only one day has made: half way (in ratio) to the recent median where that is lower."""
    return np.where(recent < profile, np.sqrt(profile * recent), profile)


def _expected(bins: Bins, reference: _Reference) -> Floats:
    """Return the profile moved by the level; where there is no profile, the rolling mean or the recent median."""
    level_bins = bins.within(LEVEL_HOURS, 3)
    level = past(reference.ratio, level_bins, "median", max(1, level_bins // 3)) / reference.regime
    moved = reference.base * reference.regime * _followed(np.where(np.isnan(level), 1.0, level))
    moved = np.minimum(moved, reference.largest)
    short = np.where(np.isnan(reference.day_mean), np.nan, np.fmax(reference.day_mean, reference.recent))
    return np.where(np.isnan(reference.base), short, moved)


def _followed(level: Floats) -> Floats:
    """Return ``level`` with lulls followed only part of the way."""
    return np.where(level < 1, np.maximum(level, LULL_FLOOR) ** LULL_TRUST, level)


def _noise_aware(bins: Bins, ratio: float, expected: Floats, reference: _Reference) -> Floats:
    """Return the threshold before the money counts.

    Noise lifts it above ``ratio`` times the expectation, but not above ``ratio`` times the largest reference: what
    doubles that is always reported. Erratic series must beat the peaks of their past week as well.
    """
    sigma = _upward_noise(bins, expected)
    noise = np.exp(NOISE_SIGMAS * np.minimum(sigma, 9.0))
    threshold = np.fmin(np.maximum(ratio, noise) * expected, ratio * reference.ceiling)
    young = np.arange(len(bins)) < YOUNG_DAYS * bins.per_day
    erratic = sigma > np.where(young, YOUNG_ERRATIC_SIGMA, ERRATIC_SIGMA)
    if not erratic.any():
        return threshold
    return np.where(erratic, np.fmax(threshold, PEAK_FACTOR * _peaks(bins)), threshold)


def _upward_noise(bins: Bins, expected: Floats) -> Floats:
    """Return the spread of the past week's positive log residuals; 0 until it is known.

    It is read from a quantile that incidents do not reach.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.clip(np.log(bins.values / expected), -9.0, 9.0)
    residual[~(bins.values > 0)] = np.nan
    week, at_least = bins.within(NOISE_HOURS, 6), bins.within(NOISE_MIN_HOURS, 3)
    return np.nan_to_num(past(residual, week, ("quantile", NOISE_QUANTILE), at_least)) / NOISE_Z


def _peaks(bins: Bins) -> Floats:
    """Return the highest value of the past week that was reached twice within three bins, but for the last hours."""
    one = before(bins.values)
    twice = np.fmin(bins.values, np.fmax(one, before(one)))
    highest = past(twice, bins.within(NOISE_HOURS, 6), "max")
    own = bins.within(RECENT_HOURS, 3)
    lagged = np.full(len(highest), np.nan)
    lagged[own:] = highest[:-own]
    return lagged
