"""A regular series, or several of the same bins, as an array with its geometry; and the causal windows over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from asahi_analytics.errors import UserInputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
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
    if not isinstance(values, pd.Series):
        raise UserInputError(f"{name} must be a pandas Series, got {type(values).__name__}")
    step = _step_seconds(values.index, name)
    try:
        floats = values.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    except (TypeError, ValueError) as error:
        raise UserInputError(f"{name} must hold numbers, got dtype {values.dtype}") from error
    floats[~np.isfinite(floats)] = np.nan
    start = values.index[0].timestamp() if len(values) else 0.0
    return Bins(floats, step, start)


def _step_seconds(index: pd.Index, name: str) -> float:
    if not isinstance(index, pd.DatetimeIndex):
        raise UserInputError(f"{name} must have a DatetimeIndex, got {type(index).__name__}")
    if index.tz is None or str(index.tz) not in UTC_NAMES:
        raise UserInputError(f"{name} must be in UTC, got {'no time zone' if index.tz is None else index.tz}")
    if len(index) < 2:
        return 600.0
    times = index.as_unit("ns").asi8
    steps = np.diff(times)
    if steps[0] <= 0 or np.any(steps != steps[0]):
        raise UserInputError(
            f"{name} must have a regular, increasing index: steps run from "
            f"{pd.Timedelta(int(steps.min()))} to {pd.Timedelta(int(steps.max()))}; "
            "reindex it, and leave NaN where nothing is known"
        )
    return float(steps[0]) / 1e9


How = Literal["mean", "median", "max"] | tuple[Literal["quantile"], float]
NARROW: Final = 40
"""Windows of so many bins are sorted one by one; in wider ones each sorted window is made from the one before."""


def past(values: Floats, bins: int, how: How, at_least: int = 1) -> Floats:
    """Return ``how`` of the ``bins`` values before each one; NaN where fewer than ``at_least`` are known.

    Infinite values count as unknown.
    """
    at_least = min(at_least, bins)
    if bins <= NARROW and how not in ("mean", "max"):
        return _past_sorted(values, bins, how[1] if isinstance(how, tuple) else 0.5, at_least)
    rolling = by_bin(values).rolling(bins, min_periods=at_least)
    rolled = rolling.quantile(how[1]) if isinstance(how, tuple) else getattr(rolling, how)()
    return before(rolled.to_numpy().T)


def _past_sorted(values: Floats, bins: int, quantile: float, at_least: int) -> Floats:
    padded = np.concatenate([np.full((*values.shape[:-1], bins), np.nan), values[..., :-1]], axis=-1)
    finite = np.isfinite(padded)
    padded[~finite] = np.nan
    windows = np.lib.stride_tricks.sliding_window_view(padded, bins, axis=-1)[..., : values.shape[-1], :]
    known = summed(finite.astype(np.int64), bins)[..., bins - 1 :][..., : values.shape[-1]]
    found = _of_sorted(np.sort(windows, axis=-1), known, quantile)
    found[known < at_least] = np.nan
    return found


def nanquantile(values: Floats, quantile: float) -> Floats:
    """Return the ``quantile`` over the last axis, of what is known; NaN where nothing is.

    Sorting puts NaN last, so that those of the known ones are found without a loop; linear between two of them.
    """
    return _of_sorted(np.sort(values, axis=-1), np.sum(~np.isnan(values), axis=-1), quantile)


def _of_sorted(ordered: Floats, known: npt.NDArray[np.int64], quantile: float) -> Floats:
    last = np.maximum(known - 1, 0)
    position = quantile * last
    low = position.astype(np.int64)
    pair = np.stack([low, np.minimum(low + 1, last)], axis=-1)
    below, above = np.moveaxis(np.take_along_axis(ordered, pair, axis=-1), -1, 0)
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


def by_bin(values: Floats) -> pd.Series | pd.DataFrame:
    """Return ``values`` as pandas with a row for each bin."""
    return pd.Series(values) if values.ndim == 1 else pd.DataFrame(values.T)


def before(values: Floats) -> Floats:
    """Return the value before each one, NaN for the first."""
    return lagged(values, 1)


def lagged(values: Floats, count: int) -> Floats:
    """Return the values ``count`` bins (one or more) before each one, NaN before the start."""
    shifted = np.full_like(values, np.nan)
    shifted[..., count:] = values[..., :-count]
    return shifted


def persistent(candidate: Bools) -> Bools:
    """Return where ``candidate`` holds and held in one of the two bins before."""
    once = np.zeros_like(candidate)
    once[..., 1:] = candidate[..., :-1]
    twice = np.zeros_like(candidate)
    twice[..., 2:] = candidate[..., :-2]
    return candidate & (once | twice)
