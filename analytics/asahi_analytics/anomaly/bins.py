"""A regular series, or several of the same bins, as an array with its geometry; and the causal windows over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.indexers import BaseIndexer

from asahi_analytics.errors import UserInputError
from asahi_analytics.numbers import floats_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Number = TypeVar("Number", np.float64, np.int64)

DAY_SECONDS: Final = 86_400.0
UNIX_WEEKDAY: Final = 3
"""The first day of Unix time was a Thursday."""
UTC_NAMES: Final = ("UTC", "UTC+00:00", "Etc/UTC", "GMT", "Z", "tzutc()")


@dataclass(frozen=True)
class Bins:
    """``values`` of equal bins along the last axis, ``step`` seconds each, from ``start`` (Unix time, s) on.

    NaN is a bin of which nothing is known.
    """

    values: Floats
    step: float
    start: float = 0.0

    def __len__(self) -> int:
        """Return the number of bins."""
        return int(self.values.shape[-1])

    @property
    def per_day(self) -> int:
        """Bins in a day, at least one."""
        return max(1, round(DAY_SECONDS / self.step))

    @property
    def weekdays(self) -> npt.NDArray[np.int64]:
        """Day of the week of each bin in UTC, Monday is 0."""
        days = np.floor((self.start + self.step * np.arange(len(self))) / DAY_SECONDS).astype(np.int64)
        weekdays: npt.NDArray[np.int64] = (days + UNIX_WEEKDAY) % 7
        return weekdays

    def within(self, hours: float, at_least: int = 1) -> int:
        """Return how many bins ``hours`` hold."""
        return max(at_least, round(hours * 3600 / self.step))


def bins_of(values: pd.Series, name: str = "values") -> Bins:
    """Return ``values`` as bins; infinite values count as missing.

    Raises ``UserInputError`` unless it is a numeric series on a regular, increasing UTC ``DatetimeIndex``.
    """
    floats = floats_of(values, name)
    step, start = geometry(values.index, name)
    floats[~np.isfinite(floats)] = np.nan
    return Bins(floats, step, start)


def geometry(index: pd.Index, name: str) -> tuple[float, float]:
    """Return the length of the bins that begin at ``index``, seconds, and the first's start, Unix time in seconds.

    Raises ``UserInputError``, with ``name``, unless it is a regular, increasing UTC ``DatetimeIndex``.
    """
    if not isinstance(index, pd.DatetimeIndex):
        raise UserInputError(f"{name} must have a DatetimeIndex, got {type(index).__name__}")
    if index.tz is None or str(index.tz) not in UTC_NAMES:
        raise UserInputError(f"{name} must be in UTC, got {'no time zone' if index.tz is None else index.tz}")
    if len(index) < 2:
        return 600.0, index[0].timestamp() if len(index) else 0.0
    times = index.as_unit("ns").asi8
    steps = np.diff(times)
    if steps[0] <= 0 or np.any(steps != steps[0]):
        raise UserInputError(
            f"{name} must have a regular, increasing index: steps run from "
            f"{pd.Timedelta(int(steps.min()))} to {pd.Timedelta(int(steps.max()))}; "
            "reindex it, and leave NaN where nothing is known"
        )
    return float(steps[0]) / 1e9, index[0].timestamp()


How = Literal["mean", "median"] | tuple[Literal["quantile"], float]
NARROW: Final = 40
"""Windows of so many bins are looked through one by one; a wider one is made from the one before."""


def past(values: Floats, bins: int, how: How, at_least: int = 1) -> Floats:
    """Return ``how`` of the ``bins`` values before each one; NaN where fewer than ``at_least`` are known.

    Infinite values count as unknown.
    """
    return before(windowed(values, bins, how, at_least))


def windowed(values: Floats, bins: int, how: How, at_least: int = 1, ahead: int = 0) -> Floats:
    """Return ``how`` of the ``bins`` values that end ``ahead`` bins after each one, as ``past`` does."""
    if not values.size:
        return np.empty_like(values)
    if ahead:
        unknown = np.full((*values.shape[:-1], ahead), np.nan)
        return windowed(np.concatenate([values, unknown], axis=-1), bins, how, at_least)[..., ahead:]
    at_least = min(at_least, bins)
    if bins <= NARROW:
        return _narrow(values, bins, how, at_least)
    return _wide(values, bins, how, at_least)


def highest(values: Floats, bins: int) -> Floats:
    """Return the highest of the ``bins`` values that end with each one, NaN where none is known.

    Of twice as many at a time: the highest of some bins and of as many before them is that of both.
    """
    found, width = values.copy(), 1
    while width < min(bins, values.shape[-1]):
        more = min(width, bins - width)
        found[..., more:] = np.fmax(found[..., more:], found[..., :-more])
        width += more
    return found


def _narrow(values: Floats, bins: int, how: How, at_least: int) -> Floats:
    count, known = values.shape[-1], np.isfinite(values)
    rest = np.full((*values.shape[:-1], bins - 1), np.nan)
    padded = np.concatenate([rest, np.where(known, values, np.nan)], axis=-1)
    seen = summed(np.isfinite(padded).astype(np.int64), bins)[..., bins - 1 :]
    found: Floats
    if how == "mean":
        filled = np.nan_to_num(padded)
        total = np.zeros(values.shape)
        for place in range(bins):
            total += filled[..., place : place + count]
        found = total / np.maximum(seen, 1)
    else:
        windows = np.lib.stride_tricks.sliding_window_view(padded, bins, axis=-1)
        found = of_sorted(np.sort(windows, axis=-1), seen, how[1] if isinstance(how, tuple) else 0.5)
    found[seen < at_least] = np.nan
    return found


class _EachAlone(BaseIndexer):
    """Windows of ``window_size`` values over rows of ``row_size`` that stand one after the other; none holds two."""

    window_size: int
    row_size: int

    def get_window_bounds(
        self,
        num_values: int = 0,
        min_periods: int | None = None,  # noqa: ARG002  (pandas' signature)
        center: bool | None = None,  # noqa: ARG002
        closed: str | None = None,  # noqa: ARG002
        step: int | None = None,  # noqa: ARG002
    ) -> tuple[Counts, Counts]:
        """Return where the window of each value begins and one past where it ends."""
        place = np.arange(num_values, dtype=np.int64)
        return np.maximum(place - place % self.row_size, place + 1 - self.window_size), place + 1


def _wide(values: Floats, bins: int, how: How, at_least: int) -> Floats:
    """Roll over all series as if they were one, beginning anew with each; a single one needs no more than the width."""
    count = values.shape[-1]
    windows = bins if count == values.size else _EachAlone(window_size=bins, row_size=count)
    rolling = pd.Series(values.ravel()).rolling(windows, min_periods=at_least)
    rolled = rolling.quantile(how[1]) if isinstance(how, tuple) else getattr(rolling, how)()
    found: Floats = rolled.to_numpy().reshape(values.shape).copy()
    return found


def nanquantile(values: Floats, quantile: float) -> Floats:
    """Return the ``quantile`` over the last axis, of what is known; NaN where nothing is.

    Sorting puts NaN last, so that those of the known ones are found without a loop; linear between two of them.
    """
    return of_sorted(np.sort(values, axis=-1), counted(~np.isnan(values)), quantile)


def of_sorted(ordered: Floats, known: Counts, quantile: float) -> Floats:
    """Return the ``quantile`` over the last axis of what is in order, the ``known`` values first."""
    last = np.maximum(known - 1, 0)
    position = quantile * last
    low = position.astype(np.int64)
    width = ordered.shape[-1]
    first = np.arange(0, ordered.size, width).reshape(low.shape)
    flat = ordered.ravel()
    below, above = flat[first + low], flat[first + np.minimum(low + 1, last)]
    found: Floats = below + (above - below) * (position - low)
    return found


def share_of(flags: Bools, bins: int) -> Floats:
    """Return for each bin which share of the ``bins`` before it ``flags`` holds in; what was before counts as not."""
    return before(summed(flags.astype(np.float64), bins)) / bins


def summed(values: npt.NDArray[Number], bins: int) -> npt.NDArray[Number]:
    """Return the sum over the ``bins`` that end with each one."""
    total = np.cumsum(values, axis=-1)
    total[..., bins:] -= total[..., :-bins].copy()
    return total


def counted(flags: Bools) -> Counts:
    """Return how many of ``flags`` hold along the last axis: what numpy's sum does, several times as quick."""
    count: Counts = np.einsum("...i->...", flags.view(np.int8), dtype=np.int32).astype(np.int64)
    return count


def before(values: Floats) -> Floats:
    """Return the value before each one, NaN for the first."""
    return lagged(values, 1)


def lagged(values: Floats, count: int) -> Floats:
    """Return the values ``count`` bins (one or more) before each one, NaN before the start."""
    shifted = np.full_like(values, np.nan)
    shifted[..., count:] = values[..., :-count]
    return shifted


def each_row(flags: Bools, *arrays: npt.NDArray[Any]) -> Iterator[tuple[list[int], list[npt.NDArray[Any]]]]:
    """Yield for each series in which ``flags`` hold where they do, and that series of each of ``arrays`` (views)."""
    if not flags.any():
        return
    tables = [array.reshape(-1, flags.shape[-1]) for array in (flags, *arrays)]
    for number in np.flatnonzero(tables[0].any(axis=-1)):
        yield np.flatnonzero(tables[0][number]).tolist(), [table[number] for table in tables[1:]]


def persistent(candidate: Bools) -> Bools:
    """Return where ``candidate`` holds and held in one of the two bins before."""
    once = np.zeros_like(candidate)
    once[..., 1:] = candidate[..., :-1]
    twice = np.zeros_like(candidate)
    twice[..., 2:] = candidate[..., :-2]
    return candidate & (once | twice)
