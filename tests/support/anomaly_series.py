"""Seeded series for tests of the anomaly scores."""

from __future__ import annotations

import numpy as np
import pandas as pd

PER_DAY = 144


def times(days: float, per_day: int = PER_DAY) -> pd.DatetimeIndex:
    return pd.date_range(
        "2024-03-04", periods=round(days * per_day), freq=pd.Timedelta(days=1) / per_day, tz="UTC"
    )


def seasonal(
    seed: int = 0,
    days: float = 14,
    *,
    mean: float = 100.0,
    swing: float = 0.6,
    noise: float = 0.1,
    per_day: int = PER_DAY,
) -> pd.Series:
    """Return a daily season with its low at midnight and log-normal noise."""
    rng = np.random.default_rng(seed)
    index = times(days, per_day)
    hour = index.hour + index.minute / 60
    values = mean * (1 - swing * np.cos(hour / 24 * 2 * np.pi)) * np.exp(rng.normal(0, noise, len(index)))
    return pd.Series(values, index=index)


def flat(seed: int, mean: float, noise: float, days: float = 14) -> pd.Series:
    """Return a level with normal noise."""
    index = times(days)
    return pd.Series(mean + np.random.default_rng(seed).normal(0, noise, len(index)), index=index)


def counts(seed: int, mean: float, days: float = 14) -> pd.Series:
    """Return requests per bin."""
    index = times(days)
    return pd.Series(np.random.default_rng(seed).poisson(mean, len(index)).astype(float), index=index)


def rates(seed: int, rate: float, volume: pd.Series) -> pd.Series:
    """Return the share of events among ``volume`` at a true ``rate``."""
    events = np.random.default_rng(seed).binomial(volume.astype(int), rate)
    return pd.Series(events / volume.clip(lower=1).to_numpy(), index=volume.index)


def raised(values: pd.Series, start: int, length: int, factor: float) -> pd.Series:
    """Return ``values`` with ``length`` bins from ``start`` multiplied."""
    changed = values.copy()
    changed.iloc[start : start + length] *= factor
    return changed


def groups(flags: pd.Series, gap: int = 6) -> list[tuple[int, int]]:
    """Return first and last position of each group of true values no more than ``gap`` apart."""
    found: list[tuple[int, int]] = []
    for position in map(int, np.flatnonzero(flags)):
        if found and position - found[-1][1] <= gap:
            found[-1] = (found[-1][0], position)
        else:
            found.append((position, position))
    return found
