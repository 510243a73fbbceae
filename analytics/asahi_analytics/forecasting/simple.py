"""The two methods of the specification, always scored beside the default: a moving average and a straight line."""

from __future__ import annotations

from typing import Final

import numpy as np

from asahi_analytics.forecasting.kernels import Array
from asahi_analytics.forecasting.outlook import GaussianOutlook

EMA_SPAN: Final = 7
"""Steps: the weight of a value halves about every 2.4 steps."""


def ema(values: Array, horizon: int) -> GaussianOutlook:
    """Return a flat forecast at the exponential moving average of the finite ``values`` (span 7 steps).

    The interval follows from the historical variance of the one-step errors: each step carries a new error, and
    all share the error of the average itself, whose variance is ``alpha / (2 - alpha)`` of theirs.
    """
    x = values[np.isfinite(values)]
    alpha = 2.0 / (EMA_SPAN + 1.0)
    level = float(x[0])
    errors = []
    for value in x[1:]:
        errors.append(float(value) - level)
        level += alpha * errors[-1]
    variance = float(np.mean(np.square(errors)))
    covariance = variance * (np.eye(horizon) + alpha / (2.0 - alpha))
    return GaussianOutlook(np.full(horizon, level), covariance)


def linear(values: Array, horizon: int) -> GaussianOutlook:
    """Return the least-squares line through the finite ``values``, carried on, with its prediction variance.

    With two values the line is exact and its error unknown: the interval then takes their distance for it.
    """
    times = np.flatnonzero(np.isfinite(values)).astype(float)
    x = values[np.isfinite(values)]
    design = np.column_stack([np.ones(len(times)), times])
    ahead = np.column_stack([np.ones(horizon), len(values) + np.arange(horizon, dtype=float)])
    gram = np.linalg.inv(design.T @ design)
    coefficients = gram @ design.T @ x
    freedom = len(x) - 2
    rest = x - design @ coefficients
    variance = float(rest @ rest) / freedom if freedom else float(np.var(x))
    covariance = variance * (np.eye(horizon) + ahead @ gram @ ahead.T)
    return GaussianOutlook(np.asarray(ahead @ coefficients), covariance)
