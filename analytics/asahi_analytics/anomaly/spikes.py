"""Spend (or any flow) far above what was to be expected.

The expectation is the usual value of the time of day, moved by how the traffic ran against it lately: all the way
up, part of the way down. The threshold is the configured ratio over it, and more where the series is noisy, but
what doubles both the usual value and the hours before is an anomaly however noisy the series, but for one to which
that is everyday: of that an hour together is judged, where it is calm. What has jumped and stays is held against
what was before the jump, and what has begun is over when it has come down. All windows end before the bin that is
judged, or with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from asahi_analytics.anomaly.bins import (
    Bins,
    Bools,
    Counts,
    Floats,
    lagged,
    past,
    persistent,
    share_of,
)
from asahi_analytics.anomaly.erratic import EVERYDAY_SPIKES, doublings, peaks, spikes_of_week
from asahi_analytics.anomaly.found import Spikes, also_together
from asahi_analytics.anomaly.habits import habitual_bursts
from asahi_analytics.anomaly.jumps import HOLD_HOURS, as_it_began, find_jumps
from asahi_analytics.anomaly.lasting import DAY_FACTOR, LASTING_FACTOR, highest_before, hours_before, lasts
from asahi_analytics.anomaly.noise import hours_ago, noise_aware, upward_noise
from asahi_analytics.anomaly.steps import Step, kept, lift
from asahi_analytics.anomaly.usual import (
    HABIT_DAYS,
    LOW_QUANTILE,
    SMOOTHING_HOURS,
    Days,
    followed,
    previous_days,
    rose_yesterday,
    smoothed,
    weekly_factor,
    without,
)
from asahi_analytics.figures import quotients

LEVEL_HOURS: Final = 1.5
"""How long the traffic must have run off its usual for the expectation to follow."""
RECENT_HOURS: Final = 3.0
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
SURE_EXCESS_SHARE: Final = 0.4
"""What doubles the usual value and the last hours, and adds this share of the last day's mean, is one beyond doubt."""
JUMP_EXCESS_SHARE: Final = 0.4
"""What has jumped must exceed what is usually low, and add this share of the last day's mean."""
JUMP_SIGMA: Final = 0.2
"""Of a series with less noise (of the logarithm) than this, a jump from a lull is held against the lull..."""
BACK_FACTOR: Final = 1.5
"""...and must reach so many times what it would be held against without one: coming back is no spike."""
ROUNDING: Final = 1e-9
"""So much, relative, the least threshold is held lower, for what two ways of rounding differ by."""
YOUNG_JUMP_TRUST: Final = 0.25
"""For what has jumped, a profile that only one day has made counts so much (in ratio) against a lower recent median."""


@dataclass(frozen=True)
class SpikeRule:
    """What makes a spike: ``ratio`` over the expectation, and ``excess_share`` of the last day's mean bin."""

    ratio: float
    excess_share: float
    mean_hours: float
    min_history_hours: float
    profile_days: int


@dataclass(frozen=True)
class _Reference:
    """What a bin can be held against: each the same length as the series.

    ``base`` is the profile of this weekday, ``ratio`` each bin against it, ``level`` that of most of the last
    ``LEVEL_HOURS``, ``regime`` how far above it the traffic has run for most of ``REGIME_HOURS``, and ``sure_regime``
    how far it has beyond doubt.
    """

    profile: Floats
    base: Floats
    ratio: Floats
    level: Floats
    regime: Floats
    sure_regime: Floats
    recent: Floats
    day_mean: Floats

    @property
    def largest(self) -> Floats:
        """Return the larger of the usual value, moved to the regime, and the recent median."""
        return np.fmax(self.profile * self.regime, self.recent)

    @property
    def ceiling(self) -> Floats:
        """Return the same, moved only where the regime is beyond doubt: who doubles this has doubled anything."""
        return self.sure(self.profile, self.recent)

    def sure(self, profile: Floats, recent: Floats) -> Floats:
        """Return the larger of ``profile``, moved where the regime is beyond doubt, and ``recent``."""
        moved = profile * self.sure_regime
        return np.fmax(np.where(np.isnan(profile), self.day_mean, moved), recent)


