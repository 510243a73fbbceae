"""Reading a trace file, plain or gzip, into columns sorted by time."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, TextIO, cast

import numpy as np
import numpy.typing as npt

from asahi_analytics.errors import UserInputError
from asahi_analytics.traffic.formats import Row, RowError, TraceFormat, format_of

GZIP_MAGIC: Final = b"\x1f\x8b"
_ROWS_BETWEEN_REPORTS: Final = 4096

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Hears (bytes read, bytes in the file)."""


@dataclass(frozen=True)
class TraceLabels:
    """Who asked what; None where the trace does not say."""

    model: str | None
    task_type: str | None
    user: str | None


@dataclass(frozen=True)
class Trace:
    """A trace in columns of equal length, sorted by time.

    ``times_s`` are seconds since the start of the trace, ``labels[label[i]]`` are the labels of row i, tokens are means
    per request, ``latency_ms`` is NaN where not known. ``started`` is when the trace was recorded, or None if it does
    not say.
    """

    format: TraceFormat
    labels: tuple[TraceLabels, ...]
    label: npt.NDArray[np.int64]
    times_s: Floats
    requests: npt.NDArray[np.int64]
    input_tokens: Floats
    output_tokens: Floats
    latency_ms: Floats
    failed: npt.NDArray[np.bool_]
    started: datetime | None

    @property
    def length_s(self) -> float:
        """Seconds from the start of the trace to the end of its last row; a single request ends with its second."""
        return (
            float(self.times_s[-1]) + self.format.span_s
            if self.format.span_s
            else float(self.times_s[-1] // 1 + 1)
        )

    @property
    def total_requests(self) -> int:
        """Requests in the trace."""
        return int(self.requests.sum())


def read_trace(path: Path, progress: Progress | None = None) -> Trace:
    """Return the trace at ``path``; its format is told by the header, gzip by the file's first bytes.

    Rows without requests are left out. Raises ``UserInputError`` for a file that cannot be read, is empty, is cut
    off, has a header that is not known, or has a wrong row, whose line is named.
    """
    try:
        with _opened(path) as (file, text):
            return _read(text, _reporter(path, file, progress))
    except UserInputError as error:
        raise UserInputError(f"{path}: {error}") from error
    except EOFError as error:
        raise UserInputError(f"{path} is cut off: the gzip stream ends too early") from error
    except (OSError, zlib.error) as error:
        raise UserInputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except UnicodeDecodeError as error:
        raise UserInputError(f"{path} is not text (UTF-8) with comma-separated columns") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, TextIO]]:
    """Yield the file itself, which knows how far it was read, and its text; what comes through a pipe is read whole."""
    with path.open("rb") as given:
        file: BinaryIO = given if given.seekable() else io.BytesIO(given.read())
        zipped = file.read(2) == GZIP_MAGIC
        file.seek(0)
        if path.suffix == ".gz" and not zipped and path.stat().st_size:
            raise UserInputError("it is called .gz but is not gzip; rename it or pack it anew")
        binary = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if zipped else file
        yield file, io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")


def _reporter(path: Path, file: BinaryIO, progress: Progress | None) -> Callable[[], None]:
    size = path.stat().st_size
    return (lambda: None) if progress is None else (lambda: progress(file.tell(), size))


def _read(text: TextIO, report: Callable[[], None]) -> Trace:
    lines = csv.reader(text)
    header = [column.strip() for column in next(lines, [])]
    if not header:
        raise UserInputError("the file is empty")
    columns = _Columns(format_of(header))
    try:
        for position, cells in enumerate(lines):
            if cells:
                columns.add(_row(columns.format, header, cells))
            if position % _ROWS_BETWEEN_REPORTS == 0:
                report()
    except (RowError, csv.Error) as error:
        raise UserInputError(f"line {lines.line_num}: {error}") from error
    report()
    return columns.trace()


def _row(known: TraceFormat, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise RowError(f"{len(cells)} columns where the header has {len(header)}; is the file cut off?")
    return known.parse(dict(zip(header, cells, strict=True)))


class _Columns:
    """The columns of a trace while they grow."""

    def __init__(self, known: TraceFormat) -> None:
        self.format = known
        self._codes: dict[TraceLabels, int] = {}
        self._label = array("q")
        self._requests = array("q")
        self._failed = array("b")
        self._numbers = [array("d") for _ in range(4)]

    def add(self, row: Row) -> None:
        if not row.requests:
            return
        labels = TraceLabels(row.model, row.task_type, row.user)
        self._label.append(self._codes.setdefault(labels, len(self._codes)))
        self._requests.append(row.requests)
        self._failed.append(row.failed)
        numbers = (row.at_s, row.input_tokens, row.output_tokens, row.latency_ms)
        for column, value in zip(self._numbers, numbers, strict=True):
            column.append(value)

    def trace(self) -> Trace:
        if not self._label:
            raise UserInputError("the file has a header but no requests")
        times, inputs, outputs, latencies = (np.array(column) for column in self._numbers)
        order = np.argsort(times, kind="stable")
        start = float(times[order[0]]) if self.format.absolute else 0.0
        return Trace(
            format=self.format,
            labels=tuple(self._codes),
            label=np.array(self._label)[order],
            times_s=times[order] - start,
            requests=np.array(self._requests)[order],
            input_tokens=inputs[order],
            output_tokens=outputs[order],
            latency_ms=latencies[order],
            failed=np.array(self._failed, dtype=np.bool_)[order],
            started=datetime.fromtimestamp(start, UTC) if self.format.absolute else None,
        )
