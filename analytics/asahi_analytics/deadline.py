"""How long one whole answer may take: set once at the edge, kept to wherever somebody waits or asks.

An answer is many queries, and waits for threads and for equal questions of others besides. ``within`` sets the
time for everything that is done inside it, in threads of ``Threads`` too; ``bounded`` cuts a wait to what is left,
``check`` ends the work once nothing is. Outside of ``within`` there is no deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from asahi_analytics.errors import AnswerTooLate

SETTING: Final = "answer_deadline_seconds"
_WORTH_TELLING_SECONDS: Final = 1.0
"""A shorter wait for a thread is not worth a word."""


class Deadline:
    """The time of one answer, and what it went into; thread-safe.

    ``since`` is when the question arrived, on ``clock``: time that it waited to be read is part of ``seconds``.
    """

    def __init__(
        self, seconds: float, *, since: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = seconds
        self._clock = clock
        begun = clock()
        self._waited_seconds = 0.0 if since is None else max(0.0, begun - since)
        self._ends = begun - self._waited_seconds + seconds
        self._answered: list[float] = []
        self._asked = 0
        self._lock = threading.Lock()

    def left(self) -> float:
        """Return the seconds that are left; never below 0."""
        return max(0.0, self._ends - self._clock())

    def asking(self) -> None:
        """Count a query that goes out."""
        with self._lock:
            self._asked += 1

    def answered(self, seconds: float) -> None:
        """Count an answer, which took ``seconds``."""
        with self._lock:
            self._answered.append(seconds)

    def error(self) -> AnswerTooLate:
        """Return what to raise: what the time went into, and what to do."""
        return AnswerTooLate(
            f"the answer was not ready within {self.seconds:g} s ({SETTING}): {self._spent_on()}; "
            f"ask again later or for a shorter window, give Prometheus less to do, or raise {SETTING}"
        )

    def _spent_on(self) -> str:
        with self._lock:
            asked, answered = self._asked, list(self._answered)
        words = [f"Prometheus answered {len(answered)} of {asked} queries"]
        if answered:
            words.append(f"the slowest of them in {max(answered):.1f} s")
        if len(answered) == asked:
            words.append("and the rest of the time went into waiting for the queries of other answers")
        if self._waited_seconds >= _WORTH_TELLING_SECONDS:
            words.append(f"after {self._waited_seconds:.1f} s of waiting for a thread of the service")
        return ", ".join(words)


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
_arrived: ContextVar[float | None] = ContextVar("arrived", default=None)


@contextmanager
def arrived(moment: float) -> Iterator[None]:
    """Count the time of a ``within`` inside from ``moment`` of the monotonic clock, when the question came in."""
    token = _arrived.set(moment)
    try:
        yield
    finally:
        _arrived.reset(token)


@contextmanager
def within(seconds: float) -> Iterator[Deadline]:
    """Give everything inside ``seconds`` altogether; inside of another one the first stays in force."""
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    deadline = Deadline(seconds, since=_arrived.get())
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)


def left() -> float | None:
    """Return the seconds that are left; ``None`` without a deadline, which is what waits take for ever."""
    deadline = _current.get()
    return None if deadline is None else deadline.left()


def bounded(seconds: float) -> float:
    """Return ``seconds``, or what is left when that is less."""
    remaining = left()
    return seconds if remaining is None else min(seconds, remaining)


def check(cause: BaseException | None = None) -> None:
    """Raise ``AnswerTooLate`` when nothing is left, from ``cause``."""
    deadline = _current.get()
    if deadline is not None and deadline.left() <= 0:
        raise deadline.error() from cause


def too_late() -> AnswerTooLate:
    """Return what to raise where a wait that was cut to what is left was in vain."""
    deadline = _current.get()
    assert deadline is not None, "only a deadline cuts a wait"
    return deadline.error()


def asking() -> None:
    """Count a query that goes out for the running answer."""
    deadline = _current.get()
    if deadline is not None:
        deadline.asking()


def answered(seconds: float) -> None:
    """Count an answer to a query of the running answer."""
    deadline = _current.get()
    if deadline is not None:
        deadline.answered(seconds)
