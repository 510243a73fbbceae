"""The rough pattern of a history: which phases of the season never spend, and what single values are held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from asahi_analytics.forecasting.kernels import Array, Indices

SEASONS: Final = 8
"""How many of the last seasons say whether a phase is closed."""
NOTHING: Final = 0.01
"""Share of the median of positive values up to which a value is as good as none."""
CLOSED: Final = 0.75
"""Share of a phase's values that must be nothing, as the last two must be, for it to count as closed."""
AWAKE: Final = 0.45
"""Share of nothing on the other phases up to which closed ones can be told from chance."""
WITHIN: Final = 0.35
"""How far below its own pattern a value may count."""

LEAST: Final = 0.001
"""Share of the held level that is expected however long nothing came."""
FEWEST_SEASONS: Final = 6
"""How many seasons it takes to tell how much they swing."""
AT_LEAST: Final = 0.05
"""Share of the mean that a season's sum counts at least."""
USUAL: Final = 0.9
"""The share of positive values that are no outliers, whatever their pattern."""


def closed_phases(values: Array, period: int) -> NDArray[np.bool_]:
    """Return (period,) which phases of the season never spend: Sundays, say; phase 0 is that of the first value.

    Only where the others mostly do: a series that spends now and then has no closed days.
    """
    recent = values[-SEASONS * period :]
    phase = np.arange(len(values))[-SEASONS * period :] % period
    nothing = recent <= NOTHING * np.median(values[values > 0])
    closed = np.zeros(period, dtype=bool)
    idle = np.zeros(period)
    for p in range(period):
        mine = nothing[(phase == p) & np.isfinite(recent)]
        idle[p] = mine.mean() if len(mine) else 0.0
        closed[p] = len(mine) >= 3 and bool(mine[-2:].all()) and idle[p] >= CLOSED
    usual = closed.any() and closed.mean() < CLOSED and idle[~closed].mean() <= AWAKE
    return closed if usual else np.zeros(period, dtype=bool)


def idle_share(x: Array) -> float:
    """Return which share of the finite values ``x`` (one or more) is zero."""
    return float((x == 0.0).mean())


@dataclass(frozen=True)
class Pattern:
    """Log spend: ``held`` (n,) within reach of its pattern, ``season`` (period,) by phase, ``phase`` (n,) of each."""

    held: Array
    season: Array
    phase: Indices

    def usual(self, steps: int) -> float:
        """Return the mean of log spend without its season over the last ``steps`` values."""
        return float((self.held - self.season[self.phase])[-steps:].mean())

    def days_apart(self, times: Indices, horizon: int) -> Array:
        """Return (horizon,) how far each of the last seven seasons lay from their mean, in their order ahead.

        ``times`` (n,) are the steps of the values, counted back from the first ahead (-1: the last of history).
        Seasons without a value lie at the mean, and so do all of them in a history of less than seven.
        """
        period = len(self.season)
        week = times >= -7 * period
        if times[0] > -7 * period or not week.any():
            return np.zeros(horizon)
        level = (self.held - self.season[self.phase])[week]
        day = times[week] // period + 7
        counts = np.bincount(day, minlength=7)
        means = np.bincount(day, level, minlength=7) / np.maximum(counts, 1)
        apart = np.where(counts > 0, means - level.mean(), 0.0)
        return np.resize(np.repeat(apart, period), horizon)


def pattern_of(x: Array, times: Indices, period: int, floor: float, reach: float) -> Pattern:
    """Return the pattern of the values ``x`` (n,) seen at ``times`` (n,), in steps.

    Values below ``floor`` medians count as that; where a whole season stays below the median, the highest of it counts
    in its place, so that a level which has fallen far is seen. What lies more than ``reach`` robust standard deviations
    from its own recent pattern is held there.
    """
    logs = np.log(np.maximum(x, floor * _at_most(x, period)))
    phase = np.mod(times, period)
    season = np.zeros(period)
    for _ in range(2):
        level = _running_median(logs - season[phase], 2 * period + 1)
        season = _by_phase(logs - level, phase, season)
    fit = level + season[phase]
    rest = np.maximum(logs - fit, np.log(WITHIN))
    spread = 1.4826 * np.median(np.abs(rest - np.median(rest))) + 0.02
    return Pattern(fit + np.clip(rest, -reach * spread, reach * spread), season, phase)


def _at_most(x: Array, season: int) -> Array:
    """Return (n,) the median of the positive values, or what a ``season`` of values around each stays below, if lower.

    Seasons in which nothing was spent do not count.
    """
    usual = np.full(len(x), np.median(x[x > 0]))
    if len(x) < season:
        return usual
    highest = np.lib.stride_tricks.sliding_window_view(x, season).max(axis=1)
    every = np.pad(np.where(highest > 0, highest, np.inf), season - 1, constant_values=np.inf)
    lowest = np.lib.stride_tricks.sliding_window_view(every, season).min(axis=1)
    return np.asarray(np.minimum(usual, lowest))


def _running_median(logs: Array, width: int) -> Array:
    padded = np.pad(logs, width // 2, mode="reflect" if len(logs) > width // 2 else "edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))


def _by_phase(rest: Array, phase: Indices, before: Array) -> Array:
    """Return the median of ``rest`` for each phase seen three times or more, else what it was ``before``."""
    season = before.copy()
    for p in range(len(season)):
        mine = rest[phase == p]
        if len(mine) >= 3:
            season[p] = np.median(mine)
    return season


def believed(x: Array, held: Array) -> Array:
    """Return the values ``x`` (n,) as far as they are believed to come again: not beyond what nine in ten stay below,
    or 2.7 times the ``held`` one."""
    return np.asarray(np.minimum(x, np.maximum(np.e * np.exp(held), np.quantile(x[x > 0], USUAL))))


def lost(x: Array, held: Array, half: float) -> float:
    """Return the log of what holding changed in the sum: spikes held back and zeros lifted.

    The weight of a value halves every ``half`` values, so that a series which fades away is not lifted for long.
    """
    weight = 0.5 ** (np.arange(len(x))[::-1] / half)
    kept = weight @ np.exp(held)
    return float(np.log((weight @ believed(x, held) + LEAST * kept) / (kept * (1.0 + LEAST))))


def spikes(x: Array, held: Array) -> float:
    """Return the relative variance of a step that holding hid, values beyond four times the held one taken as that."""
    beyond = np.minimum(x, 4.0 * np.exp(held)) / np.exp(held) - 1.0
    return float(np.mean(beyond**2))


def swings(values: Array, period: int) -> float | None:
    """Return by how much the log of a season's mean missed that of the (up to) three before it, root mean square.

    ``values`` (n,), NaN: missing; the last season ends with the last value. The square of a steady change counts
    half. None with fewer than ``FEWEST_SEASONS`` seasons with a value, or nothing in any of them.
    """
    whole = len(values) // period
    seasons = values[len(values) - whole * period :].reshape(whole, period)
    means = np.nanmean(seasons[np.isfinite(seasons).any(axis=1)], axis=1)
    if len(means) < FEWEST_SEASONS or not means.any():
        return None
    logs = np.log(means + AT_LEAST * means.mean())
    missed = np.array([logs[i] - logs[max(i - 3, 0) : i].mean() for i in range(2, len(logs))])
    return float(np.sqrt(np.mean(missed**2) - 0.5 * missed.mean() ** 2))
