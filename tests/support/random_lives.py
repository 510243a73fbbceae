"""Memories and processes that come, go, move and fall silent at random, and what each had counted at any moment.

Everything is drawn from one seeded ``random.Random``. The truth is kept beside the scrapes, not read back: what a
counter had counted at a moment is the highest value of its life that was scraped until then.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from random import Random

from support.simulated_rules import LONG_AGO, Simulation

NAMES = ("w", "x", "y", "z")
SCRAPE_SECONDS = 15
SILENCES = (20, 100, 290, 310, 400, 700)
BRIEF = (20, 60, 200, 350, 600)


class Lives:
    """Lives up to ``end`` in the simulation ``made``; times are seconds from its start."""

    def __init__(self, made: Simulation, chance: Random, end: float) -> None:
        self._made, self._chance, self._end = made, chance, end
        self._scraped: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        self.events = [0.0]

    def remembered(self, name: str) -> None:
        """A memory that lasts, falls silent now and then, and may move to another instance."""
        silences = [
            (begin, begin + self._chance.choice(SILENCES))
            for begin in (self._moment() for _ in range(self._chance.randint(0, 3)))
        ]
        moves = [self._moment() for _ in range(self._chance.randint(0, 2))]
        self.events += [*moves, *(each for silence in silences for each in silence)]
        self._live(name, 0.0, self._end, f"store-{name}", silences=silences, moves=moves)

    def brief(self, name: str, *, stored: bool) -> None:
        """A life of minutes, of a memory of its own or of a process without one."""
        begin = self._moment()
        end = begin + self._chance.choice(BRIEF)
        self.events += [begin, end]
        self._live(name, begin, end, f"store-{name}" if stored else "")

    def counted(self, start: float, end: float) -> dict[str, float]:
        """What was counted between two moments, by name of the counter; none that counted nothing."""
        before = self._counted_to(start)
        amounts = {name: total - before.get(name, 0.0) for name, total in self._counted_to(end).items()}
        return {name: amount for name, amount in amounts.items() if amount > 1e-6}

    def near_an_event(self, first: float) -> float:
        """A moment at which a base may be of before an event, to the millisecond."""
        at = self._chance.choice(self.events) + self._chance.uniform(-20, 1100)
        return round(min(max(at, first), self._end - 30), 3)

    def _moment(self) -> float:
        return round(self._chance.uniform(300, self._end - 600), 3)

    def _live(self, name, begin, end, store, *, silences=(), moves=()) -> None:
        rates = {each: self._chance.choice([0.01, 0.1, 37.3]) for each in self._chance.sample(NAMES, 2)}
        born = {each: self._chance.choice([begin, self._chance.uniform(begin, end)]) for each in rates}
        at = begin + self._chance.uniform(0, SCRAPE_SECONDS)
        while at < end:
            if not any(first <= at < last for first, last in silences):
                values = {
                    each: 5 + rate * (at - born[each]) for each, rate in rates.items() if born[each] <= at
                }
                instance = f"{name}-{sum(move <= at for move in moves)}"
                created = begin - 1 if begin else LONG_AGO
                self._made.scrape(round(at, 3), instance, values, store=store, created=created)
                for each, value in values.items():
                    self._scraped[each, name].append((round(at, 3), value))
            at += SCRAPE_SECONDS

    def _counted_to(self, at: float) -> dict[str, float]:
        counted: dict[str, float] = defaultdict(float)
        for (name, _), scraped in self._scraped.items():
            if place := bisect_right(scraped, at, key=lambda each: each[0]):
                counted[name] += scraped[place - 1][1]
        return counted
