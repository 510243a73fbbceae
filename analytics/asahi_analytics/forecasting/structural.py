"""The default method: a Bayesian average of small structural models of log spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from asahi_analytics.forecasting.festive import Festive, festive_effects
from asahi_analytics.forecasting.kernels import Array, Grid, Kernel, Layout, factors
from asahi_analytics.forecasting.pattern import (
    SEASONS,
    believed,
    closed_phases,
    idle_share,
    lost,
    pattern_of,
    spikes,
    swings,
)
from asahi_analytics.forecasting.posterior import Beliefs, Mixture, infer, joined, mixture_quantiles
from asahi_analytics.forecasting.shifts import Shifts, shifts_of


def _grid(
    period: int,
    walks: Sequence[float],
    seasons: Sequence[float],
    memories: Sequence[tuple[float, float]],
    weeks: Sequence[float] = (0.0,),
) -> Grid:
    """Return every combination of the parts, all equally likely beforehand; a memory is its variance and length."""
    combinations = product(walks, seasons, memories, weeks)
    return Grid(
        tuple(Kernel(walk, season, *memory, week) for walk, season, memory, week in combinations), period
    )


@dataclass(frozen=True)
class Options:
    """Constants of the method; `docs/forecasting-accuracy.md` says how they were chosen.

    ``max_history`` in steps; a step of the level may come ``step_every`` so many steps; ``damping`` of the slope a
    step; ``clip`` (in robust standard deviations) and ``floor`` (in medians) hold single values, and what that
    changed counts half after ``fade`` values; of spikes the part h/(h + ``rare``) comes back in h steps. The
    variance of a total is that of the level, scaled by ``inflate``, plus ``noise_part`` of the noise's (a high day
    is made up for in part), plus spikes that last ``spike_length`` steps, plus ``common`` for what no history
    shows, plus ``doubt`` of the squared distance to the mean of the last ``usual`` steps. One future in six is
    ``vary`` times as uncertain (standard deviation) as that says, one so much less; with ``tail_probability`` it is
    as uncertain as ``tail_scale`` times that, around ``tail_drop`` standard deviations less: what upsets spend (a
    closure, an outage, the end of a campaign) mostly lowers it. The last ``lately`` steps are looked at alone, too,
    and what they say counts ``trust_lately``; each step then moves to the mean of the last ``usual`` by ``pull`` of
    the way, ``reach`` at most; both the less, the surer it is that spend grows or falls. Of how days of the last
    week differ (for hours) that mean has the part ``daily``. ``trust_swings`` is the power with which a total's
    spread follows how the history's own seasons swung. ``shifts_before`` is how many steps of the level count as seen
    beside those of the history, and in how many steps of time; None: none is to come.
    """

    grid: Grid
    beliefs: Beliefs
    max_history: int
    slope_unit: int
    damping: float
    floor: float
    inflate: float
    noise_part: float
    vary: float
    spike_length: float
    common: float
    doubt: float
    usual: int
    fade: float
    tail_probability: float
    tail_scale: float
    tail_drop: float
    step_every: int
    pull: float
    reach: float
    lately: int
    trust_lately: float
    trust_swings: float = 0.0
    shifts_before: tuple[float, float] | None = None
    rare: float = 0.0
    daily: float = 0.0
    clip: float = 3.5


DAILY: Final = Options(
    grid=_grid(7, (0.0, 0.01, 0.15), (3.0, 40.0), ((0.0, 1.0), (1.0, 3.0), (2.0, 30.0))),
    beliefs=Beliefs(
        slope_sizes=(0.005, 0.04), slope_weights=(0.4, 0.6), step_sizes=(0.3,), step_weights=(0.2,)
    ),
    max_history=180,
    slope_unit=7,
    damping=0.99,
    floor=0.3,
    inflate=0.5,
    noise_part=1.0,
    vary=1.5,
    spike_length=1.5,
    common=0.02**2,
    doubt=0.1,
    usual=28,
    fade=21.0,
    tail_probability=0.05,
    tail_scale=2.0,
    tail_drop=2.0,
    step_every=1,
    pull=0.3,
    reach=0.15,
    lately=42,
    trust_lately=0.5,
    trust_swings=0.3,
    shifts_before=(0.3, 90.0),
    rare=14.0,
)
HOURLY: Final = Options(
    grid=_grid(24, (0.0, 0.001, 0.02), (1.0, 30.0), ((0.0, 1.0), (3.0, 12.0)), weeks=(1.0, 30.0)),
    beliefs=Beliefs(
        slope_sizes=(0.005, 0.05), slope_weights=(0.7, 0.3), step_sizes=(0.3,), step_weights=(0.2,)
    ),
    max_history=336,
    slope_unit=168,
    damping=0.999,
    floor=0.1,
    inflate=0.6,
    noise_part=0.6,
    vary=2.0,
    spike_length=2.0,
    common=0.05**2,
    doubt=0.2,
    usual=168,
    fade=96.0,
    tail_probability=0.1,
    tail_scale=2.5,
    tail_drop=0.0,
    step_every=6,
    pull=0.4,
    reach=1.0,
    lately=168,
    trust_lately=0.0,
    daily=0.8,
)
FAR: Final = 3.0
"""Log distance from the usual level beyond which doubt grows no more."""
STILL: Final = 0.03
"""What is added to swings and to the models' spread before they are compared: a quiet season tells little."""
SCARCE: Final = 10.0
"""How many values it takes until a total's variance is no more than doubled for their fewness."""
VARYING: Final = np.array([1.0, 4.0, 1.0]) / 6.0
"""How likely the future is to be less uncertain than the models say, as they say, and more; the three-point rule for a
normal distribution of the logarithm of that (Gauss and Hermite)."""
LONGER: Final = 1.4
"""How many times as long as its recent part a history is at least, for that part to be looked at alone; and how many
times as many steps that part has at most as it has values."""
STEP_MODELS: Final = 24
"""How many models the intervals of single steps are made from."""
MOST_VARIANCE: Final = 4.0
"""Where the correction from median to mean stops growing: beyond it the log-normal's mean means nothing."""


