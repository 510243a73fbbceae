"""Sums straight from raw samples: exact per counter, slower, for where no recorded totals are.

A counter's amount in a bin is its last value minus the one before, from zero when it was born in the window, and
in full when its process started anew. Bins in which a process restarted are cut finer and, at an hour or less,
read sample by sample, so that nothing between two restarts is lost. ``increase()`` is never used: it guesses.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Final

import numpy as np

from asahi_analytics.composer.ledger import Amounts, keys_by
from asahi_analytics.composer.listener import Client
from asahi_analytics.composer.raw_questions import (
    HOUR,
    Bin,
    RawQuestions,
    bins_between,
    cut,
    in_seconds,
    times_of,
)
from asahi_analytics.composer.runs import moment
from asahi_analytics.promql import matcher, matchers
from asahi_analytics.replies import Series
from asahi_analytics.tiles import INSTANCE, JOB
from asahi_exporter.conventions import STORE, STORE_CREATED, Family

Identity = tuple[tuple[str, str], ...]
Memory = tuple[str, str, str]
"""``store`` (or empty), ``job`` and ``instance`` (or empty)."""
Process = tuple[str, str]
"""``job`` and ``instance``."""


@dataclass
class Known:
    """What was read so far: each counter's last value, and when the memories that were scraped were created."""

    values: dict[Identity, float] = field(default_factory=dict)
    memories: dict[Memory, float] = field(default_factory=dict)

    def changed(self, created: Mapping[Memory, float]) -> frozenset[Process]:
        """Return the processes without a store whose memory was made anew since it was last heard of."""
        return frozenset(
            memory[1:]
            for memory, at in created.items()
            if not memory[0] and self.memories.get(memory, at) != at
        )

    def forget(self, process: Process, kept: Container[Identity]) -> None:
        """Drop the values of a process's earlier lives: all but the ``kept`` ones."""
        for identity in [one for one in self.values if one not in kept]:
            if memory_of(dict(identity)) == ("", *process):
                del self.values[identity]


@dataclass(frozen=True)
class _Facts:
    """What one bin's queries told."""

    last: Mapping[Identity, float]
    restarted: frozenset[tuple[str, str]]
    created: Mapping[Memory, float]


_NOTHING: Final = _Facts({}, frozenset(), {})


def memory_of(labels: Mapping[str, str]) -> Memory:
    """Return the memory that a counter with these labels lives in."""
    if store := labels.get(STORE, ""):
        return (store, "", "")
    return ("", labels.get(JOB, ""), labels.get(INSTANCE, ""))


def identity_of(labels: Mapping[str, str]) -> Identity:
    """Return the labels without the metric's name, in order."""
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__"))


