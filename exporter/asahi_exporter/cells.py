"""The counters of one process: blocks of floats in plain memory, each with a mirror in a file where there is one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, Protocol

from asahi_exporter.schema import WRITE_FAILURES, Schema

BlockKey = tuple[Schema, tuple[str, ...]]
_COPIED_AT_ONCE: Final = 256


class Block:
    """The cells of one label set. ``values`` is what counts; ``mirror[at:]`` is its copy that outlives the process."""

    __slots__ = ("at", "labels", "mirror", "schema", "seen", "values")

    def __init__(self, schema: Schema, labels: tuple[str, ...], values: list[float]) -> None:
        self.schema = schema
        self.labels = labels
        self.values = values
        self.mirror: memoryview[float] | None = None
        self.at = 0
        self.seen = list(values)
        """The values when the rolling window last looked."""

    def add(self, cell: int, value: float) -> None:
        """Add ``value``, which must not be negative or NaN, to one cell."""
        self.values[cell] += value
        if self.mirror is not None:
            self.mirror[self.at + cell] = self.values[cell]

    def set(self, values: list[float]) -> None:
        """Replace all the cells."""
        self.values[:] = values
        if self.mirror is not None:
            for cell, value in enumerate(values):
                self.mirror[self.at + cell] = value

    def observe(self, bucket: int, value: float) -> None:
        """Count ``value`` in a block that is a histogram, in the bucket at position ``bucket``."""
        self.add(0, value)
        self.add(bucket + 1, 1.0)


class Backing(Protocol):
    """Where blocks get a home that outlives the process."""

    def place(self, block: Block) -> bool:
        """Set ``mirror`` and ``at`` of a new block and copy its values there; False when there is no room for it."""


class NoBacking:
    """Blocks live and die with the process, as in plain prometheus-client."""

    def place(self, block: Block) -> bool:  # noqa: ARG002 - part of the interface
        """Leave the block in memory."""
        return True


def _nothing() -> None:
    pass


class Cells:
    """All the blocks of one process, by schema and label values. ``lock`` guards every change."""

    def __init__(self, backing: Backing) -> None:
        self.lock = threading.RLock()
        """Re-entrant, so that a signal handler or a finalizer that records does not wait for itself."""
        self.blocks: dict[BlockKey, Block] = {}
        self.homeless: list[Block] = []
        """Those that found no room; they are tried again by :meth:`rehouse`."""
        self.found_no_room: Callable[[], None] = _nothing
        """Called when there is one more of them."""
        self._backing = backing

    def block(self, schema: Schema, labels: tuple[str, ...]) -> Block:
        """Return the block of a label set, made of zeros if it is new. The caller holds the lock."""
        found = self.blocks.get((schema, labels))
        if found is None:
            found = Block(schema, labels, [0.0] * schema.size)
            self.blocks[schema, labels] = found
            self._place(found)
        return found

    def _place(self, block: Block) -> None:
        if not self._backing.place(block):
            self.homeless.append(block)
            self.block(WRITE_FAILURES, ()).add(0, 1.0)
            self.found_no_room()

    def rehouse(self) -> None:
        """Try again to give a home to the blocks that found no room. The caller holds the lock."""
        while self.homeless and self._backing.place(self.homeless[0]):
            del self.homeless[0]

    def take(self, block: Block) -> None:
        """Include a block that exists already, as found in a file."""
        self.blocks[block.schema, block.labels] = block

    def move(self, backing: Backing) -> None:
        """Give every block a home in ``backing``, first that which tells of failures. The caller holds the lock."""
        self._backing = backing
        moving = list(self.blocks.values())
        self.block(WRITE_FAILURES, ())
        for block in moving:
            self._place(block)

    def detach(self) -> None:
        """Keep the counters in memory alone from now on."""
        for block in self.blocks.values():
            block.mirror = None
        self.homeless.clear()

    def copy(self, *, housed: bool = False) -> Iterator[tuple[BlockKey, list[float]]]:
        """Yield key and values of every block, or of those that are not homeless (``housed``).

        The lock is held for a few hundred blocks at a time.
        """
        with self.lock:
            left_out = {(block.schema, block.labels) for block in self.homeless} if housed else set()
            blocks = iter([item for item in self.blocks.items() if item[0] not in left_out])
        while True:
            with self.lock:
                copied = [(key, block.values.copy()) for key, block in islice(blocks, _COPIED_AT_ONCE)]
            if not copied:
                return
            yield from copied
