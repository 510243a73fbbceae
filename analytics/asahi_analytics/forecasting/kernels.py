"""The small Gaussian models that the forecast averages, and what of them can be computed before any data is seen.

The logarithm of spend is modelled as

    level + seasons + random walk + short memory + slope + step + noise

where each part is Gaussian. Variances are relative to the noise's, so that one set of models serves any scale;
only the slope and the step have absolute sizes (log units). Everything that depends on the times alone, the
Cholesky factor above all, is computed once for a (times, horizon) and kept: a forecast is then a handful of
matrix products. Gaussian process regression: Rasmussen and Williams (2006), chapter 2, algorithm 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

LEVEL_VARIANCE: Final = 400.0
"""Prior variance of the level around the mean of the history: wide, so that the data decide."""
WALK_MEMORY: Final = 400.0
"""Steps after which the walk is pulled back: far beyond any horizon, yet its variance stays finite."""
KEPT_HORIZON: Final = 100
"""Steps ahead beyond which factors are not kept: sixteen sets of them, half of them of a few weeks, take about 28 MB
for days; as many of two weeks of hours 500 MB."""
LONG_PERIOD: Final = 12
"""Periods beyond this are smooth: neighbouring hours resemble each other, neighbouring weekdays need not."""
SMOOTHNESS: Final = 0.6
"""How much of a cycle a smooth season's neighbourhood spans."""
DAYS_APART: Final = 0.5
"""The same for the days of a week."""


@dataclass(frozen=True)
class Kernel:
    """One model: variances relative to the noise, times in steps of the series.

    ``walk`` is the variance that the level gains per step; ``season`` that of the repeating pattern; ``memory`` and
    ``memory_length`` the variance and length of a passing deviation.
    """

    walk: float
    season: float
    memory: float
    memory_length: float
    week: float = 0.0


@dataclass(frozen=True)
class Grid:
    """The models of one frequency and the season's period in steps."""

    kernels: tuple[Kernel, ...]
    period: int


@dataclass(frozen=True)
class Factors:
    """What a set of models knows before the data: all arrays have the models on their first axis.

    ``whiten`` (n, n) turns observations into independent ones; ``project`` (h, n) gives the mean of the
    future; ``spread`` (h, h) its covariance relative to the noise; ``basis`` (n, b) the whitened slope and
    steps, ``norm`` (b,) their squares and ``product`` (b,) with the slope, ``future`` (h, b) what of them the future
    holds; ``log_det`` of each model.
    """

    whiten: Array
    project: Array
    spread: Array
    basis: Array
    norm: Array
    product: Array
    future: Array
    log_det: Array


def season_kernel(lags: Array, period: int) -> Array:
    """Return the covariance of a zero-sum pattern of ``period`` steps, of variance one."""
    same = (np.mod(lags, period) == 0).astype(float)
    return np.asarray((same - 1.0 / period) * period / (period - 1.0))


def smooth_season_kernel(lags: Array, period: int, smoothness: float = SMOOTHNESS) -> Array:
    """Return MacKay's periodic covariance (1998): neighbours in the cycle resemble each other."""
    return np.asarray(np.exp(-2.0 * (np.sin(np.pi * lags / period) / smoothness) ** 2))


class Covariances:
    """The covariance (m, m) of any kernel at ``times``; what kernels have in common is computed once."""

    def __init__(self, times: Array, period: int) -> None:
        """Take the ``times`` (m,) and the season's ``period``, all in steps."""
        self._lags = np.abs(times[:, None] - times[None, :])
        self._walk = 0.5 * WALK_MEMORY * np.exp(-self._lags / WALK_MEMORY)
        self._season = season_kernel(self._lags, period)
        if period > LONG_PERIOD:
            self._season = 0.3 * self._season + 0.7 * smooth_season_kernel(self._lags, period)
        self._week = smooth_season_kernel(self._lags, 7 * period, DAYS_APART)
        self._passing: dict[float, Array] = {}

    def of(self, kernel: Kernel) -> Array:
        """Return the covariance of the smooth part, relative to the noise."""
        total = LEVEL_VARIANCE + kernel.walk * self._walk + kernel.season * self._season
        if kernel.week:
            total += kernel.week * self._week
        if kernel.memory:
            total += kernel.memory * self._decay(kernel.memory_length)
        return np.asarray(total)

    def _decay(self, length: float) -> Array:
        if length not in self._passing:
            self._passing[length] = np.exp(-self._lags / length)
        return self._passing[length]


