"""Plain HTTP without a proxy, against sockets that answer byte by byte as told."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from asahi_analytics import direct
from asahi_analytics.errors import (
    PrometheusAnswerInvalid,
    PrometheusError,
    PrometheusTimeout,
    PrometheusUnreachable,
)
from asahi_analytics.settings import PrometheusSettings
from asahi_analytics.transport import HttpTransport

HEAD = b"HTTP/1.1 200 OK\r\n"
HELLO = HEAD + b"Content-Length: 5\r\n\r\nhello"
PACKED = gzip.compress(b"hello")


class Server:
    """What it was sent, one entry for each connection."""

    def __init__(self, listener: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.connections: list[list[bytes]] = []

    def requests(self) -> list[bytes]:
        return [request for connection in self.connections for request in connection]


def _request(connection: socket.socket) -> bytes:
    """A request with its body; nothing when the other side has closed."""
    text = b""
    while b"\r\n\r\n" not in text:
        piece = connection.recv(65_536)
        if not piece:
            return b""
        text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0].partition(b":")[2]):
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(*connections: Sequence[bytes]) -> Iterator[Server]:
    """Answer the requests on each connection with the replies given, then close it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        server = Server(listener)

        def serve() -> None:
            for replies in connections:
                connection, _ = listener.accept()
                seen: list[bytes] = []
                server.connections.append(seen)
                with connection:
                    for reply in replies:
                        request = _request(connection)
                        if not request:
                            break
                        seen.append(request)
                        connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server
        thread.join(timeout=10)
        assert not thread.is_alive()


def transport(url: str, **more) -> HttpTransport:
    return HttpTransport(PrometheusSettings(url=url, **{"retries": 0, **more}), sleep=lambda _s: None)


def body_or_error(*connections: Sequence[bytes]) -> bytes | Exception:
    with serving(*connections) as server:
        try:
            return transport(server.url).send("GET", "/api/v1/query", []).body
        except PrometheusError as error:
            return error


