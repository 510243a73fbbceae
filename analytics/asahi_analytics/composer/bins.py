"""Sums on a grid of bins, mostly by one range query: the differences of a running total at the bins' edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.composer.ledger import Amounts, Key, key_of
from asahi_analytics.composer.presence import scraped_bins, spans_of
from asahi_analytics.composer.question import Question
from asahi_analytics.composer.rounds import Asking, together, values, work
from asahi_analytics.composer.runs import Piece, Run, moment
from asahi_analytics.levels import levels_of
from asahi_analytics.tiles import PART, SNAPSHOT

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
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


@dataclass(frozen=True)
class Reading:
    """Where totals are read from: ``after`` seconds from a snapshot, ``back`` from then, or ``slack`` more."""

    metric: str
    after: float
    back: float
    slack: float


class Bins:
    """The window of ``question`` in ``count`` equal bins."""

    def __init__(self, question: Question, count: int) -> None:
        """Ask nothing yet."""
        self._question = question
        window = question.ask.window
        self._step = window.seconds / count
        self._edges: Floats = np.asarray(
            window.start.timestamp() + self._step * np.arange(count + 1), dtype=np.float64
        )
        self._edges[-1] = window.end.timestamp()

    def answer(self) -> Asking[Binned]:
        """Find what each bin holds; NaN where nothing was scraped."""
        plan = yield from self._question.plan()
        amounts: list[Amounts | None] = [None] * (self._edges.size - 1)
        for found in (yield from together([self._from_piece(piece) for piece in plan])):
            for index, amount in found.items():
                amounts[index] = amount
        unknown = list(spans_of(np.array([found is None for found in amounts])))
        for (first, last), raw in zip(
            unknown, (yield from together([self._from_samples(*span) for span in unknown])), strict=True
        ):
            amounts[first:last] = raw
        return (yield from self._table([found or {} for found in amounts], plan))

    def _from_samples(self, first: int, last: int) -> Asking[list[Amounts]]:
        question, edges = self._question, self._edges[first : last + 1].tolist()
        return (yield from work(lambda client: list(question.raw(client).each_bin(question.ask.by, edges))))

    def _from_piece(self, piece: Piece) -> Asking[dict[int, Amounts]]:
        """Find the amounts of the bins of which both edges are known within ``piece``."""
        inside = np.flatnonzero((self._edges >= piece.start) & (self._edges <= piece.end))
        if piece.run is None or inside.size < 2:
            return {}
        totals = yield from self._at_edges(piece.run, inside)
        return {
            left: {key: max(0.0, value - totals[left].get(key, 0.0)) for key, value in totals[right].items()}
            for left, right in pairwise(inside.tolist())
            if left in totals and right in totals
        }

    def _at_edges(self, run: Run, inside: Places) -> Asking[dict[int, Amounts]]:
        """Find the running total at edges by their number: the outer ones exact, inner ones at the snapshot before."""
        interval = self._question.interval
        totals: dict[int, Amounts] = {}
        late: list[int] = []
        if self._step % interval == 0:
            totals, late = yield from self._recorded(run, inside)
        outer = [index for index in (int(inside[0]), int(inside[-1])) if self._edges[index] % interval]
        absent = [index for index in inside.tolist() if index not in totals]
        for few in (late, absent):
            outer += few if len(few) <= MAX_EXACT_EDGES else []
        exact = list(dict.fromkeys([int(inside[0]), int(inside[-1])] if not totals else outer))
        found = yield from together(
            [self._question.running(run, float(self._edges[index])) for index in exact]
        )
        return {**totals, **dict(zip(exact, found, strict=True))}

    def _recorded(self, run: Run, inside: Places) -> Asking[tuple[dict[int, Amounts], list[int]]]:
        """Find the totals at the snapshots that the edges lie on, or soon after; and the edges of the latter.

        Copies with fewer samples are read first, then the state for what they lack.
        """
        interval = self._question.interval
        snapshots = np.floor(self._edges[inside] / interval + 1e-9) * interval
        found: dict[int, Amounts] = {}
        missing = np.ones(inside.size, dtype=bool)
        for reading in self._copies(snapshots):
            if missing.sum() > MAX_EXACT_EDGES:
                told, _ = yield from self._read(reading, inside[missing], snapshots[missing])
                found |= told
                missing = ~np.isin(inside, list(found))
        if missing.sum() <= MAX_EXACT_EDGES and found:
            return found, []
        slack = min(self._step * 0.75, max(self._step / 10, MIN_SLACK_SECONDS))
        state = Reading(run.metric, self._question.after, self._question.after, slack)
        told, late = yield from self._read(state, inside[missing], snapshots[missing])
        return found | told, late

    def _copies(self, snapshots: Floats) -> list[Reading]:
        question = self._question
        labels = (*question.ask.by, *(question.ask.where or ()))
        return [
            Reading(level.metric, level.after.total_seconds(), level.grid.total_seconds(), 0.0)
            for level in levels_of(question.family, question.rules)
            if level.holds(labels) and not np.any(snapshots % level.grid.total_seconds())
        ]

    def _read(
        self, reading: Reading, inside: Places, snapshots: Floats
    ) -> Asking[tuple[dict[int, Amounts], list[int]]]:
        """Find the totals at ``snapshots`` as ``reading`` holds them; and which edges got a later one."""
        by, start, step = self._question.ask.by, snapshots[0] + reading.after, self._step
        ask = (moment(start), moment(snapshots[-1] + reading.after), timedelta(seconds=step))
        back = math.ceil(reading.back + reading.slack)
        marks = f'max(last_over_time({reading.metric}{{{PART}="{SNAPSHOT}"}}[{back}s]))'
        told, recorded = yield from together(
            [values(marks, *ask), values(self._question.recorded(reading.metric, back), *ask)]
        )
        edges = np.rint((snapshots - snapshots[0]) / step).astype(np.intp)
        taken = np.full(edges[-1] + 1, np.nan)
        for series in told.series:
            taken[_places(series.times, start, step)] = series.values
        taken = taken[edges]
        found: dict[int, Amounts] = {int(place): {} for place in edges[snapshots - taken <= reading.slack]}
        for series in recorded.series:
            key = key_of(series.labels, by)
            for place, total in zip(
                _places(series.times, start, step).tolist(), series.values.tolist(), strict=True
            ):
                if place in found:
                    found[place][key] = found[place].get(key, 0.0) + total
        number = dict(zip(edges.tolist(), inside.tolist(), strict=True))
        late = inside[(snapshots - taken <= reading.slack) & (taken < snapshots)].tolist()
        return {number[place]: amounts for place, amounts in found.items()}, late

    def _table(self, amounts: Sequence[Amounts], plan: list[Piece]) -> Asking[Binned]:
        keys = tuple(sorted({key for found in amounts for key in found}))
        table = np.array([[found.get(key, 0.0) for key in keys] for found in amounts]).reshape(
            len(amounts), len(keys)
        )
        idle = ~np.any(table > 0, axis=1)
        if idle.any():
            scraped = yield from scraped_bins(self._question.rules, self._edges[1:], self._step)
            table[idle & ~scraped] = np.nan
        return Binned(keys, table, plan)


def _places(times: Floats, start: float, step: float) -> Places:
    return np.rint((times - start) / step).astype(np.intp)
