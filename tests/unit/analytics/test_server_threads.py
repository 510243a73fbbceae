"""Probes are answered while every other thread is busy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from asahi_analytics.api.threads import Threads, accept_with_request, is_probe

PROBE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def told(head: bytes) -> Iterator[socket.socket]:
    """Yield a socket on which ``head`` is to be read."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(head)
        yield ours


@pytest.mark.parametrize(
    ("head", "probe"),
    [
        (PROBE, True),
        (b"HEAD /healthz?verbose HTTP/1.1\r\n\r\n", True),
        (PROBE[:-1], False),
        (b"GET /healthzz HTTP/1.1\r\n\r\n", False),
        (b"GET /analytics/trends HTTP/1.1\r\n\r\n", False),
        (b"", False),
    ],
)
def test_a_probe_is_known_by_its_whole_head(head, probe) -> None:
    with told(head) as client:
        assert is_probe(client) is probe
        assert head == b"" or client.recv(100) == head


def test_a_client_that_is_gone_is_no_probe() -> None:
    client = socket.socket()
    client.close()
    assert not is_probe(client)


def test_a_probe_passes_those_who_wait() -> None:
    threads, over = Threads(1), threading.Event()
    with told(PROBE) as probe, told(b"GET / HTTP/1.1\r\n\r\n") as other:
        waiting = [threads.submit(lambda _conn: over.wait(10), SimpleNamespace(sock=other)) for _ in range(2)]
        assert threads.submit(lambda conn: conn.sock is probe, SimpleNamespace(sock=probe)).result(10)
        assert not any(answer.done() for answer in waiting)
        over.set()
        assert all(answer.result(10) for answer in waiting)
    threads.shutdown()
    with pytest.raises(RuntimeError), told(PROBE) as probe:
        threads.submit(lambda _conn: None, SimpleNamespace(sock=probe))


def test_a_system_that_cannot_hold_connections_back_does_without(monkeypatch) -> None:
    monkeypatch.delattr(socket, "TCP_DEFER_ACCEPT", raising=False)
    accept_with_request(None)