@dataclass(frozen=True)
class _Past:
    """What does not depend on the anomalies found: each the same length as the series.

    ``everything`` is what the previous days had, ``lift`` how many times as much that counts after steps, ``ordered``
    and ``count`` both as ``Days``.

    ``today`` is ``recent`` where it may stand for one more day. ``yesterday`` is the hour around the bin a day before.
    ``habit`` is what most days have had, incident or not: NaN until it is known from several. ``jumped`` is where
    the series has jumped and stays; there it is held against ``low_profile`` and ``low_recent`` at most.
    """

    recent: Floats
    today: Floats
    everything: Floats
    lift: Floats
    ordered: Floats
    count: Counts
    yesterday: Floats
    day_mean: Floats
    habit: Floats
    jumped: Bools
    low_profile: Floats
    low_recent: Floats

    def of(self, some: Bools) -> _Past:
        """Return that of ``some`` series."""
        return _Past(*(getattr(self, field.name)[some] for field in fields(self)))


def find_spikes(bins: Bins, rule: SpikeRule, *, sparing: bool = False) -> Spikes:
    """Return the spikes of ``bins``.

    ``sparing``: of several series, those that cannot have any are not looked at further: nothing is said to be
    expected of them, and no threshold.
    """
    known = _past(bins, rule)
    if not sparing:
        return _find(bins, rule, known)
    some = _may_spike(bins, rule, known)
    found = Spikes.none(bins)
    if some.any():
        found.put(some, _find(replace(bins, values=bins.values[some]), rule, known.of(some)))
    return found


def _may_spike(bins: Bins, rule: SpikeRule, known: _Past) -> Bools:
    """Return which series can have a spike at all: those that exceed the least that a threshold may be.

    A regime or noise, what bursts account for and the peaks of an erratic series never lower a threshold: without them
    it is the lowest, and an anomaly that goes on, or an hour together, lowers it only after it was exceeded.
    """
    least = _unmoved(bins, known, np.zeros(bins.values.shape, dtype=bool))
    _, threshold = _limits(bins, rule, known, least, likely=_expected(least), sigma=np.zeros(()))
    some: Bools = np.asarray(persistent(bins.values > (1 - ROUNDING) * threshold).any(axis=-1))
    return some


def _find(bins: Bins, rule: SpikeRule, known: _Past) -> Spikes:
    """Return the spikes of ``bins``, and of those of an hour together where a doubling is everyday."""
    found = _alone(bins, rule, known)
    return also_together(bins, found, lambda mean: _alone(mean, rule, _past(mean, rule)))


def _alone(bins: Bins, rule: SpikeRule, known: _Past) -> Spikes:
    """Return the spikes of single bins; twice, so that those found do not count as usual the second time."""
    bursts = habitual_bursts(bins, rule.profile_days)
    found = _judge(bins, rule, known, bursts, np.zeros(bins.values.shape, dtype=bool))
    unusual = found.flagged & (np.arange(len(bins)) >= bins.per_day)
    some: Bools = np.asarray(unusual.any(axis=-1))
    if some.any():
        again = replace(bins, values=bins.values[some])
        if found.steps:
            known = _past(bins, rule, found.steps)
        found.put(some, _judge(again, rule, known.of(some), bursts[some], unusual[some]))
    return found


def _past(bins: Bins, rule: SpikeRule, steps: Sequence[Step] = ()) -> _Past:
    around = smoothed(bins.values, bins, "mean")
    everything = np.full((*around.shape, 1), np.nan)
    if bins.per_day > 1:
        everything = previous_days(around, bins, rule.profile_days)
    times = lift(everything, bins, steps)
    days = Days.of(everything * times if steps else everything, bins)
    low = days.quantile(LOW_QUANTILE)
    jumps = find_jumps(bins, bins.within(RECENT_HOURS, 3), _course(bins, low))
    day, at_least = bins.within(rule.mean_hours, MEAN_MIN_BINS), bins.within(rule.min_history_hours)
    recent, rose = _recent(bins), rose_yesterday(bins)
    return _Past(
        recent=recent,
        today=np.where(rose, np.nan, recent),
        everything=everything,
        lift=times,
        ordered=days.ordered,
        count=days.count,
        yesterday=lagged(around, bins.per_day),
        day_mean=past(bins.values, day, "mean", at_least),
        habit=np.where(np.arange(len(bins)) > HABIT_DAYS * bins.per_day, low, np.nan),
        jumped=jumps.raised,
        low_profile=_doubted(bins, low, jumps.before, rose),
        low_recent=jumps.before,
    )