@dataclass(frozen=True)
class LogOutlook:
    """A mixture of models of log spend, ``centre`` added to their locations.

    ``spikes`` is the relative variance of a step beyond the noise, ``usual`` (h,) where log spend would be, without
    ``centre``, if it went on as in the last weeks, and ``opens`` (h,) 0 for the steps that never spend, else 1;
    ``idle`` is the share of the others that spend nothing: as likely, up to one half, a step is 0;
    ``festive`` is what days may be like that are unlike others, its mean contained in the locations;
    ``scarce`` scales the variance of a total up where few values tell about the models; ``swings`` is by how much the
    history's seasons missed those before them (None: not known). ``long`` is what the whole history says of growth,
    ``shifts`` which steps of the level a total may still hold; None: nothing.
    """

    mixture: Mixture
    centre: float
    spikes: float = 0.0
    options: Options = DAILY
    usual: Array | None = None
    opens: Array | None = None
    idle: float = 0.0
    scarce: float = 1.0
    swings: float | None = None
    festive: Festive | None = None
    long: Mixture | None = None
    shifts: Shifts | None = None

    def steps(self, probabilities: Sequence[float]) -> Array:
        """Return the quantiles (p, horizon) of each step."""
        mixture, options = self.mixture, self.options
        best = np.argsort(mixture.weight)[::-1][:STEP_MODELS]
        weight = mixture.weight[best] / mixture.weight[best].sum()
        variance = options.inflate * mixture.own[best] + mixture.noise[best, None] + self.spikes
        weight, location, scale = _varied(
            weight, mixture.location[best], np.sqrt(variance + options.common), options
        )
        wanted = np.asarray(probabilities, dtype=float)
        logs = mixture_quantiles(wanted, weight, location, scale)
        if self.festive is not None:
            days = np.asarray(self.festive.spread > 0.0)
            kinds = self.festive.of(days).around(weight, location[:, days], scale[:, days])
            logs[:, days] = mixture_quantiles(wanted, *kinds)
        spends = wanted >= min(self.idle, 0.5)
        return np.asarray(
            np.exp(logs + self.centre) * self._open(mixture.location.shape[1]) * spends[:, None]
        )

    def total(self, probabilities: Sequence[float], shares: Sequence[float] | None = None) -> Array:
        """Return the quantiles (p,) of the sum of the steps, each counted by its share."""
        counted = self._counted(shares)
        if not counted.any():
            return np.zeros(len(probabilities))
        weight, location, scale = self._whole if shares is None else self._sum(counted)
        wanted = np.asarray(probabilities, dtype=float)
        logs = mixture_quantiles(wanted, weight, location[:, None], scale[:, None])
        return np.asarray(np.exp(logs[:, 0]) * (wanted >= self._nothing(counted.sum())))

    def exceeds(self, dollars: float, shares: Sequence[float] | None = None) -> float:
        """Return the probability that the sum, each step counted by its share, is above ``dollars``."""
        counted = self._counted(shares)
        if dollars <= 0.0 or not counted.any():
            return float(dollars < 0.0 or (dollars == 0.0 and bool(counted.any())))
        weight, location, scale = self._whole if shares is None else self._sum(counted)
        above = float(weight @ ndtr((location - np.log(dollars)) / scale))
        return min(above, 1.0 - self._nothing(counted.sum()))

    def _nothing(self, steps: float) -> float:
        """Return how likely so many open steps spend nothing, up to one half: the middle stays what it is."""
        return float(min(self.idle**steps, 0.5))

    def _open(self, count: int) -> Array:
        return np.ones(count) if self.opens is None else self.opens[:count]

    def _counted(self, shares: Sequence[float] | None) -> Array:
        """Return how much of each of the first steps counts (0-1): nothing of those that never spend."""
        wanted = (
            np.ones(self.mixture.location.shape[1]) if shares is None else np.asarray(shares, dtype=float)
        )
        return np.asarray(wanted * self._open(len(wanted)))

    @cached_property
    def _whole(self) -> tuple[Array, Array, Array]:
        return self._sum(self._counted(None))

    def _sum(self, counted: Array) -> tuple[Array, Array, Array]:
        """Return weight, location and scale of the log-normals of the total (Fenton 1960)."""
        mixture, options, first = self.mixture, self.options, len(counted)
        with np.errstate(divide="ignore"):
            location = mixture.location[:, :first] + self.centre + np.log(counted)
        noise = mixture.noise[:, None]
        half = 0.5 * np.minimum(options.inflate * mixture.own[:, :first] + noise, MOST_VARIANCE)
        peak = location.max()
        means = np.exp(location - peak + half)
        total = means.sum(axis=1)
        share = means / total[:, None]
        typical = mixture.weight @ share
        alone = (share**2).sum(axis=1) * (
            options.noise_part * np.expm1(np.minimum(mixture.noise, MOST_VARIANCE))
            + options.spike_length * self.spikes
        )
        variance = options.inflate * mixture.variance(typical) + np.log1p(alone)
        middle = np.log(total) + peak - 0.5 * np.minimum(variance, MOST_VARIANCE)
        variance = self.scarce * (variance + options.common + self._doubt(typical) + self._unlike(typical))
        centre = mixture.weight @ middle
        times = self._wider(float(np.sqrt(mixture.weight @ (variance + (middle - centre) ** 2))))
        whole = _varied(
            mixture.weight, centre + times * (middle - centre), times * np.sqrt(variance), options
        )
        return whole if self.shifts is None else self.shifts.beside(*whole, horizon=first)

    def _wider(self, spread: float) -> float:
        """Return how many times as wide as the models say (standard deviation ``spread``) a total is: more where the
        history's own seasons swung more than that, less where they swung less."""
        if self.swings is None:
            return 1.0
        return float(((self.swings + STILL) / (spread + STILL)) ** self.options.trust_swings)

    def _unlike(self, typical: Array) -> float:
        """Return the variance that festive days bring, all of them unlike others in the same way."""
        return 0.0 if self.festive is None else float(typical @ self.festive.spread[: len(typical)]) ** 2

    def _doubt(self, typical: Array) -> float:
        """Return the variance that comes with leaving the usual level; ``typical`` (h,) are the steps' shares."""
        if self.usual is None:
            return 0.0
        first = len(typical)
        away = typical @ (self.mixture.weight @ self.mixture.location[:, :first] - self.usual[:first])
        return self.options.doubt * float(np.clip(away, -FAR, FAR)) ** 2


