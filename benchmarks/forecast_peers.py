"""The methods that ``forecast.py`` compares: ours, simple ones, statsmodels' and statsforecast's.

Each takes a history and a horizon and returns the path, and the total's interval for each level. Where a library gives
intervals of single days only, the total's is read from them in two ways, with errors of days that are independent of
each other and with errors that all share; both are judged, and the table shows the kinder one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsforecast.models import AutoETS, AutoTheta
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.theta import ThetaModel
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from asahi_analytics.forecasting import forecast_series

LEVELS = (0.80, 0.95)
Interval = tuple[float, float]


@dataclass(frozen=True)
class Answer:
    """A path and readings of the total's intervals: each reading has an interval for each level."""

    mean: np.ndarray
    total: float
    readings: list[Mapping[float, Interval]] = field(default_factory=list)


Method = Callable[[pd.Series, int, int], Answer]
"""Takes the history, the horizon and the season's period, all in steps."""


def _asahi(name: str) -> Method:
    def method(history: pd.Series, horizon: int, period: int) -> Answer:  # noqa: ARG001  (all take the period)
        forecasts = {level: forecast_series(history, horizon, level, name) for level in LEVELS[:-1]}
        widest = forecast_series(history, horizon, LEVELS[-1], name)
        forecasts[LEVELS[-1]] = widest
        reading = {level: (f.total_low, f.total_high) for level, f in forecasts.items()}
        return Answer(widest.mean, widest.total, [reading])

    return method


def _steps(mean: np.ndarray, half_widths: Mapping[float, np.ndarray]) -> Answer:
    """Read the total's intervals from those of the steps, both ways."""
    total = float(mean.sum())
    shared = {level: _around(total, float(half.sum())) for level, half in half_widths.items()}
    alone = {level: _around(total, float(np.sqrt(np.sum(half**2)))) for level, half in half_widths.items()}
    return Answer(mean, total, [shared, alone])


def _around(total: float, half: float) -> Interval:
    return max(0.0, total - half), total + half


def seasonal_naive(history: pd.Series, horizon: int, period: int) -> Answer:
    """Repeat the last season; errors of one season grow with each season ahead (Hyndman and Athanasopoulos 5.5)."""
    values = history.to_numpy()
    spread = np.sqrt(np.mean((values[period:] - values[:-period]) ** 2))
    growth = np.sqrt(np.arange(horizon) // period + 1.0)
    return _steps(
        np.resize(values[-period:], horizon),
        {level: norm.ppf(0.5 + level / 2) * spread * growth for level in LEVELS},
    )


def _simulated(mean: np.ndarray, paths: np.ndarray) -> Answer:
    """Read the total's intervals from simulated paths (steps, repetitions)."""
    totals = np.maximum(paths, 0.0).sum(axis=0)
    reading = {
        level: tuple(float(q) for q in np.quantile(totals, [0.5 - level / 2, 0.5 + level / 2]))
        for level in LEVELS
    }
    return Answer(np.maximum(mean, 0.0), float(np.maximum(mean, 0.0).sum()), [reading])


def holt_winters(history: pd.Series, horizon: int, period: int) -> Answer:
    """Damped trend and additive season of statsmodels; intervals from 200 simulated paths."""
    model = ExponentialSmoothing(
        history.to_numpy(), trend="add", damped_trend=True, seasonal="add", seasonal_periods=period
    )
    fit = model.fit()
    return _simulated(fit.forecast(horizon), fit.simulate(horizon, repetitions=200, rng=1))


def statsmodels_ets(history: pd.Series, horizon: int, period: int) -> Answer:
    """Statsmodels' state-space ETS(A, Ad, A); intervals from 200 simulated paths."""
    model = ETSModel(
        history.to_numpy(), trend="add", damped_trend=True, seasonal="add", seasonal_periods=period
    )
    fit = model.fit(disp=False)
    paths = fit.simulate(horizon, anchor="end", repetitions=200, rng=1)
    return _simulated(fit.forecast(horizon), np.asarray(paths).reshape(horizon, -1))


def statsmodels_theta(history: pd.Series, horizon: int, period: int) -> Answer:
    """Statsmodels' Theta with its own prediction intervals."""
    values = history.to_numpy()
    index = pd.date_range("2020-01-01", periods=len(values), freq="D")
    fit = ThetaModel(pd.Series(values, index=index), period=period, method="additive").fit()
    mean = np.maximum(fit.forecast(horizon).to_numpy(), 0.0)
    halves = {}
    for level in LEVELS:
        bounds = fit.prediction_intervals(horizon, alpha=1 - level)
        halves[level] = (bounds["upper"] - bounds["lower"]).to_numpy() / 2
    return _steps(mean, halves)


def _statsforecast(model: type) -> Method:
    def method(history: pd.Series, horizon: int, period: int) -> Answer:
        found = model(season_length=period).forecast(
            history.to_numpy(), horizon, level=[round(100 * level) for level in LEVELS]
        )
        mean = np.maximum(found["mean"], 0.0)
        halves = {level: np.abs(found[f"hi-{round(100 * level)}"] - found["mean"]) for level in LEVELS}
        return _steps(mean, halves)

    return method


METHODS: Mapping[str, Method] = {
    "asahi auto": _asahi("auto"),
    "asahi ema": _asahi("ema"),
    "asahi linear": _asahi("linear"),
    "seasonal naive": seasonal_naive,
    "statsmodels ETS": statsmodels_ets,
    "statsmodels Holt-Winters": holt_winters,
    "statsmodels Theta": statsmodels_theta,
    "statsforecast AutoETS": _statsforecast(AutoETS),
    "statsforecast AutoTheta": _statsforecast(AutoTheta),
}


def run(method: Method, history: pd.Series, horizon: int, period: int) -> Answer | None:
    """Return the answer, or None where a library cannot fit the history."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return method(history, horizon, period)
        except (ValueError, np.linalg.LinAlgError, FloatingPointError, ZeroDivisionError):
            return None
