"""Sums on a grid of bins, mostly by one range query: the differences of a running total at the bins' edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
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
        self.columns: dict[Key, Floats] = {}

    def add(self, key: Key, places: Places, amounts: Floats) -> None:
        """Add ``amounts`` of ``key`` at different ``places``."""
        if key not in self.columns:
            self.columns[key] = np.zeros(self.known.size)
        self.columns[key][places] += amounts

    def put(self, place: int, amounts: Amounts) -> None:
        """Set all that is known of one place."""
        self.known[place] = True
        for key in {**self.columns, **amounts}:
            self.add(key, np.array([place]), np.array([amounts.get(key, 0.0)]) - self._at(key, place))

    def fill(self, places: Places) -> None:
        """Take for each of ``places``, in order, that is not known the amounts of the one before; the first is."""
        known = self.known[places]
        source = places[np.maximum.accumulate(np.where(known, np.arange(places.size), 0))]
        for column in self.columns.values():
            column[places] = column[source]
        self.known[places] = True

    def _at(self, key: Key, place: int) -> float:
        return float(self.columns[key][place]) if key in self.columns else 0.0

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
        for key, column in self.columns.items():
            held = column.copy()
            held[places] = np.minimum.accumulate(column[places][::-1])[::-1]
            found.columns[key] = np.where(found.known, np.diff(held), 0.0)
        return found

    def merge(self, other: Table) -> None:
        """Take over the places that ``other`` knows, which are none that are known here."""
        self.known |= other.known
        for key, column in other.columns.items():
            self.add(key, np.flatnonzero(other.known), column[other.known])


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
        amounts = Table(self._edges.size - 1)
        for found in (yield from together([self._from_piece(piece) for piece in plan])):
            amounts.merge(found)
        unknown = list(spans_of(~amounts.known))
        raw = yield from together([self._from_samples(*span) for span in unknown])
        for (first, _), bins in zip(unknown, raw, strict=True):
            for number, amount in enumerate(bins):
                amounts.put(first + number, amount)
        return (yield from self._finished(amounts, plan))

    def _from_samples(self, first: int, last: int) -> Asking[list[Amounts]]:
        question, edges = self._question, self._edges[first : last + 1].tolist()
        return (yield from work(lambda client: list(question.raw(client).each_bin(question.ask.by, edges))))

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
        interval = self._question.interval
        totals = Table(self._edges.size)
        late = np.array([], dtype=np.intp)
        if self._step % interval == 0:
            late = yield from self._recorded(run, inside, totals)
        outer = inside[[0, -1]]
        loose = ~totals.known[outer] | (self._edges[outer] % interval > 0) | np.isin(outer, late)
        exact = [outer[loose]]
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

    def _recorded(self, run: Run, inside: Places, totals: Table) -> Asking[Places]:
        """Find the totals at the snapshots that the edges lie on, or soon after; return the edges of the latter.

        Copies with fewer samples are read first, then the state for what they lack.
        """
        interval, after = self._question.interval, self._question.after
        snapshots = np.floor(self._edges / interval + 1e-9) * interval
        state = Reading(run.metric, after, after, 0.0)
        missing = inside
        for reading in (*self._copies(snapshots[inside]), state):
            if missing.size > MAX_EXACT_EDGES:
                yield from self._read(reading, missing, snapshots, totals)
                missing = missing[~totals.known[missing]]
        if missing.size <= MAX_EXACT_EDGES and missing.size < inside.size:
            return np.array([], dtype=np.intp)
        slack = min(self._step * 0.75, max(self._step / 10, MIN_SLACK_SECONDS))
        return (yield from self._read(replace(state, slack=slack), missing, snapshots, totals))

    def _copies(self, snapshots: Floats) -> list[Reading]:
        question = self._question
        labels = (*question.ask.by, *(question.ask.where or ()))
        return [
            Reading(level.metric, level.after.total_seconds(), level.grid.total_seconds(), 0.0)
            for level in levels_of(question.family, question.rules)
            if level.holds(labels) and not np.any(snapshots % level.grid.total_seconds())
        ]

    def _read(self, reading: Reading, wanted: Places, snapshots: Floats, totals: Table) -> Asking[Places]:
        """Find the totals at the snapshots of ``wanted`` edges as ``reading`` holds them; return which came later."""
        step, first = self._step, int(wanted[0])
        start, end = (float(snapshots[place]) + reading.after for place in (first, int(wanted[-1])))
        ask = (moment(start), moment(end), timedelta(seconds=step))
        recorded = yield from values(
            self._question.totals(reading.metric, reading.back + reading.slack), *ask
        )

        def places(times: Floats) -> Places:
            return first + np.rint((times - start) / step).astype(np.intp)

        marks = [series for series in recorded.series if series.labels.get(PART) == SNAPSHOT]
        sums = [series for series in recorded.series if series.labels.get(PART) != SNAPSHOT]
        taken = np.full(self._edges.size, np.nan)
        for series in marks:
            taken[places(series.times)] = series.values
        usable = np.zeros(self._edges.size, dtype=bool)
        usable[wanted] = snapshots[wanted] - taken[wanted] <= reading.slack
        totals.known |= usable
        for series in sums:
            at = places(series.times)
            key = key_of(series.labels, self._question.ask.by)
            totals.add(key, at[usable[at]], series.values[usable[at]])
        return np.flatnonzero(usable & (taken < snapshots))

    def _finished(self, amounts: Table, plan: list[Piece]) -> Asking[Binned]:
        keys = tuple(sorted(amounts.columns))
        table = np.zeros((amounts.known.size, len(keys)))
        for number, key in enumerate(keys):
            table[:, number] = amounts.columns[key]
        idle = ~np.any(table > 0, axis=1)
        if idle.any():
            scraped = yield from scraped_bins(self._question.rules, self._edges[1:], self._step)
            table[idle & ~scraped] = np.nan
        return Binned(keys, table, plan)
