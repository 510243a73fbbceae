"""The file that holds one process's cells: written through shared memory, readable by anyone at any time.

A file is a row of segments of 64 KiB. A segment begins with a magic word and the number of bytes in use, then
come records::

    size of the description, number of cells, CRC-32 of both and the description   three u32, 4 bytes of padding
    description                                                                    JSON, padded to 8 bytes
    cells                                                                          8-byte floats in native order

A record is written in full before the bytes in use include it, and nothing but its cells changes afterwards. An
8-byte aligned store is never seen half-done. So a reader in another process sees whole records and whole
values, whenever it looks and wherever the writer was killed. A damaged record costs what follows it in its
segment, and nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import struct
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any, Final

from asahi_exporter.cells import Block, BlockKey
from asahi_exporter.schema import BY_SIGNATURE

SEGMENT_BYTES: Final = 65_536
_MAGIC: Final = b"ASAHIc01"
_SEGMENT_HEAD: Final = Struct("@8sQ")
_RECORD_HEAD: Final = Struct("@IIIxxxx")
_RECORD_CRC: Final = Struct("@II")
_WORD: Final = 8
_LISTED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Record:
    """A record found in a file: its description, where its cells begin (bytes) and how many there are."""

    description: Any
    offset: int
    cells: int


@dataclass(frozen=True, slots=True)
class Segment:
    """The records of one segment; ``used`` bytes of it were in use, ``damaged`` tells that some could not be read."""

    used: int
    records: tuple[Record, ...]
    damaged: bool


def _padded(size: int) -> int:
    return -(-size // _WORD) * _WORD


def describe(block: Block) -> bytes:
    """Return the description of a block."""
    return json.dumps([block.schema.signature, block.labels], separators=(",", ":")).encode()


def key_of(record: Record) -> BlockKey | None:
    """Return schema and labels of a record, or None if no schema of this version wrote it."""
    match record.description:
        case [str(signature), [*labels]] if all(isinstance(label, str) for label in labels):
            schema = BY_SIGNATURE.get(signature)
            if schema is not None and (schema.size, len(schema.labels)) == (record.cells, len(labels)):
                return schema, tuple(labels)
    return None


def used_bytes(data: bytes | mmap.mmap, start: int) -> int:
    """Return the bytes in use of the segment at ``start``, or -1 if it is no segment."""
    if len(data) - start < SEGMENT_BYTES:
        return -1
    magic, used = _SEGMENT_HEAD.unpack_from(data, start)
    return used if magic == _MAGIC and _SEGMENT_HEAD.size <= used <= SEGMENT_BYTES else -1


def scan_segment(data: bytes | mmap.mmap, start: int, used: int) -> Segment:
    """Return the records of the segment at ``start``."""
    if used < 0:
        unused = not any(data[start : start + SEGMENT_BYTES])
        return Segment(used, (), damaged=not unused)
    records: list[Record] = []
    offset, end = start + _SEGMENT_HEAD.size, start + used
    while offset < end:
        record = _record_at(data, offset, end)
        if record is None:
            return Segment(used, tuple(records), damaged=True)
        records.append(record)
        offset = record.offset + record.cells * _WORD
    return Segment(used, tuple(records), damaged=False)


def _record_at(data: bytes | mmap.mmap, offset: int, end: int) -> Record | None:
    try:
        size, cells, crc = _RECORD_HEAD.unpack_from(data, offset)
    except struct.error:
        return None
    begin = offset + _RECORD_HEAD.size
    first_cell = begin + _padded(size)
    if first_cell + cells * _WORD > end:
        return None
    description = bytes(data[begin : begin + size])
    if zlib.crc32(description, zlib.crc32(_RECORD_CRC.pack(size, cells))) != crc:
        return None
    return Record(json.loads(description), first_cell, cells)


def _allocate(fd: int, start: int) -> None:
    """Take the disk blocks of a segment; zeros are written where the system has no call for it.

    Raises:
        OSError: the disk is full.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, start, SEGMENT_BYTES)
    elif os.pwrite(fd, bytes(SEGMENT_BYTES), start) < SEGMENT_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Mapping:
    """One segment, mapped for writing."""

    def __init__(self, fd: int, number: int) -> None:
        self.memory = mmap.mmap(fd, SEGMENT_BYTES, offset=number * SEGMENT_BYTES)
        self._bytes = memoryview(self.memory)
        self.cells: memoryview[float] = self._bytes.cast("d")

    @property
    def used(self) -> int:
        return int(_SEGMENT_HEAD.unpack_from(self.memory)[1])

    @used.setter
    def used(self, used: int) -> None:
        _SEGMENT_HEAD.pack_into(self.memory, 0, _MAGIC, used)

    def close(self) -> None:
        self.cells.release()
        self._bytes.release()
        self.memory.close()


