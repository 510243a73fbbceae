"""Every endpoint of the API, one line each: path, parameters, answer and the call that gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from asahi_analytics import windows
from asahi_analytics.anomaly import AnomalyReport
from asahi_analytics.api.answers import CostForecast
from asahi_analytics.api.parameters import (
    BaselineParameters,
    BudgetParameters,
    CostBreakdownParameters,
    DriverParameters,
    ForecastParameters,
    HitRateForecastParameters,
    Parameters,
    TrendParameters,
    WindowParameters,
)
from asahi_analytics.api.problems import InvalidParameters, ParameterProblem
from asahi_analytics.api.service import Service
from asahi_analytics.budget import BudgetReport
from asahi_analytics.errors import UserInputError
from asahi_analytics.forecasting import HitRateForecast
from asahi_analytics.models import (
    BaselineComparison,
    CachePerformance,
    CostBreakdown,
    CostDrivers,
    LatencyPercentiles,
    Trend,
)
from asahi_analytics.recommendations import AdviceReport
from asahi_analytics.windows import Window

Handler = Callable[[Service, Any], BaseModel]
"""Gets the service and an instance of the endpoint's own parameters."""


@dataclass(frozen=True)
class Endpoint:
    """One GET endpoint; ``handle`` returns an instance of ``answer``, which stands for ``stands_seconds`` or more."""

    path: str
    summary: str
    parameters: type[Parameters]
    answer: type[BaseModel]
    handle: Handler
    stands_seconds: float = 0.0


def cost_breakdown(service: Service, given: CostBreakdownParameters) -> CostBreakdown:
    """Answer ``/analytics/cost-breakdown``."""
    return service.engine.cost_breakdown(given.period, given.group_by, _window(service, given))


def trends(service: Service, given: TrendParameters) -> Trend:
    """Answer ``/analytics/trends``."""
    return service.engine.trend(given.metric, given.period, given.intervals)


def baseline(service: Service, given: BaselineParameters) -> BaselineComparison:
    """Answer ``/analytics/baseline``."""
    return service.engine.compare_to_baseline(
        given.period, given.group_by, _window(service, given), given.baseline_model
    )


def top_cost_drivers(service: Service, given: DriverParameters) -> CostDrivers:
    """Answer ``/analytics/top-cost-drivers``."""
    return service.engine.top_cost_drivers(given.limit, given.period, _window(service, given))


def cache_performance(service: Service, given: WindowParameters) -> CachePerformance:
    """Answer ``/analytics/cache-performance``."""
    return service.engine.cache_performance(given.period, _window(service, given))


def latency_percentiles(service: Service, given: WindowParameters) -> LatencyPercentiles:
    """Answer ``/analytics/latency-percentiles``."""
    return service.engine.latency_percentiles(given.period, _window(service, given))


def forecast(service: Service, given: ForecastParameters) -> CostForecast:
    """Answer ``/analytics/forecast``."""
    model = service.forecasting
    found = model.predict_cost(given.horizon_days, given.confidence, given.group_by, given.name, given.method)
    risk = None
    if given.monthly_budget is not None:
        group_by = given.group_by if given.name is not None else None
        risk = model.detect_budget_risk(given.monthly_budget, given.confidence, group_by, given.name)
    return CostForecast(**dict(found), budget_risk=risk)


def budgets(service: Service, given: BudgetParameters) -> BudgetReport:
    """Answer ``/analytics/budgets``."""
    return service.budgets.report(given.confidence)


def hit_rate_forecast(service: Service, given: HitRateForecastParameters) -> HitRateForecast:
    """Answer ``/analytics/forecast/cache-hit-rate``."""
    return service.forecasting.predict_cache_hit_rate(given.horizon_days, given.confidence, given.tier)


def anomalies(service: Service, _given: Parameters) -> AnomalyReport:
    """Answer ``/analytics/anomalies``."""
    return service.detector.report()


def recommendations(service: Service, _given: Parameters) -> AdviceReport:
    """Answer ``/analytics/recommendations``."""
    return service.recommendations.report()


def _window(service: Service, given: WindowParameters) -> Window | None:
    if given.window is None:
        return None
    try:
        return windows.parse(given.window, service.engine.clock(), service.engine.settings.zone)
    except UserInputError as error:
        raise InvalidParameters([ParameterProblem(name="window", detail=str(error))]) from error


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "/analytics/cost-breakdown",
        "Dollars spent, by one label",
        CostBreakdownParameters,
        CostBreakdown,
        cost_breakdown,
    ),
    Endpoint("/analytics/trends", "A metric over time", TrendParameters, Trend, trends),
    Endpoint(
        "/analytics/baseline",
        "Cost and savings against the baseline",
        BaselineParameters,
        BaselineComparison,
        baseline,
    ),
    Endpoint(
        "/analytics/top-cost-drivers",
        "What money is spent on most",
        DriverParameters,
        CostDrivers,
        top_cost_drivers,
    ),
    Endpoint(
        "/analytics/cache-performance",
        "What the cache did",
        WindowParameters,
        CachePerformance,
        cache_performance,
    ),
    Endpoint(
        "/analytics/latency-percentiles",
        "Latency percentiles from the histogram",
        WindowParameters,
        LatencyPercentiles,
        latency_percentiles,
    ),
    Endpoint("/analytics/forecast", "What will be spent", ForecastParameters, CostForecast, forecast),
    Endpoint(
        "/analytics/forecast/cache-hit-rate",
        "What share of cache look-ups will hit",
        HitRateForecastParameters,
        HitRateForecast,
        hit_rate_forecast,
    ),
    Endpoint("/analytics/budgets", "Do the month's budgets last?", BudgetParameters, BudgetReport, budgets),
    Endpoint(
        "/analytics/anomalies",
        "What just went wrong, and why",
        Parameters,
        AnomalyReport,
        anomalies,
        stands_seconds=60.0,
    ),
    Endpoint(
        "/analytics/recommendations",
        "What to change",
        Parameters,
        AdviceReport,
        recommendations,
        stands_seconds=60.0,
    ),
)
