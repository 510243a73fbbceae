"""Spend by the day or hour, made for tests of forecasts."""

from __future__ import annotations

import numpy as np
import pandas as pd

WEEK = np.array([1.2, 1.1, 1.0, 1.0, 1.1, 0.5, 0.4])


def series(values, freq: str = "D", start: str = "2026-01-01") -> pd.Series:
    return pd.Series(
        np.asarray(values, dtype=float), index=pd.date_range(start, periods=len(values), freq=freq, tz="UTC")
    )


def weekly(days: int = 90, seed: int = 0, growth: float = 0.0, noise: float = 0.1) -> np.ndarray:
    """Dollars a day with a weekly pattern, ``growth`` of the logarithm a week and log-normal ``noise``."""
    rng = np.random.default_rng(seed)
    day = np.arange(days)
    return 100.0 * WEEK[day % 7] * np.exp(growth * day / 7 + noise * rng.normal(size=days))
