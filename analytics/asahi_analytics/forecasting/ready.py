"""What can be worked out before anything is known: it takes longer than a forecast, which need not wait for it."""

from __future__ import annotations

import pandas as pd

from asahi_analytics.forecasting.backtest import backtest
from asahi_analytics.forecasting.model import HISTORY_DAYS, Question
from asahi_analytics.forecasting.series import forecast_series


def prepare(history_days: int = HISTORY_DAYS) -> None:
    """Work out what the models for so many days know before they see a value, and keep it for every forecast.

    It depends on how many days were seen and how many lie ahead, not on what was spent, so any days will do.
    """
    usual = Question()
    days = pd.date_range("2024-01-01", periods=history_days, freq="D", tz="UTC")
    history = pd.Series(1.0, index=days)
    forecast_series(history, usual.horizon_days, usual.confidence, usual.method)
    backtest(history, usual.horizon_days, usual.confidence, usual.method)
