"""Incidents put into a series, and what the clean series says of each bin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

SIZES = (2.5, 3.0, 4.0, 6.0)
HOURS = (1 / 3, 1.0, 3.0)
TRIES = 100


def per_day(values: pd.Series) -> int:
    return round(pd.Timedelta(days=1) / (values.index[1] - values.index[0]))


def groups(flags: np.ndarray, gap: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for position in map(int, np.flatnonzero(flags)):
        if found and position - found[-1][1] <= gap:
            found[-1] = (found[-1][0], position)
        else:
            found.append((position, position))
    return found


@dataclass(frozen=True)
class Reference:
    """What the clean series says of each bin: three-hour median, usual value of the time, last day's mean."""

    median: np.ndarray
    usual: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, values: pd.Series) -> Reference:
        day = per_day(values)
        median = values.shift(1).rolling(max(3, day // 8), min_periods=1).median().to_numpy()
        mean = values.shift(1).rolling(day, min_periods=1).mean().to_numpy()
        hourly = values.resample("1h").mean()
        usual = hourly.groupby(hourly.index.hour).median()
        return cls(median, usual.reindex(values.index.hour).to_numpy(), mean)

    @property
    def largest(self) -> np.ndarray:
        return np.fmax(self.median, self.usual)


def two_of_three(beyond: np.ndarray) -> np.ndarray:
    padded = np.concatenate([[False, False], beyond])
    return beyond & (padded[1:-1] | padded[:-2])


def pair(beyond: np.ndarray) -> bool:
    """Whether two neighbours hold."""
    return bool((beyond[1:] & beyond[:-1]).any())


@dataclass(frozen=True)
class Injected:
    values: pd.Series
    start: int
    length: int
    size: float
    must: bool
    hidden: bool


def injections(values: pd.Series, count: int, rng: np.random.Generator) -> Iterator[Injected]:
    """``count`` must-catch incidents that are not hidden and ``count`` hidden ones, where there is room for them."""
    reference, clean = Reference.of(values), values.to_numpy()
    found = {False: 0, True: 0}
    for _ in range(TRIES * count):
        injected = _injected(values, clean, reference, rng)
        if not (injected.must or injected.hidden) or found[injected.hidden] >= count:
            continue
        found[injected.hidden] += 1
        yield injected
        if min(found.values()) == count:
            return


def _injected(
    values: pd.Series, clean: np.ndarray, reference: Reference, rng: np.random.Generator
) -> Injected:
    day = per_day(values)
    size, hours = float(rng.choice(SIZES)), float(rng.choice(HOURS))
    length = max(2, round(hours * day / 24))
    start = int(rng.integers(day, len(clean) - length - 2))
    span = slice(start, start + length)
    changed = clean.copy()
    if rng.random() < 0.7:
        changed[span] *= size
    else:
        changed[span] += (size - 1) * 0.5 * reference.mean[start]
    added = (changed[span] - clean[span]) / reference.mean[span]
    beyond = changed[span] > 2.2 * np.fmax(clean[span], reference.largest[span])
    below = bool((changed[span] < 2 * reference.mean[span]).all())
    must, hidden = pair(beyond & (added >= 0.5)), below and pair(beyond)
    return Injected(pd.Series(changed, values.index), start, length, size, must, hidden)


def natural(values: pd.Series) -> list[tuple[int, int]]:
    """Surges of the traffic itself that meet the condition of must-catch incidents, from the second day on."""
    reference, numbers = Reference.of(values), values.to_numpy()
    beyond = (numbers > 2.2 * reference.largest) & (numbers - reference.largest >= 0.5 * reference.mean)
    beyond[1:] &= beyond[:-1]
    beyond[: per_day(values)] = False
    return groups(beyond, max(1, per_day(values) // 24))
