"""What spend will be, with intervals that hold: pure statistics and the model that asks the engine for history."""

from asahi_analytics.forecasting.answers import (
    Backtest,
    Forecast,
    ForecastDay,
    GroupForecast,
    HitRateForecast,
)
from asahi_analytics.forecasting.history import BadInput, TooShort
from asahi_analytics.forecasting.model import ForecastingModel
from asahi_analytics.forecasting.ready import prepare
from asahi_analytics.forecasting.risk import BudgetRisk, Plan
from asahi_analytics.forecasting.series import METHODS, Method, SeriesForecast, forecast_series

__all__ = [
    "METHODS",
    "Backtest",
    "BadInput",
    "BudgetRisk",
    "Forecast",
    "ForecastDay",
    "ForecastingModel",
    "GroupForecast",
    "HitRateForecast",
    "Method",
    "Plan",
    "SeriesForecast",
    "TooShort",
    "forecast_series",
    "prepare",
]
