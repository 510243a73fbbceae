"""A client of Prometheus over a pretended wire."""

from __future__ import annotations

from datetime import UTC, datetime

from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.settings import CacheSettings
from support.fake_transport import FakeTransport, success

AT = datetime(2026, 3, 10, 12, 0, 0, 250_000, tzinfo=UTC)
ONE = [{"metric": {"model": "a"}, "value": [1.0, "2.5"]}]
NO_CACHE = CacheSettings(max_bytes=0)


def client(handler=None, **options) -> PrometheusClient:
    transport = FakeTransport(handler) if handler else FakeTransport(lambda _path, _fields: success(ONE))
    return PrometheusClient(transport=transport, **options)


def asked(made: PrometheusClient) -> list[tuple[str, str, dict[str, str]]]:
    return made._transport.asked
