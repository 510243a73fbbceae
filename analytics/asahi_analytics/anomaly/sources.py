"""What the detector asks the composer for, and the series that it judges, made from the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.anomaly import latency
from asahi_analytics.anomaly.bins import bins_of
from asahi_analytics.anomaly.config import AnomalyConfig, Kind
from asahi_analytics.anomaly.models import AnomalyType
from asahi_analytics.anomaly.scoring import Scores, outages, scored
from asahi_analytics.latency_bins import BUCKETS
from asahi_exporter import conventions as names

LE: Final = "le"


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
    """One series and what was ``found``."""

    anomaly_type: AnomalyType
    labels: Mapping[str, str]
    values: pd.Series
    found: Scores

    @cached_property
    def scores(self) -> pd.DataFrame:
        """What was found, in the form of ``score_series``."""
        return self.found.frame(self.values.index)

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


def _alone(
    kind: Kind,
    labels: Mapping[str, str],
    values: pd.Series,
    config: AnomalyConfig,
    volume: pd.Series | None = None,
) -> Judged:
    counts = None if volume is None else bins_of(volume).values
    return Judged(kind, labels, values, scored(bins_of(values), config, kind, counts))


def _together(
    kind: Kind,
    labels: Sequence[Mapping[str, str]],
    values: pd.DataFrame,
    config: AnomalyConfig,
    volumes: pd.DataFrame | None = None,
) -> list[Judged]:
    """Judge every column at once."""
    bins = replace(bins_of(values.iloc[:, 0]), values=values.to_numpy(np.float64).T)
    counts = None if volumes is None else volumes.to_numpy(np.float64).T
    found = scored(bins, config, kind, counts)
    return [
        Judged(kind, each, values.iloc[:, number], found.row(number)) for number, each in enumerate(labels)
    ]


def _cost(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    cost = frames["cost"]
    if cost.empty:
        return []
    parts = _large(cost, config) if len(cost.columns) > 1 else []
    labels = [{}, *({names.MODEL: str(model)} for model in parts)]
    values = pd.concat([whole(cost), *(cost[model] for model in parts)], axis=1)
    return _together("cost_spike", labels, values, config)


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
    return [Judged("outage", {}, requests, outages(bins_of(requests), config))]


def _latency(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    whole = frames[latency.WHOLE]
    counts, values = ({0: whole[name]} for name in (latency.COUNT, latency.LATENCY))
    labels: list[dict[str, str]] = [{}]
    by_model = frames[latency.COUNT]
    for model in _large(by_model, config) if len(by_model.columns) > 1 else ():
        counts[len(labels)], values[len(labels)] = by_model[model], frames[latency.LATENCY][model]
        labels.append({names.MODEL: str(model)})
    if by_model.empty:
        return []
    volumes = pd.DataFrame(counts)
    judgeable = pd.DataFrame(values).where(volumes >= config.min_requests)
    return _together("latency_spike", labels, judgeable, config, volumes)


def _errors(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    if frames["errors"].empty:
        return []
    errors = whole(frames["errors"])
    requests = whole(frames["requests"]).reindex(errors.index)
    volume = requests.where(~(errors > requests), errors)
    rate = (errors / volume.where(volume > 0)).clip(0.0, 1.0)
    return [_alone("error_rate", {}, rate, config, volume)]


def _cache(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    hits, misses = frames["hits"].align(frames["misses"], join="outer", axis=1, fill_value=0.0)
    return _ratios("cache_degradation", names.TIER, hits, (hits + misses)[hits.columns], config)


def _quality(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    samples = frames["samples"]
    if samples.empty:
        return []
    points = frames["points"].reindex(columns=samples.columns, fill_value=0.0)
    large = _large(samples, config)
    return _ratios("quality_drop", names.MODEL, points[large], samples[large], config)


def _ratios(
    kind: Kind, label: str, parts: pd.DataFrame, volumes: pd.DataFrame, config: AnomalyConfig
) -> list[Judged]:
    if volumes.empty:
        return []
    labels = [{label: str(name)} for name in volumes.columns]
    return _together(kind, labels, parts / volumes.where(volumes > 0), config, volumes)
