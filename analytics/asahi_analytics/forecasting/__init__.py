"""What spend will be, with intervals that hold: pure statistics and the model that asks the engine for history."""

from asahi_analytics.forecasting.history import BadInput, TooShort
from asahi_analytics.forecasting.series import METHODS, Method, SeriesForecast, forecast_series

__all__ = ["METHODS", "BadInput", "Method", "SeriesForecast", "TooShort", "forecast_series"]