class CellFile:
    """A file that this process writes alone, under an exclusive lock that ends with the process."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        size = os.fstat(fd).st_size // SEGMENT_BYTES
        self._segments = [_Mapping(fd, number) for number in range(size)]
        if not self._segments:
            self._grow()

    @classmethod
    def create(cls, path: Path) -> CellFile:
        """Make a new file and lock it.

        Raises:
            OSError: no space, no permission.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(path, fd)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise

    def _grow(self) -> None:
        """Add a segment, its disk blocks first: a store to a page without one would kill the process."""
        number = len(self._segments)
        _allocate(self._fd, number * SEGMENT_BYTES)
        mapping = _Mapping(self._fd, number)
        mapping.used = _SEGMENT_HEAD.size
        self._segments.append(mapping)

    def blocks(self) -> list[Block]:
        """Return the blocks in the file, bound to it; those of rolling gauges start from zero again."""
        found = []
        for mapping in self._segments:
            for record in scan_segment(mapping.memory, 0, mapping.used).records:
                key = key_of(record)
                if key is None:
                    continue
                first = record.offset // _WORD
                block = Block(*key, [float(cell) for cell in mapping.cells[first : first + record.cells]])
                block.mirror, block.at = mapping.cells, first
                if block.schema.live:
                    block.set([0.0] * record.cells)
                found.append(block)
        return found

    def place(self, block: Block) -> None:
        """Give ``block`` a home in the file and copy its values there.

        Raises:
            OSError: the file cannot grow.
        """
        mapping, first = self.append(describe(block), block.values)
        block.mirror, block.at = mapping.cells, first // _WORD

    def append_list(self, name: str, values: list[str]) -> None:
        """Write a list of short texts, in as many records as it takes."""
        for start in range(0, len(values), _LISTED_AT_ONCE):
            self.append(json.dumps({name: values[start : start + _LISTED_AT_ONCE]}).encode())

    def append(self, description: bytes, values: Iterable[float] = ()) -> tuple[_Mapping, int]:
        """Write a record; return its segment and the offset of its cells there."""
        cells = list(values)
        need = _RECORD_HEAD.size + _padded(len(description)) + len(cells) * _WORD
        if need > SEGMENT_BYTES - _SEGMENT_HEAD.size:
            raise OSError(f"a record of {need} bytes does not fit a segment")
        if self._segments[-1].used + need > SEGMENT_BYTES:
            self._grow()
        mapping = self._segments[-1]
        start = mapping.used
        crc = zlib.crc32(description, zlib.crc32(_RECORD_CRC.pack(len(description), len(cells))))
        begin = start + _RECORD_HEAD.size
        first = begin + _padded(len(description))
        _RECORD_HEAD.pack_into(mapping.memory, start, len(description), len(cells), crc)
        mapping.memory[begin : begin + len(description)] = description
        mapping.cells[first // _WORD : first // _WORD + len(cells)] = memoryview(array("d", cells))
        mapping.used = start + need
        return mapping, first

    def sync(self) -> None:
        """Wait until the file is on the disk."""
        for mapping in self._segments:
            mapping.memory.flush()
        os.fsync(self._fd)

    def close(self) -> None:
        """Unmap the file and let go of its lock. Mirrors of its blocks must not be used any more."""
        for mapping in self._segments:
            mapping.close()
        self._segments.clear()
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
