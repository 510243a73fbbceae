"""A composer over a list of what happened, for tests that need no Prometheus: the naive twin of the real one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

from asahi_analytics.composer import Ask, Sums, SumSeries, Trust
from asahi_exporter.conventions import LATENCY_MS_BUCKETS
from support.one_by_one import OneByOne


@dataclass(frozen=True)
class Entry:
    """``value`` was added to ``family`` with ``labels`` at ``at``."""

    at: datetime
    family: str
    labels: Mapping[str, str]
    value: float


class LedgerComposer(OneByOne):
    """Sums entries by looking at each of them."""

    def __init__(self, entries: Iterable[Entry] = (), trust: Trust | None = None) -> None:
        self.entries = list(entries)
        self.trust = trust or Trust(scraped_ratio=1.0, source="ledger")
        self.asked: list[Ask] = []

    def total(self, family, by, window, where=None) -> Sums:
        self.asked.append(Ask(family, by, window, where))
        sums: dict[tuple[str, ...], float] = {}
        for entry in self._matching(family, window, where):
            key = _key(entry, by)
            sums[key] = sums.get(key, 0.0) + entry.value
        return Sums(sums, by, window, self.trust)

    def totals(self, asks: Sequence[Ask]) -> list[Sums]:
        return [self.total(ask.family, ask.by, ask.window, ask.where) for ask in asks]

    def series(self, family, by, window, step: timedelta, where=None) -> SumSeries:
        count = round(window.length / step)
        starts = pd.DatetimeIndex([window.start + number * step for number in range(count)])
        keys = sorted({_key(entry, by) for entry in self._matching(family, window, where)})
        frame = pd.DataFrame(0.0, index=starts, columns=_index(keys, by))
        for entry in self._matching(family, window, where):
            number = math.ceil((entry.at - window.start) / step) - 1
            frame.iloc[number, keys.index(_key(entry, by))] += entry.value
        return SumSeries(frame, window, self.trust)

    def _matching(self, family, window, where) -> Iterable[Entry]:
        for entry in self.entries:
            if entry.family != family or not window.start < entry.at <= window.end:
                continue
            if all(entry.labels[label] in values for label, values in (where or {}).items()):
                yield entry


def _key(entry: Entry, by: Sequence[str]) -> tuple[str, ...]:
    return tuple(entry.labels[label] for label in by)


def _index(keys: Sequence[tuple[str, ...]], by: Sequence[str]) -> pd.Index:
    if not by:
        return pd.Index(["total"] * len(keys), dtype=object)
    if len(by) == 1:
        return pd.Index([key[0] for key in keys], name=by[0], dtype=object)
    return pd.MultiIndex.from_arrays(
        [[key[number] for key in keys] for number in range(len(by))], names=list(by)
    )


def request(
    at: datetime,
    *,
    model: str = "gpt-4o",
    task_type: str = "chat",
    tier: str = "none",
    user: str = "ann",
    cost: float = 0.01,
    saved: float = 0.0,
    phase: str = "routing",
    latency_ms: float = 100.0,
    tokens: int = 100,
) -> list[Entry]:
    """Return everything that one answered request adds."""
    labels = {"model": model, "task_type": task_type, "cache_tier": tier}
    entries = [
        Entry(at, "requests", labels, 1.0),
        Entry(at, "cost_dollars", labels, cost),
        Entry(at, "baseline_dollars", labels, cost + saved),
        Entry(at, "tokens", {**labels, "direction": "input"}, float(tokens)),
        Entry(at, "user_requests", {"user": user}, 1.0),
        Entry(at, "user_cost_dollars", {"user": user}, cost),
        Entry(at, "user_baseline_dollars", {"user": user}, cost + saved),
        Entry(at, "latency_ms_sum", labels, latency_ms),
        Entry(at, "latency_ms_count", labels, 1.0),
    ]
    if saved:
        entries.append(Entry(at, "savings_dollars", {"phase": phase}, saved))
    for bound in (*LATENCY_MS_BUCKETS, float("inf")):
        if latency_ms <= bound:
            le = "+Inf" if bound == float("inf") else f"{bound:g}"
            entries.append(Entry(at, "latency_ms_bucket", {**labels, "le": le}, 1.0))
    return entries


def lookup(at: datetime, tier: str, *, hit: bool, latency_ms: float = 1.0) -> list[Entry]:
    """Return everything that one cache look-up adds."""
    labels = {"tier": tier}
    return [
        Entry(at, "cache_hits" if hit else "cache_misses", labels, 1.0),
        Entry(at, "cache_lookup_latency_ms_sum", labels, latency_ms),
        Entry(at, "cache_lookup_latency_ms_count", labels, 1.0),
    ]


NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
