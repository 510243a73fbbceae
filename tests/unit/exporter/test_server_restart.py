"""A service that is restarted gets its port back at once."""

from __future__ import annotations

import http.client

from asahi_exporter import MetricsCollector


def test_a_port_is_free_for_the_successor_while_old_connections_linger() -> None:
    first = MetricsCollector()
    server = first.start_http_server(0)
    assert server is not None
    client = http.client.HTTPConnection("127.0.0.1", server.port)
    client.request("GET", "/metrics", headers={"Connection": "close"})
    client.getresponse().read()
    first.close()
    client.close()
    second = MetricsCollector()
    again = second.start_http_server(server.port)
    assert again is not None
    second.close()
    assert again.port == server.port