class RawSums:
    """Sums of ``family`` from raw samples, for the label sets that ``where`` lets through."""

    def __init__(
        self,
        client: Client,
        family: Family,
        where: Mapping[str, Sequence[str]] | None,
        lookback: timedelta,
    ) -> None:
        """Ask nothing yet; ``lookback`` is how old a counter's value before the window may be."""
        self._client = client
        self._ask = RawQuestions(family, matchers(where)[1:-1], lookback.total_seconds())

    def each_bin(self, by: Sequence[str], edges: Sequence[float]) -> Iterator[Amounts]:
        """Yield the amounts in each bin between consecutive ``edges``; all but the first should be of one length."""
        known = self._before(edges[0])
        alone, alike = bins_between(edges)
        facts = [self._facts(bin_, "") for bin_ in alone]
        if alike:
            facts += self._facts_of_bins(alike)
        for bin_, told in zip((*alone, *alike), facts, strict=True):
            if told == _NOTHING:
                yield {}
                continue
            yield self._bin(by, bin_, known, edges[0] - self._ask.lookback, told)

    def _bin(self, by: Sequence[str], bin_: Bin, known: Known, origin: float, facts: _Facts) -> Amounts:
        amounts: Amounts = {}
        key_of = keys_by(by)
        for identity, amount in self._increments(bin_, known, origin, "", facts).items():
            key = key_of(dict(identity))
            amounts[key] = amounts.get(key, 0.0) + amount
        return amounts

    def _increments(
        self, bin_: Bin, known: Known, origin: float, more: str, facts: _Facts
    ) -> dict[Identity, float]:
        self._take_over(bin_, known, origin, facts, more)
        restarted = facts.restarted | known.changed(facts.created)
        increments: dict[Identity, float] = {}
        for identity, value in facts.last.items():
            if memory_of(dict(identity))[1:] not in restarted:
                increments[identity] = _step(identity, value, known)
                known.values[identity] = value
        known.memories |= {
            memory: created for memory, created in facts.created.items() if memory[1:] not in restarted
        }
        for job, instance in sorted(restarted):
            process = f"{matcher(JOB, [job])},{matcher(INSTANCE, [instance])}"
            self._restarted(bin_, known, origin, process, increments)
        return increments

    def _take_over(self, bin_: Bin, known: Known, origin: float, facts: _Facts, more: str) -> None:
        """Counters of a memory from before ``origin``, not scraped since: what they held then is not ours.

        ``origin`` is as far back as was looked. A memory made later that was not scraped yet is born in this window.
        """
        strangers = {
            memory
            for memory, created in facts.created.items()
            if created < origin and memory not in known.memories
        }
        if not strangers:
            return
        length, at = bin_.length, moment(bin_.end)
        asked = [self._ask.over("min_over_time", length, more), self._ask.born_late(length, more)]
        lowest, born = self._client.query_all(asked, at)
        counted = {identity_of(sample.labels) for sample in born.samples} | known.values.keys()
        for sample in lowest.samples:
            identity = identity_of(sample.labels)
            if memory_of(sample.labels) in strangers and identity not in counted:
                known.values[identity] = sample.value

    def _restarted(
        self, bin_: Bin, known: Known, origin: float, more: str, increments: dict[Identity, float]
    ) -> None:
        """Add what the counters of a process that restarted within ``bin_`` counted."""
        if bin_.length <= HOUR:
            found = self._sample_by_sample(bin_, known, origin, more)
            for identity, amount in found.items():
                increments[identity] = increments.get(identity, 0.0) + amount
            return
        for start, end in pairwise(cut(bin_.start, bin_.end, HOUR)):
            hour = Bin(start, end)
            found = self._increments(hour, known, origin, more, self._facts(hour, more))
            for identity, amount in found.items():
                increments[identity] = increments.get(identity, 0.0) + amount

    def _sample_by_sample(self, bin_: Bin, known: Known, origin: float, more: str) -> dict[Identity, float]:
        at, range_text = moment(bin_.end), in_seconds(bin_.length)
        lives = self._client.query_raw(f'{STORE_CREATED.name}{{{STORE}="",{more}}}[{range_text}]', at).series
        counters = self._client.query_raw(f"{self._ask.selector('=', more)}[{range_text}]", at).series
        lives = tuple(_after(series, bin_.start) for series in lives)
        life = next((series for series in lives if series.times.size), None)
        found = {}
        for series in (_after(series, bin_.start) for series in counters):
            if series.times.size:
                found[identity_of(series.labels)] = _walk(series, life, known, origin)
        if life is not None:
            memory = memory_of(life.labels)
            if known.memories.get(memory) != life.values[-1]:
                begun = _begun(life)
                kept = {identity_of(one.labels) for one in counters if one.times[-1] >= begun}
                known.forget(memory[1:], kept)
            known.memories[memory] = float(life.values[-1])
        return found

    def _before(self, at: float) -> Known:
        """What each counter had come to at ``at``."""
        facts = self._facts(self._ask.origin(at), "")
        known = Known(dict(facts.last), dict(facts.created))
        for job, instance in sorted(facts.restarted):
            known.forget((job, instance), self._of_last_life(at, job, instance))
        return known

    def _of_last_life(self, at: float, job: str, instance: str) -> Container[Identity]:
        """The counters that a process had since it last started; all of them when it does not say when it did."""
        process = f'{STORE}="",{matcher(JOB, [job])},{matcher(INSTANCE, [instance])}'
        created = f"{STORE_CREATED.name}{{{process}}}[{in_seconds(self._ask.lookback)}]"
        lives = [one for one in self._client.query_raw(created, moment(at)).series if one.times.size]
        length = at - _begun(lives[0]) + 0.001 if lives else self._ask.lookback
        since = self._ask.over(
            "last_over_time", length, f"{matcher(JOB, [job])},{matcher(INSTANCE, [instance])}"
        )
        return {identity_of(sample.labels) for sample in self._client.query(since, moment(at)).samples}

    def _facts(self, bin_: Bin, more: str) -> _Facts:
        answers = self._client.query_all(self._ask.facts(bin_.length, more), moment(bin_.end))
        return _Facts(
            {identity_of(sample.labels): sample.value for sample in answers[0].samples},
            frozenset(
                (sample.labels.get(JOB, ""), sample.labels.get(INSTANCE, "")) for sample in answers[2].samples
            ),
            {memory_of(sample.labels): sample.value for sample in answers[1].samples},
        )

    def _facts_of_bins(self, bins: Sequence[Bin]) -> list[_Facts]:
        """The facts of bins of one length: each question asked once, as a range query that steps from end to end."""
        times = times_of(bins)
        answers = [
            self._client.query_range(question, *times) for question in self._ask.facts(bins[0].length, "")
        ]
        last: list[dict[Identity, float]] = [{} for _ in bins]
        created: list[dict[Memory, float]] = [{} for _ in bins]
        restarted: list[set[tuple[str, str]]] = [set() for _ in bins]
        for series in answers[0].series:
            identity = identity_of(series.labels)
            for place, value in _placed(series, bins):
                last[place][identity] = value
        for series in answers[1].series:
            for place, value in _placed(series, bins):
                created[place][memory_of(series.labels)] = value
        for series in answers[2].series:
            for place, _ in _placed(series, bins):
                restarted[place].add((series.labels.get(JOB, ""), series.labels.get(INSTANCE, "")))
        return [
            _Facts(values, frozenset(fell), made)
            for values, fell, made in zip(last, restarted, created, strict=True)
        ]


