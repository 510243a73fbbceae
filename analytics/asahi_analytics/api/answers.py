"""Answers that are lists elsewhere: an HTTP answer is an object, so that it can grow."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from asahi_analytics.forecasting import BudgetRisk, Forecast
from asahi_analytics.recommendations import Recommendation


class CostForecast(Forecast):
    """What will be spent, and whether a monthly budget lasts."""

    budget_risk: BudgetRisk | None = Field(
        description="Where monthly_budget stands; null when it was not given."
    )


class Recommendations(BaseModel):
    """What to change."""

    model_config = ConfigDict(frozen=True)

    generated_at: datetime = Field(description="End of the traffic that was looked at.")
    recommendations: list[Recommendation] = Field(
        description="The most urgent first; empty where nothing is to be gained or there is too little traffic. "
        "Each saving is counted by itself; some are of the same dollars."
    )
