"""Rolling origins: the forecasts that would have been made on earlier days, against what came.

All folds train on windows of the same length, so that they share one set of factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.forecasting.answers import Backtest
from asahi_analytics.forecasting.kernels import Array
from asahi_analytics.forecasting.series import Method, forecast_series

MAX_FOLDS: Final = 5
LEAST_TRAINING: Final = 14
"""Days that a fold must be able to learn from."""
PLAIN_METHODS: Final[tuple[Method, ...]] = ("ema", "linear")


@dataclass(frozen=True)
class _Fold:
    train: pd.Series
    actual: float


def backtest(history: pd.Series, horizon: int, confidence: float, method: Method = "auto") -> Backtest:
    """Return how ``method`` did on up to five earlier origins of a daily ``history``, without looking ahead.

    Every fold trains on the same number of days, at least ``LEAST_TRAINING``. A horizon too long for that is cut
    down to a third of the history; with less than three weeks there are no folds. Missing days are left out of both
    sides; a fold that lacks more than half of its days or in which nothing was spent is not counted.
    """
    key = (
        (history.index[0].isoformat(), history.to_numpy(dtype=float).tobytes()) if len(history) else ("", b"")
    )
    return _backtest(*key, horizon, confidence, method)


@lru_cache(maxsize=256)
def _backtest(first: str, values: bytes, horizon: int, confidence: float, method: Method) -> Backtest:
    numbers = np.frombuffer(values, dtype=float)
    ahead = max(1, min(horizon, len(numbers) // 3))
    folds = _folds(numbers, first, ahead)
    results = [_judge(fold, ahead, confidence, method) for fold in folds]
    plain = {
        name: _mape([_judge(fold, ahead, confidence, name)[0] for fold in folds]) for name in PLAIN_METHODS
    }
    return Backtest(
        folds=len(folds),
        horizon_days=ahead,
        mape_pct=_mape([error for error, _ in results]),
        coverage=float(np.mean([hit for _, hit in results])) if results else None,
        other_methods_mape_pct={name: value for name, value in plain.items() if value is not None},
    )


def _folds(values: Array, first: str, ahead: int) -> list[_Fold]:
    room = len(values) - ahead - LEAST_TRAINING
    if room < 0 or len(values) < LEAST_TRAINING + 7:
        return []
    count = min(MAX_FOLDS, room + 1)
    stride = max(1, min(ahead, room // max(2 * count, 1) + 1))
    index = pd.date_range(first, periods=len(values), freq="D")
    folds = []
    for number in range(count):
        end = len(values) - ahead - number * stride
        length = len(values) - ahead - (count - 1) * stride
        fold = _fold(
            pd.Series(values[end - length : end], index=index[end - length : end]), values[end : end + ahead]
        )
        if fold is not None:
            folds.append(fold)
    return folds


def _fold(train: pd.Series, actual: Array) -> _Fold | None:
    seen = np.isfinite(actual)
    if seen.mean() < 0.5 or actual[seen].sum() <= 0 or train.count() < LEAST_TRAINING // 2:
        return None
    return _Fold(train, float(actual[seen].sum() / seen.mean()))


def _judge(fold: _Fold, ahead: int, confidence: float, method: Method) -> tuple[float, bool]:
    """Return the absolute relative error of the total and whether its interval held."""
    forecast = forecast_series(fold.train, ahead, confidence, method)
    error = abs(forecast.total - fold.actual) / fold.actual
    return error, forecast.total_low <= fold.actual <= forecast.total_high


def _mape(errors: list[float]) -> float | None:
    return 100.0 * float(np.mean(errors)) if errors else None
