"""Lets one of several processes of a service do what must be done once."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def leadership(lock_path: Path) -> Iterator[bool]:
    """Yield whether this process holds the lock at ``lock_path``; the system frees it when the process ends."""
    with lock_path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def run_elected(
    work: Callable[[threading.Event], None],
    lock_path: Path,
    stop_event: threading.Event,
    *,
    retry_seconds: float = 5.0,
) -> None:
    """Run ``work(stop_event)`` once this process leads, trying again every ``retry_seconds`` until then.

    When the process that leads dies, another takes over within that time.
    """
    while not stop_event.is_set():
        with leadership(lock_path) as leads:
            if leads:
                work(stop_event)
                return
        stop_event.wait(retry_seconds)
