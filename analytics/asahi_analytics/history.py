"""Historical samples into a Prometheus data directory, exactly and fast.

Prometheus keeps its history in blocks that are aligned in time. ``promtool tsdb create-blocks-from openmetrics``
makes them from text, but reads the whole text again for each block: so each block gets a text of its own here,
and two are made at a time. A value is written with the fewest digits that read back as the same float64, a time
to the millisecond, so nothing is rounded on the way.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import orjson

from asahi_analytics.demo.servers import find_program
from asahi_analytics.errors import AnalyticsError, UserInputError

BLOCK_HOURS: Final = (2, 6, 18, 54, 162, 486)
"""The block lengths that Prometheus itself uses: two hours, three times as long at each step."""
MAX_OPEN_BLOCKS: Final = 400
MAX_TIME_MS: Final = 1 << 42
"""In the year 2109; the limit keeps a time within the six bytes that remote write needs for it."""
_METRIC_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

Floats = npt.NDArray[np.float64]
Milliseconds = npt.NDArray[np.int64]


class HistoryError(AnalyticsError):
    """The samples could not be written; the message holds the words of the program that refused them."""


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
    workers: int = 2,
    on_block: Callable[[int, int], None] | None = None,
) -> Written:
    """Add ``series`` to the Prometheus data directory ``data_dir`` as blocks of at most ``block_hours``.

    The series may come in any order, and a running Prometheus finds the new blocks within a minute; samples that
    overlap blocks which are there already are merged by Prometheus. ``workers`` blocks are made at a time;
    ``on_block`` hears (made, total) after each. A series may come in several parts,
    each later than the one before.

    Blocks appear all at once at the end: on an error none is added. Raises ``UserInputError`` for a block length
    that Prometheus does not use and for a series that goes back in time, ``ServerError`` when promtool is missing,
    ``HistoryError`` when it refuses.
    """
    if block_hours not in BLOCK_HOURS:
        raise UserInputError(
            f"block_hours is {block_hours}; Prometheus uses {', '.join(map(str, BLOCK_HOURS))}"
        )
    command = _promtool(block_hours)
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="history-", dir=data_dir) as scratch:
        texts = _BlockTexts(Path(scratch), block_hours * 3_600_000)
        with contextlib.closing(texts):
            for one in series:
                texts.add(one)
        blocks = Path(scratch) / "blocks"
        _make_blocks(command, texts.paths(), blocks, workers, on_block)
        made = _move_blocks(blocks, data_dir)
    return Written(texts.series, texts.samples, made)


class _BlockTexts:
    """One OpenMetrics file for each block, filled series by series."""

    def __init__(self, folder: Path, block_ms: int) -> None:
        self._folder = folder
        self._block_ms = block_ms
        self._files: dict[int, BinaryIO] = {}
        self._seen: set[int] = set()
        self._last_ms: dict[bytes, int] = {}
        self.samples = 0

    def add(self, series: HistorySeries) -> None:
        if not series.times_ms.size:
            return
        head = series_head(series.name, series.labels)
        self._refuse_going_back(head, series.times_ms)
        for block, part in _by_block(series, self._block_ms):
            self._file(block).write(sample_lines(head, part.times_ms, part.values))
        self.samples += series.times_ms.size

    @property
    def series(self) -> int:
        return len(self._last_ms)

    def _refuse_going_back(self, head: bytes, times_ms: Milliseconds) -> None:
        """promtool drops a sample that is not newer than the last of its series, without a word."""
        if times_ms[0] <= self._last_ms.get(head, -1):
            raise UserInputError(f"{head.decode().strip()} comes twice, and its times overlap")
        self._last_ms[head] = int(times_ms[-1])

    def paths(self) -> list[Path]:
        return [self._path(block) for block in sorted(self._seen)]

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        for path in self.paths():
            with path.open("ab") as file:
                file.write(b"# EOF\n")

    def _path(self, block: int) -> Path:
        return self._folder / f"{block}.om"

    def _file(self, block: int) -> BinaryIO:
        if block not in self._files:
            if len(self._files) >= MAX_OPEN_BLOCKS:
                self._files.pop(next(iter(self._files))).close()
            self._files[block] = self._path(block).open("ab", buffering=1 << 18)
            self._seen.add(block)
        return self._files[block]


def _by_block(series: HistorySeries, block_ms: int) -> Iterator[tuple[int, HistorySeries]]:
    """Yield (start of the block, the samples in it) of a series that has samples."""
    first = int(series.times_ms[0]) // block_ms * block_ms
    for start in range(first, int(series.times_ms[-1]) + 1, block_ms):
        part = series.between(start, start + block_ms)
        if part.times_ms.size:
            yield start, part


def _make_blocks(
    command: list[str],
    texts: list[Path],
    folder: Path,
    workers: int,
    on_block: Callable[[int, int], None] | None,
) -> None:
    folder.mkdir()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for done, _ in enumerate(pool.map(lambda text: _make_block(command, text, folder), texts), start=1):
            if on_block is not None:
                on_block(done, len(texts))


def _promtool(block_hours: int) -> list[str]:
    name = find_program("promtool")
    return [name, "tsdb", "create-blocks-from", f"--max-block-duration={block_hours}h", "-q", "openmetrics"]


def _make_block(command: list[str], text: Path, folder: Path) -> None:
    answer = subprocess.run([*command, str(text), str(folder)], capture_output=True, text=True, check=False)  # noqa: S603
    if answer.returncode != 0:
        raise HistoryError(
            f"promtool could not make a block: {(answer.stderr or answer.stdout).strip()[-800:]}"
        )
    text.unlink()


def _move_blocks(source: Path, target: Path) -> int:
    """Move every block below ``source`` to ``target`` and return how many there were."""
    blocks = [path for path in source.iterdir() if (path / "meta.json").exists()]
    for block in blocks:
        block.rename(target / block.name)
    return len(blocks)


def _is_label_name(name: str) -> bool:
    return _LABEL_NAME.fullmatch(name) is not None and name != "__name__"


def escape_label_value(value: str) -> str:
    """Return ``value`` as it stands between the quotes of the text format."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def series_head(name: str, labels: Mapping[str, str]) -> bytes:
    """Return the part of a text line before the value, with its blank; empty label values are left out."""
    pairs = ",".join(f'{key}="{escape_label_value(value)}"' for key, value in sorted(labels.items()) if value)
    return f"{name}{{{pairs}}} ".encode()


