"""A log that cannot flood: each reason is told at most once a minute, with the number of times in between."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

logger = logging.getLogger("asahi_exporter")
_SECONDS_BETWEEN: Final = 60.0


class QuietLog:
    """Logs warnings by reason, at most one a minute each."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}
        self._missed: dict[str, int] = {}

    def warn(self, reason: str, message: str) -> None:
        """Log ``message``, or only count it when ``reason`` was logged less than a minute ago."""
        now = self._clock()
        if 0 <= now - self._told.get(reason, float("-inf")) < _SECONDS_BETWEEN:
            self._missed[reason] = self._missed.get(reason, 0) + 1
            return
        self._told[reason] = now
        missed = self._missed.pop(reason, 0)
        logger.warning("%s%s", message, f" (and {missed} more since the last such line)" if missed else "")
