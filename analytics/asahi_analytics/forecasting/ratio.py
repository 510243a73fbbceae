"""Forecast of a ratio between 0 and 1, such as a cache's hit rate, on the logit scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from asahi_analytics.forecasting.history import FEWEST
from asahi_analytics.forecasting.kernels import Array
from asahi_analytics.forecasting.posterior import Mixture, mixture_quantiles
from asahi_analytics.forecasting.series import FEW
from asahi_analytics.forecasting.sparse import level_mixture
from asahi_analytics.forecasting.structural import DAILY, structural_mixture
from asahi_analytics.forecasting.trend import STABLE, TrendEstimate, trend_in

PRIOR_SPREAD: Final = 0.3
"""Standard deviation of the logit from day to day before the data say otherwise, worth three days."""


@dataclass(frozen=True)
class RatioForecast:
    """Mean ratio over the horizon with its interval, all 0-1; None where too little is known."""

    mean: float | None
    low: float | None
    high: float | None
    method: str
    trend: TrendEstimate


def forecast_ratio(hits: pd.Series, misses: pd.Series, horizon: int, confidence: float) -> RatioForecast:
    """Forecast ``hits / (hits + misses)`` over ``horizon`` days from daily counts (NaN: missing).

    Days without a look-up say nothing and count as missing. Half a hit and half a miss are added to each day
    (Jeffreys' prior), so that days of nothing but hits stay finite. Fewer than two days of look-ups: all None.
    """
    total = (hits + misses).to_numpy(dtype=float)
    rates = np.where(total > 0, logit((hits.to_numpy(dtype=float) + 0.5) / (total + 1.0)), np.nan)
    seen = int(np.isfinite(rates).sum())
    if seen < FEWEST:
        return RatioForecast(None, None, None, f"none: {seen} days with look-ups", STABLE)
    rates = rates[int(np.argmax(np.isfinite(rates))) :]
    if seen < FEW:
        mixture, centre = _flat(rates[np.isfinite(rates)], horizon)
        method, trend = f"flat: only {seen} days with look-ups", STABLE
    else:
        mixture, centre = structural_mixture(rates, horizon, DAILY)
        method, trend = "structural average on the logit scale", trend_in(mixture)
    tail = (1.0 - confidence) / 2.0
    low, middle, high = _mean_quantiles(mixture, centre, np.array([tail, 0.5, 1.0 - tail]))
    return RatioForecast(middle, low, high, method, trend)


def _flat(rates: Array, horizon: int) -> tuple[Mixture, float]:
    rest = rates - rates.mean()
    noise = (3.0 * PRIOR_SPREAD**2 + float(rest @ rest)) / (2.0 + len(rates))
    return level_mixture(noise, len(rates), horizon, 0.0), float(rates.mean())


def _mean_quantiles(mixture: Mixture, centre: float, probabilities: Array) -> list[float]:
    """Quantiles of the mean over the horizon, taken on the logit scale, where it is a mixture of normals."""
    horizon = mixture.location.shape[1]
    location = mixture.location.mean(axis=1, keepdims=True) + centre
    variance = mixture.variance(np.full(horizon, 1.0 / horizon)) + mixture.noise / horizon
    logits = mixture_quantiles(probabilities, mixture.weight, location, np.sqrt(variance)[:, None])
    return [float(value) for value in expit(logits[:, 0])]
