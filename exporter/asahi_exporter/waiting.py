"""Memory that stands in for a state directory that cannot be opened just now."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from asahi_exporter.errors import StateDirectoryError
from asahi_exporter.statestore import StateStore, shared_labels
from asahi_exporter.store import MemoryStore, Row, Store

FORKED_LOCK_SECONDS: Final = 1.0
"""How long a process that already answers requests waits for the directory's lock."""


class WaitingStore(MemoryStore):
    """Counts in memory until the directory opens; until then a scrape of this process fails.

    Figures without the other processes' part, and without ``store``, would be read as other series or as resets;
    those that come late are only late.
    """

    def __init__(self, path: Path, service: str, now: float, reason: str) -> None:
        super().__init__(now)
        self.kept = True
        self.waits = True
        self.labels = shared_labels(path)
        self._path = path
        self._service = service
        self._reason = reason

    def successor(self, now: float) -> Store | None:
        """Try the directory again; the counters go to a file of their own there."""
        if not self.waits:
            return None
        try:
            return StateStore(self._path, self._service, now, lock_seconds=FORKED_LOCK_SECONDS, anew=True)
        except OSError as error:
            self._reason = str(error)
            return None

    def rows(self) -> Iterable[Row]:
        """Refuse.

        Raises:
            StateDirectoryError: always; what other processes hold cannot be read.
        """
        raise StateDirectoryError(f"counters of this process wait in memory: {self._reason}")

    def close(self) -> None:
        """Keep the counters in memory from now on."""
        self.waits = False
