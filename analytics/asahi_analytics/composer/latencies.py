"""Latencies in bins as the rules recorded them, and which bins they know of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from asahi_analytics.composer.context import Context
from asahi_analytics.composer.listener import Listener
from asahi_analytics.composer.presence import scraped_bins
from asahi_analytics.composer.question import Question
from asahi_analytics.composer.rounds import Asking, together, values
from asahi_analytics.composer.runs import Piece, Run, moment
from asahi_analytics.composer.values import Ask, Trust
from asahi_analytics.latency_bins import (
    ALL_COUNT,
    ALL_LATENCY,
    BEFORE,
    COUNT,
    FAMILY,
    GRID,
    LATENCY,
    METRIC,
    LatencyBins,
)
from asahi_analytics.replies import Floats, Series
from asahi_analytics.tiles import PART, SINCE, SNAPSHOT
from asahi_analytics.windows import Window
from asahi_exporter.conventions import MODEL

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Latencies:
    """A quantile of latency in ms, and the observations it is made of, by bin and model, and of every model together.

    Indexed by the start of each bin. ``known`` tells which bins the rest is about; of the others everything is NaN.
    So it is of known bins without observations, but for counts: 0, or NaN where nothing was scraped.
    """

    known: Bools
    latency: pd.DataFrame
    count: pd.DataFrame
    all_latency: pd.Series
    all_count: pd.Series
    trust: Trust

    @classmethod
    def unknown(cls, window: Window) -> Latencies:
        """Return what is known where nothing was recorded."""
        starts = _starts(window)
        nothing, empty = pd.Series(np.nan, index=starts), pd.DataFrame(index=starts)
        return cls(np.zeros(len(starts), dtype=bool), empty, empty, nothing, nothing, Trust())


def recorded(bins: LatencyBins, window: Window, client: Listener) -> Asking[Latencies]:
    """Find what the rules recorded of the bins of ``window``."""
    step = GRID.total_seconds()
    if not bins.kept or window.start.timestamp() % step or window.length % GRID or window.length <= GRID:
        return Latencies.unknown(window)
    ends: Floats = window.start.timestamp() + step * np.arange(1, window.length // GRID + 1, dtype=np.float64)
    first, last = (moment(float(end) + bins.after.total_seconds()) for end in ends[[0, -1]])
    context = Context.of(Question.of(Ask(FAMILY.name, (), window), bins.rules))
    askings: list[Asking[Any]] = [values(bins.selector, first, last, GRID), context]
    answer, around = yield from together(askings)
    table = _Table(answer.series, first.timestamp(), ends.size)
    snapshot, before, since = (table.part(part) for part in (SNAPSHOT, BEFORE, SINCE))
    known = (snapshot == ends) & (before == ends - step) & (since <= before)
    counted = np.where(known, np.nan_to_num(table.part(ALL_COUNT)), np.nan)
    idle = counted == 0
    if idle.any():
        scraped = yield from scraped_bins(bins.rules, ends, step)
        counted[idle & ~scraped] = np.nan
    starts = _starts(window)
    run = Piece(
        window.start.timestamp(), window.end.timestamp(), Run(METRIC, float(ends[0]), float(ends[-1]))
    )
    return Latencies(
        known,
        table.by_model(LATENCY, starts)[known].reindex(starts),
        table.by_model(COUNT, starts).fillna(0.0)[~np.isnan(counted)].reindex(starts),
        pd.Series(np.where(known, table.part(ALL_LATENCY), np.nan), index=starts),
        pd.Series(counted, index=starts),
        around.trust([run], client.warnings),
    )


class _Table:
    """Series by their part, a value for each of ``size`` bins; NaN where there is none."""

    def __init__(self, found: Iterable[Series], start: float, size: int) -> None:
        self._size = size
        self._rows: dict[str, list[tuple[str, Floats]]] = {}
        for series in found:
            row = np.full(size, np.nan)
            row[np.rint((series.times - start) / GRID.total_seconds()).astype(np.intp)] = series.values
            part = self._rows.setdefault(series.labels.get(PART, ""), [])
            part.append((series.labels.get(MODEL, ""), row))

    def part(self, name: str) -> Floats:
        """The only series of a part."""
        rows = self._rows.get(name)
        return rows[0][1] if rows else np.full(self._size, np.nan)

    def by_model(self, name: str, index: pd.DatetimeIndex) -> pd.DataFrame:
        """The series of a part by model."""
        return pd.DataFrame(dict(sorted(self._rows.get(name, []))), index=index, dtype=np.float64)


def _starts(window: Window) -> pd.DatetimeIndex:
    return pd.date_range(window.start, window.end, freq=GRID, inclusive="left")
