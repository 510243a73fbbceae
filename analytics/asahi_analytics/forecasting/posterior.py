"""From observations to a weighted set of models, and from those to the distribution of what is to come.

The noise's size, the slope and the step are integrated out: noise on a small grid, slope and step in closed
form (they enter linearly, Rasmussen and Williams 2.7). What remains is a mixture of log-normals for each step
and for the total (moments of a sum of log-normals: Fenton 1960).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from asahi_analytics.forecasting.kernels import Array, Factors, Indices

NOISE_GRID: Final = np.exp(np.linspace(-0.35, 0.35, 5))
PLACES: Final = 8
"""At how many places, the likeliest, a step of the level is considered."""
KEEP: Final = 150
"""How many of the models are kept, the likeliest; the rest weigh next to nothing."""
GRID: Final = np.sinh(np.linspace(-1.0, 1.0, 33) * np.arcsinh(12.0))
"""Where a distribution function is evaluated, in its standard deviations."""
FITTED: Final = 5
"""Degrees of freedom that level and season take from the data: the noise is guessed from the rest."""
LEAST_NOISE: Final = 1e-4
"""Variance of log spend that even a constant series is credited with."""


@dataclass(frozen=True)
class Beliefs:
    """What is believed before the data, in log units: sizes of slopes (a week) and of steps of the level, and how
    likely each is (steps: the rest is no step); ``temper`` is the power that the likelihood is raised to."""

    slope_sizes: tuple[float, ...]
    slope_weights: tuple[float, ...]
    step_sizes: tuple[float, ...]
    step_weights: tuple[float, ...]
    temper: float = 1.2


@dataclass(frozen=True)
class Mixture:
    """Weighted models of the future, ``m`` of them over ``h`` steps; the weights sum to one.

    ``location`` (m, h) is the mean of log spend; its errors are those of a kernel, ``spread`` (k, h, h) relative
    to the ``noise`` (m,) and chosen by ``kernel`` (m,), plus those of slope and step: ``trend`` (2, m, h) is what
    a unit of each adds ahead, ``trend_covariance`` (2, 2, m) how uncertain the units are. ``slope`` (m,) is the
    growth of log spend a week, ``step`` (m,) the log size of the level's step in the history, 0 in models without
    one. The noise itself comes on top.
    """

    weight: Array
    location: Array
    noise: Array
    kernel: Indices
    spread: Array
    trend: Array
    trend_covariance: Array
    slope: Array
    step: Array

    @property
    def own(self) -> Array:
        """Return the variance (m, h) of each step, without noise."""
        smooth = np.einsum("khh->kh", self.spread)[self.kernel] * self.noise[:, None]
        return np.asarray(
            smooth + np.einsum("amh,abm,bmh->mh", self.trend, self.trend_covariance, self.trend)
        )

    def variance(self, share: Array) -> Array:
        """Return the variance (m,) of the weighted sum of the first steps, as many as ``share`` has, without noise."""
        first = len(share)
        smooth = np.einsum("h,khl,l->k", share, self.spread[:, :first, :first], share)
        trend = self.trend[:, :, :first] @ share
        return np.asarray(
            smooth[self.kernel] * self.noise + np.einsum("am,abm,bm->m", trend, self.trend_covariance, trend)
        )

    def moving(self, least: float) -> tuple[float, float]:
        """Return the probabilities that log spend grows, and that it falls, by more than ``least`` a week."""
        spread = np.sqrt(self.trend_covariance[0, 0]) + 1e-12
        up = float(self.weight @ ndtr((self.slope - least) / spread))
        return up, float(self.weight @ ndtr((-least - self.slope) / spread))


def joined(first: Mixture, second: Mixture, share: float) -> Mixture:
    """Return both mixtures as one, of which the ``second`` has the weight ``share`` (0-1)."""
    both = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("location", "noise", "spread", "slope", "step")
    }
    return Mixture(
        weight=np.concatenate([(1.0 - share) * first.weight, share * second.weight]),
        kernel=np.concatenate([first.kernel, len(first.spread) + second.kernel]),
        trend=np.concatenate([first.trend, second.trend], axis=1),
        trend_covariance=np.concatenate([first.trend_covariance, second.trend_covariance], axis=2),
        **both,
    )


@dataclass(frozen=True)
class _Terms:
    """The closed-form pieces for each model, slope size, step and noise size."""

    log_weight: Array
    slope: Array
    step: Array
    covariance: tuple[Array, Array, Array]
    noise: Array


@dataclass(frozen=True)
class _Evidence:
    """What the data say in whitened form: ``squares`` (k,), ``inner`` (k, b) with the basis, ``noise`` (k,) guessed."""

    count: int
    squares: Array
    inner: Array
    noise: Array


@dataclass(frozen=True)
class _Steps:
    """The steps considered: their ``column`` of the basis, ``size`` and ``log_prior``; the first is none at all."""

    column: Indices
    size: Array
    log_prior: Array


def infer(values: Array, parts: Factors, beliefs: Beliefs) -> Mixture:
    """Return the mixture that ``values`` (n,), log spend around its mean, makes of the models in ``parts``."""
    evidence = _evidence(values, parts)
    steps = _likely_steps(evidence, parts, beliefs)
    terms = _marginal(evidence, parts, beliefs, steps)
    flat = terms.log_weight.ravel()
    count = min(KEEP, flat.size)
    top = np.argpartition(flat, -count)[-count:]
    weight = np.exp(flat[top] - logsumexp(flat[top]))
    top, weight = top[weight > 1e-4], weight[weight > 1e-4]
    return _collect(values, parts, terms, steps, _Choice(top, weight / weight.sum()))


def _evidence(values: Array, parts: Factors) -> _Evidence:
    white = parts.whiten @ values
    squares = np.einsum("kn,kn->k", white, white)
    inner = np.einsum("knb,kn->kb", parts.basis, white)
    rest = squares - 0.9 * inner[:, 0] ** 2 / parts.norm[:, 0]
    free = max(len(values) - FITTED, 2)
    return _Evidence(len(values), squares, inner, rest / free + LEAST_NOISE)


def _likely_steps(evidence: _Evidence, parts: Factors, beliefs: Beliefs) -> _Steps:
    """Return no step and the likeliest places of one, each in every size; places left out weigh next to nothing."""
    places = parts.norm.shape[1] - 1
    noise = evidence.noise[:, None]
    precision = noise / beliefs.step_sizes[-1] ** 2
    gain = evidence.inner[:, 1:] ** 2 / (parts.norm[:, 1:] + precision) / noise
    occam = np.log1p(parts.norm[:, 1:] / precision)
    kernel = evidence.count * np.log(noise) + parts.log_det[:, None] + evidence.squares[:, None] / noise
    score = logsumexp(0.5 * (gain - occam - kernel), axis=0)
    chosen = 1 + np.sort(np.argsort(score)[-PLACES:])
    sizes, weights = np.array(beliefs.step_sizes), np.array(beliefs.step_weights)
    prior = np.concatenate([[1.0 - weights.sum()], np.repeat(weights, len(chosen)) / places])
    return _Steps(
        column=np.concatenate([[0], np.tile(chosen, len(sizes))]),
        size=np.concatenate([[0.0], np.repeat(sizes, len(chosen))]),
        log_prior=np.log(prior),
    )


def _marginal(evidence: _Evidence, parts: Factors, beliefs: Beliefs, steps: _Steps) -> _Terms:
    """Axes: model, slope size, step, noise."""
    noise = (evidence.noise[:, None] * NOISE_GRID[None, :] ** 2)[:, None, None, :]
    slope_d = (np.array(beliefs.slope_sizes) ** 2)[None, :, None, None] / noise
    step_d = (steps.size**2)[None, None, :, None] / noise
    slope_b = evidence.inner[:, 0][:, None, None, None]
    step_b = evidence.inner[:, None, steps.column, None]
    a = parts.norm[:, 0][:, None, None, None]
    b = parts.product[:, None, steps.column, None]
    c = parts.norm[:, None, steps.column, None]
    determinant = (1.0 + slope_d * a) * (1.0 + step_d * c) - slope_d * step_d * b**2
    slope_v = slope_d * (1.0 + step_d * c) / determinant
    step_v = step_d * (1.0 + slope_d * a) / determinant
    both_v = -slope_d * step_d * b / determinant
    slope = slope_v * slope_b + both_v * step_b
    step = both_v * slope_b + step_v * step_b
    explained = slope * slope_b + step * step_b
    likelihood = -0.5 * (
        evidence.count * np.log(noise)
        + parts.log_det[:, None, None, None]
        + np.log(determinant)
        + (evidence.squares[:, None, None, None] - explained) / noise
    )
    prior = np.log(np.array(beliefs.slope_weights))[:, None] + steps.log_prior[None, :]
    return _Terms(
        beliefs.temper * likelihood + prior[None, :, :, None],
        slope,
        step,
        (slope_v * noise, both_v * noise, step_v * noise),
        np.broadcast_to(noise, likelihood.shape),
    )


@dataclass(frozen=True)
class _Choice:
    """Which of all the models are kept, by their flat index, and their weights."""

    index: Indices
    weight: Array


def _collect(values: Array, parts: Factors, terms: _Terms, steps: _Steps, choice: _Choice) -> Mixture:
    top = choice.index
    kernel, _, step, _ = np.unravel_index(top, terms.log_weight.shape)
    trend = np.stack([parts.future[kernel, :, 0], parts.future[kernel, :, steps.column[step]]])
    slope_v, both_v, step_v = (np.broadcast_to(v, terms.slope.shape).ravel()[top] for v in terms.covariance)
    slope, jump = terms.slope.ravel()[top], terms.step.ravel()[top]
    location = (parts.project @ values)[kernel] + slope[:, None] * trend[0] + jump[:, None] * trend[1]
    return Mixture(
        weight=choice.weight,
        location=location,
        noise=terms.noise.ravel()[top],
        kernel=kernel,
        spread=parts.spread,
        trend=trend,
        trend_covariance=np.array([[slope_v, both_v], [both_v, step_v]]),
        slope=slope,
        step=jump,
    )


def mixture_quantiles(probabilities: Array, weight: Array, location: Array, scale: Array) -> Array:
    """Return the quantiles (p, h) of Gaussian mixtures: ``weight`` (m,), ``location`` and ``scale`` (m, h).

    The distribution function is evaluated on a grid and inverted by interpolation between normal scores, on
    which it is almost straight; quantiles rise strictly with the probability.
    """
    middle = weight @ location
    spread = np.sqrt(weight @ (scale**2 + (location - middle) ** 2))
    points = middle[None, :] + spread[None, :] * GRID[:, None]
    below = np.tensordot(weight, ndtr((points[None] - location[:, None]) / scale[:, None]), axes=1)
    scores = np.maximum.accumulate(ndtri(np.clip(below, 1e-15, 1.0 - 1e-15)), axis=0)
    scores += 1e-9 * np.arange(len(GRID))[:, None]
    wanted = ndtri(probabilities)
    return np.stack([np.interp(wanted, scores[:, h], points[:, h]) for h in range(points.shape[1])], axis=1)
