"""Threads that keep to the deadline of whoever hands them work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import TypeVar

from asahi_analytics import deadline

Item = TypeVar("Item")
Result = TypeVar("Result")


class Threads:
    """At most ``size`` threads for each process, made on first use, so that a fork before it does no harm.

    Their work must never wait for other work of the same threads.
    """

    def __init__(self, size: int, name: str) -> None:
        """Start no thread yet."""
        self._size = size
        self._name = name
        self._lock = threading.Lock()
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def map(self, do: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return ``do`` of each item, in order, all under way together and under the caller's deadline.

        Raises the first error of ``do``, and ``AnswerTooLate`` when the deadline ends before the work, which is
        then left alone: what has not begun never begins.
        """

        def in_context(job: tuple[Context, Item]) -> Result:
            return job[0].run(do, job[1])

        jobs = [(copy_context(), item) for item in items]
        try:
            return list(self._executor.map(in_context, jobs, timeout=deadline.left()))
        except TimeoutError as error:
            raise deadline.too_late() from error

    @property
    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None or self._pool[0] != os.getpid():
                self._pool = (os.getpid(), ThreadPoolExecutor(self._size, thread_name_prefix=self._name))
            return self._pool[1]
