"""From the exporter's cells over time to the series that a Prometheus would have scraped.

The layout of the cells and what is read from them stand in ``asahi_exporter.schema``; here the same is done for many
moments at once. Tests hold it to what the exporter itself exposes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.history import Floats, HistorySeries, Milliseconds
from asahi_exporter import conventions as names
from asahi_exporter.cells import BlockKey
from asahi_exporter.conventions import Metric

INFINITY: Final = "+Inf"
LE: Final = "le"


@dataclass(frozen=True)
class CellHistory:
    """The cells of one block at consecutive moments: the last ``len(cells)`` of those that are read out.

    ``cells`` has a row for each moment since the block exists, and as many columns as its schema has cells.
    """

    key: BlockKey
    cells: Floats


def read_out(
    times_ms: Milliseconds, histories: Iterable[CellHistory], target: Mapping[str, str]
) -> Iterator[HistorySeries]:
    """Yield the series of all counters and histograms in ``histories``, scraped at ``times_ms``.

    ``target`` are the labels that a scrape adds (``job``, ``instance``) and, for counters that outlive their process,
    ``store``.
    """
    counters: dict[tuple[Metric, tuple[str, ...]], Floats] = {}
    for history in histories:
        kind, labels = history.key
        if kind.histogram is not None:
            yield from _histogram(times_ms, kind.histogram, labels, history.cells, target)
        for reading in kind.readings:
            key = (reading.metric, tuple(labels[position] for position in reading.pick) + reading.fixed)
            values = _added(history.cells, reading.cells)
            counters[key] = values if key not in counters else _aligned_sum(counters[key], values)
    for (metric, values_of_labels), values in counters.items():
        yield _series(metric.name, _named(metric, values_of_labels), times_ms, values, target)


def constant(name: str, times_ms: Milliseconds, value: float, target: Mapping[str, str]) -> HistorySeries:
    """Return a series that has the same value at every moment."""
    return HistorySeries(name, dict(target), times_ms, np.full(times_ms.size, value))


def _named(metric: Metric, labels: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(metric.labels, labels, strict=True))


def _added(cells: Floats, columns: tuple[int, ...]) -> Floats:
    """Return the sum of some columns, added from left to right: rounding then never makes a counter fall."""
    total = cells[:, columns[0]]
    for column in columns[1:]:
        total = total + cells[:, column]
    return total


def _aligned_sum(one: Floats, other: Floats) -> Floats:
    """Return the sum of two columns that end at the same moment; what is not born yet counts as nothing."""
    longer, shorter = (one, other) if one.size >= other.size else (other, one)
    total = longer.copy()
    total[longer.size - shorter.size :] += shorter
    return total


def _series(
    name: str, labels: Mapping[str, str], times_ms: Milliseconds, values: Floats, target: Mapping[str, str]
) -> HistorySeries:
    return HistorySeries(name, {**target, **labels}, times_ms[times_ms.size - values.size :], values)


def _histogram(
    times_ms: Milliseconds, metric: Metric, labels: tuple[str, ...], cells: Floats, target: Mapping[str, str]
) -> Iterator[HistorySeries]:
    """Yield buckets, count and sum; the cells hold the sum first, then a count for each bucket."""
    named = _named(metric, labels)
    counts: npt.NDArray[np.float64] = np.cumsum(cells[:, 1:], axis=1)
    for position, bound in enumerate([*map(str, metric.buckets), INFINITY]):
        yield _series(f"{metric.name}_bucket", {**named, LE: bound}, times_ms, counts[:, position], target)
    yield _series(f"{metric.name}_count", named, times_ms, counts[:, -1], target)
    yield _series(f"{metric.name}_sum", named, times_ms, cells[:, 0], target)


def created(times_ms: Milliseconds, target: Mapping[str, str]) -> HistorySeries:
    """Return the gauge that says when the memory of the counters was created: at the first moment."""
    return constant(names.STORE_CREATED.name, times_ms, float(times_ms[0]) / 1000.0, target)
