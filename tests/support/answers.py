"""Answers of the service for tests of the page: made from the service's own models, so that they cannot drift."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from asahi_analytics.anomaly.models import Anomaly, AnomalyReport, Cause
from asahi_analytics.budget import BudgetReport
from asahi_analytics.composer import Trust
from asahi_analytics.forecasting import BudgetRisk
from asahi_analytics.forecasting.answers import Backtest, Forecast, ForecastDay
from asahi_analytics.models import (
    BaselineComparison,
    CachePerformance,
    CostBreakdown,
    LatencyPercentiles,
    Point,
    TierPerformance,
    Trend,
)
from asahi_analytics.recommendations import AdviceReport, Evidence, Recommendation

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
START = END - timedelta(days=1)
COMPLETE = Trust(scraped_ratio=1.0, resets=0, repaired_ratio=0.0, unpriced_ratio=0.0, source="running totals")
NOTHING = Trust(gaps=[{"start": START, "end": END}], warnings=["nothing was scraped in the window"])
PERCENTILES = ("p50", "p75", "p90", "p95", "p99")


def cost_breakdown(breakdown, *, group_by="model", trust=COMPLETE, requests=1000.0, unpriced=None):
    total = sum(breakdown.values())
    return CostBreakdown(
        start=START,
        end=END,
        trust=trust,
        group_by=group_by,
        total_cost=total,
        breakdown=breakdown,
        corrections=None,
        net_cost=None,
        savings=total / 2,
        requests=requests,
        cost_per_request=total / requests if requests else None,
        unpriced_requests=unpriced,
    )


def trend(values, *, metric="cost", unit="dollars", trust=COMPLETE):
    step = timedelta(hours=1)
    points = [Point(timestamp=START + index * step, value=value) for index, value in enumerate(values)]
    return Trend(
        start=START,
        end=END,
        trust=trust,
        metric=metric,
        unit=unit,
        interval_seconds=step.total_seconds(),
        points=points,
    )


def baseline(cost, phases, *, trust=COMPLETE):
    savings = sum(phases.values())
    whole = cost + savings
    return BaselineComparison(
        start=START,
        end=END,
        trust=trust,
        baseline_model="gpt-4",
        basis="recorded",
        unpriced_tokens=0.0,
        unpriced_cost=0.0,
        baseline_cost=whole,
        actual_cost=cost,
        savings=savings,
        savings_pct=100 * savings / whole if whole else None,
        cache_contribution_pct=25.0 if savings else None,
        savings_by_phase=phases,
        group_by=None,
        breakdown={},
    )


def cache_performance(hit_rates, *, look_ups=1000.0, served=10.0, unvalued=0.0, trust=COMPLETE):
    tiers = {
        tier: TierPerformance(
            hits=look_ups * (rate or 0.0),
            misses=look_ups * (1 - (rate or 0.0)),
            hit_rate=rate,
            avg_latency_ms=None if rate is None else 1.5,
            dollars_saved=1.0,
            requests_served=served,
            milliseconds_saved=None if rate is None else 9_000_000.0,
            marginal_dollars=None if rate is None else 0.25,
            marginal_milliseconds=None if rate is None else -65_000.0,
            unvalued_requests=unvalued,
        )
        for tier, rate in hit_rates.items()
    }
    return CachePerformance(
        start=START,
        end=END,
        trust=trust,
        tiers=tiers,
        overall_hit_rate=0.2 if look_ups else None,
        served_from_cache=0.4 if look_ups else None,
        dollars_saved=3.0,
        milliseconds_saved=9_000_000.0 if look_ups else None,
        cost_per_thousand_requests=2.5 if look_ups else None,
        tokens_per_dollar=390_000.0 if look_ups else None,
    )


def latency_percentiles(values, *, requests=1000.0, trust=COMPLETE):
    return LatencyPercentiles(
        start=START,
        end=END,
        trust=trust,
        requests=requests,
        by_model={},
        **dict(zip(PERCENTILES, values, strict=True)),
    )


def forecast(predicted, *, warning=None, folds=6, trust=COMPLETE, trend="stable", pace=None):
    known = predicted is not None
    days = [
        ForecastDay(timestamp=END + timedelta(days=day), mean=predicted / 30, low=0.0, high=predicted / 15)
        for day in range(30 if known else 0)
    ]
    return Forecast(
        period="the next 30 days",
        start=END,
        end=END + timedelta(days=30),
        horizon_days=30,
        confidence=0.95,
        trend=trend,
        trend_pct_per_week=pace,
        warning=warning,
        method="average of models" if known else "none",
        history_days=30 if known else 0,
        history_coverage=1.0 if known else None,
        trust=trust,
        predicted_cost=predicted,
        confidence_low=predicted * 0.8 if known else None,
        confidence_high=predicted * 1.2 if known else None,
        group_by=None,
        name=None,
        backtest=Backtest(
            folds=folds,
            horizon_days=30,
            mape_pct=8.3 if folds else None,
            coverage=0.95 if folds else None,
            other_methods_mape_pct={},
        ),
        days=days,
        breakdown={},
    )


def budget(name="total", **changed):
    fields = {
        "name": name,
        "group_by": None,
        "value": None,
        "timezone": "UTC",
        "month": "2026-03",
        "start": datetime(2026, 3, 1, tzinfo=UTC),
        "end": datetime(2026, 4, 1, tzinfo=UTC),
        "as_of": END,
        "budget": 1000.0,
        "spent": 600.0,
        "spent_ratio": 0.6,
        "planned": 400.0,
        "pace_ratio": 1.5,
        "forecast_total": 1500.0,
        "forecast_low": 1200.0,
        "forecast_high": 1800.0,
        "confidence": 0.95,
        "overrun_probability": 0.9,
        "exhaustion_at": datetime(2026, 3, 19, 12, tzinfo=UTC),
        "exhaustion_day": date(2026, 3, 19),
        "exhaustion_earliest": date(2026, 3, 17),
        "exhaustion_latest": date(2026, 3, 22),
        "status": "at_risk",
        "levels_reached": [0.5],
        "warning": None,
        "method": "structural average",
        "trust": COMPLETE,
    }
    return BudgetRisk(**{**fields, **changed})


LASTING = {
    "status": "on_track",
    "overrun_probability": 0.01,
    "pace_ratio": 0.8,
    "exhaustion_at": None,
    "exhaustion_day": None,
    "exhaustion_earliest": None,
    "exhaustion_latest": None,
}
SPENT = {"status": "exhausted", "spent": 5000.0, "spent_ratio": 5.0, "pace_ratio": 12.5}
UNKNOWN = {
    "status": "unknown",
    **dict.fromkeys(("forecast_total", "forecast_low", "forecast_high", "overrun_probability", "pace_ratio")),
    **dict.fromkeys(("exhaustion_at", "exhaustion_day", "exhaustion_earliest", "exhaustion_latest")),
    "warning": "Too little history for a forecast: whole days with data: 1, it takes 2.",
}


def budget_report(*budgets):
    return BudgetReport(budgets=list(budgets))


def anomaly_report(*messages, trust=COMPLETE):
    anomalies = [
        Anomaly(
            id=message,
            anomaly_type="cost_spike",
            severity="critical",
            metric_name="asahi_cost_dollars_total",
            current_value=6.0,
            expected_value=2.0,
            deviation_pct=200.0,
            message=message,
            detected_at=END,
            start=END - timedelta(hours=1),
            peak=END,
            peak_value=6.0,
            end=END,
            ongoing=number == 0,
            causes=[Cause(factor="volume", change=4.5, text="+$4.50 from more requests")],
            parts={"volume": 4.5, "hit_rate": -0.5},
        )
        for number, message in enumerate(messages)
    ]
    return AnomalyReport(start=START, end=END, trust=trust, anomalies=anomalies, findings=[])


def recommendations(*titles):
    found = [
        Recommendation(
            id=title,
            category="routing",
            title=title,
            description="What was seen.",
            estimated_savings=1310.5,
            savings_low=1000.0,
            savings_high=1500.0,
            priority="high",
            confidence="medium",
            action="What to do.",
            evidence=[Evidence(statement="Share of requests, 0-1.", value=0.5, promql="sum(a) / sum(b)")],
        )
        for title in titles
    ]
    return AdviceReport(
        start=START,
        end=END,
        trust=COMPLETE,
        generated_at=END,
        warning=None if found else "12 requests in the last 28 days are too few",
        recommendations=found,
    )
