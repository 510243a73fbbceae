"""gunicorn around the application, in the process that ``asahi-obs serve`` becomes.

The workers are forked from a process that has loaded everything, so that they share its memory, and answer with
threads; one more is kept for ``/healthz``. A request that cannot be read is answered with a problem document like every
other error.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import math
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import (
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import ThreadWorker
from prometheus_client import multiprocess

from asahi_analytics import deadline
from asahi_analytics.api import notifications, problems
from asahi_analytics.api.app import create_app
from asahi_analytics.api.endpoints import ENDPOINTS
from asahi_analytics.api.rehearsal import rehearse
from asahi_analytics.api.threads import Threads, accept_with_request
from asahi_analytics.cli.options import add_server_options, settings_of
from asahi_analytics.cli.server import MULTIPROCESS_VARIABLE
from asahi_analytics.errors import AnalyticsError, PrometheusError
from asahi_analytics.forecasting import prepare
from asahi_analytics.prometheus import answers_at_once
from asahi_analytics.settings import Settings

MAX_REQUEST_LINE_BYTES: Final = 8190
_DRAINED_BYTES: Final = 16 << 20
_DRAIN_SECONDS: Final = 2.0
_MAX_WORKERS: Final = 4
_SPARE_SECONDS: Final = 10
GARBAGE_OBJECTS: Final = 200_000
"""New objects that a look for garbage waits for: more than one answer holds at a time."""
STOPPING: Final = threading.Event()
"""Set when this worker ends."""


class ProblemWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker that counts waiting for a thread as time of an answer, and explains what it cannot read.

    Who asks whether it lives need not wait.
    """

    def init_process(self) -> None:
        """Set the listeners up and work until stopped."""
        for listener in self.sockets:
            accept_with_request(listener)
        super().init_process()

    def get_thread_pool(self) -> Threads:
        """Return the threads that requests are answered in."""
        return Threads(self.cfg.threads)

    def enqueue_req(self, conn: Any) -> None:
        """Note when the request came in; it may wait for a thread."""
        conn.arrived = time.monotonic()
        super().enqueue_req(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer in the time that is left of it."""
        with deadline.arrived(conn.arrived):
            return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what is no request that can be read with a problem document; leave every other error to gunicorn."""
        ours = isinstance(exc, (InvalidResponseHeader, InvalidResponseHeaderName))
        if ours or not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        status, detail = refusal(exc)
        self.log.warning("refused a request: %s", detail)
        with contextlib.suppress(OSError):
            client.sendall(refused(status, detail))
            drain(client)


def refusal(error: Exception) -> tuple[HTTPStatus, str]:
    """Return the status and the words for a request that gunicorn could not read."""
    if isinstance(error, LimitRequestLine):
        return (
            HTTPStatus.REQUEST_URI_TOO_LONG,
            f"the request line may have at most {MAX_REQUEST_LINE_BYTES} bytes",
        )
    if isinstance(error, LimitRequestHeaders):
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the headers are too large: {error}"
    if isinstance(error, UnsupportedTransferCoding):
        return HTTPStatus.NOT_IMPLEMENTED, str(error)
    return HTTPStatus.BAD_REQUEST, f"this is no HTTP request that can be read: {error}"


def refused(status: HTTPStatus, detail: str) -> bytes:
    """Return the whole HTTP answer to a request that could not be read."""
    body = problems.document(status, detail, "/")
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {problems.MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n"
    )
    return head.encode() + body


def drain(client: socket.socket) -> None:
    """Read on for a moment what the client still sends: closing at once would take the answer away from it."""
    client.shutdown(socket.SHUT_WR)
    client.settimeout(_DRAIN_SECONDS)
    left = _DRAINED_BYTES
    while left > 0 and (chunk := client.recv(1 << 16)):
        left -= len(chunk)


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with our settings instead of a file or a command line."""

    def __init__(self, settings: Settings) -> None:
        """Configure, but do not listen yet."""
        self.settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Hand our settings to gunicorn."""
        for name, value in options(self.settings).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Return the application; called once, before the workers are forked.

        What was loaded and prepared by now stays: looking through it for garbage would take a tenth of a second, in
        the middle of an answer, and unshare the workers' memory. What answers leave behind is looked through seldom:
        the points of one long series are more objects than Python lets pass between two looks.
        """
        app = create_app(self.settings)
        prepare()
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_OBJECTS, *gc.get_threshold()[1:])
        return app


def options(settings: Settings) -> dict[str, Any]:
    """Return gunicorn's settings; a worker is never replaced while an answer may still come in time."""
    server = settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    return {
        "bind": f"{host}:{server.port}",
        "workers": server.workers or min(_MAX_WORKERS, os.cpu_count() or 1),
        "threads": server.threads,
        "worker_class": f"{__name__}.{ProblemWorker.__name__}",
        "timeout": max(server.timeout_seconds, math.ceil(settings.answer_deadline_seconds) + _SPARE_SECONDS),
        "graceful_timeout": server.graceful_timeout_seconds,
        "keepalive": 5,
        "preload_app": True,
        "limit_request_line": MAX_REQUEST_LINE_BYTES,
        "control_socket_disable": True,
        "proc_name": "asahi-obs",
        "post_worker_init": get_ready,
        "worker_exit": stop_notifier,
        "child_exit": forget_worker,
        "on_exit": remove_metrics,
    }


def announce(listeners: Iterable[socket.socket]) -> None:
    """Say where the service listens."""
    for listener in listeners:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"asahi-obs serve: ready on http://{shown}:{port}\n")
    sys.stdout.flush()


def get_ready(worker: Any) -> None:
    """Rehearse in a worker whose Prometheus is there, and start the loop that tells Alertmanager.

    The last of those made at the start, which gunicorn counts, says that the service is ready; of the loops only one
    leads at a time.
    """
    service = worker.wsgi.extensions["asahi_service"]
    with contextlib.suppress(PrometheusError):
        answers_at_once(service.settings.prometheus)
        rehearse(service, ENDPOINTS)
    if worker.age == worker.cfg.workers:
        announce(worker.sockets)
    notifications.start(service, STOPPING)


def stop_notifier(_arbiter: Any, _worker: Any) -> None:
    """Let the loop of a worker that ends finish."""
    STOPPING.set()


def forget_worker(_arbiter: Any, worker: Any) -> None:
    """Tell prometheus-client that a worker has ended; its counters stay."""
    if os.environ.get(MULTIPROCESS_VARIABLE):
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it has no annotations


def remove_metrics(_arbiter: Any) -> None:
    """Remove the folder of the metrics that ``asahi-obs serve`` made for this run."""
    folder = os.environ.get(MULTIPROCESS_VARIABLE)
    if folder:
        shutil.rmtree(Path(folder), ignore_errors=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped; a setting that cannot be used ends in one line on stderr and exit code 2."""
    parser = argparse.ArgumentParser(prog="asahi-obs serve")
    add_server_options(parser)
    arguments = parser.parse_args(argv)
    try:
        server = Server(settings_of(arguments))
    except AnalyticsError as error:
        sys.stderr.write(f"asahi-obs serve: {error}\n")
        return 2
    server.run()
    return 0
