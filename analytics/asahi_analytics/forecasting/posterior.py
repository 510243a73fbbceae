"""From observations to a weighted set of models, and from those to the distribution of what is to come.

The noise's size, the slope and the step are integrated out: noise on a small grid, slope and step in closed
form (they enter linearly, Rasmussen and Williams 2.7). What remains is a mixture of log-normals for each step
and for the total (moments of a sum of log-normals: Fenton 1960).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr

from asahi_analytics.forecasting.kernels import Array, Factors

NOISE_GRID: Final = np.exp(np.linspace(-0.35, 0.35, 5))
KEEP: Final = 250
LEAST_NOISE: Final = 1e-4
"""Variance of log spend that even a constant series is credited with."""


@dataclass(frozen=True)
class Beliefs:
    """Absolute prior sizes in log units: slopes a week, their weights, and a step of the level."""

    slope_sizes: tuple[float, ...] = (1e-6, 0.015, 0.05)
    slope_weights: tuple[float, ...] = (0.4, 0.35, 0.25)
    step_size: float = 0.5
    step_probability: float = 0.25
    temper: float = 0.7
    noise_degrees: float = 4.0


@dataclass(frozen=True)
class Mixture:
    """Weighted models of the future: ``location`` and ``variance`` (m, h) of log spend without noise, ``noise``
    (m,) its variance, ``shared`` (m, h, h) the covariance, ``weight`` (m,) summing to one."""

    weight: Array
    location: Array
    shared: Array
    noise: Array
    slope: Array
    slope_variance: Array


@dataclass(frozen=True)
class _Terms:
    """The closed-form pieces for each model, slope size, step and noise size."""

    log_weight: Array
    slope: Array
    step: Array
    covariance: tuple[Array, Array, Array]
    noise: Array


def infer(values: Array, parts: Factors, beliefs: Beliefs) -> Mixture:
    """Return the mixture that ``values`` (n,), log spend around its mean, makes of the models in ``parts``."""
    white = parts.whiten @ values
    terms = _marginal(white, parts, beliefs, len(values))
    flat = terms.log_weight.ravel()
    count = min(KEEP, flat.size)
    top = np.argpartition(flat, -count)[-count:]
    weight = np.exp(flat[top] - logsumexp(flat[top]))
    top, weight = top[weight > 1e-4], weight[weight > 1e-4]
    return _collect(values, parts, terms, top, weight / weight.sum())


def _marginal(white: Array, parts: Factors, beliefs: Beliefs, n: int) -> _Terms:
    """Axes: model, slope size, step (0: none), noise."""
    squares = np.einsum("jn,jn->j", white, white)
    inner = np.einsum("jnb,jn->jb", parts.basis, white)
    fitted = inner[:, :1] ** 2 / parts.gram[:, :1, 0]
    base = (squares - 0.9 * fitted[:, 0]) / n + LEAST_NOISE
    noise = (base[:, None] * NOISE_GRID[None, :] ** 2)[:, None, None, :]
    slope_d = (np.array(beliefs.slope_sizes) ** 2)[None, :, None, None] / noise
    present = np.ones(parts.gram.shape[1])
    present[0] = 0.0
    step_d = (beliefs.step_size**2 * present)[None, None, :, None] / noise
    slope_b = inner[:, 0][:, None, None, None]
    step_b = inner[:, None, :, None]
    a = parts.gram[:, 0, 0][:, None, None, None]
    b = parts.gram[:, 0, :][:, None, :, None]
    c = np.diagonal(parts.gram, axis1=1, axis2=2)[:, None, :, None]
    determinant = (1.0 + slope_d * a) * (1.0 + step_d * c) - slope_d * step_d * b**2
    slope_v = slope_d * (1.0 + step_d * c) / determinant
    step_v = step_d * (1.0 + slope_d * a) / determinant
    both_v = -slope_d * step_d * b / determinant
    slope = slope_v * slope_b + both_v * step_b
    step = both_v * slope_b + step_v * step_b
    explained = slope * slope_b + step * step_b
    likelihood = -0.5 * (
        n * np.log(noise)
        + parts.log_det[:, None, None, None]
        + np.log(determinant)
        + (squares[:, None, None, None] - explained) / noise
    )
    return _Terms(
        beliefs.temper * likelihood + _log_prior(parts, beliefs),
        slope,
        step,
        (slope_v * noise, both_v * noise, step_v * noise),
        np.broadcast_to(noise, likelihood.shape),
    )


def _log_prior(parts: Factors, beliefs: Beliefs) -> Array:
    steps = parts.gram.shape[1] - 1
    step = np.full(steps + 1, beliefs.step_probability / max(steps, 1))
    step[0] = 1.0 - beliefs.step_probability
    slope = np.log(np.array(beliefs.slope_weights))
    return np.asarray(
        parts.log_prior[:, None, None, None] + slope[None, :, None, None] + np.log(step)[None, None, :, None]
    )


def _collect(values: Array, parts: Factors, terms: _Terms, top: NDArray[np.intp], weight: Array) -> Mixture:
    model, _, step, _ = np.unravel_index(top, terms.log_weight.shape)
    means = parts.project @ values
    slope_ahead, step_ahead = parts.future[model, :, 0], parts.future[model, :, step]
    slope_v, both_v, step_v = (
        np.broadcast_to(v, terms.slope.shape).ravel()[top][:, None, None] for v in terms.covariance
    )
    slope, jump = terms.slope.ravel()[top], terms.step.ravel()[top]
    noise = terms.noise.ravel()[top]
    outer = slope_ahead[:, :, None] * step_ahead[:, None, :]
    shared = (
        noise[:, None, None] * parts.spread[model]
        + slope_v * slope_ahead[:, :, None] * slope_ahead[:, None, :]
        + both_v * (outer + outer.transpose(0, 2, 1))
        + step_v * step_ahead[:, :, None] * step_ahead[:, None, :]
    )
    location = means[model] + slope[:, None] * slope_ahead + jump[:, None] * step_ahead
    return Mixture(weight, location, shared, noise, slope, slope_v.ravel())


def mixture_quantiles(probabilities: Array, weight: Array, location: Array, scale: Array) -> Array:
    """Return the quantiles (p, h) of Gaussian mixtures: ``weight`` (m,), ``location`` and ``scale`` (m, h)."""
    low = (location - 9.0 * scale).min(axis=0)
    high = (location + 9.0 * scale).max(axis=0)
    lower = np.repeat(low[None, :], len(probabilities), axis=0)
    upper = np.repeat(high[None, :], len(probabilities), axis=0)
    for _ in range(30):
        middle = 0.5 * (lower + upper)
        below = np.einsum("m,mph->ph", weight, ndtr((middle[None] - location[:, None]) / scale[:, None]))
        above = below < probabilities[:, None]
        lower, upper = np.where(above, middle, lower), np.where(above, upper, middle)
    return np.asarray(0.5 * (lower + upper))
