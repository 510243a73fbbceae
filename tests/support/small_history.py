"""Two days of small, seasonal traffic as scraped counters, for tests that only need something true to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import numpy as np

from asahi_analytics.history import HistorySeries
from asahi_exporter import conventions as names

SCRAPE_SECONDS = 60
HOURS = 48
REQUEST_LABELS = (
    {"model": "gpt-4o", "task_type": "chat", "cache_tier": "none"},
    {"model": "gpt-4o-mini", "task_type": "extraction", "cache_tier": "none"},
    {"model": "gpt-4o", "task_type": "chat", "cache_tier": "1"},
)
COSTS = (0.15, 0.05, 0.001)
BASELINES = (0.19, 0.05, 0.021)
SCRAPED = {"job": "asahi", "instance": "127.0.0.1:9091"}


def _growing(name: str, labels: Mapping[str, str], times_ms, per_scrape: float) -> HistorySeries:
    """A counter that grows by about ``per_scrape``, more by day than by night."""
    season = 1 + 0.5 * np.sin(times_ms / 86_400_000 * 2 * np.pi)
    return HistorySeries(name, {**labels, **SCRAPED}, times_ms, np.cumsum(per_scrape * season))


def _histogram(
    metric: names.Metric, labels: Mapping[str, str], times_ms, value: float
) -> Iterator[HistorySeries]:
    """A histogram in which every observation is ``value``."""
    for bound in (*metric.buckets, float("inf")):
        le = "+Inf" if bound == float("inf") else f"{bound:g}"
        counted = 10.0 if value <= bound else 0.0
        yield _growing(f"{metric.name}_bucket", {**labels, "le": le}, times_ms, counted)
    yield _growing(f"{metric.name}_count", labels, times_ms, 10.0)
    yield _growing(f"{metric.name}_sum", labels, times_ms, 10.0 * value)


def small_history(until: datetime) -> Iterator[HistorySeries]:
    """Yield every series, the last sample being within a minute before ``until``."""
    end_ms = int(until.timestamp()) * 1000
    times_ms = np.arange(end_ms - HOURS * 3_600_000, end_ms, SCRAPE_SECONDS * 1000, dtype=np.int64)
    yield HistorySeries("up", SCRAPED, times_ms, np.ones(len(times_ms)))
    for labels, cost, baseline in zip(REQUEST_LABELS, COSTS, BASELINES, strict=True):
        for metric, amount in ((names.REQUESTS, 30.0), (names.COST, cost), (names.BASELINE, baseline)):
            yield _growing(metric.name, labels, times_ms, amount)
        for direction in (names.INPUT, names.OUTPUT):
            yield _growing(names.TOKENS.name, {**labels, "direction": direction}, times_ms, 9000.0)
        own = {label: labels[label] for label in names.LATENCY.labels}
        yield from _histogram(names.LATENCY, own, times_ms, 800.0)
    for user in ("team-a", "team-b"):
        yield _growing(names.USER_COST.name, {"user": user}, times_ms, 0.15)
        yield _growing(names.USER_REQUESTS.name, {"user": user}, times_ms, 45.0)
        yield _growing(names.USER_BASELINE.name, {"user": user}, times_ms, 0.18)
    for phase, amount in (("routing", 0.04), ("cache_tier_1", 0.02)):
        yield _growing(names.SAVINGS.name, {"phase": phase}, times_ms, amount)
    yield _growing(names.CACHE_HITS.name, {"tier": "1"}, times_ms, 30.0)
    yield _growing(names.CACHE_MISSES.name, {"tier": "1"}, times_ms, 60.0)
    yield from _histogram(names.CACHE_LOOKUP_LATENCY, {"tier": "1"}, times_ms, 0.8)
    yield _growing(names.ERRORS.name, {"error_type": "timeout", "component": "router"}, times_ms, 0.2)
