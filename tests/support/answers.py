"""Answers of the service for tests of the page: made from the service's own models, so that they cannot drift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from asahi_analytics.composer import Trust
from asahi_analytics.models import (
    BaselineComparison,
    CachePerformance,
    CostBreakdown,
    LatencyPercentiles,
    Point,
    TierPerformance,
    Trend,
)

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
START = END - timedelta(days=1)
COMPLETE = Trust(scraped_ratio=1.0, resets=0, repaired_ratio=0.0, unpriced_ratio=0.0, source="running totals")
NOTHING = Trust()
PERCENTILES = ("p50", "p75", "p90", "p95", "p99")


def cost_breakdown(breakdown, *, group_by="model", trust=COMPLETE, requests=1000.0):
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
        baseline_cost=whole,
        actual_cost=cost,
        savings=savings,
        savings_pct=100 * savings / whole if whole else None,
        cache_contribution_pct=25.0 if savings else None,
        savings_by_phase=phases,
        group_by=None,
        breakdown={},
    )


def cache_performance(hit_rates, *, look_ups=1000.0, trust=COMPLETE):
    tiers = {
        tier: TierPerformance(
            hits=look_ups * (rate or 0.0),
            misses=look_ups * (1 - (rate or 0.0)),
            hit_rate=rate,
            avg_latency_ms=None if rate is None else 1.5,
            dollars_saved=1.0,
            requests_served=10.0,
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
        cost_per_thousand_requests=None,
        tokens_per_dollar=None,
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
