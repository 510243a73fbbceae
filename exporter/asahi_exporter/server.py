"""The HTTP server for ``/metrics``: standard library, a daemon thread, this machine only unless told otherwise."""

from __future__ import annotations

import errno
import socket
import threading
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from asahi_exporter.config import ENV_PREFIX
from asahi_exporter.errors import ConfigError, PortInUseError

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_SECONDS_PER_REQUEST: Final = 30
PROMETHEUS_DEFAULT_PORT: Final = 9090
FREE_PORT: Final = 9464
"""What to propose where 9090 is taken: the port of OpenTelemetry's exporter of Prometheus metrics."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    """Connections that wait to be taken; with socketserver's five a further scrape waits a second."""

    def server_bind(self) -> None:
        """Bind without asking DNS for the name of this host, which can take seconds.

        Connections of a process that has just ended do not hold the port against its successor.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is no news to the host program."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _SECONDS_PER_REQUEST

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Say nothing: a scrape every few seconds is no news."""

    def address_string(self) -> str:
        """Return the address without asking DNS."""
        return str(self.client_address[0])


class MetricsServer:
    """A running server. ``port`` is the one taken; :meth:`close` ends it.

    Raises:
        PortInUseError: another program has the port.
        ConfigError: ``addr`` is no address of this machine, or the port is not allowed.
    """

    def __init__(self, app: WSGIApplication, port: int, addr: str) -> None:
        self._server = _listen(port, addr)
        self._server.set_app(app)
        self.addr = addr
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="asahi-metrics",
            daemon=True,
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = f"[{self.addr}]" if ":" in self.addr else self.addr
        return f"http://{host}:{self.port}/metrics"

    def disown(self) -> None:
        """Let go of the socket in a forked process: the server's thread, and so the server, stayed with the parent."""
        self._server.socket.close()

    def close(self) -> None:
        """Stop serving and free the port; a second call does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def in_use(port: int, addr: str) -> str:
    """What to do about a port that is taken; the default is Prometheus's own default, too."""
    holder = "; it is the default port of Prometheus, too" if port == PROMETHEUS_DEFAULT_PORT else ""
    other = FREE_PORT if port != FREE_PORT else FREE_PORT + 1
    return (
        f"port {port} on {addr} is already in use{holder}: pass another, as start_http_server(port={other}), "
        f"as the setting prometheus_port or as {ENV_PREFIX}PROMETHEUS_PORT={other} (0 takes a free one), "
        "or stop the program that holds it; recording goes on without the server"
    )


def _listen(port: int, addr: str) -> _Server:
    try:
        return (_Server6 if ":" in addr else _Server)((addr, port), _Handler)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(in_use(port, addr)) from error
        raise ConfigError(f"cannot serve metrics on {addr}:{port}: {error.strerror or error}") from error
    except (OverflowError, TypeError) as error:
        raise ConfigError(f"port must be from 0 to 65535, got {port!r}") from error
