"""What a history must be before anything is forecast from it.

AnalyticsError
├── NotEnoughData ── TooShort      fewer finite values than the method needs; also a ValueError
└── UserInputError ── BadInput     a wrong index, values or parameters
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asahi_analytics.errors import NotEnoughData, UserInputError
from asahi_analytics.forecasting.kernels import Array
from asahi_analytics.numbers import floats_of

DAY: Final = pd.Timedelta(days=1)
HOUR: Final = pd.Timedelta(hours=1)
FEWEST: Final = 2
LONGEST_HORIZON: Final = 750
FESTIVE: Final = frozenset({(12, 24), (12, 25), (12, 26), (1, 1)})
"""Months and days on which most of the world's offices and shops rest."""
YEARS_END: Final = FESTIVE | {(12, day) for day in range(27, 32)}
"""Months and days on which many take their holidays, and a pause is no end."""


def festive(days: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """Return which of ``days`` are festive."""
    return _among(days, FESTIVE)


def _among(days: pd.DatetimeIndex, dates: Set[tuple[int, int]]) -> NDArray[np.bool_]:
    return np.array([date in dates for date in zip(days.month, days.day, strict=True)], dtype=bool)


class TooShort(NotEnoughData, ValueError):  # noqa: N818  (as its parent)
    """The history holds too few finite values; the message says how many there are and how many it takes."""


class BadInput(UserInputError):  # noqa: N818  (reads better where it is raised)
    """The history, the horizon, the confidence or the method cannot be used; the message says what to pass."""


@dataclass(frozen=True)
class History:
    """A checked history: ``values`` (n,) dollars a step (NaN: missing), the ``step`` and the time of the ``next``."""

    values: Array
    step: pd.Timedelta
    following: pd.Timestamp

    @property
    def hourly(self) -> bool:
        """Whether a step is an hour (else a day)."""
        return bool(self.step == HOUR)

    def future(self, horizon: int) -> pd.DatetimeIndex:
        """Return the times of the ``horizon`` steps after the history."""
        return pd.date_range(self.following, periods=horizon, freq=self.step)

    @property
    def was_festive(self) -> NDArray[np.bool_]:
        """Which of the days of the history (n,) were festive; hours never are."""
        return festive(self._past) & (not self.hourly)

    @property
    def at_years_end(self) -> NDArray[np.bool_]:
        """Which of the steps of the history (n,) lay from 24 December to 1 January."""
        return _among(self._past, YEARS_END)

    @property
    def _past(self) -> pd.DatetimeIndex:
        return pd.date_range(end=self.following - self.step, periods=len(self.values), freq=self.step)

    def festive(self, horizon: int) -> NDArray[np.bool_]:
        """Return (horizon,) which of the days after the history are festive; hours never are."""
        return festive(self.future(horizon)) & (not self.hourly)


def check_history(history: pd.Series) -> History:
    """Return ``history`` checked and copied; NaN stays NaN.

    Raises ``BadInput`` for anything but a numeric series of finite or missing values, none negative, on a
    regular daily or hourly UTC ``DatetimeIndex``, and ``TooShort`` for fewer than two finite values.
    """
    values = floats_of(history, "history", BadInput)
    index = history.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None or _offset(index):
        raise BadInput(
            f"history needs a DatetimeIndex in UTC, got {_describe(index)}; tz_localize or tz_convert it"
        )
    _check_dollars(values)
    finite = int(np.isfinite(values).sum())
    if finite < FEWEST:
        raise TooShort(f"a forecast needs at least {FEWEST} finite values, the history has {finite}")
    step = _step(index)
    return History(values, step, index[-1] + step)


def _offset(index: pd.DatetimeIndex) -> bool:
    return any(moment.utcoffset() for moment in (index[0], index[-1])) if len(index) else False


def _describe(index: pd.Index) -> str:
    if isinstance(index, pd.DatetimeIndex):
        return f"DatetimeIndex with time zone {index.tz}"
    return type(index).__name__


def _check_dollars(values: Array) -> None:
    if np.isinf(values).any():
        raise BadInput(
            f"history holds {int(np.isinf(values).sum())} infinite values; pass NaN for missing ones"
        )
    if (values < 0).any():
        raise BadInput(
            f"history holds negative values, the first {values[values < 0][0]:g}; spend is never below zero"
        )


def _step(index: pd.DatetimeIndex) -> pd.Timedelta:
    gaps = np.unique(np.diff(index.asi8))
    unit = pd.Timedelta(1, unit=index.unit)
    if len(gaps) != 1:
        raise BadInput(
            "history needs a regular index, one row a day or an hour; reindex it, missing values as NaN"
        )
    step = pd.Timedelta(int(gaps[0]) * unit)
    if step not in (DAY, HOUR):
        raise BadInput(f"history must have one row a day or one an hour, in order; its rows are {step} apart")
    return step


def check_horizon(horizon: int) -> int:
    """Return ``horizon`` in steps; raise ``BadInput`` unless it is a whole number from 1 to ``LONGEST_HORIZON``."""
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer):
        raise BadInput(f"horizon must be a whole number of steps, got {horizon!r}")
    if not 1 <= horizon <= LONGEST_HORIZON:
        raise BadInput(f"horizon must be from 1 to {LONGEST_HORIZON} steps, got {horizon}")
    return int(horizon)


def check_confidence(confidence: float) -> float:
    """Return ``confidence``; raise ``BadInput`` unless it lies strictly between 0 and 1."""
    if isinstance(confidence, bool) or not isinstance(confidence, int | float | np.floating):
        raise BadInput(f"confidence must be a number between 0 and 1, got {confidence!r}")
    if not 0.0 < confidence < 1.0:
        raise BadInput(f"confidence must lie strictly between 0 and 1, such as 0.95, got {confidence}")
    return float(confidence)
