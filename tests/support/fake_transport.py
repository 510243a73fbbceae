"""The wire to Prometheus, replaced: answers prepared beforehand, and what was asked written down."""

from __future__ import annotations

import threading
from collections.abc import Callable

import orjson

from asahi_analytics.transport import Fields, Reply

Handler = Callable[[str, dict[str, str]], Reply]
"""Gets the API path and the fields."""


def success(result: list[object], kind: str = "vector", **more: object) -> Reply:
    """Return a successful reply of a query."""
    document = {"status": "success", "data": {"resultType": kind, "result": result}, **more}
    return Reply(200, orjson.dumps(document))


class FakeTransport:
    """Answers with ``handler``; ``asked`` lists the path and the fields of every request."""

    def __init__(self, handler: Handler = lambda _path, _fields: success([])) -> None:
        self.handler = handler
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._lock = threading.Lock()

    def send(self, method: str, path: str, fields: Fields) -> Reply:
        with self._lock:
            self.asked.append((method, path, dict(fields)))
        return self.handler(path, dict(fields))