def _varied(weight: Array, middle: Array, scale: Array, options: Options) -> tuple[Array, Array, Array]:
    """Return weight (4m,), location and scale (4m, ...) of ``m`` log-normals four times over: narrower than the models
    say, as they say, wider and, for a few futures in a hundred, wider and lower."""
    times = (1.0 / options.vary, 1.0, options.vary, options.tail_scale)
    likely = np.append((1.0 - options.tail_probability) * VARYING, options.tail_probability)
    return (
        np.outer(likely, weight).ravel(),
        np.concatenate([middle, middle, middle, middle - options.tail_drop * scale]),
        np.concatenate([factor * scale for factor in times]),
    )


def structural(values: Array, options: Options, festive: NDArray[np.bool_]) -> LogOutlook:
    """Return what is to come after ``values`` (NaN: missing, none negative, at least one positive).

    ``festive`` (horizon,) says which of the steps ahead are unlike others of their phase.
    """
    horizon = len(festive)
    values = values[-options.max_history :]
    count, period = len(values), options.grid.period
    closed = closed_phases(values, period)
    seen = np.isfinite(values) & ~closed[np.arange(count) % period]
    x = values[seen]
    pattern = pattern_of(x, np.flatnonzero(seen), period, options.floor, options.clip)
    logs, credible = np.full(count, np.nan), values.copy()
    logs[seen], credible[seen] = pattern.held, believed(x, pattern.held)
    long, middle = structural_mixture(logs, horizon, options)
    up, down = long.moving(0.0)
    unsettled = 1.0 - abs(up - down)
    mixture = _with_lately(long, middle, logs, options, options.trust_lately * unsettled)
    ahead = (count + np.arange(horizon)) % period
    opens = (~closed[ahead]).astype(float)
    back = horizon / (horizon + options.rare)
    recent, ever = (_given_back(lost(x, pattern.held, half), back) for half in (options.fade, np.inf))
    usual = pattern.usual(options.usual) + pattern.season[ahead] - middle + ever - recent
    usual += options.daily * pattern.days_apart(np.flatnonzero(seen) - count, horizon)
    mixture = _pulled(mixture, usual, unsettled * options.pull, options.reach)
    quietest = min(float(pattern.season.min()), np.log(options.floor) if closed.any() else 0.0)
    effects = festive_effects(festive, quietest - pattern.season[ahead])
    mixture, usual = replace(mixture, location=mixture.location + effects.mean), usual + effects.mean
    return LogOutlook(
        mixture,
        middle + recent,
        spikes(x, pattern.held),
        options,
        usual=usual,
        opens=opens,
        idle=idle_share(x[-SEASONS * period :]),
        scarce=1.0 + SCARCE / len(x),
        swings=swings(credible, period),
        festive=effects if festive.any() else None,
        long=long,
        shifts=shifts_of(long, count, options.shifts_before, options.beliefs.step_sizes[-1], options.inflate),
    )


def _given_back(change: float, share: float) -> float:
    """Return the ``share`` of spikes that were held back; zeros that were lifted go down again in full.

    The total is a median: in most weeks there is no rare spike, in most months there is.
    """
    return change * share if change > 0 else change


def _with_lately(long: Mixture, middle: float, logs: Array, options: Options, share: float) -> Mixture:
    """Return the mixture ``long`` of all ``logs`` with the ``share`` given to what the last steps say alone.

    What holds for all of a history need not hold for its end. Histories that are not much longer stay as they are.
    """
    recent = logs[-options.lately :]
    if len(logs) < LONGER * options.lately or np.isfinite(recent).sum() < options.lately / LONGER:
        return long
    short, its_middle = structural_mixture(recent, long.location.shape[1], options)
    short = replace(short, location=short.location + its_middle - middle)
    return joined(long, short, share)


def _pulled(mixture: Mixture, usual: Array, pull: float, reach: float) -> Mixture:
    """Return the mixture with each step moved by ``pull`` of the way to ``usual`` (h,), log spend as in the last weeks,
    of ``reach`` at most."""
    away = np.clip(usual - mixture.weight @ mixture.location, -reach, reach)
    return replace(mixture, location=mixture.location + pull * away)


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
