"""What is prepared before the first forecast: all that does not depend on what was spent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.forecasting import forecast_series, kernels, prepare
from asahi_analytics.forecasting.backtest import backtest

DAYS = 117
"""A length that no other test prepares."""


def history(days: int) -> pd.Series:
    index = pd.date_range("2026-01-05", periods=days, freq="D", tz="UTC")
    return pd.Series(np.random.default_rng(5).lognormal(3.0, 0.2, days), index=index)


def test_a_forecast_of_a_full_history_and_its_back_test_find_everything_prepared(monkeypatch):
    prepare(DAYS)

    def solve(*_arguments, **_options):
        raise AssertionError("factors are worked out again")

    monkeypatch.setattr(kernels, "solve_triangular", solve)
    forecast_series(history(DAYS), 30, 0.95)
    assert backtest(history(DAYS), 30, 0.95).folds
    with pytest.raises(AssertionError, match="again"):
        forecast_series(history(DAYS - 1), 30, 0.95)
