"""The rolling gauges: cache hit rate and mean quality, over the workers of a service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from asahi_exporter import conventions as names
from asahi_exporter import schema
from asahi_exporter.cells import Cells
from asahi_exporter.conventions import Metric
from asahi_exporter.schema import Schema
from asahi_exporter.store import Row
from asahi_exporter.window import Parts, Window

_METRIC_OF: Mapping[Schema, Metric] = {
    schema.ROLLING_HITS: names.CACHE_HIT_RATE,
    schema.ROLLING_QUALITY: names.QUALITY_SCORE,
}


class Rolling:
    """Numerators and denominators of the rolling gauges of this process, from its window."""

    def __init__(self, cells: Cells, window: Window, seconds: float) -> None:
        self._cells = cells
        self._window = window
        self._seconds = seconds

    def own(self, now: float) -> dict[Schema, Parts]:
        """Return what this process saw in the rolling window that ends now."""
        hits, quality = self._window.rolling(now - self._seconds)
        return {schema.ROLLING_HITS: hits, schema.ROLLING_QUALITY: quality}

    def write(self, now: float) -> None:
        """Leave this process's parts where the other workers read them."""
        for kind, parts in self.own(now).items():
            for labels, (numerator, denominator) in parts.items():
                if denominator or (kind, labels) in self._cells.blocks:
                    self._cells.block(kind, labels).set([numerator, denominator, now])

    def gauges(self, now: float, others: Iterable[Row]) -> dict[Metric, dict[tuple[str, ...], float]]:
        """Return the gauges over this process and ``others``; a label set without samples has no value."""
        parts = self.own(now)
        for (kind, labels), (numerator, denominator, written) in others:
            if now - written <= self._seconds:
                mine = parts[kind].get(labels, (0.0, 0.0))
                parts[kind][labels] = (mine[0] + numerator, mine[1] + denominator)
        return {
            _METRIC_OF[kind]: {labels: part / whole for labels, (part, whole) in of_kind.items() if whole}
            for kind, of_kind in parts.items()
        }