def sample_lines(head: bytes, times_ms: Milliseconds, values: Floats) -> bytes:
    """Return one line of text for each sample, each ended by a newline."""
    ends = time_texts(times_ms)
    return b"".join([head + value + end for value, end in zip(value_texts(values), ends, strict=True)])


def value_texts(values: Floats) -> list[bytes]:
    """Return each value with the fewest digits that read back as the same float64."""
    if np.all(np.isfinite(values)):
        array = np.ascontiguousarray(values, dtype=np.float64)
        return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    return [repr(value).encode() for value in values.tolist()]


def time_texts(times_ms: Milliseconds) -> list[bytes]:
    """Return each time in seconds, with the blank before it and the newline after it.

    Prometheus computes ``int64(seconds * 1000)``, which cuts off: 1.001 s may become 1000 ms. A time that is not a
    whole second therefore ends in half a millisecond, which is cut off in its place.
    """
    return [
        b" %d\n" % (time // 1000) if time % 1000 == 0 else b" %d.%03d5\n" % divmod(time, 1000)
        for time in times_ms.tolist()
    ]


def as_history(name: str, labels: Mapping[str, str], times: Any, values: Any) -> HistorySeries:
    """Return a ``HistorySeries`` from sequences of milliseconds and numbers."""
    return HistorySeries(
        name, labels, np.asarray(times, dtype=np.int64), np.asarray(values, dtype=np.float64)
    )
