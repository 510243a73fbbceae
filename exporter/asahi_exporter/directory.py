"""A state directory: files of cells, of processes that live and of processes that died.

::

    store.json          whose counters these are: identity, service, when it was made
    lock                held by whoever takes, makes or folds files; never by who counts or reads
    labels              the label values admitted so far
    <id>.cells          cells of one process, which holds a lock on it for as long as it lives
    folded.cells        the sum of files whose processes are dead; lists their ids, which a reader then passes over
    *.damaged           files moved aside because parts of them cannot be read

A process that starts takes over the file of one that died and goes on counting in it, so nothing is lost and
nothing starts from zero. Files that nobody takes over are folded: the new ``folded.cells`` is on the disk
before it gets its name, and has its name before what it contains is deleted. Whenever the machine stops, each
dollar is in exactly one file that counts.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from math import fsum
from pathlib import Path
from typing import Final

from asahi_exporter.cellfile import CellFile
from asahi_exporter.cells import Block, BlockKey
from asahi_exporter.errors import StateDirectoryError
from asahi_exporter.quiet import say
from asahi_exporter.reader import FileReading
from asahi_exporter.store import Row

CELLS: Final = ".cells"
FOLDED: Final = f"folded{CELLS}"
DAMAGED: Final = ".damaged"
_TEMPORARY: Final = ".new"
_IDENTITY: Final = "store.json"
_LOCK: Final = "lock"
_FORMAT: Final = 1
_SPARE_FILES: Final = 8
"""Dead processes' files that are left for others to take over; more are folded."""
_FOLDED_AT_ONCE: Final = 256
"""Files held open at a time while folding."""
LOCK_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What ``store.json`` says."""

    store: str
    service: str
    created: float


class StateDirectory:
    """Takes, makes and folds the files of a directory.

    Raises:
        StateDirectoryError: not a directory, not writable, full, or of another service.
    """

    def __init__(self, path: Path, service: str, now: float, lock_seconds: float = LOCK_SECONDS) -> None:
        self.path = path
        self._lock_seconds = lock_seconds
        with _explained(path):
            path.mkdir(parents=True, exist_ok=True)
            with self._locked():
                self.identity = self._identify(service, now)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _flock_within(fd, self._lock_seconds)
            yield
        finally:
            os.close(fd)

    def _identify(self, service: str, now: float) -> Identity:
        path = self.path / _IDENTITY
        if not path.exists():
            if any(self.path.glob(f"*{CELLS}")):
                raise StateDirectoryError(
                    f"{self.path}: holds counters but no {_IDENTITY}; put it back, or choose an empty directory"
                )
            self._write_identity(path, Identity(secrets.token_hex(8), service, now))
        identity = _read_identity(path)
        if identity.service != service:
            raise StateDirectoryError(
                f"{self.path}: belongs to service '{identity.service}', not to '{service}'; "
                "give each service a directory of its own (state_dir) or the same name (service)"
            )
        return identity

    def _write_identity(self, path: Path, identity: Identity) -> None:
        temporary = path.with_suffix(_TEMPORARY)
        content = {
            "format": _FORMAT,
            "store": identity.store,
            "service": identity.service,
            "created": identity.created,
        }
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_directory(self.path)

    def new_file(self) -> CellFile:
        """Return a new file to count in.

        Raises:
            StateDirectoryError: the directory is full or not writable any more.
        """
        with _explained(self.path), self._locked():
            return self._create()

    def attach(self) -> CellFile:
        """Return a file to count in: that of a dead process when there is one, else a new one.

        Raises:
            StateDirectoryError: the directory is full or not writable any more.
        """
        with _explained(self.path), self._locked():
            self._remove_leftovers()
            own: CellFile | None = None
            surplus = _Surplus()
            try:
                for path, fd in self._dead_files():
                    reading = FileReading(path)
                    reading.rows()
                    if own is None and not reading.damaged:
                        own = CellFile(path, fd)
                        continue
                    surplus.add(reading, fd)
                    if len(surplus.readings) >= _FOLDED_AT_ONCE:
                        self._fold(surplus)
                if surplus.must_fold:
                    self._fold(surplus)
            finally:
                surplus.close()
            return own or self._create()

    def _create(self) -> CellFile:
        """Make a file; it gets its name when it is whole."""
        name = secrets.token_hex(8)
        file = CellFile.create(self.path / f"{name}{_TEMPORARY}")
        file.path = file.path.rename(self.path / f"{name}{CELLS}")
        return file

    def _dead_files(self) -> Iterator[tuple[Path, int]]:
        """Yield the files whose processes are dead, opened and locked."""
        for path in self.cell_files():
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
            else:
                yield path, fd

    def cell_files(self) -> list[Path]:
        """Return the files of single processes, in the order of their names.

        Raises:
            OSError: the directory is gone.
        """
        return sorted(path for path in self.path.iterdir() if path.suffix == CELLS and path.name != FOLDED)

    def _remove_leftovers(self) -> None:
        """Delete what a fold or a start that was cut short left behind."""
        for path in self.path.glob(f"*{_TEMPORARY}"):
            path.unlink()
        folded = FileReading(self.path / FOLDED)
        with suppress(FileNotFoundError):
            folded.rows()
        for name in folded.contains:
            (self.path / f"{name}{CELLS}").unlink(missing_ok=True)

    def _fold(self, surplus: _Surplus) -> None:
        """Put the counters of dead processes' files into ``folded.cells``; what is readable of damaged ones too."""
        folded = self.path / FOLDED
        readings = [*surplus.readings, *([FileReading(folded)] if folded.exists() else [])]
        rows = [row for reading in readings for row in reading.rows()]
        temporary = CellFile.create(self.path / f"{secrets.token_hex(8)}{_TEMPORARY}")
        try:
            ids = [reading.path.stem for reading in surplus.readings]
            temporary.append_list("contains", ids)
            for block in _folded_blocks(rows):
                temporary.place(block)
            temporary.sync()
            if readings[-1].path == folded and readings[-1].damaged:
                shutil.copyfile(folded, self.path / f"folded-{secrets.token_hex(4)}{DAMAGED}")
            temporary.path.replace(folded)
        finally:
            temporary.close()
            temporary.path.unlink(missing_ok=True)
        _sync_directory(self.path)
        surplus.dispose()


