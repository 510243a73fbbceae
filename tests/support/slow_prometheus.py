"""A Prometheus that is slow: every query is answered with nothing, late or bit by bit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EMPTY = b'{"status":"success","data":{"resultType":"%s","result":[]}}'


@contextmanager
def slow_prometheus(*pauses: float) -> Iterator[str]:
    """Serve on 127.0.0.1 and yield the address; at the end nobody is kept waiting.

    The first of ``pauses``, in seconds, comes before the answer, each further one before a byte of its body; then comes
    the rest.
    """
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = EMPTY % (b"matrix" if self.path.endswith("query_range") else b"vector")
            over.wait(pauses[0])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for pause, byte in zip(pauses[1:], body, strict=False):
                over.wait(pause)
                self.wfile.write(bytes([byte]))
            self.wfile.write(body[len(pauses) - 1 :])

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
