"""Plain HTTP to one address, over connections that are kept: what a query within one place needs, and no more.

``requests`` and urllib3 see to TLS, proxies and packed answers, at two and a half times the processor time of a small
query; an answer asks twenty.
"""

from __future__ import annotations

import http.client
import weakref
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from urllib3.util import wait_for_read

UNPACKED: Final = ("", "identity")
"""Values of ``Content-Encoding`` of an answer that is as it was sent."""


class ConnectTimeoutError(TimeoutError):
    """Nobody took the connection in time."""


class PackedError(Exception):
    """The server packs its answers although nobody asked it to."""


class Direct:
    """Connections to the server of ``url``, as many as requests are under way; thread-safe."""

    def __init__(self, url: str, headers: Mapping[str, str], keep: int) -> None:
        """Connect to nothing yet; at most ``keep`` connections outlive their answer."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._prefix = parts.path.rstrip("/")
        self._headers = dict(headers)
        self._keep = keep
        self._idle: list[http.client.HTTPConnection] = []
        weakref.finalize(self, _close_all, self._idle)

    def send(
        self, method: str, target: str, form: bytes, headers: Mapping[str, str], timeout: tuple[float, float]
    ) -> DirectAnswer:
        """Send ``form`` in the body and return the answer, of which the head was read.

        ``timeout``: seconds to connect, and of silence. Raises an ``OSError`` or an ``http.client.HTTPException`` when
        there is no answer, ``PackedError`` when it is packed.
        """
        connection = self._connected(timeout)
        try:
            connection.request(method, self._prefix + target, form or None, {**self._headers, **headers})
            answer = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        told = DirectAnswer(self, connection, answer)
        if answer.headers.get("Content-Encoding", "").lower() not in UNPACKED:
            told.close()
            raise PackedError
        return told

    def _connected(self, timeout: tuple[float, float]) -> http.client.HTTPConnection:
        """A connection that is idle and not closed by the server, or else a new one."""
        with suppress(IndexError):  # none is idle
            while True:
                connection = self._idle.pop()
                # What can be read is its end, or words that nobody asked for.
                if not wait_for_read(connection.sock, timeout=0.0):
                    connection.sock.settimeout(timeout[1])
                    return connection
                connection.close()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout[0])
        try:
            connection.connect()
        except TimeoutError as error:
            raise ConnectTimeoutError from error
        connection.sock.settimeout(timeout[1])
        return connection

    def take_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose answer was read to its end."""
        if len(self._idle) < self._keep:
            self._idle.append(connection)
        else:
            connection.close()


def _close_all(connections: Iterable[http.client.HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


class DirectAnswer:
    """An answer that is read piece by piece; its connection goes back when it was read to its end."""

    def __init__(
        self, owner: Direct, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> None:
        """Read nothing yet."""
        self._owner = owner
        self._connection = connection
        self._answer = answer
        self.status = answer.status
        self.headers: Mapping[str, str] = dict(answer.getheaders())

    def __enter__(self) -> Self:
        """Return the answer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the connection."""
        self.close()

    def read1(self, size: int) -> bytes:
        """Return what has come, at most ``size`` bytes; nothing at the end.

        Raises ``http.client.IncompleteRead`` where the end comes too early.
        """
        try:
            piece = self._answer.read1(size)
        except ConnectionError as error:
            raise http.client.IncompleteRead(b"") from error
        if not piece and self._answer.length:
            raise http.client.IncompleteRead(piece, self._answer.length)
        return piece

    def bound_silence(self, seconds: float) -> None:
        """Let a further silence last no longer than ``seconds``."""
        if self._connection.sock is not None:  # it is None once the server has said that it closes
            self._connection.sock.settimeout(seconds)

    def close(self) -> None:
        """Keep the connection if the whole answer was read, else close it."""
        whole, last = self._answer.isclosed() or self._answer.length == 0, self._answer.will_close
        self._answer.close()
        if whole and not last:
            self._owner.take_back(self._connection)
        else:
            self._connection.close()
