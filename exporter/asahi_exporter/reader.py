"""Reads files of cells that other processes write or wrote, without a lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from struct import unpack_from

from asahi_exporter.cellfile import SEGMENT_BYTES, Segment, key_of, scan_segment, used_bytes
from asahi_exporter.cells import BlockKey
from asahi_exporter.store import Row


def read_whole(fd: int) -> bytes:
    """Return the content of an open file."""
    size, data = os.fstat(fd).st_size, b""
    while len(data) < size:
        more = os.pread(fd, size - len(data), len(data))
        if not more:
            break
        data += more
    return data


class FileReading:
    """One file, read again and again: what was understood once is not parsed again unless it grew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contains: tuple[str, ...] = ()
        """Ids of the files that this one was folded from."""
        self.damaged = False
        self._segments: dict[int, Segment] = {}
        self._foreign = False
        self._layouts: dict[int, list[tuple[BlockKey, int, str]]] = {}

    def rows(self) -> list[Row]:
        """Return the cells that the file holds now.

        Raises:
            FileNotFoundError: it was folded or removed.
        """
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = read_whole(fd)
        finally:
            os.close(fd)
        self.damaged = self._foreign or not data or len(data) % SEGMENT_BYTES != 0
        data += bytes(-len(data) % SEGMENT_BYTES)  # of a segment that was cut off, what is left still counts
        return [row for start in range(0, len(data), SEGMENT_BYTES) for row in self._segment(data, start)]

    def _segment(self, data: bytes, start: int) -> Iterator[Row]:
        used = used_bytes(data, start)
        segment = self._segments.get(start)
        if segment is None or segment.used != used:
            segment = self._segments[start] = scan_segment(data, start, used)
            self._layouts[start] = list(self._layout(segment))
        self.damaged |= segment.damaged
        for key, offset, form in self._layouts[start]:
            cells = list(unpack_from(form, data, offset))
            if all(map(isfinite, cells)):
                yield key, cells
            else:
                self.damaged = True

    def _layout(self, segment: Segment) -> Iterator[tuple[BlockKey, int, str]]:
        for record in segment.records:
            key = key_of(record)
            match record.description:
                case {"contains": [*ids]}:
                    self.contains += tuple(map(str, ids))
                case _ if key is not None:
                    yield key, record.offset, f"@{record.cells}d"
                case _:  # written by a version with other series
                    self.damaged = self._foreign = True
