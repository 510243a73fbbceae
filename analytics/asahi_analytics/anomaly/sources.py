"""What the detector asks the composer for, and the series that it judges, made from the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.anomaly import latency
from asahi_analytics.anomaly.bins import Bins, Floats, bins_of, geometry
from asahi_analytics.anomaly.config import AnomalyConfig, Kind
from asahi_analytics.anomaly.models import AnomalyType
from asahi_analytics.anomaly.scoring import Rated, Scores, outages, scored, scored_levels
from asahi_analytics.figures import quotients
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
    """One series, the ``numbers`` of the bins that begin at ``index``, and what was ``found``.

    Where no bin is anomalous, nothing else need be known of it.
    """

    anomaly_type: AnomalyType
    labels: Mapping[str, str]
    index: pd.DatetimeIndex
    numbers: Floats
    found: Scores

    @cached_property
    def values(self) -> pd.Series:
        """The numbers as a series."""
        return pd.Series(self.numbers, index=self.index)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """What was found, in the form of ``score_series``."""
        return self.found.frame(self.index)

    @property
    def step(self) -> timedelta:
        """Return the length of a bin."""
        step: timedelta = (self.index[1] - self.index[0]).to_pytimedelta()
        return step


@dataclass(frozen=True)
class Judgeable:
    """Series of one kind that are judged side by side, a row of ``numbers`` for each of ``labels``."""

    kind: Kind
    labels: Sequence[Mapping[str, str]]
    index: pd.Index
    numbers: Floats
    volumes: Floats | None = None

    @property
    def bins(self) -> Bins:
        """The numbers as bins."""
        return Bins(self.numbers, *geometry(self.index, self.kind))

    def judged(self, found: Scores) -> list[Judged]:
        """Return each series with what was ``found`` of it."""
        times = pd.DatetimeIndex(self.index)
        return [
            Judged(self.kind, labels, times, self.numbers[row], found.row(row))
            for row, labels in enumerate(self.labels)
        ]


def judge(types: Sequence[AnomalyType], frames: Frames, config: AnomalyConfig) -> list[Judged]:
    """Return every series of ``types`` with its scores: in order, and of each type the whole first, then by label."""
    series = {kind: _SERIES[kind](frames, config) for kind in types if kind in _SERIES}
    known = {kind: each for kind, each in series.items() if each is not None}
    levels = [each for kind, each in known.items() if kind != "cost_spike"]
    rated = [Rated(each.kind, each.bins, each.volumes) for each in levels]
    found = dict(zip((each.kind for each in levels), scored_levels(rated, config), strict=True))
    if "cost_spike" in known:
        found["cost_spike"] = scored(known["cost_spike"].bins, config, "cost_spike", sparing=True)
    judged: dict[AnomalyType, list[Judged]] = {
        kind: known[kind].judged(scores) for kind, scores in found.items()
    }
    if "outage" in types:
        judged["outage"] = _outage(frames, config)
    return [each for kind in types for each in judged.get(kind, ())]


def whole(frame: pd.DataFrame) -> pd.Series:
    """Return the sum over all columns; NaN where nothing is known."""
    return pd.Series(_sum(_rows(frame)), index=frame.index)


def _rows(frame: pd.DataFrame) -> Floats:
    """Return the columns as rows."""
    return np.ascontiguousarray(frame.to_numpy(np.float64).T)


def _columns(frame: pd.DataFrame, wanted: pd.Index) -> Floats:
    """Return the ``wanted`` columns, all of which there are, as rows."""
    return _rows(frame)[frame.columns.get_indexer(wanted)]


def _sum(rows: Floats) -> Floats:
    """Return the sum over all rows; NaN where nothing is known."""
    unknown = np.isnan(rows)
    total: Floats = np.where(unknown, 0.0, rows).sum(axis=0)
    total[unknown.all(axis=0)] = np.nan
    return total


def _with_whole(frame: pd.DataFrame, config: AnomalyConfig) -> tuple[list[dict[str, str]], list[int]]:
    """Return the labels of the whole and of each model worth judging on its own, and the columns of the latter."""
    places = _large(frame, config) if len(frame.columns) > 1 else []
    return [{}, *({names.MODEL: str(frame.columns[place])} for place in places)], places


def _large(frame: pd.DataFrame, config: AnomalyConfig) -> list[int]:
    """Return which columns hold a share worth judging of the last day, largest first."""
    day = max(1, round(timedelta(days=1) / (frame.index[1] - frame.index[0])))
    last_day = np.nan_to_num(frame.to_numpy(np.float64)[-day:]).sum(axis=0)
    large = np.argsort(-last_day, kind="stable")[: config.max_models]
    enough = (last_day[large] >= config.min_share * last_day.sum()) & (last_day[large] > 0)
    found: list[int] = large[enough].tolist()
    return found


def _cost(frames: Frames, config: AnomalyConfig) -> Judgeable | None:
    cost = frames["cost"]
    if cost.empty:
        return None
    labels, places = _with_whole(cost, config)
    rows = _rows(cost)
    return Judgeable("cost_spike", labels, cost.index, np.vstack([_sum(rows), rows[places]]))


def _outage(frames: Frames, config: AnomalyConfig) -> list[Judged]:
    if frames["requests"].empty:
        return []
    requests = bins_of(whole(frames["requests"]))
    times = pd.DatetimeIndex(frames["requests"].index)
    return [Judged("outage", {}, times, requests.values, outages(requests, config))]


def _latency(frames: Frames, config: AnomalyConfig) -> Judgeable | None:
    everything, by_model = frames[latency.WHOLE], frames[latency.COUNT]
    if by_model.empty:
        return None
    labels, places = _with_whole(by_model, config)
    volumes, values = (
        np.vstack([everything[name].to_numpy(np.float64), _columns(frames[name], by_model.columns[places])])
        for name in (latency.COUNT, latency.LATENCY)
    )
    judgeable = np.where(volumes >= config.min_requests, values, np.nan)
    return Judgeable("latency_spike", labels, by_model.index, judgeable, volumes)


def _errors(frames: Frames, _config: AnomalyConfig) -> Judgeable | None:
    if frames["errors"].empty:
        return None
    errors = _rows(whole(frames["errors"]).to_frame())
    requests = _rows(whole(frames["requests"]).reindex(frames["errors"].index).to_frame())
    volumes = np.where(errors > requests, errors, requests)
    rate = np.clip(quotients(errors, volumes), 0.0, 1.0)
    return Judgeable("error_rate", [{}], frames["errors"].index, rate, volumes)


def _cache(frames: Frames, _config: AnomalyConfig) -> Judgeable | None:
    hits, misses = frames["hits"].align(frames["misses"], join="outer", axis=1, fill_value=0.0)
    return _ratios("cache_degradation", names.TIER, hits, hits + misses)


def _quality(frames: Frames, config: AnomalyConfig) -> Judgeable | None:
    samples = frames["samples"]
    if samples.empty:
        return None
    large = samples.columns[_large(samples, config)]
    points = frames["points"].reindex(columns=large, fill_value=0.0)
    return _ratios("quality_drop", names.MODEL, points, samples[large])


def _ratios(kind: Kind, label: str, parts: pd.DataFrame, volumes: pd.DataFrame) -> Judgeable | None:
    if volumes.empty:
        return None
    labels = [{label: str(name)} for name in volumes.columns]
    of = _rows(volumes)
    return Judgeable(kind, labels, volumes.index, quotients(_rows(parts), of), of)


_SERIES: Final[Mapping[AnomalyType, Callable[[Frames, AnomalyConfig], Judgeable | None]]] = {
    "cost_spike": _cost,
    "latency_spike": _latency,
    "error_rate": _errors,
    "cache_degradation": _cache,
    "quality_drop": _quality,
}
