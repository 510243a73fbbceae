"""One block: a folder with chunks, an index and a description, which a Prometheus takes as its own."""

from __future__ import annotations

import json
import secrets
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from asahi_analytics.tsdb.chunks import Ints
from asahi_analytics.tsdb.index import ChunkRefs, IndexedSeries, IndexFile, Labels, sort_key

CHUNKS_MAGIC: Final = 0x85BD40DD
SEGMENT_BYTES: Final = 512 << 20
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SEGMENT_HEAD: Final = struct.pack(">IB3x", CHUNKS_MAGIC, 1)


def new_ulid() -> str:
    """Return a fresh name for a block: the time in milliseconds and 80 random bits, in base 32."""
    number = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> 5 * digit & 31] for digit in reversed(range(26)))


@dataclass
class _Kept:
    """What is known of a series' chunks, batch by batch."""

    first_ms: list[Ints] = field(default_factory=list)
    last_ms: list[Ints] = field(default_factory=list)
    references: list[Ints] = field(default_factory=list)

    def refs(self) -> ChunkRefs:
        return ChunkRefs(*(np.concatenate(part) for part in (self.first_ms, self.last_ms, self.references)))


class BlockWriter:
    """Writes one block below ``parent``; its chunks as they come, its index at the end."""

    def __init__(self, parent: Path) -> None:
        """Make the folder."""
        self.ulid = new_ulid()
        self.path = parent / self.ulid
        (self.path / "chunks").mkdir(parents=True)
        self._series: dict[Labels, _Kept] = {}
        self._segment = 0
        self._at = 0
        self._file: BinaryIO | None = None
        self._samples = 0

    def add(self, labels: Labels, chunks: Sequence[bytes], ends: tuple[Ints, Ints], samples: int) -> None:
        """Add ``chunks``, which hold ``samples``, to a series; ``ends`` are the first and the last time of each.

        They must be later than what the series has.
        """
        references = np.array([self._append(chunk) for chunk in chunks], dtype=np.int64)
        kept = self._series.setdefault(labels, _Kept())
        kept.first_ms.append(ends[0])
        kept.last_ms.append(ends[1])
        kept.references.append(references)
        self._samples += samples

    def _append(self, chunk: bytes) -> int:
        """Write one chunk and return its reference: the segment and the place in it."""
        if not self._segment or self._at + len(chunk) > SEGMENT_BYTES:
            self.close()
            self._segment += 1
            self._at = self._opened().write(_SEGMENT_HEAD)
        reference = self._segment - 1 << 32 | self._at
        self._at += self._opened().write(chunk)
        return reference

    def _opened(self) -> BinaryIO:
        """Return the file of the segment, opened again if it was closed meanwhile."""
        if self._file is None:
            self._file = (self.path / "chunks" / f"{self._segment:06d}").open("ab", buffering=1 << 18)
        return self._file

    @property
    def is_open(self) -> bool:
        """Whether this block holds a file open."""
        return self._file is not None

    def close(self) -> None:
        """Close the file that is open, if one is; more chunks may still come."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self) -> None:
        """Write the index and the description; the block is whole then."""
        self.close()
        ordered = sorted(self._series.items(), key=lambda item: sort_key(item[0]))
        series = [IndexedSeries(labels, kept.refs()) for labels, kept in ordered]
        with (self.path / "index").open("wb", buffering=1 << 20) as file:
            IndexFile(file).write(series)
        meta = {
            "ulid": self.ulid,
            "minTime": min(int(one.chunks.first_ms[0]) for one in series),
            "maxTime": max(int(one.chunks.last_ms[-1]) for one in series) + 1,
            "stats": {
                "numSamples": self._samples,
                "numSeries": len(series),
                "numChunks": sum(one.chunks.references.size for one in series),
            },
            "compaction": {"level": 1, "sources": [self.ulid]},
            "version": 1,
        }
        (self.path / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
