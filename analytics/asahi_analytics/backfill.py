"""Recorded totals for the time before the rules ran, in the very series that the rules write.

``recorded_history`` is pure: samples of counters in, series to write out. What it writes certifies itself
(``since``, ``snapshot``) and is told apart by the part ``backfilled``. ``totals_before`` reads a server instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.composer.ledger import Amounts
from asahi_analytics.composer.listener import Client
from asahi_analytics.composer.raw import RawSums
from asahi_analytics.errors import NotEnoughData, UserInputError
from asahi_analytics.history import HistorySeries, Milliseconds
from asahi_analytics.hours import HOUR_FAMILIES, Tiles
from asahi_analytics.levels import QUARTER, Level, levels_of, quarters_of
from asahi_analytics.tiles import (
    BACKFILLED,
    INSTANCE,
    JOB,
    LIFE,
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
from asahi_exporter.conventions import STORE, Family

Floats = npt.NDArray[np.float64]
Totals = dict[tuple[str, ...], Floats]
"""Running totals by the values of a family's labels."""
HOUR_SECONDS: Final = 3600


@dataclass(frozen=True)
class CounterSamples:
    """The samples of one counter, all scraped labels with it; ``created`` is when its memory was made, if known.

    ``times_ms`` ascend; a value below the one before is a restart from zero, unless the counter has a ``store``.
    """

    labels: Mapping[str, str]
    times_ms: Milliseconds
    values: Floats
    created: float | None = None

    def counted(self) -> Floats:
        """What was counted up to each sample, the first value included."""
        rises = np.diff(self.values, prepend=0.0)
        afresh = np.zeros_like(rises) if self.labels.get(STORE) else self.values
        return np.cumsum(np.where(rises < 0, afresh, rises))

    def identity(self, family: Family) -> dict[str, str]:
        """Return the labels by which the rules know this counter."""
        if store := self.labels.get(STORE):
            return {**{name: self.labels.get(name, "") for name in family.labels}, STORE: store}
        life = {} if self.created is None else {LIFE: np.format_float_positional(self.created, trim="-")}
        return {**self.labels, **life}

    def memory(self) -> dict[str, str]:
        """Return the labels of the memory that this counter lives in."""
        if store := self.labels.get(STORE):
            return {STORE: store}
        return {name: self.labels.get(name, "") for name in (JOB, INSTANCE)}


