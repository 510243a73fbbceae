"""A client that remembers what the backend warned of, so that a partial answer never looks whole."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from asahi_analytics.replies import Matrix, Vector

Answer = TypeVar("Answer", Vector, Matrix)


class Client(Protocol):
    """The questions that the composer asks of a ``PrometheusClient``."""

    def query(self, promql: str, at: datetime) -> Vector:
        """Return the value of ``promql`` at ``at``."""
        ...

    def query_range(self, promql: str, start: datetime, end: datetime, step: timedelta) -> Matrix:
        """Return ``promql`` at ``start``, ``start + step`` … up to ``end``."""
        ...

    def query_raw(self, selector: str, at: datetime) -> Matrix:
        """Return the raw samples of a range selector."""
        ...

    def query_all(self, promql: Sequence[str], at: datetime) -> list[Vector]:
        """Return the value of each expression at ``at``."""
        ...


class Listener:
    """Passes questions on to ``client`` and collects the warnings of the answers; thread-safe."""

    def __init__(self, client: Client) -> None:
        """Nothing was heard yet."""
        self._client = client
        self._heard: dict[str, None] = {}
        self._lock = threading.Lock()

    @property
    def warnings(self) -> list[str]:
        """What the backend warned of, once each."""
        with self._lock:
            return list(self._heard)

    def query(self, promql: str, at: datetime) -> Vector:
        """Return the value of ``promql`` at ``at``."""
        return self._listen(self._client.query(promql, at))

    def query_range(self, promql: str, start: datetime, end: datetime, step: timedelta) -> Matrix:
        """Return ``promql`` at ``start``, ``start + step`` … up to ``end``."""
        return self._listen(self._client.query_range(promql, start, end, step))

    def query_raw(self, selector: str, at: datetime) -> Matrix:
        """Return the raw samples of a range selector."""
        return self._listen(self._client.query_raw(selector, at))

    def query_all(self, promql: Sequence[str], at: datetime) -> list[Vector]:
        """Return the value of each expression at ``at``."""
        return [self._listen(answer) for answer in self._client.query_all(promql, at)]

    def _listen(self, answer: Answer) -> Answer:
        if answer.warnings:
            with self._lock:
                self._heard.update(dict.fromkeys(answer.warnings))
        return answer
