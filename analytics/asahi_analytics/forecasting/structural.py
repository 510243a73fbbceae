"""The default method: a Bayesian average of small structural models of log spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
from scipy.special import ndtr

from asahi_analytics.forecasting.kernels import Array, Grid, Kernel, Layout, factors
from asahi_analytics.forecasting.posterior import Beliefs, Mixture, infer, mixture_quantiles


def _grid(
    period: int, walks: Sequence[float], seasons: Sequence[float], memories: Sequence[tuple[float, float]]
) -> Grid:
    """Return every combination of the parts, all equally likely beforehand; a memory is its variance and length."""
    combinations = product(walks, seasons, memories)
    return Grid(tuple(Kernel(walk, season, *memory) for walk, season, memory in combinations), period)


@dataclass(frozen=True)
class Options:
    """Constants of the method; `docs/forecasting.md` says how they were chosen.

    ``max_history`` in steps; a step of the level may come ``step_every`` so many steps; ``damping`` of the slope a
    step; ``clip`` in robust standard deviations and ``floor`` in medians hold single values; ``inflate`` scales the
    variance of the level; a spike lasts ``spike_length`` steps; with ``tail_probability`` the future is as uncertain
    as ``tail_scale`` times what the models say.
    """

    grid: Grid
    beliefs: Beliefs
    max_history: int
    slope_unit: int
    damping: float
    floor: float
    inflate: float
    tail_probability: float
    tail_scale: float
    step_every: int
    spike_length: float = 8.0
    clip: float = 3.5


DAILY: Final = Options(
    grid=_grid(7, (0.0, 0.004, 0.02, 0.15), (0.3, 3.0, 40.0), ((0.0, 1.0), (1.0, 3.0), (2.0, 12.0))),
    beliefs=Beliefs(
        slope_sizes=(0.005, 0.02, 0.05),
        slope_weights=(0.25, 0.4, 0.35),
        step_sizes=(0.15, 0.8),
        step_weights=(0.17, 0.05),
    ),
    max_history=180,
    slope_unit=7,
    damping=0.99,
    floor=0.35,
    inflate=0.65,
    tail_probability=0.08,
    tail_scale=2.5,
    step_every=1,
)
HOURLY: Final = Options(
    grid=_grid(24, (0.002, 0.02, 0.15), (0.3, 4.0, 60.0), ((0.0, 1.0), (2.0, 5.0), (3.0, 20.0))),
    beliefs=Beliefs(
        slope_sizes=(0.005, 0.05), slope_weights=(0.7, 0.3), step_sizes=(0.3,), step_weights=(0.2,)
    ),
    max_history=336,
    slope_unit=168,
    damping=0.999,
    floor=0.1,
    inflate=1.4,
    tail_probability=0.1,
    tail_scale=2.5,
    step_every=6,
)
STEP_MODELS: Final = 24
"""How many models the intervals of single steps are made from."""
MOST_VARIANCE: Final = 4.0
"""Where the correction from median to mean stops growing: beyond it the log-normal's mean means nothing."""


