"""History for ``benchmarks/endpoints.py``: every family at full width, as recorded totals and raw counters.

Ten models, six task types, four tiers (240 label sets), 1,000 users, 2,000 latency buckets. Totals are kept at
every hour of the past, as ``asahi-obs rules backfill`` writes them, and at the rules' own interval in the last
hours; an answer reads totals at the edges of its bins, so what lies between them is not read in either case.
Raw counters have a sample every 15 seconds around now; before that those that the naive queries read have one every
hour, cost every five minutes. The history runs an hour into the future, so that "now" lies in it while it is measured.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from asahi_analytics.backfill import CounterSamples, recorded_history
from asahi_analytics.history import HistorySeries, write_blocks
from asahi_analytics.tiles import RuleParameters
from asahi_exporter import conventions as names
from asahi_exporter.conventions import FAMILIES, Family

HOUR_MS = 3_600_000
RECENT = timedelta(minutes=20)
AHEAD = timedelta(minutes=60)
STORE = "bench"
USERS = 1_000
VALUES = {
    names.MODEL: [f"model-{number}" for number in range(10)],
    names.TASK_TYPE: ["chat", "code", "summary", "search", "extract", "translate"],
    names.CACHE_TIER: [*names.CACHE_TIERS, names.NO_CACHE],
    names.TIER: list(names.CACHE_TIERS),
    names.USER: [f"user-{number:04}" for number in range(USERS)],
    names.PHASE: list(names.DEFAULT_PHASES),
    names.DIRECTION: [names.INPUT, names.OUTPUT],
    names.OUTCOME: ["error", "retry"],
    names.ERROR_TYPE: ["timeout", "rate_limit", "internal"],
    names.COMPONENT: ["router", "model"],
    names.MODE: ["cost", "quality"],
    names.SIZE_CLASS: list(names.BATCH_SIZE_CLASSES),
    names.LABEL: [names.USER],
    names.REASON: ["nan"],
}
FIVE_MINUTES_MS = 300_000
READ_BY_NAIVE_QUERIES = {
    "cost_dollars": FIVE_MINUTES_MS,
    "baseline_dollars": HOUR_MS,
    "user_cost_dollars": HOUR_MS,
    "cache_hits": HOUR_MS,
    "cache_misses": HOUR_MS,
    "latency_ms_bucket": HOUR_MS,
    "requests": HOUR_MS,
}


def build(data: Path, days: int) -> datetime:
    """Write ``days`` of history into the Prometheus data directory and return when it ends."""
    end = (datetime.now(UTC) + AHEAD).replace(second=0, microsecond=0)
    start = end - timedelta(days=days)
    began = time.perf_counter()
    written = write_blocks(_everything(start, end), data, block_hours=162)
    seconds = time.perf_counter() - began
    print(
        f"wrote {days} days: {written.series:,} series, {written.samples / 1e6:.1f} M samples in {seconds:.0f} s"
    )
    return end


def _everything(start: datetime, end: datetime) -> Iterator[HistorySeries]:
    rules = RuleParameters()
    for number, family in enumerate(FAMILIES.values()):
        counters = list(_counters(family, start, end, np.random.default_rng(number)))
        yield from (
            HistorySeries(family.source, dict(one.labels), one.times_ms, one.values) for one in counters
        )
        recorded = recorded_history(family, counters, _snapshots(family, start, end, rules), rules)
        yield from (one for one in recorded if one.name.endswith(":state"))
    times = _times(start, end, 15_000)
    created = np.full(times.shape, start.timestamp())
    yield HistorySeries(names.STORE_CREATED.name, _scraped({names.STORE: STORE}), times, created)


def _snapshots(family: Family, start: datetime, end: datetime, rules: RuleParameters) -> np.ndarray:
    return _times(start, end - timedelta(minutes=1), round(rules.interval_of(family).total_seconds() * 1000))


def _times(start: datetime, end: datetime, recent_ms: int, past_ms: int = HOUR_MS) -> np.ndarray:
    """Every ``past_ms``, and every ``recent_ms`` from some hours before now on."""
    first, last = round(start.timestamp() * 1000) // HOUR_MS * HOUR_MS, round(end.timestamp() * 1000)
    turn = _turn(end)
    return np.concatenate([np.arange(first, turn, past_ms), np.arange(turn, last + 1, recent_ms)])


def _turn(end: datetime) -> int:
    """When the past ends and the fine samples begin, in milliseconds."""
    return round((end - AHEAD - RECENT).timestamp() * 1000) // HOUR_MS * HOUR_MS


def _scraped(labels: dict[str, str]) -> dict[str, str]:
    return {**labels, "job": "asahi", "instance": "bench:9090"}


def _counters(
    family: Family, start: datetime, end: datetime, random: np.random.Generator
) -> Iterator[CounterSamples]:
    past = READ_BY_NAIVE_QUERIES.get(family.name, HOUR_MS)
    times = _times(start, end, 15_000, past)
    hours = np.diff(times, prepend=times[0] - past) / HOUR_MS
    season = 1.0 + 0.5 * np.sin(2 * np.pi * times / (24 * HOUR_MS))
    bounds = _bounds(family)
    for values in itertools.product(*(VALUES[label] for label in family.labels if label != "le")):
        labels = dict(zip((label for label in family.labels if label != "le"), values, strict=True))
        added = random.lognormal(1.0, 1.0) * hours * season * random.lognormal(0.0, 0.2, times.size)
        steps = added if family.name.endswith("dollars") else np.ceil(added)
        total = np.cumsum(steps)
        for bound, share in bounds:
            more = {"le": bound} if bound else {}
            yield CounterSamples(
                _scraped({**labels, **more, names.STORE: STORE}), times, total * share, start.timestamp()
            )


def _bounds(family: Family) -> list[tuple[str, float]]:
    """The buckets of a histogram's family with their cumulative shares; one unnamed bucket for any other."""
    if "le" not in family.labels:
        return [("", 1.0)]
    metric = names.BY_NAME[family.source.removesuffix("_bucket")]
    shares = np.linspace(0.0, 1.0, len(metric.buckets) + 1)
    return [
        *((f"{bound:g}", share) for bound, share in zip(metric.buckets, shares, strict=False)),
        ("+Inf", 1.0),
    ]
