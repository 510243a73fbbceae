"""The objects behind the API, wired together once per process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from asahi_alerts.thresholds import Thresholds
from asahi_analytics import limits
from asahi_analytics.anomaly import AnomalyConfig, AnomalyDetector
from asahi_analytics.api.service_metrics import ServiceMetrics
from asahi_analytics.budget import BudgetCollector, Budgets, load_plans
from asahi_analytics.cache import Refreshed, SingleFlight, TtlCache
from asahi_analytics.composer import Composer
from asahi_analytics.deadline import Deadline, within
from asahi_analytics.engine import AnalyticsEngine, stepped, utc_now
from asahi_analytics.forecasting import ForecastingModel
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.recommendations import RecommendationEngine
from asahi_analytics.settings import Settings
from asahi_analytics.transport import Transport

Answer = TypeVar("Answer")
GAUGES_SECONDS: Final = 60.0
"""How often budgets and the forecast on ``/metrics`` are worked out anew."""


@dataclass(frozen=True)
class Body:
    """An answer as it goes over the wire."""

    content: bytes
    etag: str


@dataclass(frozen=True)
class Service:
    """What the endpoints use; ``answers`` keeps bodies for the seconds that the engine's clock stands still."""

    settings: Settings
    metrics: ServiceMetrics
    engine: AnalyticsEngine
    forecasting: ForecastingModel
    detector: AnomalyDetector
    budgets: Budgets
    recommendations: RecommendationEngine
    thresholds: Thresholds
    answers: TtlCache[str, Body]
    flights: SingleFlight[str, Body] = field(default_factory=SingleFlight)

    def answering(self) -> AbstractContextManager[Deadline]:
        """Give one answer, or one look of what runs beside the requests, the time of the settings."""
        return within(self.settings.answer_deadline_seconds)


def build(
    settings: Settings,
    *,
    transport: Transport | None = None,
    composer: Composer | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Service:
    """Return a service for ``settings``; nothing is asked yet, so Prometheus may be down."""
    metrics, thresholds = ServiceMetrics(), limits.load(settings.thresholds_file)
    client = PrometheusClient(
        settings.prometheus, cache=settings.cache, transport=transport, observe=metrics.observe_prometheus
    )
    now = stepped(clock, settings.cache.recent_ttl_seconds)
    engine = AnalyticsEngine(client, composer=composer, settings=settings, clock=now)
    forecasting = ForecastingModel(engine)
    budgets = Budgets(forecasting, load_plans(settings.budgets_file))
    report = Refreshed(_in_time(budgets.report, settings), GAUGES_SECONDS)
    forecast = Refreshed(_in_time(forecasting.predict_cost, settings), GAUGES_SECONDS)
    metrics.collectors.append(BudgetCollector(report.get, forecast.get))
    return Service(
        settings=settings,
        metrics=metrics,
        engine=engine,
        forecasting=forecasting,
        budgets=budgets,
        detector=AnomalyDetector(engine, AnomalyConfig.following(thresholds)),
        recommendations=RecommendationEngine(engine),
        thresholds=thresholds,
        answers=TtlCache(settings.cache.max_bytes // 4),
    )


def _in_time(work: Callable[[], Answer], settings: Settings) -> Callable[[], Answer]:
    def bounded() -> Answer:
        with within(settings.answer_deadline_seconds):
            return work()

    return bounded
