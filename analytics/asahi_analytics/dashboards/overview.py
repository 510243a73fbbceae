"""The dashboard "Asahi overview": the eight panels of the specification, on the counters as scraped."""

from __future__ import annotations

from typing import Final

from asahi_analytics.dashboards.grafana import (
    COUNT,
    DOLLARS,
    MILLISECONDS,
    RATIO,
    REQUESTS_PER_SECOND,
    Caption,
    Json,
    Place,
    bar_chart,
    dashboard,
    heatmap,
    pie,
    scraped,
    stat,
    target,
    time_series,
)
from asahi_exporter import conventions as names

TODAY: Final = "now/d"
SECONDS_PER_HOUR: Final = 3600
ESTIMATE: Final = (
    "increase() estimates: it extrapolates to the edges of the range and misses the first value of a new "
    "series. The exact figure is on the dashboard Asahi money."
)


def _grown(metric: names.Metric) -> str:
    return f"increase({scraped(metric.name)}[$__range])"


def _rate(sample_name: str) -> str:
    return f"rate({scraped(sample_name)}[$__rate_interval])"


def _cost_today() -> Json:
    return stat(
        Caption(
            "Total Cost (today)",
            "Dollars spent since midnight of the dashboard's time zone, whatever time range is chosen. "
            f"{ESTIMATE}",
            DOLLARS,
        ),
        Place(0, 0, 6, 8),
        [target("A", f"sum({_grown(names.COST)})", "spent today", instant=True)],
        defaults={"decimals": 2},
        timeFrom=TODAY,
    )


def _savings() -> Json:
    saved, baseline = f"sum({_grown(names.SAVINGS)})", f"sum({_grown(names.BASELINE)})"
    share_of_baseline = {
        "matcher": {"id": "byFrameRefID", "options": "B"},
        "properties": [{"id": "unit", "value": RATIO}],
    }
    return stat(
        Caption(
            "Savings vs Baseline",
            "Dollars saved over the chosen time range, and their share of the baseline: what the same "
            f"requests would have cost without optimisation. {ESTIMATE}",
            DOLLARS,
        ),
        Place(6, 0, 6, 8),
        [
            target("A", saved, "saved", instant=True),
            target("B", f"{saved} / ({baseline} > 0)", "of baseline", instant=True),
        ],
        defaults={"decimals": 2, "color": {"mode": "fixed", "fixedColor": "green"}},
        overrides=[share_of_baseline],
    )


def _hit_rate() -> Json:
    return pie(
        Caption(
            "Cache Hit Rate by Tier",
            "Share of look-ups that each cache tier answered, in the exporter's rolling window, as a mean "
            "over the chosen instances. A slice is its tier's own rate, so slices do not add up to 100 %.",
            RATIO,
        ),
        Place(12, 0, 6, 8),
        [
            target(
                "A",
                f"avg by ({names.TIER}) ({scraped(names.CACHE_HIT_RATE.name)})",
                f"tier {{{{{names.TIER}}}}}",
                instant=True,
            )
        ],
    )


def _model_usage() -> Json:
    return bar_chart(
        Caption(
            "Model Usage Distribution",
            f"Requests that each model answered over the chosen time range. {ESTIMATE}",
            COUNT,
        ),
        Place(18, 0, 6, 8),
        [
            target(
                "A",
                f"sort_desc(sum by ({names.MODEL}) ({_grown(names.REQUESTS)}))",
                f"{{{{{names.MODEL}}}}}",
                instant=True,
                result_format="table",
            )
        ],
        category=names.MODEL,
    )


def _request_volume() -> Json:
    return time_series(
        Caption(
            "Request Volume",
            "Requests per second, stacked by what answered them: a cache tier, or none (a model was called).",
            REQUESTS_PER_SECOND,
        ),
        Place(0, 8, 12, 9),
        [
            target(
                "A",
                f"sum by ({names.CACHE_TIER}) ({_rate(names.REQUESTS.name)})",
                f"cache tier {{{{{names.CACHE_TIER}}}}}",
            )
        ],
        stacked=True,
    )


def _cost_trend() -> Json:
    return time_series(
        Caption("Cost Trend", "Rate of spending in dollars per hour, stacked by model.", DOLLARS),
        Place(12, 8, 12, 9),
        [
            target(
                "A",
                f"sum by ({names.MODEL}) ({_rate(names.COST.name)}) * {SECONDS_PER_HOUR}",
                f"{{{{{names.MODEL}}}}}",
            )
        ],
        stacked=True,
        axis_label="dollars per hour",
    )


def _latency() -> Json:
    return heatmap(
        Caption(
            "Latency Percentiles",
            "How long requests took, over time: each cell is the requests per second in one latency bucket; "
            "darker is more. Percentiles read from these buckets are within 5 % of the true ones where requests are "
            "many.",
            MILLISECONDS,
        ),
        Place(0, 17, 12, 9),
        [
            target(
                "A",
                f"sum by (le) ({_rate(names.LATENCY.name + '_bucket')})",
                "{{le}}",
                result_format="heatmap",
            )
        ],
    )


def _error_rate() -> Json:
    errors = f"sum by ({names.ERROR_TYPE}) ({_rate(names.ERRORS.name)})"
    requests = f"sum({_rate(names.REQUESTS.name)}) > 0"
    return time_series(
        Caption(
            "Error Rate",
            "Errors as a share of requests, stacked by kind of error. No requests, no line.",
            RATIO,
        ),
        Place(12, 17, 12, 9),
        [
            target(
                "A",
                f"{errors} / on () group_left () ({requests})",
                f"{{{{{names.ERROR_TYPE}}}}}",
            )
        ],
        stacked=True,
    )


def overview() -> Json:
    """Return the dashboard "Asahi overview"."""
    return dashboard(
        "asahi-overview",
        "Asahi overview",
        "What LLM inference costs, what was saved, and how the caches, models and errors behave.",
        [
            _cost_today(),
            _savings(),
            _hit_rate(),
            _model_usage(),
            _request_volume(),
            _cost_trend(),
            _latency(),
            _error_rate(),
        ],
        since="now-24h",
    )