def _placed(series: Series, bins: Sequence[Bin]) -> Iterator[tuple[int, float]]:
    """Yield the number of the bin that each value of a range query is about, and the value."""
    places = np.rint((series.times - bins[0].end) / bins[0].length).astype(int)
    return zip(places.tolist(), series.values.tolist(), strict=True)


def _begun(life: Series) -> float:
    """When the last life in ``life`` was first scraped."""
    earlier = np.flatnonzero(life.values != life.values[-1])
    return float(life.times[earlier[-1] + 1 if earlier.size else 0])


def _step(identity: Identity, value: float, known: Known) -> float:
    """What a counter counted to reach ``value``: from zero when it is new, or when its process began anew."""
    before = known.values.get(identity, 0.0)
    if value >= before:
        return value - before
    return 0.0 if memory_of(dict(identity))[0] else value


def _walk(series: Series, life: Series | None, known: Known, origin: float) -> float:
    """What a counter counted over its samples, whichever of its process's lives they belong to."""
    identity, values = identity_of(series.labels), series.values
    falls = np.diff(values) < 0
    if life is not None:
        lives = life.values[np.clip(np.searchsorted(life.times, series.times, side="right") - 1, 0, None)]
        falls |= np.diff(lives) != 0
        _begin(identity, float(values[0]), float(lives[0]), known, origin)
    first = _step(identity, float(values[0]), known)
    known.values[identity] = float(values[-1])
    return first + float(np.sum(np.where(falls, values[1:], np.diff(values))))


def _begin(identity: Identity, value: float, created: float, known: Known, origin: float) -> None:
    """Set what a counter is counted from, when its process began anew or was never scraped before."""
    before = known.memories.get(memory_of(dict(identity)))
    if before is not None and before != created:
        known.values.pop(identity, None)
    elif before is None and created < origin and identity not in known.values:
        known.values[identity] = value


def _after(series: Series, start: float) -> Series:
    inside = series.times > start
    return Series(series.labels, series.times[inside], series.values[inside])
