"""Which blocks a Prometheus data directory holds already; what is still in its head (WAL) is not looked at."""

from __future__ import annotations

import json
import mmap
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """A block that is there, and the times of its first sample and just after its last."""

    path: Path
    start: datetime
    end: datetime

    def knows(self, name: str) -> bool:
        """Whether a metric, or a label or its value, is called ``name`` in the block (of at most 127 bytes)."""
        text = name.encode()
        with (
            (self.path / "index").open("rb") as file,
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as index,
        ):
            return index.find(bytes([len(text)]) + text) >= 0


def blocks_in(data_dir: Path) -> Iterator[Held]:
    """Yield the whole blocks of ``data_dir`` in order of name; none where there is no such folder."""
    for meta in sorted(data_dir.glob("*/meta.json")):
        try:
            told = json.loads(meta.read_text(encoding="utf-8"))
        except ValueError:  # cut off by a crash: Prometheus does not take it for a block either
            continue
        start, end = (datetime.fromtimestamp(told[key] / 1000, UTC) for key in ("minTime", "maxTime"))
        yield Held(meta.parent, start, end)


def held_between(
    data_dir: Path, names: Collection[str], start: datetime, end: datetime
) -> tuple[datetime, datetime] | None:
    """Return from when to when blocks that reach into ``start``-``end`` and know all ``names`` hold samples.

    ``None`` where there is no such block.
    """
    found = [
        block
        for block in blocks_in(data_dir)
        if block.start <= end and start < block.end and all(map(block.knows, names))
    ]
    if not found:
        return None
    return min(block.start for block in found), max(block.end for block in found)
