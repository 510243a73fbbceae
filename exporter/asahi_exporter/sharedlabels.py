"""The label values that the workers of a service have admitted together, in one append-only file."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_TRIES: Final = 25
_SECONDS_BETWEEN_TRIES: Final = 0.002


class SharedLabelStore:
    """Bounds the label values of all workers as if they were one.

    The file is read when a value is new to this process and a place is left; a value beyond the limit, and one
    that is known, costs no input or output. When the file cannot be written or locked within 50 ms, this
    process decides on its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, set[str]] = {}
        self._read_to = 0
        self._complete = True

    def admit(self, label: str, value: str, limit: int) -> bool:
        """Admit ``value`` unless ``limit`` others were there before, in any worker."""
        values = self._values.setdefault(label, set())
        if value in values:
            return True
        if len(values) >= limit:
            return False
        with suppress(OSError), self._locked() as fd:
            self._read(fd)
            if value not in values and len(values) < limit:
                self._append(fd, label, value)
        if value not in values and len(values) < limit:
            values.add(value)
        return value in values

    @contextmanager
    def _locked(self) -> Iterator[int]:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._lock(fd)
            yield fd
        finally:
            os.close(fd)

    @staticmethod
    def _lock(fd: int) -> None:
        for _ in range(_TRIES):
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(_SECONDS_BETWEEN_TRIES)
        raise TimeoutError("the label file is locked by another worker")

    def _read(self, fd: int) -> None:
        """Take in what others appended; a line that is no entry (a worker died writing it) is passed over."""
        data = os.pread(fd, max(0, os.fstat(fd).st_size - self._read_to), self._read_to)
        self._read_to += len(data)
        self._complete = data.endswith(b"\n") if data else self._complete
        for line in data.splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if (
                    isinstance(entry, list)
                    and len(entry) == 2
                    and all(isinstance(part, str) for part in entry)
                ):
                    self._values.setdefault(entry[0], set()).add(entry[1])

    def _append(self, fd: int, label: str, value: str) -> None:
        line = json.dumps([label, value]).encode() + b"\n"
        os.write(fd, line if self._complete else b"\n" + line)
        self._values[label].add(value)
