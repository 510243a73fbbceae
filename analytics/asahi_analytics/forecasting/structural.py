"""The default method: a Bayesian average of small structural models of log spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from scipy.special import ndtr

from asahi_analytics.forecasting.kernels import Array, Grid, Kernel, Layout, factors
from asahi_analytics.forecasting.posterior import Beliefs, Mixture, infer, mixture_quantiles

DAILY: Final = Grid(
    tuple(
        Kernel(walk, season, 0.0, memory, 4.0)
        for walk in (0.0, 0.003, 0.02, 0.1, 0.4)
        for season in (0.05, 1.0, 8.0)
        for memory in (0.0, 1.0)
    ),
    period=7,
)
HOURLY: Final = Grid(
    tuple(
        Kernel(walk, season, 0.0, memory, 5.0, slow=slow)
        for walk in (0.001, 0.02, 0.2)
        for season in (0.3, 4.0)
        for memory in (0.0, 2.0)
        for slow in (0.0, 1.0)
    ),
    period=24,
    long_period=168,
)


@dataclass(frozen=True)
class Options:
    """Constants of the method; `docs/forecasting.md` says how they were chosen.

    ``max_history`` in steps; ``steps`` how many places a step of the level may have; ``damping`` of the slope a
    step; ``clip`` in robust standard deviations and ``floor`` in medians hold single values; a level shift during
    the horizon has ``shift_probability`` and the size ``shift_size`` (log units); ``inflate`` scales variances.
    """

    beliefs: Beliefs = field(default_factory=Beliefs)
    max_history: int = 180
    max_history_hourly: int = 336
    steps: int = 16
    damping: float = 0.98
    clip: float = 3.5
    floor: float = 0.05
    tail_probability: float = 0.1
    tail_scale: float = 2.0
    spikes: float = 1.0
    inflate: float = 1.0


DEFAULT: Final = Options()


@dataclass(frozen=True)
class LogOutlook:
    """A mixture of models of log spend, ``centre`` added to their locations."""

    mixture: Mixture
    centre: float
    spikes: float = 0.0
    options: Options = DEFAULT

    def steps(self, probabilities: Sequence[float]) -> Array:
        """Return the quantiles (p, horizon) of each step."""
        mixture = self.mixture
        best = np.argsort(mixture.weight)[::-1][:60]
        weight = mixture.weight[best] / mixture.weight[best].sum()
        scale = np.sqrt(np.einsum("mhh->mh", mixture.shared[best]) + mixture.noise[best, None])
        logs = mixture_quantiles(
            np.asarray(probabilities, dtype=float), weight, mixture.location[best], scale
        )
        return np.asarray(np.exp(logs + self.centre))

    def total(self, probabilities: Sequence[float], first: int | None = None) -> Array:
        """Return the quantiles (p,) of the sum of the ``first`` steps (None: all)."""
        weight, location, scale = self._total if first is None else self._sum(first)
        logs = mixture_quantiles(
            np.asarray(probabilities, dtype=float), weight, location[:, None], scale[:, None]
        )
        return np.asarray(np.exp(logs[:, 0]))

    def exceeds(self, dollars: float, first: int | None = None) -> float:
        """Return the probability that the sum of the ``first`` steps is above ``dollars``."""
        if dollars <= 0.0:
            return 1.0
        weight, location, scale = self._total if first is None else self._sum(first)
        return float(weight @ ndtr((location - np.log(dollars)) / scale))

    @cached_property
    def _total(self) -> tuple[Array, Array, Array]:
        return self._sum(self.mixture.location.shape[1])

    def _sum(self, first: int) -> tuple[Array, Array, Array]:
        """Return weight, location and scale (m,) of the log-normals of the total (Fenton 1960), twice over:
        without and with a shift of the level on the way."""
        mixture = self.mixture
        shared = mixture.shared[:, :first, :first] * self.options.inflate
        location = mixture.location[:, :first] + self.centre
        own, noise = np.einsum("mhh->mh", shared), mixture.noise[:, None]
        peak = location.max()
        means = np.exp(location - peak + 0.5 * np.minimum(own + noise, 4.0))
        total = means.sum(axis=1)
        share = means / total[:, None]
        spread = np.einsum("mh,mhk,mk->m", share, np.expm1(np.minimum(shared, 4.0)), share)
        spread += (
            share**2 * (np.expm1(np.minimum(noise, 4.0)) + self.spikes) * np.exp(np.minimum(own, 4.0))
        ).sum(axis=1)
        variance = np.log1p(spread)
        middle = np.log(total) + peak - 0.5 * variance
        p, widen = self.options.tail_probability, self.options.tail_scale
        return (
            np.concatenate([(1.0 - p) * mixture.weight, p * mixture.weight]),
            np.tile(middle, 2),
            np.sqrt(np.concatenate([variance, variance * widen**2])),
        )


def structural(values: Array, horizon: int, *, hourly: bool, options: Options = DEFAULT) -> LogOutlook:
    """Return what is to come after ``values`` (NaN: missing, none negative, at least one positive)."""
    grid = HOURLY if hourly else DAILY
    values = values[-(options.max_history_hourly if hourly else options.max_history) :]
    seen = np.isfinite(values)
    logs = np.full(len(values), np.nan)
    logs[seen] = clipped_logs(values, grid.period, options)
    mixture, middle = structural_mixture(logs, horizon, hourly=hourly, options=options)
    spikes = options.spikes * _spikes(values[seen], logs[seen])
    return LogOutlook(mixture, middle + _lost(values[seen], logs[seen]), spikes, options)


def structural_mixture(
    logs: Array, horizon: int, *, hourly: bool = False, options: Options = DEFAULT
) -> tuple[Mixture, float]:
    """Return the mixture for ``logs`` (any real values, NaN: missing) and the mean that its locations lie around."""
    seen = np.isfinite(logs)
    middle = float(logs[seen].mean())
    places = _step_places(len(logs), options.steps)
    layout = Layout(seen.astype(np.uint8).tobytes(), horizon, places, options.damping)
    known = factors(HOURLY if hourly else DAILY, layout)
    return infer(logs[seen] - middle, known, options.beliefs), middle


def _step_places(n: int, count: int) -> tuple[int, ...]:
    starts = np.unique(np.linspace(4, n - 4, count).astype(int)) if n >= 14 else np.array([n // 2])
    return tuple(int(start) for start in starts)


def clipped_logs(values: Array, period: int, options: Options) -> Array:
    """Return the logarithm of the seen values, held within reach of their own recent pattern."""
    seen = np.isfinite(values)
    x = values[seen]
    floor = options.floor * np.median(x[x > 0])
    logs = np.log(np.maximum(x, floor))
    fit = _rough_fit(logs, np.flatnonzero(seen).astype(float), period)
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
    """Return the relative variance per step that clipping hid: of values beyond the clip, capped at threefold."""
    beyond = np.minimum(x, 4.0 * np.exp(logs)) / np.exp(logs) - 1.0
    return float(np.mean(beyond**2))