def snapshot_grid(start: datetime, end: datetime, step_seconds: int) -> Milliseconds:
    """Return the moments from ``start`` to ``end`` that are whole multiples of ``step_seconds``, in milliseconds."""
    first = -(-round(start.timestamp() * 1000) // (step_seconds * 1000))
    last = round(end.timestamp() * 1000) // (step_seconds * 1000)
    if last <= first:
        raise NotEnoughData(f"there is no whole step of {step_seconds} s between {start} and {end}")
    return np.arange(first, last + 1, dtype=np.int64) * (step_seconds * 1000)


def recorded_history(
    family: Family,
    counters: Iterable[CounterSamples],
    snapshots_ms: Milliseconds,
    rules: RuleParameters,
) -> Iterator[HistorySeries]:
    """Yield what the rules would have recorded of ``counters`` at ``snapshots_ms``, for them to go on from.

    ``snapshots_ms`` ascend and are multiples of the interval at which state is carried. Counters begin from zero. The
    last snapshot also holds every counter as last seen, so that live rules continue the same run. Nothing is later
    than its evaluation: Prometheus takes no sample that is older than what its blocks hold.
    """
    _check_grid(family, snapshots_ms, rules)
    totals: Totals = {}
    at_end = snapshots_ms[-1:] + round(rules.settle.total_seconds() * 1000)
    name, memories = state_metric(family), {}
    for counter in counters:
        _count(counter, family, snapshots_ms, totals)
        known = _as_of(counter.times_ms, counter.values, snapshots_ms[-1:])
        if counter.times_ms.size and counter.times_ms[0] <= snapshots_ms[-1]:
            yield HistorySeries(name, {**counter.identity(family), PART: SEEN}, at_end, known)
        if counter.created is not None:
            memories[tuple(sorted(counter.memory().items()))] = counter.created
    for memory, created in memories.items():
        yield HistorySeries(name, {**dict(memory), PART: MEMORY}, at_end, np.array([created]))
    for one in _recorded(family, totals, snapshots_ms, rules):
        yield one.between(0, int(at_end[0]) + 1)


def recorded_copies(
    level: Level, counters: Iterable[CounterSamples], moments_ms: Milliseconds
) -> Iterator[HistorySeries]:
    """Yield what the rules of ``level`` would have recorded of ``counters`` at ``moments_ms``, multiples of its grid.

    Counters begin from zero, at the first of these moments.
    """
    totals: Totals = {}
    for counter in counters:
        _count(counter, level.family, moments_ms, totals)
    seconds = moments_ms / 1000.0
    certificate = {SINCE: np.full(seconds.shape, seconds[0]), SNAPSHOT: seconds}
    yield from _copied(level, totals, certificate, moments_ms)


def _count(counter: CounterSamples, family: Family, moments_ms: Milliseconds, totals: Totals) -> None:
    """Add to ``totals`` what ``counter`` had counted at each moment."""
    key = tuple(counter.labels.get(label, "") for label in family.labels)
    counted = _as_of(counter.times_ms, counter.counted(), moments_ms)
    totals[key] = totals[key] + counted if key in totals else counted


def _recorded(
    family: Family,
    totals: Mapping[tuple[str, ...], Floats],
    snapshots_ms: Milliseconds,
    rules: RuleParameters,
) -> Iterator[HistorySeries]:
    """The totals under both their names, the certificate, and the copies of both."""
    times = snapshots_ms + round(rules.settle.total_seconds() * 1000)
    for key, values in totals.items():
        labels = {label: value for label, value in zip(family.labels, key, strict=True) if value}
        yield HistorySeries(state_metric(family), {**labels, PART: RUNNING}, times, values)
        yield HistorySeries(family.running, labels, times, values)
    seconds = snapshots_ms / 1000.0
    since = np.full(seconds.shape, seconds[0])
    certificate = {SINCE: since, SNAPSHOT: seconds, BACKFILLED: seconds}
    for part, values in certificate.items():
        yield HistorySeries(state_metric(family), {PART: part}, times, values)
    for level in levels_of(family, rules):
        yield from _copied(level, totals, certificate, snapshots_ms)
    if family.name in HOUR_FAMILIES:
        yield from _hourly(Tiles(family, rules), totals, snapshots_ms)


def _hourly(
    tiles: Tiles, totals: Mapping[tuple[str, ...], Floats], snapshots_ms: Milliseconds
) -> Iterator[HistorySeries]:
    """The tiles between the full hours among the snapshots."""
    full = snapshots_ms % (HOUR_SECONDS * 1000) == 0
    times = snapshots_ms[full][1:] + round((tiles.delay + tiles.rules.settle).total_seconds() * 1000)
    for key, values in totals.items():
        named = zip(tiles.family.labels, key, strict=True)
        labels = {label: value for label, value in named if value}
        yield HistorySeries(tiles.metric, labels, times, np.diff(values[full]))


def _copied(
    level: Level,
    totals: Mapping[tuple[str, ...], Floats],
    certificate: Mapping[str, Floats],
    snapshots_ms: Milliseconds,
) -> Iterator[HistorySeries]:
    """What the rules of ``level`` would have copied of the totals and of their certificate."""
    chosen = snapshots_ms % round(level.grid.total_seconds() * 1000) == 0
    times = snapshots_ms[chosen] + round(level.delay.total_seconds() * 1000)
    sums: dict[tuple[tuple[str, str], ...], Floats] = {}
    for key, values in totals.items():
        named = zip(level.family.labels, key, strict=True)
        labels = tuple((label, value) for label, value in named if value and label in level.labels)
        sums[labels] = sums[labels] + values[chosen] if labels in sums else values[chosen]
    rows = [({**dict(labels), PART: RUNNING}, values) for labels, values in sums.items()]
    rows += [({PART: part}, values[chosen]) for part, values in certificate.items()]
    for more, places in _by_quarter(level, snapshots_ms[chosen]):
        for name, values in rows:
            yield HistorySeries(level.metric, {**name, **more}, times[places], values[places])


def _by_quarter(level: Level, snapshots_ms: Milliseconds) -> Iterator[tuple[dict[str, str], Any]]:
    """The further labels of the copies of ``snapshots_ms``, and the places of those that carry them."""
    if not level.quartered:
        yield {}, slice(None)
        return
    quarters = quarters_of(snapshots_ms / 1000.0)
    for quarter in np.unique(quarters):
        yield {QUARTER: str(quarter)}, quarters == quarter


def recorded_scrapes(scrapes_ms: Sequence[Milliseconds], rules: RuleParameters) -> Iterator[HistorySeries]:
    """Yield what the rules would have recorded of scrapes of exporters at these times, none of which lost a counter.

    The time between two scrapes counts as scraped when it is no longer than the look-back, so that a history with
    fewer scrapes has no gaps but where they failed. Nothing where they are too few to lie between two evaluations.
    """
    times = np.unique(np.concatenate([np.array([], dtype=np.int64), *scrapes_ms]))
    interval_ms = round(rules.interval.total_seconds() * 1000)
    if not times.size or times[-1] - times[0] < 2 * interval_ms:
        return
    snapshots = np.arange(-(-times[0] // interval_ms), times[-1] // interval_ms + 1) * interval_ms
    between = np.diff(times, prepend=times[0]) / 1000.0
    covered = np.cumsum(np.where(between <= rules.lookback.total_seconds(), between, 0.0))
    seconds = snapshots / 1000.0
    parts = {
        SCRAPED: np.interp(snapshots, times, covered),
        RESTARTS: np.zeros(seconds.shape),
        SINCE: np.full(seconds.shape, seconds[0]),
        SNAPSHOT: seconds,
    }
    settled = snapshots + round(rules.settle.total_seconds() * 1000)
    for part, values in parts.items():
        yield HistorySeries(SCRAPES_STATE, {PART: part}, settled, values)


def _as_of(times_ms: Milliseconds, values: Floats, moments_ms: Milliseconds) -> Floats:
    """The value last reached at each moment, zero before the first."""
    place = np.searchsorted(times_ms, moments_ms, side="right")
    return np.concatenate([[0.0], values])[place]


def _check_grid(family: Family, snapshots_ms: Milliseconds, rules: RuleParameters) -> None:
    interval_ms = round(rules.state_interval.total_seconds() * 1000)
    if snapshots_ms.size < 2 or np.any(snapshots_ms % interval_ms) or np.any(np.diff(snapshots_ms) <= 0):
        raise UserInputError(
            f"{family.name} needs two or more ascending snapshots that are multiples of {interval_ms} ms"
        )


def totals_before(
    client: Client,
    family: Family,
    snapshots_ms: Milliseconds,
    rules: RuleParameters,
    on_bin: Callable[[], None] | None = None,
) -> Iterator[HistorySeries]:
    """Yield the recorded totals at ``snapshots_ms``, summed from the raw samples that ``client`` has.

    They end at zero, where the totals of rules that were installed at the last snapshot begin, and a label set is
    there from the first on, so that whoever subtracts two moments need not know where one ends and the other starts.
    """
    _check_grid(family, snapshots_ms, rules)
    edges = (snapshots_ms / 1000.0).tolist()
    counted: list[Amounts] = []
    for amounts in RawSums(client, family, None, rules.state_lookback).each_bin(family.labels, edges):
        counted.append(amounts)
        if on_bin is not None:
            on_bin()
    yield from _recorded(family, _backwards(counted), snapshots_ms, rules)


def _backwards(counted: Sequence[Amounts]) -> dict[tuple[str, ...], Floats]:
    """Running totals that end at zero, from what each bin counted."""
    keys = {key for amounts in counted for key in amounts}
    totals = {}
    for key in keys:
        sums = np.cumsum([0.0, *(amounts.get(key, 0.0) for amounts in counted)])
        totals[key] = sums - sums[-1]
    return totals
