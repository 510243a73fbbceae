"""A thread that looks again at what could not be written, also while nothing is recorded or scraped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress


class Retry:
    """Calls ``look`` every ``seconds`` until it returns True, in a daemon thread that runs only meanwhile."""

    def __init__(self, seconds: float, look: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._look = look
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """See to it that the thread runs. Does nothing while the interpreter ends: no thread can start then."""
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                thread = threading.Thread(target=self._run, name="asahi-exporter-retry", daemon=True)
                with suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def stop(self) -> None:
        """End the thread, and start none any more."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            if self._look():
                break
        with self._lock:
            self._thread = None
        if not self._look():  # something came in between
            self.wake()
