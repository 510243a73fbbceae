"""History for ``benchmarks/endpoints.py``: every family at full width, as the rules record it and as it is scraped.

Ten models, six task types, four tiers (240 label sets), 1,000 users, 2,000 latency buckets; half of all label sets
were also counted by a memory that is gone. What long windows read
stands at its full rate: the whole of a family every minute, its series every hour, and the state of what anomalies
are judged on every minute for sixteen days. The state of everything else, which is read at the edges of windows
only, stands every minute around them. Raw counters stand every 15 seconds around now and every
minute around the starts of windows; between them those that the naive queries read have a sample every hour, cost
every five minutes: a real scrape has 20 to 240 times as many. The history runs some minutes into the future,
so that "now" lies in it while it is measured.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from asahi_analytics import largest_shares, latency_bins
from asahi_analytics.anomaly import AnomalyConfig
from asahi_analytics.anomaly.sources import sources
from asahi_analytics.backfill import CounterSamples, recorded_copies, recorded_history
from asahi_analytics.bases import Base
from asahi_analytics.history import BLOCK_HOURS, HistorySeries, write_blocks
from asahi_analytics.levels import levels_of
from asahi_analytics.quantiles import histogram_quantiles
from asahi_analytics.tiles import (
    MEMORY,
    PART,
    RESTARTS,
    RUNNING,
    SCRAPED,
    SCRAPES_STATE,
    SEEN,
    SINCE,
    SNAPSHOT,
    RuleParameters,
    state_metric,
)
from asahi_exporter import conventions as names
from asahi_exporter.conventions import FAMILIES, Family

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
DAY_MS = 24 * HOUR_MS
BEFORE = timedelta(minutes=5)
AHEAD = timedelta(minutes=25)
"""Time for the measurement itself; the history is fine from ``BEFORE`` its end of being written to then."""
WINDOW_DAYS = (0, 1, 2, 7, 14, 28, 30, 60, 90, 180, 365, 730)
STORE = "bench"
GONE = "gone"
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
TEN_MINUTES_MS = 600_000
JUDGED = {source.family for source in sources(AnomalyConfig()).values()}
JUDGED_DAYS = 16
READ_BY_NAIVE_QUERIES = {
    "cost_dollars": FIVE_MINUTES_MS,
    "baseline_dollars": HOUR_MS,
    "user_cost_dollars": HOUR_MS,
    "cache_hits": HOUR_MS,
    "cache_misses": HOUR_MS,
    "latency_ms_bucket": HOUR_MS,
    "requests": HOUR_MS,
}


def build(data: Path, days: int, ahead: timedelta = AHEAD) -> datetime:
    """Write ``days`` of history into the Prometheus data directory and return when it ends."""
    began = time.perf_counter()
    grid = Grid.of(datetime.now(UTC), days, ahead)
    # Shorter ones Prometheus would make longer itself, beginning a minute after its start: while it is measured.
    written = write_blocks(_everything(grid), data, block_hours=BLOCK_HOURS[-1])
    seconds = time.perf_counter() - began
    print(
        f"wrote {days} days: {written.series:,} series, {written.samples / 1e6:.1f} M samples in {seconds:.0f} s"
    )
    return datetime.fromtimestamp(grid.end_ms / 1000, UTC)


@dataclass(frozen=True)
class Grid:
    """Moments in milliseconds; the band is the time of day in which the measurement is made."""

    start_ms: int
    end_ms: int
    band_ms: int

    @classmethod
    def of(cls, now: datetime, days: int, ahead: timedelta) -> Grid:
        """Start on a full hour, end ``ahead`` of now.

        A window of ``days`` that ends now begins in a run that has gone on for some time, as shorter ones do.
        """
        end = round((now + ahead).timestamp() * 1000) // (5 * MINUTE_MS) * 5 * MINUTE_MS
        band = round((BEFORE + ahead).total_seconds() * 1000)
        start = (end - band - days * DAY_MS) // HOUR_MS * HOUR_MS - HOUR_MS
        return cls(start, end, band)

    def every(self, step_ms: int, days: float | None = None) -> np.ndarray:
        """Every ``step_ms``, of the last ``days`` or all."""
        start = self.start_ms if days is None else max(self.start_ms, self.end_ms - round(days * DAY_MS))
        return np.arange(-(-start // step_ms) * step_ms, self.end_ms + 1, step_ms)

    def edges(self, step_ms: int) -> np.ndarray:
        """Every ``step_ms`` around now and around the starts of windows, and at the full hour before."""
        ends = [self.end_ms - days * DAY_MS for days in WINDOW_DAYS]
        found = self._merged(None, step_ms, [end for end in ends if end > self.start_ms])
        hours = [(end - self.band_ms) // HOUR_MS * HOUR_MS for end in ends]
        return np.union1d(found[found % step_ms == 0], [hour for hour in hours if hour >= self.start_ms])

    def scrapes(self, past_ms: int | None) -> np.ndarray:
        """Every 15 seconds now, every minute around the starts of windows, every ``past_ms`` elsewhere."""
        ends = [self.end_ms - days * DAY_MS for days in WINDOW_DAYS[1:]]
        minutes = self._merged(past_ms, MINUTE_MS, [end for end in ends if end > self.start_ms])
        return np.union1d(minutes, np.arange(self.end_ms - self.band_ms, self.end_ms + 1, 15_000))

    def _merged(self, past_ms: int | None, step_ms: int, band_ends: Iterable[int]) -> np.ndarray:
        past = np.arange(self.start_ms, self.end_ms + 1, past_ms) if past_ms else np.array([self.start_ms])
        starts = [(end - self.band_ms) // step_ms * step_ms for end in band_ends]
        bands = [np.arange(max(start, self.start_ms), start + self.band_ms + 1, step_ms) for start in starts]
        return np.unique(np.concatenate([past, *bands]))


def _everything(grid: Grid) -> Iterator[HistorySeries]:
    rules = RuleParameters()
    for number, family in enumerate(FAMILIES.values()):
        counters = list(_counters(family, grid, np.random.default_rng(number)))
        yield from (
            HistorySeries(family.source, dict(one.labels), one.times_ms, one.values) for one in counters
        )
        yield from _recorded(family, counters, grid, rules)
    yield from _signs_of_scrapes(grid, rules)


def _recorded(
    family: Family, counters: list[CounterSamples], grid: Grid, rules: RuleParameters
) -> Iterator[HistorySeries]:
    """What the rules record: the copies at their full rate, the state where it is read."""
    step_ms = round(rules.state_interval.total_seconds() * 1000)
    for level in levels_of(family, rules):
        copied_ms = grid.every(round(level.grid.total_seconds() * 1000))
        yield from recorded_copies(level, counters, copied_ms)
    if family == latency_bins.FAMILY:
        yield from _latency_bins(counters, grid, rules)
    if family == largest_shares.FAMILY:
        yield from _largest_shares(counters, grid, rules)
    snapshots = grid.edges(step_ms)
    for one in recorded_history(family, counters, _judged(family, grid, step_ms, snapshots), rules):
        if one.name == state_metric(family) and one.labels[PART] == RUNNING:
            yield one
    yield from _certificate(family, grid.every(step_ms), rules)
    times = snapshots + round(rules.settle.total_seconds() * 1000)
    for one in counters:
        if one.labels[names.STORE] == GONE:
            continue
        place = np.searchsorted(one.times_ms, snapshots, side="right") - 1
        labels = {**one.identity(family), PART: SEEN}
        yield HistorySeries(state_metric(family), labels, times, one.values[np.maximum(place, 0)])
    created = np.full(times.shape, grid.start_ms / 1000)
    yield HistorySeries(state_metric(family), {names.STORE: STORE, PART: MEMORY}, times, created)
    yield from _bases(Base(family, rules), counters, grid)


def _bases(base: Base, counters: list[CounterSamples], grid: Grid) -> Iterator[HistorySeries]:
    """What the memory that is gone had counted, with the certificate."""
    snapshots = grid.edges(round(base.grid.total_seconds() * 1000))
    times = snapshots + round(base.rules.stored.total_seconds() * 1000)
    for one in (each for each in counters if each.labels[names.STORE] == GONE):
        labels = {name: one.labels[name] for name in base.family.labels}
        yield HistorySeries(base.metric, labels, times, np.full(times.shape, one.values[-1]))
    started = np.full(times.shape, grid.start_ms / 1000)
    parts = {SNAPSHOT: snapshots / 1000.0, SINCE: started, MEMORY: started}
    for part, values in parts.items():
        memory = {names.STORE: STORE} if part == MEMORY else {}
        yield HistorySeries(base.metric, {PART: part, **memory}, times, values)


def _latency_bins(
    counters: list[CounterSamples], grid: Grid, rules: RuleParameters
) -> Iterator[HistorySeries]:
    """What the rule records of the latency of the days that are judged."""
    quantile = AnomalyConfig().latency_quantile
    ends = grid.every(TEN_MINUTES_MS, JUDGED_DAYS)[1:]
    edges = np.concatenate([ends[:1] - TEN_MINUTES_MS, ends])
    added: dict[tuple[str, str], np.ndarray] = {}
    for one in counters:
        place = np.searchsorted(one.times_ms, edges, side="right") - 1
        key = one.labels[names.MODEL], one.labels["le"]
        added[key] = added.get(key, 0.0) + np.diff(one.values[np.maximum(place, 0)])
    buckets = pd.DataFrame(added, columns=pd.MultiIndex.from_tuples(added))
    models = {model: buckets[model] for model in buckets.columns.unique(0)}
    everything = buckets.T.groupby(level=1).sum().T
    rows = {(latency_bins.LATENCY, latency_bins.COUNT): models}
    rows[latency_bins.ALL_LATENCY, latency_bins.ALL_COUNT] = {"": everything}
    times = ends + round(rules.stored.total_seconds() * 1000)
    common = {latency_bins.QUANTILE: f"{quantile:g}"}
    for parts, tables in rows.items():
        for model, table in tables.items():
            judged = table[[bound for bound in table if bound in latency_bins.BUCKETS]]
            found = histogram_quantiles(judged, [quantile])[:, 0], table[latency_bins.EVERYTHING].to_numpy()
            labels = {**common, **({names.MODEL: model} if model else {})}
            for part, values in zip(parts, found, strict=True):
                yield HistorySeries(latency_bins.METRIC, {**labels, PART: part}, times, values)
    certificate = {SNAPSHOT: ends, latency_bins.BEFORE: edges[:-1], SINCE: 0 * ends + grid.start_ms}
    for part, moments in certificate.items():
        yield HistorySeries(latency_bins.METRIC, {**common, PART: part}, times, moments / 1000.0)


def _largest_shares(
    counters: list[CounterSamples], grid: Grid, rules: RuleParameters
) -> Iterator[HistorySeries]:
    """What the rule records of the largest user, of every full hour that a day lies before."""
    hours = grid.every(HOUR_MS)
    ends = hours[hours >= hours[0] + DAY_MS]
    total, largest = np.zeros(ends.size), np.zeros(ends.size)
    for one in counters:
        reached = one.values[np.maximum(np.searchsorted(one.times_ms, hours, side="right") - 1, 0)]
        spent = reached[-ends.size :] - reached[: ends.size]
        total, largest = total + spent, np.maximum(largest, spent)
    parts = {
        largest_shares.SHARE: largest / total,
        SNAPSHOT: ends / 1000.0,
        largest_shares.BEFORE: (ends - DAY_MS) / 1000.0,
        SINCE: 0 * ends + grid.start_ms / 1000.0,
    }
    times = ends + round(rules.stored.total_seconds() * 1000)
    for part, values in parts.items():
        yield HistorySeries(largest_shares.METRIC, {PART: part}, times, values)


def _certificate(family: Family, snapshots: np.ndarray, rules: RuleParameters) -> Iterator[HistorySeries]:
    times = snapshots + round(rules.settle.total_seconds() * 1000)
    for part, values in (
        (SNAPSHOT, snapshots / 1000.0),
        (SINCE, np.full(times.shape, snapshots[0] / 1000.0)),
    ):
        yield HistorySeries(state_metric(family), {PART: part}, times, values)


def _judged(family: Family, grid: Grid, step_ms: int, edges: np.ndarray) -> np.ndarray:
    if family.name not in JUDGED:
        return edges
    return np.union1d(edges, grid.every(step_ms, JUDGED_DAYS))


def _signs_of_scrapes(grid: Grid, rules: RuleParameters) -> Iterator[HistorySeries]:
    times = grid.scrapes(HOUR_MS)
    created = np.full(times.shape, grid.start_ms / 1000)
    yield HistorySeries(names.STORE_CREATED.name, _scraped({names.STORE: STORE}), times, created)
    snapshots = grid.every(MINUTE_MS)
    settled = snapshots + round(rules.settle.total_seconds() * 1000)
    seconds = snapshots / 1000.0
    parts = {
        SNAPSHOT: seconds,
        SINCE: 0 * seconds + seconds[0],
        SCRAPED: seconds - seconds[0],
        RESTARTS: 0 * seconds,
    }
    for part, values in parts.items():
        yield HistorySeries(SCRAPES_STATE, {PART: part}, settled, values)


def _scraped(labels: dict[str, str]) -> dict[str, str]:
    return {**labels, "job": "asahi", "instance": "bench:9090"}


def _counters(family: Family, grid: Grid, random: np.random.Generator) -> Iterator[CounterSamples]:
    past = READ_BY_NAIVE_QUERIES.get(family.name)
    times = grid.scrapes(past)
    hours = np.diff(times, prepend=times[0] - HOUR_MS) / HOUR_MS
    season = 1.0 + 0.5 * np.sin(2 * np.pi * times / (24 * HOUR_MS))
    bounds = _bounds(family)
    first = times[:1]
    for number, values in enumerate(
        itertools.product(*(VALUES[label] for label in family.labels if label != "le"))
    ):
        labels = dict(zip((label for label in family.labels if label != "le"), values, strict=True))
        added = random.lognormal(1.0, 1.0) * hours * season * random.lognormal(0.0, 0.2, times.size)
        steps = added if family.name.endswith("dollars") else np.ceil(added)
        total = np.cumsum(steps)
        for bound, share in bounds:
            more = {"le": bound} if bound else {}
            yield CounterSamples(
                _scraped({**labels, **more, names.STORE: STORE}), times, total * share, grid.start_ms / 1000
            )
            if number % 2:
                known = _scraped({**labels, **more, names.STORE: GONE})
                yield CounterSamples(known, first, total[-1:] * share, grid.start_ms / 1000)


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
