"""The service's own metrics, in the Prometheus text format, right under one process or several.

With ``PROMETHEUS_MULTIPROC_DIR`` in the environment before the process starts (``asahi-obs serve`` does that)
prometheus-client keeps the values in files that every worker shares, and any worker can answer for all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from asahi_analytics.cli.server import MULTIPROCESS_VARIABLE
from asahi_exporter import conventions as names

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ServiceMetrics:
    """Requests answered and questions asked, with their times in seconds."""

    def __init__(self) -> None:
        """Start at zero, in a registry of its own."""
        self.collectors: list[Collector] = []
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "asahi_service_requests_total",
            "Requests answered by the analytics service.",
            ("endpoint", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "asahi_service_request_duration_seconds",
            "Time to answer a request.",
            ("endpoint",),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.questions = Counter(
            "asahi_service_prometheus_queries_total",
            "Questions for Prometheus, by outcome: ok, cached, or the class of the error.",
            ("api", "outcome"),
            registry=self.registry,
        )
        self.prometheus_seconds = Histogram(
            "asahi_service_prometheus_duration_seconds",
            "Time that Prometheus took to answer.",
            ("api",),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.kept = Counter(
            "asahi_service_answers_kept_total",
            "Requests that an answer kept in memory served.",
            ("endpoint",),
            registry=self.registry,
        )
        self._notified: dict[tuple[str, ...], float] = {}
        self._notifier = {
            metric.name: Counter(metric.name, metric.help, metric.labels, registry=self.registry)
            for metric in (names.NOTIFIER_ALERTS, names.NOTIFIER_ATTEMPTS)
        }
        self._notifier_success = Gauge(
            names.NOTIFIER_LAST_SUCCESS.name,
            names.NOTIFIER_LAST_SUCCESS.help,
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )

    def observe_request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one request; ``endpoint`` is a route, never what the caller sent."""
        self.requests.labels(endpoint, str(status)).inc()
        self.seconds.labels(endpoint).observe(seconds)

    def observe_prometheus(self, path: str, seconds: float, outcome: str) -> None:
        """Count one question; ``seconds`` of a cached one is not observed."""
        api = path.removeprefix("/api/v1/").partition("/")[0]
        self.questions.labels(api, outcome).inc()
        if outcome != "cached":
            self.prometheus_seconds.labels(api).observe(seconds)

    def observe_notifier(self, samples: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        """Take over what the notifier of this worker counted so far: name, labels and value of each series."""
        for name, labels, value in samples:
            if name == names.NOTIFIER_LAST_SUCCESS.name:
                self._notifier_success.set(value)
                continue
            key = (name, *labels.values())
            self._notifier[name].labels(**labels).inc(value - self._notified.get(key, 0.0))
            self._notified[key] = value

    def exposition(self) -> bytes:
        """Return the metrics of all workers in the text format."""
        several = bool(os.environ.get(MULTIPROCESS_VARIABLE))
        registry = CollectorRegistry() if several else self.registry
        if several:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no annotations
        return generate_latest(registry) + self._collected()

    def _collected(self) -> bytes:
        """What is asked for anew at each scrape: the same whichever worker answers."""
        registry = CollectorRegistry()
        for collector in self.collectors:
            registry.register(collector)
        return generate_latest(registry)
