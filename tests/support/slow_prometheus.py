"""A Prometheus that is slow: every query is answered with nothing, after so many seconds or bit by bit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EMPTY = b'{"status":"success","data":{"resultType":"vector","result":[]}}'


@contextmanager
def slow_prometheus(seconds: float, *, bit_by_bit: bool = False) -> Iterator[str]:
    """Serve on 127.0.0.1 and yield the address; at the end nobody is kept waiting."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if not bit_by_bit:
                over.wait(seconds)
            self.send_response(200)
            self.send_header("Content-Length", str(len(EMPTY)))
            self.end_headers()
            for byte in EMPTY if bit_by_bit else ():
                over.wait(seconds)
                self.wfile.write(bytes([byte]))
            if not bit_by_bit:
                self.wfile.write(EMPTY)

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_what: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
