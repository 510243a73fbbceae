"""A month of raw samples with births, restarts and gaps, and the ledger of what they hold."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from asahi_analytics.history import HistorySeries

STEP = 300
START = datetime(2026, 1, 15, tzinfo=UTC)
END = START + timedelta(days=31)
METRIC = "asahi_savings_dollars_total"
CREATED = "asahi_store_created_timestamp_seconds"
PHASES = [f"phase-{number}" for number in range(5)]


@dataclass(frozen=True)
class Gain:
    """Dollars that the scrape at ``at`` (seconds since 1970) was the first to see."""

    at: float
    phase: str
    dollars: float


class Month:
    """Three exporters: two plain ones that restart, one with a store that moves; over the edge of a month."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self.series: list[HistorySeries] = []
        self.gains: list[Gain] = []
        self._ledger: dict[str, list[Gain]] = {}
        self._times: dict[str, list[float]] = {}
        for number, store in enumerate(("", "", "store-a")):
            self._exporter(number, store)

    def _exporter(self, number: int, store: str) -> None:
        first, last = round(START.timestamp()) + 7 * number, round(END.timestamp())
        times = np.arange(first + STEP, last, STEP)
        times = times[~self._gaps(times, last - first, first)]
        lives = self._lives(times, first, store)
        labels = {"job": "asahi", "instance": f"host-{number}:9464", **({"store": store} if store else {})}
        self.series.append(HistorySeries(CREATED, labels, times * 1000, lives))
        for phase in PHASES:
            born = int(self._rng.integers(0, times.size // 2)) if phase != PHASES[0] else 0
            self._counter({**labels, "phase": phase}, times[born:], lives[born:])

    def _gaps(self, times: np.ndarray, length: int, first: int) -> np.ndarray:
        """A few outages between ten minutes and five hours."""
        missing = np.zeros(times.shape, dtype=bool)
        for start in self._rng.integers(0, length, 6) + first:
            missing |= (times >= start) & (times < start + self._rng.integers(600, 18_000))
        return missing

    def _lives(self, times: np.ndarray, first: int, store: str) -> np.ndarray:
        """When the memory that each scrape saw was created."""
        if store:
            return np.full(times.shape, float(first + 1))
        begins = np.sort(np.append(self._rng.integers(first, times[-1], 12), first + 1)).astype(float)
        return begins[np.searchsorted(begins, times, side="right") - 1]

    def _counter(self, labels: dict[str, str], times: np.ndarray, lives: np.ndarray) -> None:
        gained = self._rng.random(times.size) * (self._rng.random(times.size) < 0.4)
        values = np.zeros(times.size)
        for life in np.unique(lives):
            values[lives == life] = np.cumsum(gained[lives == life])
        self.series.append(HistorySeries(METRIC, labels, times * 1000, values))
        self.gains += [
            Gain(float(at), labels["phase"], float(g)) for at, g in zip(times, gained, strict=True) if g
        ]

    def ledger(self, start: datetime, end: datetime) -> dict[str, float]:
        """Dollars by phase after ``start`` and up to ``end``."""
        if not self._ledger:
            self.gains.sort(key=lambda gain: gain.at)
            self._ledger = {phase: [gain for gain in self.gains if gain.phase == phase] for phase in PHASES}
            self._times = {phase: [gain.at for gain in gains] for phase, gains in self._ledger.items()}
        dollars = {}
        for phase, gains in self._ledger.items():
            first, last = (bisect_right(self._times[phase], moment.timestamp()) for moment in (start, end))
            if first < last:
                dollars[phase] = sum(gain.dollars for gain in gains[first:last])
        return dollars


def spans(length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Yield the whole spans of ``length`` in the month."""
    start = START
    while start + length <= END:
        yield start, start + length
        start += length
