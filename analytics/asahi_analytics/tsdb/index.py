"""The index of a block: symbols, series with their chunks, and which series have which label."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.tsdb.crc import crc32c, crc32c_rows
from asahi_analytics.varint import uvarint

MAGIC: Final = 0xBAAAD700
VERSION: Final = 2
_SERIES_ALIGNMENT: Final = 16
_CHECKED_TOGETHER: Final = 4096
_LONG_BYTES: Final = 4096

Labels = tuple[tuple[str, str], ...]
"""Sorted by name, the name of the metric (``__name__``) among them."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ChunkRefs:
    """The chunks of one series: first and last time, and where each stands."""

    first_ms: Ints
    last_ms: Ints
    references: Ints


@dataclass(frozen=True)
class IndexedSeries:
    """A series and its chunks, in order of time."""

    labels: Labels
    chunks: ChunkRefs


def sort_key(labels: Labels) -> tuple[tuple[bytes, bytes], ...]:
    """Return what series are sorted by: Prometheus compares bytes."""
    return tuple((name.encode(), value.encode()) for name, value in labels)


class IndexFile:
    """Writes an index, section by section, and notes where each begins."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0

    def write(self, series: Sequence[IndexedSeries]) -> None:
        """Write the whole index of ``series``, which must be sorted by ``sort_key`` of their labels."""
        self._put(struct.pack(">IB", MAGIC, VERSION))
        symbols = sorted({text.encode() for one in series for pair in one.labels for text in pair})
        symbols_at = self._section(struct.pack(">I", len(symbols)) + b"".join(map(_text, symbols)))
        numbers = {symbol.decode(): number for number, symbol in enumerate(symbols)}
        self._align(_SERIES_ALIGNMENT)
        series_at = self._at
        references = self._series(series, numbers)
        self._align(4)
        label_indices_at = self._at
        postings_at = self._at
        table = self._postings(series, references)
        label_table_at = self._section(struct.pack(">I", 0))
        table_at = self._section(struct.pack(">I", len(table)) + b"".join(table))
        offsets = (symbols_at, series_at, label_indices_at, label_table_at, postings_at, table_at)
        content = struct.pack(">6Q", *offsets)
        self._put(content + crc32c(content).to_bytes(4, "big"))

    def _put(self, content: bytes) -> None:
        self._file.write(content)
        self._at += len(content)

    def _align(self, size: int) -> None:
        self._put(bytes(-self._at % size))

    def _section(self, content: bytes) -> int:
        """Write a section: length, content, checksum; return where it begins."""
        begun = self._at
        self._put(len(content).to_bytes(4, "big") + content + crc32c(content).to_bytes(4, "big"))
        return begun

    def _series(self, series: Sequence[IndexedSeries], numbers: dict[str, int]) -> list[int]:
        """Write the series and return the number by which postings call each: its position in units of 16 bytes."""
        references = []
        for start in range(0, len(series), _CHECKED_TOGETHER):
            contents = [_series_entry(one, numbers) for one in series[start : start + _CHECKED_TOGETHER]]
            for content, checksum in zip(contents, _checksums(contents), strict=True):
                self._align(_SERIES_ALIGNMENT)
                references.append(self._at // _SERIES_ALIGNMENT)
                self._put(uvarint(len(content)) + content + checksum)
        return references

    def _postings(self, series: Sequence[IndexedSeries], references: Sequence[int]) -> list[bytes]:
        """Write which series have which label, all series first, and return the table of where each list stands."""
        lists: dict[tuple[bytes, bytes], list[int]] = {}
        for one, reference in zip(series, references, strict=True):
            for pair in sort_key(one.labels):
                lists.setdefault(pair, []).append(reference)
        ordered = [((b"", b""), list(references)), *sorted(lists.items())]
        contents = [struct.pack(f">I{len(found)}I", len(found), *found) for _, found in ordered]
        table = []
        for ((name, value), _), content, checksum in zip(
            ordered, contents, _checksums(contents), strict=True
        ):
            self._align(4)
            table.append(b"\x02" + _text(name) + _text(value) + uvarint(self._at))
            self._put(len(content).to_bytes(4, "big") + content + checksum)
        return table


def _text(text: bytes) -> bytes:
    return uvarint(len(text)) + text


def _varint(number: int) -> bytes:
    """Return a number of either sign in base 128: the sign is the lowest bit."""
    return uvarint(number << 1 if number >= 0 else (-number << 1) - 1)


def _series_entry(series: IndexedSeries, numbers: dict[str, int]) -> bytes:
    parts = [uvarint(len(series.labels))]
    parts += [uvarint(numbers[text]) for pair in series.labels for text in pair]
    parts.append(uvarint(series.chunks.references.size))
    chunks = series.chunks
    before_ms = before_reference = 0
    for place, (first_ms, last_ms, reference) in enumerate(
        zip(chunks.first_ms.tolist(), chunks.last_ms.tolist(), chunks.references.tolist(), strict=True)
    ):
        parts.append((uvarint if place else _varint)(first_ms - before_ms))
        parts.append(uvarint(last_ms - first_ms))
        parts.append((_varint if place else uvarint)(reference - before_reference))
        before_ms, before_reference = last_ms, reference
    return b"".join(parts)


def _checksums(contents: Iterable[bytes]) -> list[bytes]:
    """Return the checksum of each byte string: short ones side by side, long ones one by one."""
    texts = list(contents)
    if not texts:
        return []
    if max(map(len, texts)) > _LONG_BYTES:
        return [crc32c(text).to_bytes(4, "big") for text in texts]
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    rows = np.zeros((lengths.size, int(lengths.max())), dtype=np.uint8)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = np.frombuffer(text, dtype=np.uint8)
    return [int(checksum).to_bytes(4, "big") for checksum in crc32c_rows(rows, lengths)]
