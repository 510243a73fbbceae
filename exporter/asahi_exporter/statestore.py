"""The store that outlives the process: this process's file in a state directory, and a view of all the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from asahi_exporter import conventions as names
from asahi_exporter.cellfile import CellFile
from asahi_exporter.cells import Backing, Block
from asahi_exporter.conventions import Metric
from asahi_exporter.directory import DAMAGED, FOLDED, LOCK_SECONDS, StateDirectory
from asahi_exporter.errors import StateDirectoryError
from asahi_exporter.guard import LabelStore
from asahi_exporter.reader import FileReading
from asahi_exporter.sharedlabels import SharedLabelStore
from asahi_exporter.store import Row, Store

_TRIES: Final = 20
_LABELS: Final = "labels"
Mark = tuple[int, int, int] | None


def shared_labels(path: Path) -> LabelStore:
    """Return the label values that all processes of the state directory ``path`` admit together."""
    return SharedLabelStore(path / _LABELS)


class StateStore:
    """Counters in a state directory.

    Args:
        path: the directory.
        service: whose it is.
        now: seconds since 1970.
        lock_seconds: how long to wait for other processes that hold the directory.
        anew: count in a new file, not in that of a dead process.

    Raises:
        StateDirectoryError: the directory cannot be used.
    """

    kept = True
    waits = False

    def __init__(
        self, path: Path, service: str, now: float, *, lock_seconds: float = LOCK_SECONDS, anew: bool = False
    ) -> None:
        self._directory = StateDirectory(path, service, now, lock_seconds)
        self._file: CellFile | None = self._directory.new_file() if anew else self._directory.attach()
        self._own = self._file.path
        self._readings: dict[tuple[Path, Mark], FileReading] = {}
        self.backing: Backing = self
        self.labels: LabelStore = shared_labels(path)
        self.identity: str | None = self._directory.identity.store
        self.created = self._directory.identity.created

    def successor(self, now: float) -> Store | None:  # noqa: ARG002 - part of the interface
        """Return None: this is where counters stay."""
        return None

    def found(self) -> list[Block]:
        """Return the blocks in the file that this process took over."""
        return self._file.blocks() if self._file else []

    def place(self, block: Block) -> bool:
        """Give ``block`` a home in this process's file; False when the disk is full."""
        if self._file is None:
            return True
        try:
            self._file.place(block)
        except OSError:
            return False
        return True

    def rows(self) -> Iterable[Row]:
        """Return the cells in the files of all other processes, as of one moment between two folds.

        Raises:
            StateDirectoryError: the directory is gone, or its files are: no figures are better than figures that lack
                a part, which differ from process to process and so read as resets.
        """
        for _ in range(_TRIES):
            try:
                before = self._mark()
                rows = self._read(before)
                if rows is not None and self._mark() == before:
                    return rows
            except PermissionError as error:
                raise self._unreadable(error) from error
        raise StateDirectoryError(
            f"state directory {self._directory.path}: its files change faster than they can be read"
        )

    def _mark(self) -> Mark:
        """Return what tells one ``folded.cells`` from the next."""
        try:
            status = (self._directory.path / FOLDED).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self, mark: Mark) -> list[Row] | None:
        """Return all rows, or None if a file vanished meanwhile."""
        readings: dict[tuple[Path, Mark], FileReading] = {}
        try:
            rows, contained = [], frozenset[str]()
            if mark is not None:
                folded = self._reading(self._directory.path / FOLDED, mark, readings)
                rows += folded.rows()
                contained = frozenset(folded.contains)
            files = self._files()
            if self._file is not None and self._own not in files:
                raise self._emptied()
            for path in files:
                if path != self._own and path.stem not in contained:
                    rows += self._reading(path, None, readings).rows()
        except FileNotFoundError:
            return None
        self._readings = readings
        return rows

    def _files(self) -> list[Path]:
        try:
            return self._directory.cell_files()
        except OSError as error:
            raise self._unreadable(error) from error

    def _emptied(self) -> StateDirectoryError:
        return StateDirectoryError(
            f"state directory {self._directory.path} was emptied while this process counts in it; restart its processes"
        )

    def _unreadable(self, error: OSError) -> StateDirectoryError:
        path = self._directory.path
        return StateDirectoryError(f"state directory {path} cannot be read any more: {error.strerror}")

    def _reading(self, path: Path, mark: Mark, kept: dict[tuple[Path, Mark], FileReading]) -> FileReading:
        reading = self._readings.get((path, mark)) or FileReading(path)
        kept[path, mark] = reading
        return reading

    def gauges(self) -> Mapping[Metric, float]:
        """Return how many files were read and how many are damaged."""
        damaged = sum(reading.damaged for reading in self._readings.values())
        aside = sum(1 for _ in self._directory.path.glob(f"*{DAMAGED}"))
        return {
            names.STATE_FILES: float(len(self._readings) + 1),
            names.STATE_DAMAGED_FILES: float(damaged + aside),
        }

    def close(self) -> None:
        """Let go of the file, for another process to take over."""
        if self._file is not None:
            self._file.close()
            self._file = None