@pytest.mark.parametrize(
    "reply",
    [
        HELLO,
        HEAD + b"\r\nhello",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        HEAD + b"Content-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["length", "until it closes", "chunked", "said to be unpacked"],
)
def test_a_body_is_whole_however_it_is_sent(reply) -> None:
    assert body_or_error([reply]) == b"hello"


@pytest.mark.parametrize(
    "reply",
    [
        HEAD + b"Content-Length: 9\r\n\r\nhello",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhello",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
    ids=["length", "in a chunk", "between chunks"],
)
def test_a_body_that_breaks_off_is_never_taken_for_whole(reply) -> None:
    error = body_or_error([reply])
    assert isinstance(error, PrometheusAnswerInvalid)
    assert "broke off in the middle of its answer" in str(error)


def test_a_connection_reset_in_the_middle_of_a_body_is_said_to_break_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            connection.recv(65_536)
            connection.sendall(HEAD + b"Content-Length: 9\r\n\r\nhello")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises((PrometheusAnswerInvalid, PrometheusUnreachable)):
            transport(f"http://127.0.0.1:{listener.getsockname()[1]}").send("GET", "/", [])
        thread.join()


def test_what_comes_packed_is_asked_for_again_in_the_way_that_unpacks_and_so_is_all_the_rest() -> None:
    packed = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(PACKED), PACKED)
    with serving([packed], [packed, packed]) as server:
        made = transport(server.url)
        assert made.send("POST", "/api/v1/query", [("query", "up")]).body == b"hello"
        assert made.send("POST", "/api/v1/query", [("query", "down")]).body == b"hello"
    assert [request.rpartition(b"\r\n")[2] for request in server.requests()] == [
        b"query=up",
        b"query=up",
        b"query=down",
    ]


def test_what_is_not_packed_as_it_says_is_refused() -> None:
    reply = HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"
    error = body_or_error([reply], [reply])
    assert isinstance(error, PrometheusAnswerInvalid)
    assert "broke off in the middle of its answer" in str(error)


def test_a_connection_is_kept_and_made_anew_once_the_server_has_closed_it() -> None:
    with serving([HELLO, HELLO], [HELLO]) as server:
        made = transport(server.url, retries=1)  # where its end comes in the middle of the third request
        for _ in range(3):
            assert made.send("POST", "/api/v1/query", [("query", "up")]).body == b"hello"
    assert [len(connection) for connection in server.connections] == [2, 1]


def test_the_servers_wish_to_close_is_heeded() -> None:
    reply = HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello"
    with serving([reply], [HELLO]) as server:
        made = transport(server.url)
        assert [made.send("GET", "/", []).body for _ in range(2)] == [b"hello"] * 2


def test_no_more_connections_are_kept_than_the_pool_holds() -> None:
    with serving([HELLO], [HELLO]) as server:
        wire = direct.Direct(server.url, {}, keep=1)
        answers = [wire.send("GET", "/", b"", {}, (1.0, 1.0)) for _ in range(2)]
        for answer in answers:
            with answer:
                while answer.read1(100):
                    pass
        assert len(wire._idle) == 1


def test_the_path_the_fields_and_the_credentials_are_sent() -> None:
    with serving([HELLO, HELLO]) as server:
        made = transport(f"{server.url}/prefix", username="ann", password="p", headers={"X-Extra": "1"})
        made.send("POST", "/api/v1/query", [("query", "a b")])
        made.send("GET", "/api/v1/query", [("query", "a b")])
    posted, got = (request.decode() for request in server.requests())
    assert posted.startswith("POST /prefix/api/v1/query HTTP/1.1\r\n")
    assert posted.endswith("\r\n\r\nquery=a+b")
    assert got.startswith("GET /prefix/api/v1/query?query=a+b HTTP/1.1\r\n")
    for request in (posted, got):
        assert "Authorization: Basic YW5uOnA=\r\n" in request
        assert "X-Extra: 1\r\n" in request
        assert "Accept-Encoding: identity\r\n" in request


def test_a_token_file_is_read_again_for_each_request(tmp_path) -> None:
    file = tmp_path / "token"
    with serving([HELLO, HELLO]) as server:
        made = transport(server.url, bearer_token_file=file)
        for token in ("one", "two"):
            file.write_text(token)
            made.send("GET", "/", [])
    assert ["Bearer one" in server.requests()[0].decode(), "Bearer two" in server.requests()[1].decode()] == [
        True,
        True,
    ]


def test_a_server_that_is_silent_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = transport(f"http://127.0.0.1:{listener.getsockname()[1]}", read_timeout_seconds=0.05)
        with pytest.raises(PrometheusTimeout, match=r"read_timeout_seconds 0\.05"):
            made.send("GET", "/", [])


def test_a_server_that_falls_silent_in_the_middle_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(HEAD + b"Content-Length: 9\r\n\r\nhello")
                over.wait(10)

        over = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        made = transport(
            f"http://127.0.0.1:{listener.getsockname()[1]}", read_timeout_seconds=5, deadline_seconds=0.2
        )
        with pytest.raises(PrometheusTimeout, match=r"deadline_seconds 0\.2"):
            made.send("GET", "/", [])
        over.set()
        thread.join()


def test_a_connection_that_nobody_takes_in_time_is_unreachable(monkeypatch) -> None:
    def late(*_arguments, **_more):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", late)
    with pytest.raises(PrometheusUnreachable, match="could not be connected to in 3 s"):
        transport("http://127.0.0.1:9").send("GET", "/", [])


def test_a_server_that_closes_without_an_answer_is_asked_again() -> None:
    with serving([], [HELLO]) as server:
        made = transport(server.url, retries=1)
        assert made.send("GET", "/", []).body == b"hello"


def test_what_is_no_http_is_unreachable() -> None:
    error = body_or_error([b"SSH-2.0-OpenSSH_9.2\r\n"])
    assert isinstance(error, PrometheusUnreachable)
    assert "SSH-2.0" in str(error)


@pytest.mark.parametrize(
    ("url", "environment", "headers", "direct_wire"),
    [
        ("http://prometheus.test:9090", {}, {}, True),
        ("http://127.0.0.1:9090", {"http_proxy": "http://proxy.test"}, {}, True),
        ("https://prometheus.test:9090", {}, {}, False),
        ("http://prometheus.test:9090", {"http_proxy": "http://proxy.test"}, {}, False),
        (
            "http://prometheus.test:9090",
            {"http_proxy": "http://proxy.test", "no_proxy": "prometheus.test"},
            {},
            True,
        ),
        ("http://prometheus.test:9090", {}, {"accept-encoding": "gzip"}, False),
    ],
    ids=["plain", "proxy not for loopback", "TLS", "proxy", "no proxy for it", "packed"],
)
def test_tls_proxies_and_packed_answers_are_left_to_requests(
    monkeypatch, url, environment, headers, direct_wire
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, setting in environment.items():
        monkeypatch.setenv(name, setting)
    assert (transport(url, headers=headers).wire._direct is not None) is direct_wire
