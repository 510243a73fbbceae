"""A regular series, or several of the same bins, as an array with its geometry; and the causal windows over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from asahi_analytics.errors import UserInputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DAY_SECONDS: Final = 86_400.0
UTC_NAMES: Final = ("UTC", "UTC+00:00", "Etc/UTC", "GMT", "Z", "tzutc()")


@dataclass(frozen=True)
class Bins:
    """``values`` of equal bins along the last axis, ``step`` seconds each; NaN is a bin of which nothing is known."""

    values: Floats
    step: float

    def __len__(self) -> int:
        """Return the number of bins."""
        return int(self.values.shape[-1])

    @property
    def per_day(self) -> int:
        """Bins in a day, at least one."""
        return max(1, round(DAY_SECONDS / self.step))

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
    return Bins(floats, step)


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


def past(values: Floats, bins: int, how: How, at_least: int = 1) -> Floats:
    """Return ``how`` of the ``bins`` values before each one; NaN where fewer than ``at_least`` are known."""
    rolling = by_bin(values).rolling(bins, min_periods=min(at_least, bins))
    rolled = rolling.quantile(how[1]) if isinstance(how, tuple) else getattr(rolling, how)()
    return before(rolled.to_numpy().T)


def by_bin(values: Floats) -> pd.Series | pd.DataFrame:
    """Return ``values`` as pandas with a row for each bin."""
    return pd.Series(values) if values.ndim == 1 else pd.DataFrame(values.T)


def before(values: Floats) -> Floats:
    """Return the value before each one, NaN for the first."""
    shifted = np.empty_like(values)
    shifted[..., :1] = np.nan
    shifted[..., 1:] = values[..., :-1]
    return shifted


def persistent(candidate: Bools) -> Bools:
    """Return where ``candidate`` holds and held in one of the two bins before."""
    once = np.zeros_like(candidate)
    once[..., 1:] = candidate[..., :-1]
    twice = np.zeros_like(candidate)
    twice[..., 2:] = candidate[..., :-2]
    return candidate & (once | twice)