def _judge(bins: Bins, rule: SpikeRule, known: _Past, bursts: Floats, left_out: Bools) -> Spikes:
    """Return what is a spike; ``bursts`` is what those that most days have had around this time account for."""
    reference = _moved(bins, known, _unmoved(bins, known, left_out))
    likely = _expected(reference)
    sigma = upward_noise(bins, likely)
    expected, threshold = _limits(bins, rule, known, reference, likely=likely, sigma=sigma)
    threshold = np.maximum(threshold, bursts)
    exceeds = bins.values > threshold
    noise = hours_ago(bins, sigma)
    erratic: Bools = spikes_of_week(bins, exceeds) >= EVERYDAY_SPIKES
    if erratic.any():
        erratic &= doublings(bins, noise, reference.profile, reference.day_mean)
        threshold = np.where(erratic, np.maximum(threshold, peaks(bins)), threshold)
    course = _course(bins, reference.profile)
    known_days = exceeds & (np.arange(len(bins)) >= bins.per_day)
    calm = ~np.isnan(course) & ~(spikes_of_week(bins, known_days) >= EVERYDAY_SPIKES)
    lowered, steps = kept(bins, course, expected, threshold, calm)
    flagged = persistent(bins.values > lowered)
    return Spikes(expected, lowered, threshold, flagged, noise, erratic, steps)


def _limits(
    bins: Bins, rule: SpikeRule, known: _Past, reference: _Reference, *, likely: Floats, sigma: Floats
) -> tuple[Floats, Floats]:
    """Return what is expected and the threshold, before what bursts or a series' own peaks account for.

    ``_may_spike`` rests on the latter being no lower for a higher ``regime``, ``sure_regime`` or ``sigma``, unless a
    spike under the lower one kept what lasts from being told.
    """
    limit = noise_aware(rule.ratio, likely, sigma, reference.ceiling)
    expected = np.where(likely > reference.ceiling, reference.ceiling, likely)
    threshold = np.maximum(limit, expected + rule.excess_share * reference.day_mean)
    low, from_low = _from_low(rule, known, reference, sigma)
    lower = known.jumped & (from_low < threshold)
    expected = np.where(lower, np.fmin(expected, low), expected)
    threshold = np.where(lower, from_low, threshold)
    threshold = np.fmin(threshold, _beyond_doubt(rule.ratio, reference))
    least = _least_lasting(bins, rule, known, reference, sigma)
    lower = lasts(bins, bins.values > least, bins.values > threshold) & (least < threshold)
    expected = np.where(lower, np.fmin(expected, known.low_profile), expected)
    return expected, np.where(lower, least, threshold)


def _from_low(rule: SpikeRule, known: _Past, reference: _Reference, sigma: Floats) -> tuple[Floats, Floats]:
    """Return what a bin that has jumped is held against, and from where on it is an anomaly."""
    low = reference.sure(known.low_profile, known.low_recent)
    back = BACK_FACTOR * low
    likely = _expected(replace(reference, level=as_it_began(reference.level, known.jumped)))
    low = np.where(sigma < JUMP_SIGMA, np.fmin(low, likely), low)
    least = np.maximum(np.maximum(rule.ratio * low, back), low + JUMP_EXCESS_SHARE * reference.day_mean)
    return low, least


def _least_lasting(bins: Bins, rule: SpikeRule, known: _Past, reference: _Reference, sigma: Floats) -> Floats:
    """Return from where on a bin that lasts is an anomaly, held against what is usually low."""
    low = known.low_profile
    usual = noise_aware(rule.ratio, low, sigma, np.full((), np.inf))
    hours = LASTING_FACTOR * hours_before(bins, known.recent)
    day = DAY_FACTOR * highest_before(bins, reference.level) * reference.profile
    least: Floats = np.maximum(usual, low + JUMP_EXCESS_SHARE * reference.day_mean)
    return np.maximum(least, np.fmax(hours, day))


