"""A trace as the history of scrapes that a Prometheus would have made while it was played."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from asahi_analytics.errors import UserInputError
from asahi_analytics.history import HistorySeries, Milliseconds
from asahi_analytics.prices import PriceBook
from asahi_analytics.traffic.player import Player
from asahi_analytics.traffic.readout import CellHistory, created, read_out
from asahi_analytics.traffic.traces import Trace
from asahi_exporter import MetricsCollector, MetricsConfig
from asahi_exporter.cells import BlockKey
from asahi_exporter.config import DEFAULT_LABEL_LIMITS

MOST_LABEL_VALUES = 1_000_000


@dataclass(frozen=True)
class Scrapes:
    """What was scraped: the moments, the cells of the exporter at each of them, and what was played."""

    times_ms: Milliseconds
    histories: tuple[CellHistory, ...]
    requests: int
    unpriced: int

    def series(self, target: Mapping[str, str]) -> Iterator[HistorySeries]:
        """Yield the raw series with the labels of their target."""
        yield created(self.times_ms, target)
        yield from read_out(self.times_ms, self.histories, target)


class _Simulated:
    """A clock that is set by hand, in seconds since 1970."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> float:
        return self.moment.timestamp()


def scrape_trace(
    trace: Trace,
    book: PriceBook,
    start: datetime,
    *,
    interval: timedelta = timedelta(minutes=1),
    model: str = "unknown",
    progress: Callable[[int, int], None] | None = None,
) -> Scrapes:
    """Play ``trace`` from ``start`` on through an exporter and scrape that every ``interval`` of simulated time.

    The first scrape comes before the first request, the last one at the end of the trace or up to an interval later; no
    label is bounded. ``progress`` hears (scrapes made, scrapes in all).
    """
    clock = _Simulated(start)
    limits = dict.fromkeys(DEFAULT_LABEL_LIMITS, MOST_LABEL_VALUES)
    collector = MetricsCollector(MetricsConfig(label_limits=limits, retention_hours=1), clock=clock)
    player = Player(trace, collector, book, start, model=model)
    moments = scrape_moments(trace, start, interval)
    recorder = _Recorder(collector)
    for done, moment in enumerate(moments):
        clock.moment = moment
        if done:
            player.play_until(moment)
        recorder.scrape()
        if progress is not None:
            progress(done + 1, len(moments))
    times_ms = np.array([round(moment.timestamp() * 1000) for moment in moments], dtype=np.int64)
    return Scrapes(times_ms, recorder.histories(), player.requests, player.unpriced)


def scrape_moments(trace: Trace, start: datetime, interval: timedelta) -> list[datetime]:
    """Return the moments of the scrapes: every ``interval`` back from the end of the trace, one before its start."""
    steps = int(-(-trace.length_s // interval.total_seconds()))
    end = start + timedelta(seconds=trace.length_s)
    return [end - step * interval for step in range(max(steps, 1), -1, -1)]


class _Recorder:
    """Keeps the cells of an exporter at every scrape."""

    def __init__(self, collector: MetricsCollector) -> None:
        self._cells = collector._book.cells
        self._kept: dict[BlockKey, array[float]] = {}

    def scrape(self) -> None:
        for key, values in self._cells.copy():
            self._kept.setdefault(key, array("d")).extend(values)

    def histories(self) -> tuple[CellHistory, ...]:
        return tuple(
            CellHistory(key, np.frombuffer(kept, dtype=np.float64).reshape(-1, key[0].size))
            for key, kept in self._kept.items()
        )


def end_of(text: str, now: datetime) -> datetime | None:
    """Return the moment that ``text`` names: ``now`` (the full minute), ``recorded`` (None) or an RFC 3339 time."""
    if text == "recorded":
        return None
    if text == "now":
        return now.astimezone(UTC).replace(second=0, microsecond=0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserInputError(
            f"--end is {text!r}; pass now, recorded or a time like 2026-01-31T00:00:00Z"
        ) from error
    if moment.tzinfo is None:
        raise UserInputError(f"--end is {text!r}, without a time zone; write it like 2026-01-31T00:00:00Z")
    return moment.astimezone(UTC)