class _Surplus:
    """Files of dead processes that nobody takes over, locked."""

    def __init__(self) -> None:
        self.readings: list[FileReading] = []
        self._fds: list[int] = []

    def add(self, reading: FileReading, fd: int) -> None:
        self.readings.append(reading)
        self._fds.append(fd)

    @property
    def must_fold(self) -> bool:
        return len(self.readings) > _SPARE_FILES or any(reading.damaged for reading in self.readings)

    def dispose(self) -> None:
        """Delete the files, now that they are folded; damaged ones are kept under another name."""
        for reading in self.readings:
            if reading.damaged:
                kept = reading.path.with_suffix(DAMAGED)
                reading.path.replace(kept)
                say(f"{reading.path} is damaged: what was readable still counts, the file is now {kept}")
            else:
                reading.path.unlink()
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        self.readings.clear()


def expansion(values: Iterable[float]) -> list[float]:
    """Return a few floats, the largest first, whose sum is exactly that of ``values``; mostly one or two."""
    rest, parts = list(values), list[float]()
    while part := fsum(rest):
        parts.append(part)
        rest.append(-part)
    return parts


def _folded_blocks(rows: Iterable[Row]) -> Iterator[Block]:
    """Yield the sum of ``rows`` by key, exactly: what rounding takes off follows in further blocks of the same key."""
    gathered: dict[BlockKey, list[list[float]]] = {}
    for key, cells in rows:
        if not key[0].live:
            gathered.setdefault(key, []).append(cells)
    for key, same in gathered.items():
        parts = [expansion(column) for column in zip(*same, strict=True)]
        for values in list(zip_longest(*parts, fillvalue=0.0)) or [(0.0,) * len(parts)]:
            yield Block(*key, list(values))


def _read_identity(path: Path) -> Identity:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise StateDirectoryError(
                f"{path}: format {content['format']} is not one that this version reads"
            )
        return Identity(str(content["store"]), str(content["service"]), float(content["created"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StateDirectoryError(
            f"{path}: damaged; restore it (its store identity keeps the series), or choose an empty directory"
        ) from error


def _flock_within(fd: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has held its lock for {seconds:g} s") from None
            time.sleep(0.005)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):  # some file systems cannot; the names are then as safe as the system makes them
        os.fsync(fd)
    os.close(fd)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Translate what the system says into what to do."""
    try:
        yield
    except StateDirectoryError:
        raise
    except FileExistsError as error:
        raise StateDirectoryError(f"state directory {path}: a file of that name is in the way") from error
    except OSError as error:
        raise StateDirectoryError(
            f"state directory {path} cannot be used: {error.strerror or error}; "
            "it must be on a local disk with room, and writable by this user"
        ) from error
