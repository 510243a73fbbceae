"""Historical samples into a Prometheus data directory, exactly and fast.

Prometheus keeps its history in blocks that are aligned in time. They are written here as Prometheus itself would
(``asahi_analytics.tsdb``), thousands of chunks side by side: much faster than text for ``promtool tsdb
create-blocks-from openmetrics``, and nothing is rounded, neither a value nor a millisecond.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.errors import UserInputError
from asahi_analytics.tsdb.block import BlockWriter
from asahi_analytics.tsdb.chunks import SAMPLES_PER_CHUNK, encode
from asahi_analytics.tsdb.index import Labels

BLOCK_HOURS: Final = (2, 6, 18, 54, 162, 486)
"""The block lengths that Prometheus itself uses: two hours, three times as long at each step."""
MAX_OPEN_BLOCKS: Final = 200
CHUNKS_AT_ONCE: Final = 4096
MAX_TIME_MS: Final = 1 << 42
"""In the year 2109; the limit keeps a time within the six bytes that remote write needs for it."""
_METRIC_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

Floats = npt.NDArray[np.float64]
Milliseconds = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HistorySeries:
    """Samples of one series: ``times_ms`` since 1970 UTC, strictly ascending; ``values`` of the same length.

    NaN and infinite values are samples like any other. No samples at all is allowed and writes nothing.
    Raises ``UserInputError`` when a name, a time or a length is not what Prometheus stores.
    """

    name: str
    labels: Mapping[str, str]
    times_ms: Milliseconds
    values: Floats

    def __post_init__(self) -> None:
        """Refuse what Prometheus would refuse later, or silently drop."""
        if not _METRIC_NAME.fullmatch(self.name):
            raise UserInputError(f"{self.name!r} is not a metric name")
        if bad := [name for name in self.labels if not _is_label_name(name)]:
            raise UserInputError(f"{bad[0]!r} is not a label name that {self.name} can have")
        if self.times_ms.shape != self.values.shape or self.times_ms.ndim != 1:
            raise UserInputError(
                f"{self.name} has {self.times_ms.shape} times and {self.values.shape} values; pass as many of each"
            )
        if self.times_ms.size and not self._times_are_storable():
            raise UserInputError(f"the times of {self.name} must ascend strictly, between 1970 and 2109")

    def _times_are_storable(self) -> bool:
        ascending = bool(np.all(np.diff(self.times_ms) > 0))
        return ascending and self.times_ms[0] >= 0 and self.times_ms[-1] < MAX_TIME_MS

    def between(self, start_ms: int, end_ms: int) -> HistorySeries:
        """Return the samples from ``start_ms`` (included) to ``end_ms`` (not included)."""
        first, last = np.searchsorted(self.times_ms, [start_ms, end_ms])
        return HistorySeries(self.name, self.labels, self.times_ms[first:last], self.values[first:last])


@dataclass(frozen=True)
class Written:
    """How much was written."""

    series: int
    samples: int
    blocks: int


def write_blocks(
    series: Iterable[HistorySeries],
    data_dir: Path,
    *,
    block_hours: int = 54,
    on_series: Callable[[int, int], None] | None = None,
) -> Written:
    """Add ``series`` to the Prometheus data directory ``data_dir`` as blocks of at most ``block_hours``.

    The series may come in any order, and one by one from a generator: only a few thousand chunks are held at a time.
    A running Prometheus finds the new blocks within a minute; samples that overlap blocks which are there already are
    merged by Prometheus. A series may come in several parts, each later than the one before. ``on_series`` hears
    (series written, series in all), the latter 0 when ``series`` is a generator.

    Blocks appear at the end: on an error none is added. Raises ``UserInputError`` for a block length that Prometheus
    does not use and for a series that goes back in time.
    """
    if block_hours not in BLOCK_HOURS:
        raise UserInputError(
            f"block_hours is {block_hours}; Prometheus uses {', '.join(map(str, BLOCK_HOURS))}"
        )
    total = len(series) if isinstance(series, Collection) else 0
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="history-", dir=data_dir) as scratch:
        writing = _Writing(Path(scratch), block_hours * 3_600_000)
        for done, one in enumerate(series, start=1):
            writing.add(one)
            if on_series is not None:
                on_series(done, total)
        blocks = writing.finish()
        for block in blocks:
            block.rename(data_dir / block.name)
    return Written(writing.series, writing.samples, len(blocks))


@dataclass(frozen=True)
class _Part:
    """The samples of a series that fall into one block, waiting to be encoded."""

    block: int
    labels: Labels
    times_ms: Milliseconds
    values: Floats

    @property
    def chunks(self) -> int:
        return -(-self.times_ms.size // SAMPLES_PER_CHUNK)


class _Writing:
    """Blocks that are being written below ``folder``."""

    def __init__(self, folder: Path, block_ms: int) -> None:
        self._folder = folder
        self._block_ms = block_ms
        self._blocks: dict[int, BlockWriter] = {}
        self._waiting: list[_Part] = []
        self._waiting_chunks = 0
        self._last_ms: dict[Labels, int] = {}
        self.samples = 0

    @property
    def series(self) -> int:
        return len(self._last_ms)

    def add(self, series: HistorySeries) -> None:
        if not series.times_ms.size:
            return
        labels = _sorted_labels(series)
        self._refuse_going_back(series, labels)
        for block, times_ms, values in _by_block(series, self._block_ms):
            part = _Part(block, labels, times_ms, values)
            self._waiting.append(part)
            self._waiting_chunks += part.chunks
        self.samples += series.times_ms.size
        if self._waiting_chunks >= CHUNKS_AT_ONCE:
            self._encode()

    def _refuse_going_back(self, series: HistorySeries, labels: Labels) -> None:
        if series.times_ms[0] <= self._last_ms.get(labels, -1):
            raise UserInputError(f"{series.name}{dict(series.labels)} comes twice, and its times overlap")
        self._last_ms[labels] = int(series.times_ms[-1])

    def _encode(self) -> None:
        """Encode what waits, all chunks side by side, and hand each part's chunks to its block."""
        times = np.concatenate([_columns(part.times_ms) for part in self._waiting], axis=1)
        values = np.concatenate([_columns(part.values) for part in self._waiting], axis=1)
        ends = np.cumsum([part.chunks for part in self._waiting])
        counts = np.full(times.shape[1], SAMPLES_PER_CHUNK, dtype=np.int64)
        counts[ends - 1] = [(part.times_ms.size - 1) % SAMPLES_PER_CHUNK + 1 for part in self._waiting]
        encoded = encode(times, values, counts)
        for part, end in zip(self._waiting, ends.tolist(), strict=True):
            where = slice(end - part.chunks, end)
            chunks = [encoded.chunk(place) for place in range(where.start, where.stop)]
            self._block(part.block).add(
                part.labels, chunks, (times[0, where], times[-1, where]), part.times_ms.size
            )
        self._waiting, self._waiting_chunks = [], 0

    def _block(self, start_ms: int) -> BlockWriter:
        if start_ms not in self._blocks:
            self._blocks[start_ms] = BlockWriter(self._folder)
        block = self._blocks[start_ms]
        if not block.is_open:
            opened = [other for other in self._blocks.values() if other.is_open]
            if len(opened) >= MAX_OPEN_BLOCKS:
                opened[0].close()
        return block

    def finish(self) -> list[Path]:
        """Write what is left and return the folders of the blocks."""
        if self._waiting:
            self._encode()
        for block in self._blocks.values():
            block.finish()
        return [block.path for block in self._blocks.values()]


def _sorted_labels(series: HistorySeries) -> Labels:
    """Return the labels by name, the metric's among them; an empty value is no label."""
    labels = {"__name__": series.name, **{name: value for name, value in series.labels.items() if value}}
    return tuple(sorted(labels.items()))


def _columns(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return samples as chunks, one a column; the last one is filled up with its last sample."""
    missing = -samples.size % SAMPLES_PER_CHUNK
    whole = np.concatenate([samples, np.repeat(samples[-1:], missing)]) if missing else samples
    return whole.reshape(-1, SAMPLES_PER_CHUNK).T


def _by_block(series: HistorySeries, block_ms: int) -> Iterator[tuple[int, Milliseconds, Floats]]:
    """Yield (start of the block, times and values in it) of a series that has samples."""
    starts = series.times_ms // block_ms * block_ms
    edges = [0, *(np.flatnonzero(np.diff(starts)) + 1).tolist(), starts.size]
    for first, last in pairwise(edges):
        yield int(starts[first]), series.times_ms[first:last], series.values[first:last]


def _is_label_name(name: str) -> bool:
    return _LABEL_NAME.fullmatch(name) is not None and name != "__name__"
