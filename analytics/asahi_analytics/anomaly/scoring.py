"""Scores of series: what was expected of each bin, from where on it is an anomaly, and whether it is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.anomaly.bins import Bins, Bools, Floats, bins_of, past, persistent
from asahi_analytics.anomaly.config import KINDS, AnomalyConfig, Kind
from asahi_analytics.anomaly.counts import rate_threshold, spread_beyond_chance
from asahi_analytics.anomaly.levels import NOISE_HOURS, NOISE_SIGMAS, Level, Scale, expected_level
from asahi_analytics.anomaly.spikes import SpikeRule, find_spikes
from asahi_analytics.errors import UserInputError

BASE_FACTOR: Final = 1.5
"""Errors must exceed what is usual by this factor, where the usual is near the configured rate."""


@dataclass(frozen=True)
class Scores:
    """Arrays over the bins of one series, or of several with a row for each."""

    expected: Floats
    threshold: Floats
    anomalous: Bools
    critical: Bools

    def row(self, number: int) -> Scores:
        """Return the scores of one of several series."""
        return Scores(
            self.expected[number], self.threshold[number], self.anomalous[number], self.critical[number]
        )

    def frame(self, index: pd.Index) -> pd.DataFrame:
        """Return the scores of one series as ``score_series`` does; ``index`` is that of its values."""
        severity = np.full(len(index), None, dtype=object)
        severity[self.anomalous] = "warning"
        severity[self.anomalous & self.critical] = "critical"
        columns = {
            "expected": self.expected,
            "threshold": self.threshold,
            "is_anomaly": self.anomalous,
            "severity": pd.Series(severity, index=index, dtype=object),
        }
        return pd.DataFrame(columns, index=index)


def score_series(
    values: pd.Series,
    config: AnomalyConfig | None = None,
    kind: Kind = "cost_spike",
    volume: pd.Series | None = None,
) -> pd.DataFrame:
    """Return what was expected of each bin of ``values``, the threshold, and whether the bin is anomalous.

    ``values`` is a float series on a regular UTC ``DatetimeIndex`` of any bin width: dollars per bin for
    ``cost_spike``, milliseconds for ``latency_spike``, ratios 0-1 for ``error_rate`` and ``cache_degradation``,
    points for ``quality_drop``. ``volume`` holds the requests (or look-ups) of each bin, so that a ratio of few is
    not taken for evidence. NaN, and infinity (what PromQL makes of a quotient by nothing), is a bin of which nothing
    is known: it is never an anomaly.

    The answer is indexed like ``values``: ``expected`` and ``threshold`` in the unit of ``values`` (NaN while there
    is too little history), ``is_anomaly`` (bool) and ``severity`` (``"warning"``, ``"critical"`` or ``None``). Row t
    depends on values up to t only; arguments stay as they are.

    Raises ``UserInputError`` for an irregular or naive index, values that are not numbers, negative money, ratios
    outside 0-1, an unknown kind, or a volume that is not indexed like ``values``.
    """
    if kind not in KINDS:
        raise UserInputError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    if volume is not None and not (isinstance(volume, pd.Series) and volume.index.equals(values.index)):
        raise UserInputError(
            f"volume must be a pandas Series indexed like values, got {type(volume).__name__}"
        )
    counts = None if volume is None else bins_of(volume, "volume").values
    return scored(bins_of(values), config or AnomalyConfig(), kind, counts).frame(values.index)


def scored(
    bins: Bins, config: AnomalyConfig, kind: Kind, volume: Floats | None = None, *, sparing: bool = False
) -> Scores:
    """Return what ``score_series`` does of ``bins`` as arrays; of several series at once.

    ``sparing``: nothing need be told of series without an anomaly but that.
    """
    if kind == "cost_spike":
        _check_range(bins.values, kind)
        return _cost(bins, config, sparing=sparing)
    return scored_levels([Rated(kind, bins, volume)], config)[0]


@dataclass(frozen=True)
class Rated:
    """One or several series of a measure that has a level, and the requests of each bin, if they are known."""

    kind: Kind
    bins: Bins
    volume: Floats | None = None


def scored_levels(asked: Sequence[Rated], config: AnomalyConfig) -> list[Scores]:
    """Return what ``scored`` does of each, in order; levels of series of the same bins are worked out at once."""
    for each in asked:
        _check_range(each.bins.values, each.kind)
    counts = [None if each.volume is None else _counts(each.volume) for each in asked]
    seen = [_with_traffic(each.bins, count) for each, count in zip(asked, counts, strict=True)]
    alike: dict[tuple[Scale, float, float, int], list[int]] = {}
    for place, bins in enumerate(seen):
        shared = (SCALES[asked[place].kind], bins.step, bins.start, len(bins))
        alike.setdefault(shared, []).append(place)
    found: dict[int, Scores] = {}
    for (scale, *_), places in alike.items():
        levels = _levels([seen[place] for place in places], config, scale)
        for place, level in zip(places, levels, strict=True):
            found[place] = _SCORERS[asked[place].kind](seen[place], counts[place], level, config)
    return [found[place] for place in range(len(asked))]


def _levels(alike: Sequence[Bins], config: AnomalyConfig, scale: Scale) -> list[Level]:
    """Return the level of each of several of the same geometry."""
    if len(alike) == 1:
        return [expected_level(alike[0], config.profile_days, config.min_history_hours, scale)]
    rows = [np.atleast_2d(bins.values) for bins in alike]
    together = replace(alike[0], values=np.concatenate(rows))
    level = expected_level(together, config.profile_days, config.min_history_hours, scale)
    ends = np.cumsum([len(each) for each in rows])
    parts = zip(np.split(level.expected, ends[:-1]), np.split(level.sigma, ends[:-1]), strict=True)
    return [
        Level(expected.reshape(bins.values.shape), sigma.reshape(bins.values.shape))
        for bins, (expected, sigma) in zip(alike, parts, strict=True)
    ]


def score_outage(requests: pd.Series, config: AnomalyConfig | None = None) -> pd.DataFrame:
    """Return ``outages`` of ``requests`` in the form of ``score_series``."""
    return outages(bins_of(requests, "requests"), config or AnomalyConfig()).frame(requests.index)


def outages(bins: Bins, rule: AnomalyConfig) -> Scores:
    """Return where the requests of one series fell to nothing while there usually are some.

    A bin is an outage when it and one of the two before hold no more than ``outage_ratio`` of what was expected,
    that is at least ``outage_min_requests``, and no such lull was there a week before or now and then in the past
    week. NaN (not scraped) is never an outage.
    """
    _check_range(bins.values, "cost_spike")
    level = expected_level(bins, rule.profile_days, rule.min_history_hours, "factor")
    threshold = rule.outage_ratio * level.expected
    gone = (bins.values <= threshold) & (level.expected >= rule.outage_min_requests)
    week = bins.within(NOISE_HOURS, 6)
    usually_some = (
        past(bins.values, week, ("quantile", 0.05), bins.within(rule.min_history_hours, 2)) > threshold
    )
    idle_last_week = np.zeros(len(bins), dtype=bool)
    idle_last_week[week:] = bins.values[: max(0, len(bins) - week)] <= threshold[week:]
    flagged = persistent(gone & usually_some & ~idle_last_week)
    return Scores(level.expected, threshold, flagged, flagged)


def _check_range(values: Floats, kind: Kind) -> None:
    low, high = np.nanmin(values, initial=np.inf), np.nanmax(values, initial=-np.inf)
    if low < 0:
        raise UserInputError(f"{kind} needs values of 0 or more, got {low:g}")
    if kind in ("error_rate", "cache_degradation") and high > 1 + 1e-9:
        raise UserInputError(f"{kind} needs ratios between 0 and 1, got {high:g}")


def _counts(volume: Floats) -> Floats:
    if np.any(volume < 0):
        raise UserInputError(f"volume must be 0 or more, got {np.nanmin(volume):g}")
    return np.nan_to_num(volume, nan=0.0)


def _cost(bins: Bins, config: AnomalyConfig, *, sparing: bool) -> Scores:
    found = find_spikes(
        bins,
        SpikeRule(
            ratio=config.cost_spike_threshold,
            excess_share=config.min_excess_share,
            mean_hours=config.rolling_window_hours,
            min_history_hours=config.min_history_hours,
            profile_days=config.profile_days,
        ),
        sparing=sparing,
    )
    critical = bins.values > config.critical_factor * found.entry
    return Scores(found.expected, found.threshold, found.flagged, critical)


def _latency(seen: Bins, _counts: Floats | None, level: Level, config: AnomalyConfig) -> Scores:
    threshold = level.expected * np.maximum(
        config.latency_spike_threshold, np.exp(NOISE_SIGMAS * level.sigma)
    )
    critical = seen.values > config.critical_factor * threshold
    return Scores(level.expected, threshold, persistent(seen.values > threshold), critical)


def _errors(seen: Bins, counts: Floats | None, level: Level, config: AnomalyConfig) -> Scores:
    base = np.where(np.isnan(level.expected), 0.0, np.maximum(level.expected, 0.0))
    limit = np.maximum(config.error_rate_threshold, BASE_FACTOR * base)
    if counts is None:
        threshold = np.maximum(limit, base + NOISE_SIGMAS * level.sigma)
    else:
        limit = np.maximum(limit, base + NOISE_SIGMAS * spread_beyond_chance(seen, counts, level.sigma))
        threshold = np.maximum(limit, rate_threshold(seen, counts, limit, config.error_rate_sigmas))
    critical = seen.values > config.critical_error_factor * config.error_rate_threshold
    return Scores(base, threshold, persistent(seen.values > threshold), critical)


def _cache(seen: Bins, _counts: Floats | None, level: Level, config: AnomalyConfig) -> Scores:
    rate = np.clip(level.expected, 0.0, 1.0)
    threshold = np.minimum(config.cache_degradation_threshold * rate, rate - NOISE_SIGMAS * level.sigma)
    threshold = np.maximum(threshold, 0.0)
    critical = seen.values < threshold / config.critical_factor
    return Scores(rate, threshold, persistent(seen.values < threshold), critical)


def _quality(seen: Bins, _counts: Floats | None, level: Level, config: AnomalyConfig) -> Scores:
    drop = np.maximum(config.quality_drop_threshold, NOISE_SIGMAS * level.sigma)
    threshold = level.expected - drop
    critical = seen.values < level.expected - config.critical_factor * drop
    return Scores(level.expected, threshold, persistent(seen.values < threshold), critical)


def _with_traffic(bins: Bins, counts: Floats | None) -> Bins:
    """Return ``bins`` with those of no requests taken as unknown."""
    return bins if counts is None else replace(bins, values=np.where(counts > 0, bins.values, np.nan))


SCALES: Final[Mapping[Kind, Scale]] = {
    "latency_spike": "factor",
    "error_rate": "difference",
    "cache_degradation": "difference",
    "quality_drop": "difference",
}
"""What levels differ by: latencies by ratios, rates and points by differences."""
_SCORERS: Final[Mapping[Kind, Callable[[Bins, Floats | None, Level, AnomalyConfig], Scores]]] = {
    "latency_spike": _latency,
    "error_rate": _errors,
    "cache_degradation": _cache,
    "quality_drop": _quality,
}
