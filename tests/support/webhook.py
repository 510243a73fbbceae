"""A webhook receiver that keeps what Alertmanager sends it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Notification:
    """One alert of one notification, with the path that it came to."""

    path: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    group: dict[str, str]


@dataclass
class Webhook:
    """What was received so far."""

    url: str = ""
    received: list[Notification] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, path: str, body: dict[str, Any]) -> None:
        with self.changed:
            for alert in body["alerts"]:
                self.received.append(
                    Notification(
                        path, alert["status"], alert["labels"], alert["annotations"], body["groupLabels"]
                    )
                )
            self.changed.notify_all()

    def wait_for(self, wanted: Callable[[Notification], bool], timeout_seconds: float) -> Notification:
        """Return the first notification that is ``wanted``, as soon as it is there."""
        deadline = time.monotonic() + timeout_seconds
        with self.changed:
            while True:
                for notification in self.received:
                    if wanted(notification):
                        return notification
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not received in {timeout_seconds} s; there were {self.received}")
                self.changed.wait(left)

    def of(self, alertname: str, status: str, timeout_seconds: float = 30.0, **labels: str) -> Notification:
        wanted = {"alertname": alertname, **labels}.items()
        return self.wait_for(lambda n: wanted <= n.labels.items() and n.status == status, timeout_seconds)


@contextlib.contextmanager
def listening() -> Iterator[Webhook]:
    """Receive on a free port of the loopback interface."""
    webhook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            webhook.take(self.path, json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    webhook.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield webhook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
