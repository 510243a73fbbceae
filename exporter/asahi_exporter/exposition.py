"""From cells to metric families, and from families to text and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from math import fsum, isfinite
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from asahi_exporter import conventions as names
from asahi_exporter.cells import BlockKey
from asahi_exporter.conventions import Metric
from asahi_exporter.schema import Schema

Labels = tuple[str, ...]
Sums = Mapping[BlockKey, Sequence[float]]
"""Cells by schema and label values, summed over the files of a state directory where there is one."""
GaugeValues = Mapping[Metric, Mapping[Labels, float]]
_INF: Final = "+Inf"


def add_up(rows: Iterable[tuple[BlockKey, Sequence[float]]]) -> dict[BlockKey, list[float]]:
    """Return the cells of each key summed exactly.

    The sum is correctly rounded (``math.fsum``), hence the same however the addends are grouped: were it not,
    moving counters between files could lower a total by its last digit, and Prometheus would take that for a
    reset.
    """
    gathered: dict[BlockKey, list[Sequence[float]]] = {}
    for key, cells in rows:
        gathered.setdefault(key, []).append(cells)
    return {
        key: list(many[0]) if len(many) == 1 else [fsum(cells) for cells in zip(*many, strict=True)]
        for key, many in gathered.items()
    }


def families(sums: Sums, gauges: GaugeValues, store: str | None, created: float | None) -> list[Family]:
    """Return every metric family that has samples, in the order of the conventions.

    ``store`` is put on every series when not None; ``created`` adds ``_created`` samples when not None.
    """
    counters: dict[str, dict[Labels, list[float]]] = {}
    histograms: dict[str, dict[Labels, Sequence[float]]] = {}
    for (schema, labels), cells in sums.items():
        if schema.histogram is not None:
            histograms.setdefault(schema.histogram.name, {})[labels] = cells
        _read(schema, labels, cells, counters)
    made = (_family(metric, counters, histograms, gauges, store, created) for metric in names.METRICS)
    return [family for family in made if family is not None]


def _read(
    schema: Schema, labels: Labels, cells: Sequence[float], counters: dict[str, dict[Labels, list[float]]]
) -> None:
    for reading in schema.readings:
        key = tuple([labels[position] for position in reading.pick]) + reading.fixed
        values = counters.setdefault(reading.metric.name, {}).setdefault(key, [])
        values.extend([cells[cell] for cell in reading.cells])


def _family(  # noqa: PLR0917 - all that a series is made of
    metric: Metric,
    counters: Mapping[str, Mapping[Labels, list[float]]],
    histograms: Mapping[str, Mapping[Labels, Sequence[float]]],
    gauges: GaugeValues,
    store: str | None,
    created: float | None,
) -> Family | None:
    if metric.kind == "gauge":
        return _gauge(metric, gauges.get(metric, {}), store)
    if metric.kind == "histogram":
        return _histogram(metric, histograms.get(metric.name, {}), store, created)
    return _counter(metric, counters.get(metric.name, {}), store, created)


def empty_families() -> list[Family]:
    """Return every family without samples, for a registry to know the names."""
    return [_named(metric) for metric in names.METRICS]


def _named(metric: Metric) -> Family:
    if metric.kind == "gauge":
        return GaugeMetricFamily(metric.name, metric.help)
    if metric.kind == "histogram":
        return HistogramMetricFamily(metric.name, metric.help)
    return CounterMetricFamily(metric.name.removesuffix("_total"), metric.help)


def _with_store(metric: Metric, labels: Labels, store: str | None) -> dict[str, str]:
    named = dict(zip(metric.labels, labels, strict=True))
    if store is not None:
        named[names.STORE] = store
    return named


def _gauge(metric: Metric, values: Mapping[Labels, float], store: str | None) -> Family | None:
    family = _named(metric)
    for labels, value in sorted(values.items()):
        family.add_sample(metric.name, _with_store(metric, labels, store), value)
    return family if family.samples else None


def _counter(
    metric: Metric, values: Mapping[Labels, list[float]], store: str | None, created: float | None
) -> Family | None:
    family = _named(metric)
    for labels, addends in sorted(values.items()):
        named = _with_store(metric, labels, store)
        family.add_sample(metric.name, named, addends[0] if len(addends) == 1 else fsum(addends))
        if created is not None:
            family.add_sample(f"{family.name}_created", named, created)
    return family if family.samples else None


@cache
def _bounds(metric: Metric) -> tuple[str, ...]:
    return (*(str(bound) for bound in metric.buckets), _INF)


def _histogram(
    metric: Metric, values: Mapping[Labels, Sequence[float]], store: str | None, created: float | None
) -> Family | None:
    family = _named(metric)
    for labels, cells in sorted(values.items()):
        named = _with_store(metric, labels, store)
        count = 0.0
        for bound, inside in zip(_bounds(metric), cells[1:], strict=True):
            count += inside
            family.add_sample(f"{metric.name}_bucket", {**named, "le": bound}, count)
        family.add_sample(f"{metric.name}_count", named, count)
        family.add_sample(f"{metric.name}_sum", named, cells[0])
        if created is not None:
            family.add_sample(f"{metric.name}_created", named, created)
    return family if family.samples else None


def as_json(collect: Callable[[], Iterable[Family]]) -> dict[str, Any]:
    """Return the families as plain data: name, type, help and samples; a value that is not finite is None."""
    return {
        "metrics": [
            {
                "name": family.name,
                "type": family.type,
                "help": family.documentation,
                "samples": [
                    {
                        "name": sample.name,
                        "labels": dict(sample.labels),
                        "value": sample.value if isfinite(sample.value) else None,
                    }
                    for sample in family.samples
                ],
            }
            for family in collect()
        ]
    }
