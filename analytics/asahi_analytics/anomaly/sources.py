"""What the detector asks the composer for, and the series that it judges, made from the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.anomaly.config import AnomalyConfig, Kind
from asahi_analytics.anomaly.models import AnomalyType
from asahi_analytics.anomaly.scoring import score_outage, score_series
from asahi_analytics.quantiles import histogram_quantiles
from asahi_exporter import conventions as names

LE: Final = "le"


def le_text(bound: float) -> str:
    """Return a bucket bound as exporters write it: ``1.0``, ``1.26``."""
    return repr(float(bound))


BUCKETS: Final = (*(le_text(bound) for bound in names.LATENCY_MS_BUCKETS[::2]), "+Inf")
"""Every second bound is enough to judge by, and halves what is fetched."""

Frames = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Source:
    """One series of sums: a family by labels over the last ``days``."""

    family: str
    by: tuple[str, ...]
    days: int
    where: Mapping[str, Sequence[str]] | None = None


def sources(config: AnomalyConfig) -> dict[str, Source]:
    """Return every source by name."""
    flow, level = config.history_days, config.level_history_days
    return {
        "cost": Source("cost_dollars", (names.MODEL,), flow),
        "requests": Source("requests", (), flow),
        "latency": Source("latency_ms_bucket", (names.MODEL, LE), config.latency_history_days, {LE: BUCKETS}),
        "errors": Source("errors", (), level),
        "hits": Source("cache_hits", (names.TIER,), level),
        "misses": Source("cache_misses", (names.TIER,), level),
        "points": Source("quality_points", (names.MODEL,), level),
        "samples": Source("quality_samples", (names.MODEL,), level),
    }


NEEDS: Final[Mapping[AnomalyType, tuple[str, ...]]] = {
    "cost_spike": ("cost",),
    "outage": ("requests",),
    "latency_spike": ("latency",),
    "error_rate": ("errors", "requests"),
    "cache_degradation": ("hits", "misses"),
    "quality_drop": ("points", "samples"),
}


@dataclass(frozen=True)
class Judged:
    """One series with its scores; ``volume`` is what its ratio or quantile was made of."""

    anomaly_type: AnomalyType
    labels: Mapping[str, str]
    values: pd.Series
    scores: pd.DataFrame
    volume: pd.Series | None = field(default=None)

    @property
    def step(self) -> timedelta:
        """Return the length of a bin."""
        index = self.values.index
        step: timedelta = (index[1] - index[0]).to_pytimedelta()
        return step


def judge(anomaly_type: AnomalyType, frames: Frames, config: AnomalyConfig) -> list[Judged]:
    """Return every series of this type with its scores: the whole first, then by label."""
    return {
        "cost_spike": _cost,
        "outage": _outage,
        "latency_spike": _latency,
        "error_rate": _errors,
        "cache_degradation": _cache,
        "quality_drop": _quality,
    }[anomaly_type](frames, config)


def whole(frame: pd.DataFrame) -> pd.Series:
    """Return the sum over all columns; NaN where nothing is known."""
    return frame.sum(axis=1, min_count=1)


def _scored(
    kind: Kind,
    labels: Mapping[str, str],
    values: pd.Series,
    config: AnomalyConfig,
    volume: pd.Series | None = None,
) -> Judged:
    return Judged(kind, labels, values, score_series(values, config, kind, volume), volume)


def _cost(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    cost = frames["cost"]
    if cost.empty:
        return []
    judged = [_scored("cost_spike", {}, whole(cost), config)]
    parts = _large(cost, config)
    if len(cost.columns) < 2:
        return judged
    return judged + [_scored("cost_spike", {names.MODEL: str(model)}, cost[model], config) for model in parts]


def _large(frame: pd.DataFrame, config: AnomalyConfig) -> list[str]:
    """Return the columns that hold a share worth judging of the last day, largest first."""
    step = frame.index[1] - frame.index[0]
    last_day = frame.tail(max(1, round(timedelta(days=1) / step))).sum().sort_values(ascending=False)
    large = last_day[last_day >= config.min_share * last_day.sum()]
    return list(large[large > 0].index[: config.max_models])


def _outage(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    if frames["requests"].empty:
        return []
    requests = whole(frames["requests"])
    return [Judged("outage", {}, requests, score_outage(requests, config))]


def _latency(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    buckets = frames["latency"]
    if buckets.empty:
        return []
    everything = buckets.T.groupby(level=LE).sum(min_count=1).T
    by_model = {str(model): pd.DataFrame(buckets[model]) for model in buckets.columns.unique(names.MODEL)}
    tables: list[tuple[dict[str, str], pd.DataFrame]] = [({}, everything)]
    if len(by_model) > 1:
        volumes = pd.DataFrame({model: _count(table) for model, table in by_model.items()})
        tables += [({names.MODEL: str(model)}, by_model[model]) for model in _large(volumes, config)]
    return [_latency_of(labels, table, config) for labels, table in tables]


def _latency_of(labels: Mapping[str, str], table: pd.DataFrame, config: AnomalyConfig) -> Judged:
    count = _count(table)
    latency = histogram_quantiles(table, [config.latency_quantile])[:, 0]
    judgeable = (count >= config.min_requests).to_numpy()
    values = pd.Series(np.where(judgeable, latency, np.nan), index=table.index)
    return _scored("latency_spike", labels, values, config, count)


def _count(table: pd.DataFrame) -> pd.Series:
    return table["+Inf"] if "+Inf" in table else table.max(axis=1)


def _errors(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    if frames["errors"].empty:
        return []
    errors = whole(frames["errors"])
    requests = whole(frames["requests"]).reindex(errors.index)
    volume = requests.where(~(errors > requests), errors)
    rate = (errors / volume.where(volume > 0)).clip(0.0, 1.0)
    return [_scored("error_rate", {}, rate, config, volume)]


def _cache(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    hits, misses = frames["hits"].align(frames["misses"], join="outer", axis=1, fill_value=0.0)
    return [
        _ratio("cache_degradation", {names.TIER: str(tier)}, hits[tier], hits[tier] + misses[tier], config)
        for tier in hits.columns
    ]


def _quality(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    samples = frames["samples"]
    points = frames["points"].reindex(columns=samples.columns, fill_value=0.0)
    return [
        _ratio("quality_drop", {names.MODEL: str(model)}, points[model], samples[model], config)
        for model in ([] if samples.empty else _large(samples, config))
    ]


def _ratio(
    kind: Kind, labels: Mapping[str, str], part: pd.Series, volume: pd.Series, config: AnomalyConfig
) -> Judged:
    return _scored(kind, labels, part / volume.where(volume > 0), config, volume)
