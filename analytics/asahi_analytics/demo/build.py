"""Writes the demo's history: what its exporter would have counted and Prometheus scraped and totalled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from asahi_analytics.demo.gauges import gauges_of
from asahi_analytics.demo.past import Past, draw_past, scrape_times
from asahi_analytics.demo.store import Folder, exporter, intensity_of
from asahi_analytics.errors import UserInputError
from asahi_analytics.history import HistorySeries, Written, write_blocks
from asahi_analytics.tiles import INSTANCE, JOB
from asahi_analytics.traffic.readout import read_out
from asahi_analytics.traffic.totals import totals_of
from asahi_exporter.aggregate import restore
from asahi_exporter.conventions import STORE

EXPORTER_JOB: Final = "asahi"
MAX_DAYS: Final = 366.0


class Teller(Protocol):
    """Who tells the user."""

    def say(self, text: str) -> None:
        """Write one line."""

    def step(self, name: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Show a bar that is moved by telling (done, total)."""


MARGIN_DAYS: Final = 2 / 24
"""Drawn before the days that are asked for, so that the totals of all of them are recorded."""


def check_days(days: float) -> None:
    """Raise ``UserInputError`` for a length of history that makes no sense."""
    if not 0.1 <= days <= MAX_DAYS:
        raise UserInputError(f"--days is {days:g}; pass 0.1 to {MAX_DAYS:g}")


def days_text(days: float) -> str:
    """Return a number of days in words: "1 day", "0.5 days"."""
    return f"{days:g} day{'' if days == 1 else 's'}"


@dataclass(frozen=True)
class HistoryPlan:
    """The history to write: ``days`` up to ``end``, of an exporter at ``instance`` (host:port)."""

    end: datetime
    days: float
    seed: int
    instance: str

    def __post_init__(self) -> None:
        """Refuse lengths that make no sense."""
        check_days(self.days)


def build_history(plan: HistoryPlan, folder: Folder, teller: Teller) -> Written:
    """Draw the history, leave its counters with the exporter's state and write its samples for Prometheus."""
    intensity = intensity_of(plan.end, plan.seed)
    with teller.step(f"Drawing {days_text(plan.days)} of traffic"):
        past = draw_past(intensity, scrape_times(plan.end, plan.days + MARGIN_DAYS))
    with exporter(folder, clock_s=float(past.times_s[0])) as collector:
        restore(collector, past.last())
        store = str(collector._book.store.identity)
    target = {JOB: EXPORTER_JOB, INSTANCE: plan.instance, STORE: store}
    with teller.step("Writing it into Prometheus' data directory") as update:
        written = write_blocks(all_series(past, target), folder.data, on_series=update)
    folder.complete(plan.end)
    return written


def all_series(past: Past, target: Mapping[str, str]) -> Iterator[HistorySeries]:
    """Yield what was scraped of ``past``, and the running totals of it."""
    times_ms = past.times_ms[past.kept()]
    raw = [*read_out(times_ms, past.histories(), target), *gauges_of(past, target)]
    yield from raw
    yield from totals_of(raw)
