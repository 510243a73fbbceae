"""Latency by bin: as it was recorded where that is known, else from the sums of buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from asahi_analytics.composer import Composer, Latencies, SeriesAsk, SumSeries, Trust
from asahi_analytics.latency_bins import EVERYTHING, GRID
from asahi_analytics.levels import BOUND
from asahi_analytics.quantiles import histogram_quantiles
from asahi_analytics.trusts import merged
from asahi_analytics.windows import Window
from asahi_exporter.conventions import MODEL

LATENCY, COUNT, WHOLE = "latency", "latency_count", "latency_whole"
"""The frames that latency is judged by: ms and observations by model, and both of every model together."""


@dataclass(frozen=True)
class Fetched:
    """The frames, and how far they can be trusted."""

    frames: Mapping[str, pd.DataFrame]
    trust: Trust


def fetch(
    composer: Composer, asks: Mapping[str, SeriesAsk], ask: SeriesAsk | None, quantile: float
) -> Fetched:
    """Return the answer to each of ``asks``, and of ``ask``, which is of buckets by model, the ``quantile``."""
    others = list(asks.values())
    if ask is None:
        return _merged(asks, composer.all_series(others), [])
    if ask.step != GRID:
        *found, buckets = composer.all_series([*others, ask])
        return _merged(asks, found, [_of_buckets(buckets, quantile)])
    found, recorded = composer.series_and_latencies(others, ask.window, quantile)
    return _merged(asks, found, [_completed(composer, ask, quantile, recorded)])


def _merged(asks: Mapping[str, SeriesAsk], found: Sequence[SumSeries], more: Sequence[Fetched]) -> Fetched:
    frames = {name: series.frame for name, series in zip(asks, found, strict=True)}
    for each in more:
        frames.update(each.frames)
    return Fetched(frames, merged([*(series.trust for series in found), *(each.trust for each in more)]))


def _completed(composer: Composer, ask: SeriesAsk, quantile: float, recorded: Latencies) -> Fetched:
    """Return what was ``recorded``, and of other bins what the buckets come to."""
    missing = np.flatnonzero(~recorded.known)
    if not missing.size:
        return _of_recorded(recorded)
    start = ask.window.start + int(missing[0]) * GRID
    span = Window(start, ask.window.start + (int(missing[-1]) + 1) * GRID)
    (buckets,) = composer.all_series([SeriesAsk(ask.family, ask.by, span, ask.where, ask.step)])
    summed = _of_buckets(buckets, quantile)
    if missing.size == recorded.known.size:
        return summed
    return _filled(recorded, summed)


def _of_recorded(recorded: Latencies) -> Fetched:
    whole = pd.DataFrame({LATENCY: recorded.all_latency, COUNT: recorded.all_count})
    return Fetched({COUNT: recorded.count, LATENCY: recorded.latency, WHOLE: whole}, recorded.trust)


def _of_buckets(summed: SumSeries, quantile: float) -> Fetched:
    buckets = summed.frame
    if buckets.empty:
        empty = pd.DataFrame(index=buckets.index)
        whole = pd.DataFrame({LATENCY: np.nan, COUNT: np.nan}, index=buckets.index)
        return Fetched({COUNT: empty, LATENCY: empty, WHOLE: whole}, summed.trust)
    everything = buckets.T.groupby(level=BOUND).sum(min_count=1).T
    by_model = {str(model): pd.DataFrame(buckets[model]) for model in buckets.columns.unique(MODEL)}
    whole = pd.DataFrame({LATENCY: _latency(everything, quantile), COUNT: _count(everything)})
    latency = pd.DataFrame({model: _latency(table, quantile) for model, table in by_model.items()})
    count = pd.DataFrame({model: _count(table) for model, table in by_model.items()})
    return Fetched({COUNT: count, LATENCY: latency, WHOLE: whole}, summed.trust)


def _latency(table: pd.DataFrame, quantile: float) -> pd.Series:
    return pd.Series(histogram_quantiles(table, [quantile])[:, 0], index=table.index)


def _count(table: pd.DataFrame) -> pd.Series:
    return table[EVERYTHING] if EVERYTHING in table else table.max(axis=1)


def _filled(recorded: Latencies, summed: Fetched) -> Fetched:
    """Return what was recorded, and of other bins what was ``summed``.

    A model that either does not know had no requests in its bins: none at all, where any are known.
    """
    known = _of_recorded(recorded)
    lacking = recorded.all_count.index[~recorded.known]
    frames = {}
    for name, frame in known.frames.items():
        others = summed.frames[name].loc[lacking]
        both = pd.concat([frame[recorded.known], others]).sort_index()
        frames[name] = both.reindex(columns=sorted(both.columns)) if name != WHOLE else both
    counted = frames[WHOLE][COUNT].notna()
    frames[COUNT] = frames[COUNT].where(frames[COUNT].notna() | ~counted.to_numpy()[:, None], 0.0)
    return Fetched(frames, merged([known.trust, summed.trust]))
