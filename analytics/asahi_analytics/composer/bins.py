"""Sums on a grid of bins, mostly by one range query: the differences of a running total at the bins' edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.composer.ledger import Amounts, Key, keys_by
from asahi_analytics.composer.presence import scraped_bins, scraped_seconds, spans_of
from asahi_analytics.composer.question import Question
from asahi_analytics.composer.rounds import Asking, together, values
from asahi_analytics.composer.runs import Piece, Run, moment
from asahi_analytics.composer.trust import coverage
from asahi_analytics.levels import QUARTER, QUARTERS, Level, levels_of, quarters_of
from asahi_analytics.promql import matcher
from asahi_analytics.replies import Matrix, Series
from asahi_analytics.tiles import PART, SNAPSHOT, state_metric

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
MIN_SLACK_SECONDS: Final = 600.0
"""How old a snapshot may be and still stand for an edge in long bins; three quarters of a bin in short ones."""
SHORT_SECONDS: Final = 3600.0
"""Bins of this length are idle now and then; longer ones hardly ever."""
MAX_EXACT_EDGES: Final = 12
"""Edges that no snapshot lies on and that are still looked up one by one, for each run."""


@dataclass(frozen=True)
class Binned:
    """Amounts by bin (rows) and key (columns), and the plan that they come from."""

    keys: tuple[Key, ...]
    values: Floats
    plan: list[Piece]


class Table:
    """Amounts by place, an edge or a bin, and key; zero where a place is known and a key is not."""

    def __init__(self, size: int) -> None:
        """Know nothing of ``size`` places."""
        self.known = np.zeros(size, dtype=bool)
        self._rows: dict[Key, int] = {}
        self._amounts = np.zeros((0, size))

    @property
    def keys(self) -> list[Key]:
        """The keys, in the order of the rows of ``amounts``."""
        return list(self._rows)

    @property
    def amounts(self) -> Floats:
        """Amounts by key and place."""
        return self._amounts

    def add(self, keys: Sequence[Key], amounts: Floats) -> None:
        """Add ``amounts``, a row for each of ``keys`` with every place."""
        different = dict.fromkeys(keys)
        if not self._rows and len(different) == len(keys):
            # As most often: faster than to add each to its row.
            self._rows = {key: row for row, key in enumerate(keys)}
            self._amounts = np.array(amounts, dtype=np.float64)
            return
        new = [key for key in different if key not in self._rows]
        for key in new:
            self._rows[key] = len(self._rows)
        if new:
            self._amounts = np.concatenate([self._amounts, np.zeros((len(new), self.known.size))])
        np.add.at(self._amounts, np.array([self._rows[key] for key in keys], dtype=np.intp), amounts)

    def put(self, place: int, amounts: Amounts) -> None:
        """Set all that is known of one place."""
        self.known[place] = True
        self._amounts[:, place] = 0.0
        added = np.zeros((len(amounts), self.known.size))
        added[:, place] = list(amounts.values())
        self.add(list(amounts), added)

    def fill(self, places: Places) -> None:
        """Take for each of ``places``, in order, that is not known the amounts of the one before; the first is."""
        known = self.known[places]
        source = places[np.maximum.accumulate(np.where(known, np.arange(places.size), 0))]
        self._amounts[:, places] = self._amounts[:, source]
        self.known[places] = True

    def differences(self, inside: Places) -> Table:
        """Return what was added between neighbours of which both are known and ``inside``; never less than nothing.

        A total that is higher than a later one, which had not seen the last samples before an outage, is held to that:
        so bins add up to the difference of the ends.
        """
        found = Table(self.known.size - 1)
        known = np.zeros(self.known.size, dtype=bool)
        known[inside] = self.known[inside]
        found.known = known[1:] & known[:-1]
        places = np.flatnonzero(known)
        held = self._amounts.copy()
        held[:, places] = np.minimum.accumulate(held[:, places[::-1]], axis=1)[:, ::-1]
        found.add(self.keys, np.where(found.known, np.diff(held, axis=1), 0.0))
        return found

    def merge(self, other: Table) -> None:
        """Take over the places that ``other`` knows, which are none that are known here."""
        self.known |= other.known
        self.add(other.keys, np.where(other.known, other.amounts, 0.0))


@dataclass(frozen=True)
class Reading:
    """Where totals are read from, of snapshots that are multiples of ``grid`` seconds.

    Asked ``after`` seconds from a snapshot, looking ``back`` from then, or ``slack`` more. ``quartered``: the totals of
    each quarter of the day stand in a series of their own.
    """

    metric: str
    grid: float
    after: float
    back: float
    slack: float
    quartered: bool = False

    def holding(self, snapshots: Floats) -> str:
        """Return what matches the series that hold ``snapshots``, and those that were not kept by quarter."""
        quarters = np.unique(quarters_of(snapshots)).tolist()
        if not self.quartered or len(quarters) == QUARTERS:
            return ""
        return matcher(QUARTER, ["", *map(str, quarters)])


def _highest(rows: Floats) -> Floats:
    """Return the highest value of each place; NaN where no row has one."""
    highest: Floats = np.fmax.reduce(rows, axis=0, initial=np.nan)
    return highest


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
        plan = yield from self._question.plan_ahead(self._ahead())
        amounts = Table(self._edges.size - 1)
        if self._edges.size == 2 and len(plan) == 1 and plan[0].run:  # a single sum needs no rows
            amounts.put(0, (yield from self._question.amounts(plan[0])))
            return (yield from self._finished(amounts, plan))
        for found in (yield from together([self._from_piece(piece) for piece in plan])):
            amounts.merge(found)
        unknown = list(spans_of(~amounts.known))
        raw = yield from together([self._from_samples(*span) for span in unknown])
        for (first, _), bins in zip(unknown, raw, strict=True):
            for number, amount in enumerate(bins):
                amounts.put(first + number, amount)
        return (yield from self._finished(amounts, plan))

    def _ahead(self) -> list[Asking[Any]]:
        """Ask what a window in one run is going to need: rows of totals, and the edges that they do not hold.

        Some of many short bins are idle: then it is going to need to know which of them were scraped.
        """
        inside = np.arange(self._edges.size)
        loose = self._edges[[0, -1]]
        if not self._in_rows(inside):
            return [self._question.edge_ahead(float(edge)) for edge in loose]
        reading = (*self._copies(inside), self._state(state_metric(self._question.family)))[0]
        loose = loose[loose % reading.grid > 0]
        askings: list[Asking[Any]] = [self._row(reading, inside)]
        askings += [self._question.edge_ahead(float(edge)) for edge in loose]
        if self._step <= SHORT_SECONDS:
            askings.append(scraped_seconds(self._question.rules, self._edges[1:], self._step))
        return askings

    def _in_rows(self, inside: Places) -> bool:
        """Whether totals at edges are read as rows of snapshots; two edges are looked up one by one."""
        even = self._step % self._finest == 0
        return inside.size > 2 and (even or self._step < MAX_EXACT_EDGES * self._question.interval)

    def _from_samples(self, first: int, last: int) -> Asking[list[Amounts]]:
        return (yield from self._question.from_samples(self._edges[first : last + 1].tolist()))

    def _from_piece(self, piece: Piece) -> Asking[Table]:
        """Find the amounts of the bins of which both edges are known within ``piece``."""
        inside = np.flatnonzero((self._edges >= piece.start) & (self._edges <= piece.end))
        if piece.run is None or inside.size < 2:
            return Table(self._edges.size - 1)
        totals = yield from self._at_edges(piece.run, inside)
        return totals.differences(inside)

    def _at_edges(self, run: Run, inside: Places) -> Asking[Table]:
        """Find the running total at edges: the outer ones exact, inner ones at the snapshot before.

        Few edges that no snapshot lies on are looked up one by one. Of more, in an interruption, what was counted
        late is in the bin at its end: never from samples, which the totals after it hold already.
        """
        totals, taken = Table(self._edges.size), np.full(self._edges.size, np.nan)
        late = np.array([], dtype=np.intp)
        if self._in_rows(inside):
            late = yield from self._recorded(run, inside, totals, taken)
        outer = inside[[0, -1]]
        exact = [outer[taken[outer] != self._edges[outer]]]
        for few in (late, inside[~totals.known[inside]]):
            exact += [few] if few.size <= MAX_EXACT_EDGES else []
        places = np.unique(np.concatenate(exact)).tolist()
        found = yield from together(
            [self._question.running(run, float(self._edges[place])) for place in places]
        )
        for place, amounts in zip(places, found, strict=True):
            totals.put(place, amounts)
        totals.fill(inside)
        return totals

    def _recorded(self, run: Run, inside: Places, totals: Table, taken: Floats) -> Asking[Places]:
        """Find the totals at the snapshots that the edges lie on, or soon after; return the edges of the latter.

        Copies with fewer samples are read first, then the state for what they lack, if it is much. ``taken`` is told
        which moment the total of each edge is of.
        """
        state = self._state(run.metric)
        missing = inside
        for reading in (*self._copies(inside), state):
            if missing.size > MAX_EXACT_EDGES or (missing is inside and reading is not state):
                yield from self._read(reading, missing, totals, taken)
                missing = missing[~totals.known[missing]]
        if missing.size <= MAX_EXACT_EDGES and missing.size < inside.size:
            return np.array([], dtype=np.intp)
        slack = min(self._step * 0.75, max(self._step / 10, MIN_SLACK_SECONDS))
        return (yield from self._read(replace(state, slack=slack), missing, totals, taken))

    def _snapshots(self, grid: float) -> Floats:
        """The multiple of ``grid`` that each edge lies on, or soon after."""
        snapshots: Floats = np.floor(self._edges / grid + 1e-9) * grid
        return snapshots

    def _state(self, metric: str) -> Reading:
        """Every snapshot, as ``metric`` recorded it."""
        question = self._question
        return Reading(metric, question.interval, question.after, question.after, 0.0)

    @property
    def _levels(self) -> list[Level]:
        """The copies that hold sums by the labels asked for, the one with the fewest samples first."""
        question = self._question
        labels = (*question.ask.by, *(question.ask.where or ()))
        return [level for level in levels_of(question.family, question.rules) if level.holds(labels)]

    @property
    def _finest(self) -> float:
        """How far apart snapshots lie at the least, in seconds."""
        return min([self._question.interval, *(level.grid.total_seconds() for level in self._levels)])

    def _copies(self, inside: Places) -> list[Reading]:
        """The copies that hold the snapshots nearest to edges, the one with the fewest samples first."""
        nearest = self._snapshots(self._finest)[inside]
        grids = [(level, level.grid.total_seconds()) for level in self._levels]
        return [
            Reading(level.metric, grid, level.after.total_seconds(), grid, 0.0, level.quartered)
            for level, grid in grids
            if not np.any(nearest % grid)
        ]

    def _apart(self, reading: Reading) -> float:
        """How far apart rows of ``reading`` are asked for: as edges are, if snapshots lie on all or on none of them."""
        return self._step if self._step % reading.grid == 0 else reading.grid

    def _row(self, reading: Reading, wanted: Places) -> Asking[Matrix]:
        """Ask for the totals at the snapshots of ``wanted`` edges as ``reading`` holds them."""
        snapshots = self._snapshots(reading.grid)
        start, end = (float(snapshots[place]) + reading.after for place in wanted[[0, -1]])
        holding = reading.holding(snapshots[wanted])
        promql = self._question.totals(reading.metric, reading.back + reading.slack, holding)
        return values(promql, moment(start), moment(end), timedelta(seconds=self._apart(reading)))

    def _read(self, reading: Reading, wanted: Places, totals: Table, taken: Floats) -> Asking[Places]:
        """Find the totals at the snapshots of ``wanted`` edges as ``reading`` holds them; return which came later."""
        recorded = yield from self._row(reading, wanted)
        snapshots, apart = self._snapshots(reading.grid), self._apart(reading)
        start = snapshots[wanted[0]]
        rows = np.rint((snapshots[wanted] - start) / apart).astype(np.intp)

        def spread(found: Sequence[Series], absent: float) -> Floats:
            """The values of each series by edge."""
            asked = np.full((len(found), int(rows[-1]) + 1), absent)
            if found:
                times = np.concatenate([series.times for series in found])
                numbers = np.repeat(np.arange(len(found)), [series.times.size for series in found])
                places = np.rint((times - start - reading.after) / apart).astype(np.intp)
                asked[numbers, places] = np.concatenate([series.values for series in found])
            table = np.full((len(found), snapshots.size), absent)
            table[:, wanted] = asked[:, rows]
            return table

        marks = [series for series in recorded.series if series.labels.get(PART) == SNAPSHOT]
        sums = [series for series in recorded.series if series.labels.get(PART) != SNAPSHOT]
        marked = _highest(spread(marks, np.nan))
        usable = np.zeros(snapshots.size, dtype=bool)
        usable[wanted] = snapshots[wanted] - marked[wanted] <= reading.slack
        totals.known |= usable
        taken[usable] = marked[usable]
        key_of = keys_by(self._question.ask.by)
        keys, rows_of = (
            [key_of(series.labels) for series in sums],
            spread(sums, np.nan if reading.quartered else 0.0),
        )
        if reading.quartered and sums:
            keys, rows_of = keys[:1], np.nan_to_num(_highest(rows_of))[np.newaxis]
        totals.add(keys, np.where(usable, rows_of, 0.0))
        return np.flatnonzero(usable & (marked < snapshots))

    def _finished(self, amounts: Table, plan: list[Piece]) -> Asking[Binned]:
        keys = sorted(amounts.keys)
        places = {key: number for number, key in enumerate(amounts.keys)}
        table = amounts.amounts[[places[key] for key in keys]].T.copy()
        idle = ~np.any(table > 0, axis=1)
        if idle.any() and not (yield from self._never_silent()):
            scraped = yield from scraped_bins(self._question.rules, self._edges[1:], self._step)
            table[idle & ~scraped] = np.nan
        return Binned(tuple(keys), table, plan)

    def _never_silent(self) -> Asking[bool]:
        """Find whether so much of the window was scraped that no bin can be without a sample.

        That is asked for the trust in the answer anyway.
        """
        ask = self._question.ask
        if not ask.trusted or self._step <= SHORT_SECONDS:
            return False
        scraped = (yield from coverage(self._question.rules, ask.window)).scraped
        return scraped is not None and ask.window.seconds - scraped < self._step / 2
