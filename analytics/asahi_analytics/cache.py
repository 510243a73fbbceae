"""Ask once, remember for a while: a bounded cache with a time to live, and one flight for equal questions.

Both are per process and thread-safe. Nothing is stored anywhere else: Prometheus is the only store.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from asahi_analytics import deadline
from asahi_analytics.errors import AnalyticsError, AnswerTooLate, NotEnoughData

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class TtlCache(Generic[Key, Value]):
    """Least-recently-used cache bounded by weight; every entry has its own time to live.

    ``max_weight`` is in the unit of the weights given to ``put`` (bytes, say); 0 keeps nothing. An entry
    heavier than a quarter of it is not kept, so that one answer cannot push out all the others.
    """

    def __init__(self, max_weight: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty."""
        self._max_weight = max_weight
        self._clock = clock
        self._entries: OrderedDict[Key, tuple[float, int, Value]] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """Return the value kept under ``key``; ``None`` when there is none or its time is over."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry[0] <= self._clock():
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return entry[2]

    def put(self, key: Key, value: Value, ttl_seconds: float, weight: int = 1) -> None:
        """Keep ``value`` under ``key`` for ``ttl_seconds``; the entries used longest ago make room."""
        if ttl_seconds <= 0 or weight * 4 > self._max_weight:
            return
        with self._lock:
            self._drop(key)
            self._entries[key] = (self._clock() + ttl_seconds, weight, value)
            self._weight += weight
            while self._weight > self._max_weight:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget every entry."""
        with self._lock:
            self._entries.clear()
            self._weight = 0

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._weight -= entry[1]


class SingleFlight(Generic[Key, Value]):
    """Of callers that ask the same at the same time, the first works and the others wait for its answer."""

    def __init__(self) -> None:
        """Start with nothing in flight."""
        self._flights: dict[Key, Future[Value]] = {}
        self._lock = threading.Lock()

    def do(self, key: Key, work: Callable[[], Value]) -> Value:
        """Return ``work()``, or what the flight under ``key`` brings; its error is raised to every caller.

        Nobody waits longer than the own deadline (``AnswerTooLate``), and where only that of the first has ended,
        one of those who have time left goes on.
        """
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    mine: Future[Value] = Future()
                    self._flights[key] = mine
            if flight is None:
                return self._fly(key, mine, work)
            try:
                return flight.result(deadline.left())
            except (TimeoutError, AnswerTooLate) as error:
                deadline.check(error)

    def _fly(self, key: Key, flight: Future[Value], work: Callable[[], Value]) -> Value:
        try:
            value = work()
        except BaseException as error:
            self._land(key)
            flight.set_exception(error)
            raise
        self._land(key)
        flight.set_result(value)
        return value

    def _land(self, key: Key) -> None:
        with self._lock:
            del self._flights[key]


class Refreshed(Generic[Value]):
    """A value that is worked out beside the requests that read it, at most every ``every_seconds``.

    Reading returns the last value and, when that is old, starts one thread that makes a new one; only before there is
    any outcome does it wait, at most ``first_wait_seconds``. An error of ``work`` leaves no value: an
    ``AnalyticsError`` is raised to readers, any other ends the thread and is told to them as ``NotEnoughData``.
    """

    def __init__(
        self,
        work: Callable[[], Value],
        every_seconds: float,
        *,
        first_wait_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        """Work out nothing yet; ``start`` replaces the thread."""
        self._work = work
        self._every_seconds = every_seconds
        self._clock = clock
        self._start = start or _in_thread
        self._outcome: Value | AnalyticsError = NotEnoughData("not worked out yet; ask again in a moment")
        self._next = -float("inf")
        self._first_wait_seconds = first_wait_seconds
        self._worked = threading.Event()
        self._lock = threading.Lock()

    def get(self) -> Value:
        """Return the last value; raise ``NotEnoughData`` before there is one."""
        if self._is_due():
            self._start(self._refresh)
        self._worked.wait(self._first_wait_seconds)
        outcome = self._outcome
        if isinstance(outcome, AnalyticsError):
            raise outcome
        return outcome

    def _is_due(self) -> bool:
        with self._lock:
            due = self._clock() >= self._next
            if due:
                self._next = float("inf")
            return due

    def _refresh(self) -> None:
        outcome: Value | AnalyticsError = NotEnoughData(
            "working it out failed; the log of the service says more"
        )
        try:
            outcome = self._work()
        except AnalyticsError as error:
            outcome = error
        finally:
            self._outcome = outcome
            self._next = self._clock() + self._every_seconds
            self._worked.set()


def _in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True, name="refresh").start()