@dataclass(frozen=True)
class LogOutlook:
    """A mixture of models of log spend, ``centre`` added to their locations."""

    mixture: Mixture
    centre: float
    spikes: float = 0.0
    options: Options = DAILY

    def steps(self, probabilities: Sequence[float]) -> Array:
        """Return the quantiles (p, horizon) of each step."""
        mixture = self.mixture
        best = np.argsort(mixture.weight)[::-1][:STEP_MODELS]
        weight = mixture.weight[best] / mixture.weight[best].sum()
        scale = np.sqrt(self.options.inflate * mixture.own[best] + mixture.noise[best, None] + self.spikes)
        logs = mixture_quantiles(
            np.asarray(probabilities, dtype=float), weight, mixture.location[best], scale
        )
        return np.asarray(np.exp(logs + self.centre))

    def total(self, probabilities: Sequence[float], shares: Sequence[float] | None = None) -> Array:
        """Return the quantiles (p,) of the sum of the steps, each counted by its share."""
        weight, location, scale = (
            self._whole if shares is None else self._sum(np.asarray(shares, dtype=float))
        )
        logs = mixture_quantiles(
            np.asarray(probabilities, dtype=float), weight, location[:, None], scale[:, None]
        )
        return np.asarray(np.exp(logs[:, 0]))

    def exceeds(self, dollars: float, shares: Sequence[float] | None = None) -> float:
        """Return the probability that the sum, each step counted by its share, is above ``dollars``."""
        if dollars <= 0.0:
            return 1.0
        weight, location, scale = (
            self._whole if shares is None else self._sum(np.asarray(shares, dtype=float))
        )
        return float(weight @ ndtr((location - np.log(dollars)) / scale))

    @cached_property
    def _whole(self) -> tuple[Array, Array, Array]:
        return self._sum(np.ones(self.mixture.location.shape[1]))

    def _sum(self, shares: Array) -> tuple[Array, Array, Array]:
        """Return weight, location and scale (m,) of the log-normals of the total (Fenton 1960), twice over:
        as the models say and, for a few futures in a hundred, wider."""
        mixture, options, first = self.mixture, self.options, len(shares)
        with np.errstate(divide="ignore"):
            location = mixture.location[:, :first] + self.centre + np.log(shares)
        noise = mixture.noise[:, None]
        half = 0.5 * np.minimum(options.inflate * mixture.own[:, :first] + noise, MOST_VARIANCE)
        peak = location.max()
        means = np.exp(location - peak + half)
        total = means.sum(axis=1)
        share = means / total[:, None]
        typical = mixture.weight @ share
        alone = (share**2).sum(axis=1) * (
            np.expm1(np.minimum(mixture.noise, MOST_VARIANCE)) + options.spike_length * self.spikes
        )
        variance = options.inflate * mixture.variance(typical) + alone
        middle = np.log(total) + peak - 0.5 * np.minimum(variance, MOST_VARIANCE)
        p = options.tail_probability
        return (
            np.concatenate([(1.0 - p) * mixture.weight, p * mixture.weight]),
            np.tile(middle, 2),
            np.sqrt(np.concatenate([variance, variance * options.tail_scale**2])),
        )


def structural(values: Array, horizon: int, options: Options) -> LogOutlook:
    """Return what is to come after ``values`` (NaN: missing, none negative, at least one positive)."""
    values = values[-options.max_history :]
    seen = np.isfinite(values)
    logs = np.full(len(values), np.nan)
    logs[seen] = clipped_logs(values, options)
    mixture, middle = structural_mixture(logs, horizon, options)
    centre = middle + _lost(values[seen], logs[seen])
    return LogOutlook(mixture, centre, _spikes(values[seen], logs[seen]), options)


def structural_mixture(logs: Array, horizon: int, options: Options) -> tuple[Mixture, float]:
    """Return the mixture for ``logs`` (any real values, NaN: missing) and the mean that its locations lie around."""
    seen = np.isfinite(logs)
    middle = float(logs[seen].mean())
    layout = Layout(
        seen=seen.astype(np.uint8).tobytes(),
        horizon=horizon,
        steps=_step_places(len(logs), options.step_every),
        slope_unit=options.slope_unit,
        damping=options.damping,
    )
    return infer(logs[seen] - middle, factors(options.grid, layout), options.beliefs), middle


def _step_places(n: int, every: int) -> tuple[int, ...]:
    return tuple(range(4, n - 3, every)) if n >= 14 else (n // 2,)


def clipped_logs(values: Array, options: Options) -> Array:
    """Return the logarithm of the seen values, held within reach of their own recent pattern."""
    seen = np.isfinite(values)
    x = values[seen]
    floor = options.floor * np.median(x[x > 0])
    logs = np.log(np.maximum(x, floor))
    fit = _rough_fit(logs, np.flatnonzero(seen).astype(float), options.grid.period)
    rest = logs - fit
    spread = 1.4826 * np.median(np.abs(rest - np.median(rest))) + 0.02
    return np.asarray(fit + np.clip(rest, -options.clip * spread, options.clip * spread))


def _rough_fit(logs: Array, times: Array, period: int) -> Array:
    """Return a running median of about two seasons plus, for each phase, the median of what remains."""
    width = 2 * period + 1
    padded = np.pad(logs, width // 2, mode="reflect" if len(logs) > width // 2 else "edge")
    level = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    rest = logs - level
    phase = np.mod(times, period).astype(int)
    season = np.zeros(len(logs))
    for p in range(period):
        mine = phase == p
        if mine.sum() >= 3:
            season[mine] = np.median(rest[mine])
    return np.asarray(level + season)


def _lost(x: Array, logs: Array) -> float:
    """Return the log of what clipping changed in the sum: spikes held back, zeros lifted."""
    kept = np.exp(logs)
    return float(np.log(np.minimum(x, kept * np.e).sum() / kept.sum()))


def _spikes(x: Array, logs: Array) -> float:
    """Return the relative variance of a step that clipping hid, values beyond four times the clipped one held there."""
    beyond = np.minimum(x, 4.0 * np.exp(logs)) / np.exp(logs) - 1.0
    return float(np.mean(beyond**2))
