"""A composer over a list of what happened, for tests that need no Prometheus: the naive twin of the real one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

from asahi_analytics.composer import Ask, Sums, SumSeries, Trust
from asahi_analytics.windows import Window
from asahi_exporter.conventions import LATENCY_MS_BUCKETS


@dataclass(frozen=True)
class Entry:
    """``value`` was added to ``family`` with ``labels`` at ``at``."""

    at: datetime
    family: str
    labels: Mapping[str, str]
    value: float


class LedgerComposer:
    """Sums entries by looking at each of them."""

    def __init__(self, entries: Iterable[Entry] = (), trust: Trust | None = None) -> None:
        self.entries = list(entries)
        self.trust = trust or Trust(scraped_ratio=1.0, source="ledger")
        self.asked: list[Ask] = []

    def total(self, family, by, window, where=None) -> Sums:
        self.asked.append(Ask(family, by, window, where))
        sums: dict[tuple[str, ...], float] = {}
        for entry in self._matching(family, window, where):
            key = tuple(entry.labels[label] for label in by)
            sums[key] = sums.get(key, 0.0) + entry.value
        return Sums(_series(sums, by), window, self.trust)

    def totals(self, asks: Sequence[Ask]) -> list[Sums]:
        return [self.total(ask.family, ask.by, ask.window, ask.where) for ask in asks]

    def series(self, family, by, window, step: timedelta, where=None) -> SumSeries:
        starts = []
        moment = window.start
        while moment < window.end:
            starts.append(moment)
            moment += step
        rows = [self.total(family, by, Window(start, start + step), where).values for start in starts]
        frame = pd.DataFrame(rows, index=pd.DatetimeIndex(starts)).fillna(0.0)
        return SumSeries(frame, window, self.trust)

    def _matching(self, family, window, where) -> Iterable[Entry]:
        for entry in self.entries:
            if entry.family != family or not window.start < entry.at <= window.end:
                continue
            if all(entry.labels[label] in values for label, values in (where or {}).items()):
                yield entry


def _series(sums: Mapping[tuple[str, ...], float], by: Sequence[str]) -> pd.Series:
    if not sums:
        return pd.Series(dtype=float)
    if not by:
        return pd.Series([sum(sums.values())], index=["total"])
    if len(by) == 1:
        return pd.Series({key[0]: value for key, value in sums.items()})
    index = pd.MultiIndex.from_tuples(list(sums), names=list(by))
    return pd.Series(list(sums.values()), index=index)


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
