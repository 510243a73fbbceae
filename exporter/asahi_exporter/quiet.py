"""A log that cannot flood: each reason is told at most once a minute, with the number of times in between."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_LOGGER: Final = logging.getLogger("asahi_exporter")
_SECONDS_BETWEEN: Final = 60.0


def say(line: str | None) -> None:
    """Log ``line`` as a warning, if there is one. Never raises.

    Call it without a lock that recording needs: what the host hangs on its loggers may take its time, record
    something itself, or fail.
    """
    if line is not None:
        with suppress(Exception):
            _LOGGER.warning("%s", line)


class QuietLog:
    """Makes lines by reason, at most one a minute each. Not thread-safe: the caller holds a lock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}
        self._missed: dict[str, int] = {}

    def line(self, reason: str, message: str) -> str | None:
        """Return what to :func:`say` now; None, and only counted, if ``reason`` was told less than a minute ago."""
        now = self._clock()
        if 0 <= now - self._told.get(reason, float("-inf")) < _SECONDS_BETWEEN:
            self._missed[reason] = self._missed.get(reason, 0) + 1
            return None
        self._told[reason] = now
        missed = self._missed.pop(reason, 0)
        return f"{message} (and {missed} more since the last such line)" if missed else message