def _course(bins: Bins, profile: Floats) -> Floats:
    """Return ``profile`` where more than one day has made it, else NaN."""
    return np.where(np.arange(len(bins)) < 2 * bins.per_day, np.nan, profile)


def _unmoved(bins: Bins, known: _Past, left_out: Bools) -> _Reference:
    """Return what bins can be held against as if the traffic ran as usual: its regime is 1."""
    days = Days(known.ordered, known.count)
    if left_out.any() and bins.per_day > 1:
        rest = without(left_out, known.everything, bins.values, bins, "mean")
        days = Days.of(rest * known.lift, bins)
    profile = np.fmax(days.median_with(known.today), known.habit)
    base = profile * weekly_factor(bins, profile)
    ratio = quotients(bins.values, base)
    ratio[ratio < OUTAGE_RATIO] = np.nan
    width = bins.within(LEVEL_HOURS, 3)
    return _Reference(
        sure_regime=np.ones(()),
        profile=profile,
        base=base,
        ratio=ratio,
        level=past(ratio, width, "median", max(1, width // 3)),
        regime=np.ones(()),
        recent=known.recent,
        day_mean=known.day_mean,
    )


def _moved(bins: Bins, known: _Past, reference: _Reference) -> _Reference:
    """Return the same with the regime that the traffic has run at."""
    width, at_least = bins.within(REGIME_HOURS, 3), bins.within(REGIME_HOURS / 4, 2)
    regime = past(reference.ratio, width, "median", at_least)
    beyond_doubt = np.fmin(regime / SURE_REGIME, quotients(known.yesterday, reference.profile))
    return replace(
        reference,
        sure_regime=np.fmax(1.0, beyond_doubt),
        regime=np.where(np.isnan(regime), 1.0, np.maximum(regime, 1.0)),
    )


def _recent(bins: Bins) -> Floats:
    width = bins.within(RECENT_HOURS, 3)
    return past(bins.values, width, "median", width // 3)


def _doubted(bins: Bins, profile: Floats, recent: Floats, rose: Bools) -> Floats:
    """Return ``profile``; while only one day has made it, moved towards ``recent`` where that is lower.

    Not in the hours after that day ``rose`` as a working day does, where today follows.
    """
    young = slice(2 * bins.per_day)
    values, first, level = bins.values[..., young], profile[..., young], recent[..., young]
    hour = bins.within(SMOOTHING_HOURS, 3)
    least = followed(bins)[young] * past(first, hour, "median")
    follows = past(values, hour, "median") >= least
    risen = share_of(rose[..., young], bins.within(HOLD_HOURS)) > 0
    doubtful = (level < first) & ~(risen & follows)
    doubted = profile.copy()
    doubted[..., young] = np.where(doubtful, first**YOUNG_JUMP_TRUST * level ** (1 - YOUNG_JUMP_TRUST), first)
    return doubted


def _expected(reference: _Reference) -> Floats:
    """Return the profile moved by the level; where there is no profile, the rolling mean or the recent median."""
    level = reference.level / reference.regime
    moved = reference.base * reference.regime * _followed(np.where(np.isnan(level), 1.0, level))
    moved = np.minimum(moved, reference.largest)
    short = np.where(np.isnan(reference.day_mean), np.nan, np.fmax(reference.day_mean, reference.recent))
    return np.where(np.isnan(reference.base), short, moved)


def _followed(level: Floats) -> Floats:
    """Return ``level`` with lulls followed only part of the way."""
    return np.where(level < 1, np.maximum(level, LULL_FLOOR) ** LULL_TRUST, level)


def _beyond_doubt(ratio: float, reference: _Reference) -> Floats:
    """Return the threshold that no noise lifts: ``ratio`` over both the usual value and the hours before."""
    return np.maximum(ratio * reference.ceiling, reference.ceiling + SURE_EXCESS_SHARE * reference.day_mean)
