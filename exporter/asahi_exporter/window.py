"""What this process saw lately: a bounded ring of time slots, the coarser the older they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import floor
from typing import Final

from asahi_exporter.cells import Block
from asahi_exporter.conventions import CACHE_TIERS
from asahi_exporter.tally import WATCHED, Packed, Tally

Parts = dict[tuple[str, ...], tuple[float, float]]
"""Numerator and denominator by label values."""
_LEVELS: Final = ((900.0, 0.0), (7_200.0, 60.0), (86_400.0, 600.0), (float("inf"), 3_600.0))
"""Age in seconds up to which a level holds slots, and the seconds of its slots (at least the collection interval).

A slot is at most a twelfth of the age at which it is used, and a twenty-fourth from two hours on, so that a window
reaches back a few percent further than asked at most.
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """A stretch of time, in seconds since 1970, and what happened in it."""

    start: float
    end: float
    packed: Packed


class Window:
    """Slots of the last ``retention_seconds``. Not thread-safe: the caller holds the lock of the cells."""

    def __init__(self, interval_seconds: float, retention_seconds: float, now: float) -> None:
        self._interval = interval_seconds
        self._retention = retention_seconds
        self._levels: list[deque[Slot]] = [deque() for _ in _LEVELS]
        self._ids: dict[str, int] = {}
        self._start = self._aligned(now, interval_seconds)
        self.closes_at = self._start + interval_seconds
        """From this moment on, call :meth:`roll` before counting anything."""

    @staticmethod
    def _aligned(moment: float, step: float) -> float:
        return floor(moment / step) * step

    def roll(self, now: float, blocks: Iterable[Block]) -> None:
        """Put what ``blocks`` gained since the last call into the open slot, and open the slot of ``now``."""
        if now < self._start:
            self._shift(now)
        self._keep(Slot(self._start, self.closes_at, self._gains(blocks)), 0)
        self._start = self._aligned(now, self._interval)
        self.closes_at = self._start + self._interval
        self._age(now)

    def _gains(self, blocks: Iterable[Block]) -> Packed:
        tally = Tally()
        for block in blocks:
            if block.schema in WATCHED:
                tally.take(block)
        return tally.pack(self._ids)

    def _shift(self, now: float) -> None:
        """Follow a clock that was set back: what was seen moves with it, so that it still ages."""
        back = self._start - self._aligned(now, self._interval)
        for level in self._levels:
            for position, slot in enumerate(level):
                level[position] = Slot(slot.start - back, slot.end - back, slot.packed)
        self._start -= back
        self.closes_at -= back

    def _keep(self, slot: Slot, level: int) -> None:
        """Put ``slot`` at a level, together with the newest one there if both fall into one step."""
        step = max(_LEVELS[level][1], self._interval)
        start = self._aligned(slot.start, step)
        slots = self._levels[level]
        if slots and slots[-1].start == start:
            slots[-1] = Slot(start, start + step, self._merged((slots[-1], slot)).pack(self._ids))
        elif len(slot.packed.models) or any(slot.packed.others):
            slots.append(Slot(start, start + step, slot.packed))

    def _age(self, now: float) -> None:
        """Move slots that are old enough to the coarser level, and forget those beyond the retention."""
        for level, (oldest, _) in enumerate(_LEVELS):
            slots = self._levels[level]
            while slots and slots[0].end < now - min(oldest, self._retention):
                slot = slots.popleft()
                if slot.end >= now - self._retention:
                    self._keep(slot, level + 1)

    def slots(self, since: float) -> tuple[Slot, ...]:
        """Return the slots that end after ``since``, oldest first; they do not change any more."""
        return tuple(slot for level in reversed(self._levels) for slot in level if slot.end > since)

    def add_up(self, slots: Iterable[Slot]) -> Tally:
        """Return the sum of ``slots``; needs no lock."""
        return self._merged(slots)

    def rolling(self, since: float) -> tuple[Parts, Parts]:
        """Return hits and look-ups by tier, and points and samples by model, since a moment."""
        tiers = len(CACHE_TIERS)
        others, quality = [0.0] * (2 * tiers), dict[int, tuple[float, float]]()
        for slot in self.slots(since):
            others = [a + b for a, b in zip(others, slot.packed.others[:-1], strict=True)]
            for number, points, samples in slot.packed.quality():
                before = quality.get(number, (0.0, 0.0))
                quality[number] = before[0] + points, before[1] + samples
        names = list(self._ids)
        hits: Parts = {
            (tier,): (others[position], others[position] + others[tiers + position])
            for position, tier in enumerate(CACHE_TIERS)
        }
        return hits, {(names[number],): parts for number, parts in quality.items()}

    def _merged(self, slots: Iterable[Slot]) -> Tally:
        tally, names = Tally(), list(self._ids)
        for slot in slots:
            slot.packed.add_to(tally, names)
        return tally
