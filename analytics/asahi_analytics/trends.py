"""The metrics that a trend can show: which sums each needs and how a bin's value follows from them.

A value is NaN where nothing was scraped in the bin and where there is nothing to divide by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from asahi_analytics.composer import SumSeries
from asahi_analytics.composer.ledger import TOTAL
from asahi_analytics.figures import quotients
from asahi_analytics.quantiles import histogram_quantiles

Floats = npt.NDArray[np.float64]
Source = tuple[str, tuple[str, ...]]
"""A family and the labels to keep."""


@dataclass(frozen=True)
class TrendMetric:
    """One metric: ``finish`` gets the frames of ``sources``, in their order, all with the same index."""

    unit: str
    sources: tuple[Source, ...]
    finish: Callable[[Sequence[pd.DataFrame]], Floats]


def known(sums: SumSeries, step: timedelta) -> pd.DataFrame:
    """Return the frame of sums over every label; without any counter zeros, NaN where nothing was scraped."""
    if len(sums.frame.columns):
        return sums.frame
    starts = pd.DatetimeIndex(sums.frame.index)
    values = np.full(len(starts), 0.0 if sums.trust.scraped_ratio else np.nan)
    for gap in sums.trust.gaps:
        values[(starts >= pd.Timestamp(gap.start)) & (starts <= pd.Timestamp(gap.end - step))] = np.nan
    return pd.DataFrame({TOTAL: values}, index=starts)


def total(frame: pd.DataFrame) -> Floats:
    """Return the sum of the columns for each bin; NaN where every column is NaN or there is none."""
    return frame.sum(axis=1, min_count=1).to_numpy(np.float64)


def values_of(metric: TrendMetric, sums: Sequence[SumSeries], step: timedelta) -> Floats:
    """Return the value of each bin; ``sums`` are those of ``metric.sources``, in their order."""
    whole = [
        known(each, step) if not by else each.frame
        for each, (_, by) in zip(sums, metric.sources, strict=True)
    ]
    return metric.finish(whole)


def _sum_of(family: str, unit: str) -> TrendMetric:
    return TrendMetric(unit, ((family, ()),), lambda frames: total(frames[0]))


def _ratio_of(above: str, below: str, unit: str, factor: float = 1.0) -> TrendMetric:
    def finish(frames: Sequence[pd.DataFrame]) -> Floats:
        return factor * quotients(np.nan_to_num(total(frames[0])), total(frames[1]))

    return TrendMetric(unit, ((above, ()), (below, ())), finish)


def _latency(quantile: float) -> TrendMetric:
    def finish(frames: Sequence[pd.DataFrame]) -> Floats:
        return histogram_quantiles(frames[0], [quantile])[:, 0]

    return TrendMetric("ms", (("latency_ms_bucket", ("le",)),), finish)


def _baseline(frames: Sequence[pd.DataFrame]) -> Floats:
    return total(frames[0]) + np.nan_to_num(total(frames[1]))


def _hit_rate(frames: Sequence[pd.DataFrame]) -> Floats:
    hits, misses = (np.nan_to_num(total(frame)) for frame in frames)
    return quotients(hits, hits + misses)


METRICS: Final[Mapping[str, TrendMetric]] = {
    "cost": _sum_of("cost_dollars", "dollars"),
    "savings": _sum_of("savings_dollars", "dollars"),
    "baseline": TrendMetric("dollars", (("cost_dollars", ()), ("savings_dollars", ())), _baseline),
    "corrections": _sum_of("corrections_dollars", "dollars"),
    "wasted_cost": _sum_of("wasted_cost_dollars", "dollars"),
    "requests": _sum_of("requests", "requests"),
    "unpriced_requests": _sum_of("unpriced_requests", "requests"),
    "tokens": _sum_of("tokens", "tokens"),
    "errors": _sum_of("errors", "errors"),
    "error_rate": _ratio_of("errors", "requests", "ratio"),
    "hit_rate": TrendMetric("ratio", (("cache_hits", ()), ("cache_misses", ())), _hit_rate),
    "latency_avg": _ratio_of("latency_ms_sum", "latency_ms_count", "ms"),
    "latency_p50": _latency(0.5),
    "latency_p90": _latency(0.9),
    "latency_p95": _latency(0.95),
    "latency_p99": _latency(0.99),
    "quality": _ratio_of("quality_points", "quality_samples", "points"),
    "cost_per_request": _ratio_of("cost_dollars", "requests", "dollars"),
    "tokens_per_dollar": _ratio_of("tokens", "cost_dollars", "tokens per dollar"),
}
