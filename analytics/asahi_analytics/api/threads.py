"""The threads of a worker: as many as answers may be worked on at once, and one that no answer can hold."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

HEALTH_PATH: Final = "/healthz"
_DEFER_SECONDS: Final = 5
_LONGEST_HEAD: Final = 8192
_LINES: Final = tuple(
    f"{method} {HEALTH_PATH}{end}".encode() for method in ("GET", "HEAD") for end in (" ", "?")
)


class Threads(ThreadPoolExecutor):
    """``count`` threads for requests, and one for those who ask whether the process lives.

    A probe is told to wait a second or so; while Prometheus is slow, every other thread may be taken for longer than
    that, and a process that works as it should would be killed.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._spare = ThreadPoolExecutor(1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` with a connection, in the spare thread if that is a probe."""
        if is_probe(args[0].sock):
            return self._spare.submit(fn, *args, **kwargs)
        return super().submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all threads."""
        self._spare.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)


def is_probe(client: socket.socket) -> bool:
    """Tell whether all of a request to ``HEALTH_PATH`` is there to be read; one that comes bit by bit is none."""
    try:
        head = client.recv(_LONGEST_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:  # nothing is there yet, or the client is gone
        return False
    return head.startswith(_LINES) and b"\r\n\r\n" in head


def accept_with_request(listener: Any) -> None:
    """Let ``listener`` hand over connections only with their request, where the system can."""
    option = getattr(socket, "TCP_DEFER_ACCEPT", None)
    if option is not None:
        listener.setsockopt(socket.IPPROTO_TCP, option, _DEFER_SECONDS)
