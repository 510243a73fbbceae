"""Whether the range of advice holds what a month to come saves: traffic that goes on as before, but never alike.

Days are busy by chance, and a busy day is often followed by another; weekends are quiet in half of the worlds. The
advice is that of four weeks, the saving is replayed on the four weeks after them, in which all is as it was at last.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.advice_cases import Case
from support.advice_traffic import DAYS, advise, thinned

Floats = npt.NDArray[np.float64]
SPREADS = (0.1, 0.3)
"""Standard deviation of the logarithm of a day's traffic, weekdays apart."""
CARRIED = (0.0, 0.5)
"""Share of a day's departure that the next day has."""
WEEKENDS = (1.0, 0.4)
FRESH = 100_000
"""Added to seeds of the month to come, so that its requests are others."""


@dataclass(frozen=True)
class World:
    """How the traffic of days differs."""

    spread: float
    carried: float
    weekend: float

    def days(self, count: int, seed: int) -> Floats:
        """Return how busy each of ``count`` days is, the busiest 1."""
        rng = np.random.default_rng(seed)
        shocks = rng.normal(scale=np.sqrt(1 - self.carried**2), size=count + DAYS)
        level = np.exp(self.spread * lfilter([1.0], [1.0, -self.carried], shocks)[DAYS:])
        weekday = (np.arange(count) + 6) % 7  # the first of March 2026 is a Sunday
        busy: Floats = level * np.where(weekday >= 5, self.weekend, 1.0)
        return busy / busy.max()


WORLDS = tuple(
    World(spread, carried, weekend) for spread in SPREADS for carried in CARRIED for weekend in WEEKENDS
)


def _to_come(case: Case, busy: Floats, seed: int) -> float:
    """Return what four weeks of ``busy`` days save a month: of a rule about the last week, four such weeks."""
    weeks = DAYS // case.days
    saved = []
    for number in range(weeks):
        own = busy[number * case.days : (number + 1) * case.days]
        # the days before the last ones are only there to be compared with
        whole = np.concatenate([np.full(DAYS - case.days, own.mean()), own])
        traffic = case.make(seed + FRESH + 1000 * number)
        saved.append(case.replay(thinned(traffic, whole, seed + number)))
    return float(np.mean(saved))


def held(case: Case, world: World, seed: int) -> bool | None:
    """Tell whether the month to come saves what the range says; None where the rule did not fire."""
    busy = world.days(2 * DAYS, seed)
    found = advise(thinned(case.make(seed), busy[:DAYS], seed), case.list_prices).get(case.id)
    if found is None:
        return None
    saved = _to_come(case, busy[DAYS:], seed)
    return found.savings_low <= saved <= found.savings_high
