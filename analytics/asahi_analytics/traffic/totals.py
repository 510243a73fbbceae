"""The running totals of a history, as the recording rules would have kept them while it was scraped.

The rules' parts of state stand in ``asahi_analytics.tiles``. A history that was written afterwards has no rules that
could have run over it; with these series the service answers from totals at once, and the rules of a live Prometheus
go on from them without a break. Only for counters of one memory (with the label ``store``), which never fall.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np

from asahi_analytics.history import Floats, HistorySeries, Milliseconds
from asahi_analytics.tiles import (
    MEMORY,
    PART,
    RUNNING,
    SEEN,
    SINCE,
    SNAPSHOT,
    RuleParameters,
    is_histogram,
    running_metric,
    state_metric,
)
from asahi_exporter.conventions import FAMILIES, STORE, STORE_CREATED, Family

FINE: Final = timedelta(days=2)
"""How far back from the end the totals are as frequent as those of live rules."""
STATE_STEP: Final = timedelta(hours=1)
"""Before that: between states, from which any moment is reached over at most so many raw samples."""
RUNNING_STEP: Final = timedelta(minutes=5)
"""Before that: between running totals, as instant queries look for them."""
_EVALUATION_DELAY: Final = timedelta(seconds=5)
"""Evaluations come a little after a snapshot has settled."""


@dataclass(frozen=True)
class Grid:
    """Moments that totals are for (``snapshots_ms``), and when the rules recorded them (``recorded_ms``)."""

    snapshots_ms: Milliseconds
    recorded_ms: Milliseconds


def grid(times_ms: Milliseconds, fine: timedelta, coarse: timedelta, rules: RuleParameters) -> Grid:
    """Return the snapshots of a history scraped at ``times_ms``: every ``fine`` near its end, every ``coarse`` before.

    Snapshots lie on multiples of their step. None falls into a time without scrapes, nor is any recorded later than the
    last scrape.
    """
    delay = _ms(rules.settle + _EVALUATION_DELAY)
    first, last = int(times_ms[0]), int(times_ms[-1]) - delay
    turn = last - _ms(FINE)
    steps = [
        _multiples(first, min(turn, last), _ms(coarse)),
        _multiples(max(turn + 1, first), last, _ms(fine)),
    ]
    snapshots = np.concatenate(steps)
    latest = times_ms[np.searchsorted(times_ms, snapshots, side="right") - 1]
    snapshots = snapshots[snapshots - latest <= _ms(rules.lookback)]
    return Grid(snapshots, snapshots + delay)


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _multiples(first: int, last: int, step: int) -> Milliseconds:
    return np.arange(-(-first // step) * step, last + 1, step, dtype=np.int64)


def totals_of(raw: Sequence[HistorySeries], rules: RuleParameters | None = None) -> Iterator[HistorySeries]:
    """Yield the state and the running totals of every family that has series in ``raw``.

    ``raw`` are the scraped series of one exporter with a ``store``; series of other names are passed over.
    """
    rules = rules or RuleParameters()
    by_name: dict[str, list[HistorySeries]] = {}
    for series in raw:
        if STORE in series.labels and series.times_ms.size:
            by_name.setdefault(series.name, []).append(series)
    created = by_name.get(STORE_CREATED.name, [])
    for family in FAMILIES.values():
        if family.source in by_name:
            yield from _family_totals(family, by_name[family.source], created, rules)


def _family_totals(
    family: Family, counters: Sequence[HistorySeries], created: Sequence[HistorySeries], rules: RuleParameters
) -> Iterator[HistorySeries]:
    times_ms = max((one.times_ms for one in counters), key=lambda times: times.size)
    interval = rules.interval_of(family)
    states = grid(times_ms, interval, STATE_STEP, rules)
    copies = grid(times_ms, interval, STATE_STEP if is_histogram(family) else RUNNING_STEP, rules)
    if not states.snapshots_ms.size:
        return
    name = state_metric(family)
    for labels, parts in _by_labels(family, counters):
        yield from _total(name, {**labels, PART: RUNNING}, parts, states)
        yield from _total(running_metric(family), labels, parts, copies)
    for one in counters:
        identity = {label: one.labels.get(label, "") for label in (*family.labels, STORE)}
        yield from _total(name, {**identity, PART: SEEN}, [one], states)
    for one in created:
        yield from _total(name, {STORE: one.labels[STORE], PART: MEMORY}, [one], states)
    snapshots_s = states.snapshots_ms / 1000.0
    since = np.full(snapshots_s.size, float(times_ms[0]) / 1000.0)
    yield HistorySeries(name, {PART: SINCE}, states.recorded_ms, since)
    yield HistorySeries(name, {PART: SNAPSHOT}, states.recorded_ms, snapshots_s)


def _by_labels(
    family: Family, counters: Iterable[HistorySeries]
) -> Iterator[tuple[Mapping[str, str], list[HistorySeries]]]:
    """Yield the label sets of ``family`` and the counters that are counted under each."""
    found: dict[tuple[str, ...], list[HistorySeries]] = {}
    for one in counters:
        found.setdefault(tuple(one.labels.get(label, "") for label in family.labels), []).append(one)
    for values, parts in found.items():
        yield dict(zip(family.labels, values, strict=True)), parts


def _total(
    name: str, labels: Mapping[str, str], parts: Sequence[HistorySeries], at: Grid
) -> Iterator[HistorySeries]:
    """Yield the sum of ``parts`` at each snapshot from the first on at which there is one."""
    born = min(int(one.times_ms[0]) for one in parts)
    alive = at.snapshots_ms >= born
    total: Floats = np.zeros(int(alive.sum()))
    for one in parts:
        position = np.searchsorted(one.times_ms, at.snapshots_ms[alive], side="right") - 1
        total += np.where(position >= 0, one.values[np.maximum(position, 0)], 0.0)
    if total.size:
        yield HistorySeries(name, labels, at.recorded_ms[alive], total)
