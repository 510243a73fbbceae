"""A service that is restarted gets its port back at once."""

from __future__ import annotations

import socket

from asahi_exporter import MetricsCollector


def test_a_port_is_free_for_the_successor_while_old_connections_linger() -> None:
    first = MetricsCollector()
    server = first.start_http_server(0)
    assert server is not None
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        while client.recv(1 << 16):  # until the server closes first, so that its side lingers in TIME_WAIT
            pass
    first.close()
    second = MetricsCollector()
    again = second.start_http_server(server.port)
    assert again is not None
    second.close()
    assert again.port == server.port
