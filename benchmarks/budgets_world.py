"""Daily spend of made-up users of an LLM optimizer, for ``budgets.py``: what its owner sees, and what was spent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

LENGTH = 300
"""Days of each series."""
SEEDS = range(6)
"""Each with every kind of spend."""
GROWTH = 0.05
"""A week, of what grows."""


EVENTFUL = (
    "launched",
    "switched off",
    "migrated in a day",
    "migrated over a week",
    "a third of the price",
    "a week of holiday",
)


@dataclass(frozen=True)
class Made:
    """What was scraped (NaN: missing), what was spent, and whether something happened that no history foretells."""

    seen: pd.Series
    true: pd.Series
    eventful: bool


def world() -> Iterator[Made]:
    """Yield every series of the made-up world."""
    for seed in SEEDS:
        yield from _one(np.random.default_rng(seed), pd.date_range("2025-01-06", periods=LENGTH, tz="UTC"))


def _one(rng: np.random.Generator, days: pd.DatetimeIndex) -> Iterator[Made]:
    time = np.arange(LENGTH)
    since = int(rng.integers(160, 280))
    """The day on which something happens to those to which something does."""
    week = np.clip((time - since) / 7, 0.0, 1.0)
    weekend = days.day_of_week > 4
    all_days, office, closed = (np.where(weekend, share, 1.0) for share in (0.9, 0.4, 0.0))
    kinds = {
        "steady": all_days,
        "office hours": office,
        "closed weekends": closed,
        "growing": all_days * np.exp(np.log1p(GROWTH) * time / 7),
        "launched": all_days * (time >= since - 60) * np.where(time < since, 0.3, 1.0),
        "switched off": all_days * (time < since),
        "migrated in a day": office * (time >= since) + 0.01 * office,
        "migrated over a week": office * (1.0 - 0.98 * week),
        "a third of the price": office * np.where(time < since, 1.0, 0.35),
        "weekly job": np.where(days.day_of_week == int(rng.integers(7)), 7.0, 0.0),
        "monthly job beside": np.where(days.day == 1, 10.0, 0.5),
        "a week of holiday": office * np.where((time >= since) & (time < since + 7), 0.1, 1.0),
        "now and then": (rng.random(LENGTH) < 0.3) * rng.lognormal(0.0, 1.0, LENGTH),
    }
    for name, shape in kinds.items():
        true = pd.Series(100.0 * shape * _noise(rng), days)
        seen = true.copy()
        missing = int(rng.integers(LENGTH))
        seen.iloc[missing : missing + int(rng.integers(4))] = np.nan
        yield Made(seen, true, name in EVENTFUL)


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Return what each day is times its shape: errors of 8 % that last a little, and a level that drifts."""
    errors, drift = rng.normal(0.0, 0.08, LENGTH), np.cumsum(rng.normal(0.0, 0.01, LENGTH))
    for day in range(1, LENGTH):
        errors[day] += 0.5 * errors[day - 1]
    return np.asarray(np.exp(errors + drift))
