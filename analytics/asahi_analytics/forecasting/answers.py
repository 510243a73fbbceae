"""What the forecasts answer, as pydantic models: the JSON of the service and its OpenAPI document come from them.

Money is in dollars, ratios are 0-1, names in ``_pct`` are percent. ``null`` means that there is no such number
(too little history), never zero.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from asahi_analytics.composer import Trust

TrendDirection = Literal["increasing", "decreasing", "stable"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Backtest(_Value):
    """How the same method would have done on the very history: forecasts from earlier days, against what came."""

    folds: int = Field(description="Forecasts made; each saw only the days before it.")
    horizon_days: int = Field(description="Days that each forecast looked ahead.")
    mape_pct: float | None = Field(description="Mean absolute error of the totals in percent of what came.")
    coverage: float | None = Field(description="Share of the folds whose total fell into the interval, 0-1.")
    other_methods_mape_pct: dict[str, float] = Field(description="The same error of the plain methods.")


class ForecastDay(_Value):
    """One day ahead."""

    timestamp: datetime = Field(description="Start of the day, UTC.")
    mean: float
    low: float
    high: float


class GroupForecast(_Value):
    """The forecast of one model, task type, tier or user."""

    predicted_cost: float
    confidence_low: float
    confidence_high: float
    trend: TrendDirection
    method: str


class ForecastAnswer(_Value):
    """What every forecast says about itself."""

    period: str = Field(description="What is forecast, in words.")
    start: datetime = Field(description="Start of the first day ahead: today's midnight, UTC.")
    end: datetime = Field(description="End of the last day ahead.")
    horizon_days: int
    confidence: float = Field(description="Probability that the interval is meant to hold, 0-1.")
    trend: TrendDirection = Field(
        description="Increasing or decreasing only where the change is significant."
    )
    trend_pct_per_week: float | None = Field(description="Estimated growth in percent a week.")
    warning: str | None = Field(description="What limits this forecast; null when nothing does.")
    method: str = Field(description="How the forecast was made.")
    history_days: int = Field(description="Days from the first that counts to yesterday.")
    history_coverage: float | None = Field(description="Share of those days with a usable value, 0-1.")
    trust: Trust = Field(description="How far the history can be trusted.")


class Forecast(ForecastAnswer):
    """What will be spent."""

    predicted_cost: float | None = Field(description="Dollars over the horizon: as likely more as less.")
    confidence_low: float | None = Field(description="Lower end of the interval of the total, in dollars.")
    confidence_high: float | None = Field(description="Upper end of the interval of the total, in dollars.")
    group_by: str | None
    name: str | None = Field(description="The one model, task type, tier or user; null: all of them.")
    backtest: Backtest
    days: list[ForecastDay] = Field(description="Each day ahead with its own interval, in dollars.")
    breakdown: dict[str, GroupForecast] = Field(description="By name, largest first; empty without group_by.")


class HitRateForecast(ForecastAnswer):
    """What share of the cache look-ups will hit."""

    predicted_hit_rate: float | None = Field(description="Mean over the horizon, 0-1.")
    confidence_low: float | None = Field(description="Lower end of its interval, 0-1.")
    confidence_high: float | None = Field(description="Upper end of its interval, 0-1.")
    tier: str | None = Field(description="The cache tier; null: all look-ups.")
