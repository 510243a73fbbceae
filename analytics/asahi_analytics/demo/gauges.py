"""The gauges of the demo's history: the rolling window's, the store's, and Prometheus' own ``up``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from asahi_analytics.demo.past import Past
from asahi_analytics.history import Floats, HistorySeries
from asahi_analytics.traffic.readout import constant, created
from asahi_exporter import conventions as names
from asahi_exporter import schema
from asahi_exporter.conventions import STORE, Metric

ROLLING_SECONDS: Final = 900.0
"""The exporter's default ``rolling_window_minutes``."""


def gauges_of(past: Past, target: Mapping[str, str]) -> Iterator[HistorySeries]:
    """Yield every gauge of the exporter, and ``up``, as scraped with the labels of ``target``."""
    times_ms = past.times_ms[past.kept()]
    yield created(times_ms, target)
    yield constant(names.STATE_FILES.name, times_ms, 1.0, target)
    yield constant(names.STATE_DAMAGED_FILES.name, times_ms, 0.0, target)
    yield constant("up", times_ms, 1.0, {key: value for key, value in target.items() if key != STORE})
    for (kind, labels), cells in past.cells.items():
        if kind is schema.CACHE:
            named = {**target, names.TIER: labels[0]}
            yield from _rolling(past, names.CACHE_HIT_RATE, named, cells[:, 0], cells.sum(axis=1))
    for model in sorted({labels[0] for kind, labels in past.cells if kind is schema.QUALITY}):
        points, scores = _quality(past, model)
        yield from _rolling(past, names.QUALITY_SCORE, {**target, names.MODEL: model}, points, scores)


def _quality(past: Past, model: str) -> tuple[Floats, Floats]:
    cells = sum(
        (
            cells
            for (kind, labels), cells in past.cells.items()
            if kind is schema.QUALITY and labels[0] == model
        ),
        np.zeros((past.times_s.size, schema.QUALITY.size)),
    )
    return cells[:, 0], cells[:, 1]


def _rolling(
    past: Past, metric: Metric, labels: Mapping[str, str], part: Floats, whole: Floats
) -> Iterator[HistorySeries]:
    """Yield ``part / whole`` over the rolling window; no samples where the window holds nothing."""
    parts, wholes = _gained(past.times_s, part), _gained(past.times_s, whole)
    there = past.kept() & (wholes > 0)
    if there.any():
        yield HistorySeries(metric.name, labels, past.times_ms[there], parts[there] / wholes[there])


def _gained(times_s: Floats, total: Floats) -> Floats:
    before = np.interp(times_s - ROLLING_SECONDS, times_s, total)
    return np.asarray(total - before)
