"""Sums on a grid of bins, mostly by one range query: the differences of a running total at the bins' edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.composer.ledger import Amounts, Key, key_of
from asahi_analytics.composer.listener import Client
from asahi_analytics.composer.question import Question
from asahi_analytics.composer.runs import Piece, Run, moment
from asahi_analytics.composer.trust import scraped_at
from asahi_analytics.tiles import PART, SNAPSHOT

Floats = npt.NDArray[np.float64]
MIN_SLACK_SECONDS: Final = 600.0
"""How old a snapshot may be and still stand for an edge in long bins; three quarters of a bin in short ones."""
MAX_EXACT_EDGES: Final = 6
"""Edges that no snapshot lies on and that are still looked up one by one, for each run."""


@dataclass(frozen=True)
class Binned:
    """Amounts by bin (rows) and key (columns), and the plan that they come from."""

    keys: tuple[Key, ...]
    values: Floats
    plan: list[Piece]


class Bins:
    """The window of ``question`` in ``count`` equal bins."""

    def __init__(self, client: Client, question: Question, count: int) -> None:
        """Ask nothing yet."""
        self._client = client
        self._question = question
        window = question.ask.window
        self._step = window.seconds / count
        self._edges: Floats = np.asarray(
            window.start.timestamp() + self._step * np.arange(count + 1), dtype=np.float64
        )
        self._edges[-1] = window.end.timestamp()

    def answer(self) -> Binned:
        """Return what each bin holds; NaN where nothing was scraped."""
        plan = self._question.plan(self._client)
        amounts: list[Amounts | None] = [None] * (self._edges.size - 1)
        for piece in plan:
            if piece.run is not None:
                for index, found in self._from_run(piece, piece.run):
                    amounts[index] = found
        for first, last in _spans(amounts):
            raw = self._question.raw(self._client).each_bin(
                self._question.ask.by, self._edges[first : last + 1].tolist()
            )
            amounts[first:last] = list(raw)
        return self._table([found or {} for found in amounts], plan)

    def _from_run(self, piece: Piece, run: Run) -> Iterator[tuple[int, Amounts]]:
        """Yield the bins of which both edges are known within ``piece``."""
        inside = np.flatnonzero((self._edges >= piece.start) & (self._edges <= piece.end))
        if inside.size < 2:
            return
        totals = self._at_edges(run, inside)
        for left, right in pairwise(inside.tolist()):
            if left in totals and right in totals:
                earlier, later = totals[left], totals[right]
                yield left, {key: max(0.0, value - earlier.get(key, 0.0)) for key, value in later.items()}

    def _at_edges(self, run: Run, inside: npt.NDArray[np.intp]) -> dict[int, Amounts]:
        """The running total at edges by their number: the outer ones exact, inner ones at the snapshot before."""
        interval = self._question.interval
        totals: dict[int, Amounts] = {}
        late: list[int] = []
        if self._step % interval == 0:
            totals, late = self._recorded(run, inside)
        outer = [index for index in (int(inside[0]), int(inside[-1])) if self._edges[index] % interval]
        absent = [index for index in inside.tolist() if index not in totals]
        for few in (late, absent):
            outer += few if len(few) <= MAX_EXACT_EDGES else []
        for index in dict.fromkeys([int(inside[0]), int(inside[-1])] if not totals else outer):
            totals[index] = self._question.running(self._client, run, float(self._edges[index]))
        return totals

    def _recorded(self, run: Run, inside: npt.NDArray[np.intp]) -> tuple[dict[int, Amounts], list[int]]:
        """The totals at the snapshots that the edges lie on, or soon after; and the edges of the latter."""
        slack = min(self._step * 0.75, max(self._step / 10, MIN_SLACK_SECONDS))
        interval, by = self._question.interval, self._question.ask.by
        snapshots = np.floor(self._edges[inside] / interval + 1e-9) * interval
        start, end, step = (
            snapshots[0] + self._question.after,
            snapshots[-1] + self._question.after,
            self._step,
        )
        ask = (moment(start), moment(end), timedelta(seconds=step))
        taken = np.full(inside.size, np.nan)
        marks = f'max(last_over_time({run.metric}{{{PART}="{SNAPSHOT}"}}[{int(self._question.after + slack) + 1}s]))'
        for series in self._client.query_range(marks, *ask).series:
            taken[_places(series.times, start, step)] = series.values
        found: dict[int, Amounts] = {int(index): {} for index in inside[snapshots - taken <= slack]}
        for series in self._client.query_range(self._question.recorded(run.metric, slack), *ask).series:
            key = key_of(series.labels, by)
            for place, value in zip(
                _places(series.times, start, step).tolist(), series.values.tolist(), strict=True
            ):
                if (index := int(inside[place])) in found:
                    found[index][key] = found[index].get(key, 0.0) + value
        return found, inside[(snapshots - taken <= slack) & (taken < snapshots)].tolist()

    def _table(self, amounts: Sequence[Amounts], plan: list[Piece]) -> Binned:
        keys = tuple(sorted({key for found in amounts for key in found}))
        values = np.array([[found.get(key, 0.0) for key in keys] for found in amounts]).reshape(
            len(amounts), len(keys)
        )
        idle = ~np.any(values > 0, axis=1)
        if idle.any():
            scraped = scraped_at(self._client, self._edges[1:], self._step)
            values[idle & ~scraped] = np.nan
        return Binned(keys, values, plan)


def _places(times: Floats, start: float, step: float) -> npt.NDArray[np.intp]:
    return np.rint((times - start) / step).astype(np.intp)


def _spans(amounts: Sequence[Amounts | None]) -> Iterable[tuple[int, int]]:
    """Yield (first, one past the last) of each row of bins that nothing is known of."""
    unknown = np.diff(np.array([False, *(found is None for found in amounts), False]).astype(int))
    return zip(np.flatnonzero(unknown == 1).tolist(), np.flatnonzero(unknown == -1).tolist(), strict=True)
