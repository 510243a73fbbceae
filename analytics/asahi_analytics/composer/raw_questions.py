"""What sums of raw samples ask: all that can be known before anything is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np

from asahi_analytics.composer.rounds import At, Over
from asahi_analytics.composer.runs import moment
from asahi_analytics.promql import by_clause, duration
from asahi_analytics.tiles import INSTANCE, JOB
from asahi_exporter.conventions import STORE, STORE_CREATED, Family

DAY: Final = 86_400.0
HOUR: Final = 3_600.0
FEW_EDGES: Final = 3
"""Bins between so few edges are asked for one by one; more of them by one range query for each question."""


@dataclass(frozen=True)
class Bin:
    """From ``start`` (not included) to ``end`` (included), in seconds since 1970."""

    start: float
    end: float

    @property
    def length(self) -> float:
        """Seconds from start to end."""
        return self.end - self.start


def cut(start: float, end: float, length: float) -> list[float]:
    """Return the edges of bins of ``length`` that end at ``end``; the first may be shorter."""
    return [start, *np.arange(end, start, -length)[::-1].tolist()]


def bins_between(edges: Sequence[float]) -> tuple[list[Bin], list[Bin]]:
    """Return the bins to ask for one by one, and those after them, of one length, to ask for together."""
    bins = [Bin(start, end) for start, end in pairwise(edges)]
    alone = 0 if _regular(edges) else 1 if _regular(edges[1:]) else len(bins)
    return bins[:alone], bins[alone:]


def times_of(bins: Sequence[Bin]) -> tuple[datetime, datetime, timedelta]:
    """Return the first and the last end of bins of one length, and how far they lie apart."""
    return moment(bins[0].end), moment(bins[-1].end), timedelta(seconds=round(bins[0].length, 3))


def _regular(edges: Sequence[float]) -> bool:
    """Whether the bins are of one length, to the millisecond."""
    return len(edges) > FEW_EDGES and bool(np.ptp(np.diff(edges)) < 1e-3)


@dataclass(frozen=True)
class RawQuestions:
    """The questions about ``family``.

    ``where``: matchers on the family's labels; ``lookback``: how many seconds old a counter's value before the window
    may be.
    """

    family: Family
    where: str
    lookback: float

    def first(self, edges: Sequence[float]) -> tuple[At | Over, ...]:
        """Return what the sums between ``edges`` ask, but for restarts and memories that are taken over."""
        alone, alike = bins_between(edges)
        requests: list[At | Over] = [
            At(question, moment(bin_.end))
            for bin_ in (self.origin(edges[0]), *alone)
            for question in self.facts(bin_.length, "")
        ]
        if alike:
            requests += [Over(question, *times_of(alike)) for question in self.facts(alike[0].length, "")]
        return tuple(requests)

    def origin(self, at: float) -> Bin:
        """Return the time in which what stands for a counter at ``at`` was scraped."""
        return Bin(at - self.lookback, at)

    def facts(self, length: float, more: str) -> list[str]:
        """Return what is asked of a bin of ``length``: values of counters, memories, restarts."""
        return [
            self.over("last_over_time", length, more),
            _memory(length, more),
            self._restarts(length, more),
        ]

    def selector(self, store: str, more: str) -> str:
        """Return what selects the counters with a store (``!=``) or without (``=``)."""
        matching = ",".join(filter(None, (f'{STORE}{store}""', self.where, more)))
        return f"{self.family.source}{{{matching}}}"

    def over(self, function: str, length: float, more: str) -> str:
        """Return ``function`` of the samples of each counter in ``length``; a store that moved is one counter."""
        stored = f"{function}({self.selector('!=', more)}[{in_seconds(length)}])"
        plain = f"{function}({self.selector('=', more)}[{in_seconds(length)}])"
        of_several = "min" if function == "min_over_time" else "max"
        return f"{of_several} {by_clause((*self.family.labels, STORE))} ({stored}) or {plain}"

    def born_late(self, length: float, more: str) -> str:
        """Return the stored counters with fewer samples than their memory: not there yet when it was first scraped."""
        over = f'{{{STORE}!=""}}[{in_seconds(length)}]'
        counted = f"count_over_time({self.selector('!=', more)}[{in_seconds(length)}])"
        serving = f"and on ({STORE}, {JOB}, {INSTANCE}) count_over_time({self.family.source}{over})"
        of_memory = f"sum by ({STORE}) (count_over_time({STORE_CREATED.name}{over}) {serving})"
        identity = by_clause((*self.family.labels, STORE))
        return f"sum {identity} ({counted}) < on ({STORE}) group_left () {of_memory}"

    def _restarts(self, length: float, more: str) -> str:
        """Processes whose counters fell, or whose memory was made anew, in the bin or shortly before."""
        range_text = in_seconds(length + HOUR / 2)
        matching = ",".join(filter(None, (f'{STORE}=""', more)))
        fell = f"resets({self.selector('=', more)}[{range_text}]) > 0"
        anew = f"changes({STORE_CREATED.name}{{{matching}}}[{range_text}]) > 0"
        return f"count by ({JOB}, {INSTANCE}) ({fell}) or count by ({JOB}, {INSTANCE}) ({anew})"


def _memory(length: float, more: str) -> str:
    matching = f",{more}" if more else ""
    stored = f'last_over_time({STORE_CREATED.name}{{{STORE}!=""{matching}}}[{in_seconds(length)}])'
    plain = f'last_over_time({STORE_CREATED.name}{{{STORE}=""{matching}}}[{in_seconds(length)}])'
    return f"max by ({STORE}) ({stored}) or max by ({JOB}, {INSTANCE}) ({plain})"


def in_seconds(length: float) -> str:
    """Return a duration in PromQL, to the millisecond."""
    return duration(timedelta(seconds=round(length, 3)))