def trend_basis(times: Array, step_starts: Array, unit: int) -> Array:
    """Return (m, 1 + steps): a slope per ``unit`` steps of time and a step at each of ``step_starts``."""
    slope = times[:, None] / unit
    steps = (times[:, None] >= step_starts[None, :]).astype(float)
    return np.hstack([slope, steps])


@dataclass(frozen=True)
class Layout:
    """What the factors depend on: which steps were seen (one byte each, 1: seen), the horizon in steps, the
    places where the level may have stepped, the steps in which a slope is counted and how it fades ahead."""

    seen: bytes
    horizon: int
    steps: tuple[int, ...]
    slope_unit: int
    damping: float

    @property
    def past(self) -> Array:
        """Return the times that were seen, in steps."""
        return np.flatnonzero(np.frombuffer(self.seen, dtype=np.uint8)).astype(float)

    @property
    def future(self) -> Array:
        """Return the times ahead, in steps."""
        return len(self.seen) + np.arange(self.horizon, dtype=float)

    def bases(self) -> tuple[Array, Array]:
        """Return the slope (per ``slope_unit`` steps, zero at the last value) and the steps, in the past and ahead."""
        past, steps = self.past, np.array(self.steps, dtype=float)
        last = past[-1]
        ahead = trend_basis(damped(self.future - last, self.damping), steps - last, self.slope_unit)
        ahead[:, 1:] = 1.0
        return trend_basis(past - last, steps - last, self.slope_unit), ahead


def factors(grid: Grid, layout: Layout) -> Factors:
    """Return what the models of ``grid`` know for ``layout`` before they see a value; kept for the usual horizons."""
    return _kept(grid, layout) if layout.horizon <= KEPT_HORIZON else _build(grid, layout)


@lru_cache(maxsize=16)
def _kept(grid: Grid, layout: Layout) -> Factors:
    return _build(grid, layout)


def _build(grid: Grid, layout: Layout) -> Factors:
    past, bases = layout.past, layout.bases()
    covariances = Covariances(np.concatenate([past, layout.future]), grid.period)
    parts = [_factor(covariances.of(kernel), len(past), bases) for kernel in grid.kernels]
    return Factors(**{name: np.stack([part[name] for part in parts]) for name in parts[0]})


def _factor(joint: Array, n: int, bases: tuple[Array, Array]) -> dict[str, Array]:
    """Return the factors of one model from its covariance over the ``n`` times seen and the ones ahead."""
    factor = np.linalg.cholesky(joint[:n, :n] + np.eye(n))
    whiten = solve_triangular(factor, np.eye(n), lower=True, check_finite=False)
    cross = whiten @ joint[:n, n:]
    project = cross.T @ whiten
    basis, ahead = bases
    whitened = whiten @ basis
    return {
        "whiten": whiten,
        "project": project,
        "spread": joint[n:, n:] - cross.T @ cross,
        "basis": whitened,
        "norm": np.einsum("nb,nb->b", whitened, whitened),
        "product": whitened[:, 0] @ whitened,
        "future": ahead - project @ basis,
        "log_det": 2.0 * np.log(np.diag(factor)).sum(),
    }


def damped(ahead: Array, damping: float) -> Array:
    """Return how far a slope has carried after ``ahead`` steps when it fades with ``damping`` a step."""
    if damping >= 1.0:
        return ahead
    return np.asarray((1.0 - damping**ahead) * damping / (1.0 - damping))
