"""The one answer that is put together for HTTP alone."""

from __future__ import annotations

from pydantic import Field

from asahi_analytics.forecasting import BudgetRisk, Forecast


class CostForecast(Forecast):
    """What will be spent, and whether a monthly budget lasts."""

    budget_risk: BudgetRisk | None = Field(
        description="Where monthly_budget stands; null when it was not given."
    )
