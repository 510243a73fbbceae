"""Where the counters of a process live: the interface, and the store that is plain memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from asahi_exporter.cells import Backing, Block, BlockKey, NoBacking
from asahi_exporter.conventions import Metric
from asahi_exporter.guard import LabelStore, OwnLabelStore

Row = tuple[BlockKey, list[float]]
_CREATED_DECIMALS: Final = 3
"""The moment is the life of a process to the rules, by its digits; VictoriaMetrics does not keep more than 15 or 16."""


class Store(Protocol):
    """The memory of a process's counters, and of what other processes of the service left or keep there."""

    backing: Backing
    labels: LabelStore
    identity: str | None
    """Value of the ``store`` label, or None when the counters end with the process."""
    kept: bool
    """Whether a directory keeps the counters, or will once it opens: a forked process then begins with none."""
    waits: bool
    """Whether there may be a :meth:`successor` later."""
    created: float
    """When this memory was made, in seconds since 1970."""

    def successor(self, now: float) -> Store | None:
        """Return the store that counters are to move to now, if there is one."""

    def found(self) -> list[Block]:
        """Return the blocks that this process continues, taken over from one that died."""

    def rows(self) -> Iterable[Row]:
        """Return the cells that other processes, dead or alive, hold now."""

    def gauges(self) -> Mapping[Metric, float]:
        """Return the store's own gauges, as of the last :meth:`rows`."""

    def close(self) -> None:
        """Let go of the memory so that another process can continue it."""


class MemoryStore:
    """Plain memory: what prometheus-client does by default."""

    def __init__(self, now: float) -> None:
        self.backing: Backing = NoBacking()
        self.labels: LabelStore = OwnLabelStore()
        self.identity: str | None = None
        self.kept = False
        self.waits = False
        self.created = round(now, _CREATED_DECIMALS)

    def successor(self, now: float) -> Store | None:  # noqa: ARG002 - part of the interface
        """Return None: the counters end with the process."""
        return None

    def found(self) -> list[Block]:
        """Return nothing: there is no memory of former processes."""
        return []

    def rows(self) -> Iterable[Row]:
        """Return nothing: there are no other processes."""
        return ()

    def gauges(self) -> Mapping[Metric, float]:
        """Return nothing."""
        return {}

    def close(self) -> None:
        """Do nothing."""
