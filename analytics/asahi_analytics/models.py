"""What the engine answers, as pydantic models: the JSON of the service and its OpenAPI document come from them.

Money is in dollars, latency in milliseconds, rates are 0-1, shares named ``_pct`` are 0-100. ``null`` means that
there is no such number (nothing was scraped, or a division by nothing), never zero.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from asahi_analytics.composer import Trust

GroupBy = Literal["model", "task_type", "user", "tier"]
GROUPINGS: Final[tuple[GroupBy, ...]] = get_args(GroupBy)
Basis = Literal["recorded", "list_prices"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Answer(_Value):
    """What every answer carries."""

    start: datetime = Field(description="Start of the window.")
    end: datetime = Field(description="End of the window.")
    trust: Trust = Field(description="How far the figures can be trusted.")


class CostBreakdown(Answer):
    """Dollars spent, by one label."""

    group_by: GroupBy
    total_cost: float = Field(description="Dollars; the sum of the breakdown.")
    breakdown: dict[str, float] = Field(description="Dollars by name, largest first.")
    corrections: float | None = Field(
        description="Dollars credited back in the window; null by user, where credits are not known."
    )
    net_cost: float | None = Field(description="total_cost minus corrections.")
    savings: float = Field(description="Dollars saved by optimisation in the window.")
    requests: float = Field(description="Requests answered.")
    cost_per_request: float | None = Field(description="total_cost divided by requests.")
    unpriced_requests: dict[str, float] | None = Field(
        description="Requests whose cost was not known, by model; null by any other label."
    )


class Point(_Value):
    """One bin of a trend."""

    timestamp: datetime = Field(description="Start of the bin.")
    value: float | None = Field(
        description="null where nothing was scraped, or where there is nothing to divide by."
    )


class Trend(Answer):
    """A metric over time."""

    metric: str
    unit: str = Field(
        description="dollars, requests, tokens, errors, ratio, ms, points or tokens per dollar."
    )
    interval_seconds: float = Field(description="Length of a bin.")
    points: list[Point]


class Split(_Value):
    """Cost, savings and baseline of one name; ``cost + savings == baseline``."""

    cost: float
    savings: float
    baseline: float


class BaselineComparison(Answer):
    """What the same requests would have cost without optimisation."""

    baseline_model: str = Field(description="The model that savings are measured against.")
    basis: Basis = Field(
        description="recorded: savings as they were reported with each request, against the configured model; "
        "list_prices: the counted tokens at the dated list prices of the baseline_model that was asked for."
    )
    baseline_cost: float = Field(description="Dollars without optimisation: actual_cost + savings, exactly.")
    actual_cost: float = Field(description="Dollars spent.")
    savings: float = Field(description="Dollars saved.")
    savings_pct: float | None = Field(description="savings as a share of baseline_cost, 0-100.")
    cache_contribution_pct: float | None = Field(
        description="Share of the savings that the cache made, 0-100."
    )
    savings_by_phase: dict[str, float] = Field(
        description="Dollars saved, by optimisation phase; they add up to savings. At list prices: by each cache tier, "
        "and by all that made requests answered by a model cheaper."
    )
    unpriced_tokens: float = Field(
        description="Tokens for which no saving is claimed: the cost of their requests was never known or, at list "
        "prices, the baseline model had no price yet."
    )
    unpriced_cost: float = Field(
        description="Dollars spent while the baseline model had no price; they stand in the baseline as they are."
    )
    group_by: GroupBy | None
    breakdown: dict[str, Split] = Field(description="The same by name; empty without group_by.")


class CostDriver(_Value):
    """One label set that money is spent on."""

    name: str
    labels: dict[str, str]
    cost: float = Field(description="Dollars.")
    share: float | None = Field(description="Share of the window's cost, 0-1.")
    requests: float
    cost_per_request: float | None
    previous_cost: float = Field(description="Dollars in the window of the same length before this one.")
    change: float = Field(description="cost minus previous_cost, in dollars.")
    change_pct: float | None = Field(description="change against previous_cost; null when that was zero.")


class CostDrivers(Answer):
    """The label sets that cost most."""

    total_cost: float
    previous_cost: float
    drivers: list[CostDriver] = Field(description="By model, task type and tier, largest first.")
    users: list[CostDriver] = Field(description="By user, largest first.")


class TierPerformance(_Value):
    """One cache tier: what it did, and what it is worth."""

    hits: float
    misses: float
    hit_rate: float | None
    avg_latency_ms: float | None = Field(description="Mean time of a look-up.")
    requests_served: float = Field(description="Requests that this tier answered.")
    dollars_saved: float = Field(
        description="Baseline minus cost of the requests that this tier answered: against the baseline model."
    )
    milliseconds_saved: float | None = Field(
        description="What the requests that this tier answered would have taken longer at their model, in all."
    )
    marginal_dollars: float | None = Field(
        description="Dollars that would have been spent in addition without this tier: its requests go on to the "
        "tiers after it, at their hit rates, and else to their model, at what uncached requests of that model and task "
        "type cost."
    )
    marginal_milliseconds: float | None = Field(
        description="Time that all requests would have taken longer without this tier, its look-ups no longer made; "
        "below zero: it costs more time than it saves."
    )
    unvalued_requests: float = Field(
        description="Requests that this tier answered and that marginal_dollars leaves out: their model has no price, "
        "or none was answered without a cache to tell it."
    )


class CachePerformance(Answer):
    """What the cache did, tier by tier."""

    tiers: dict[str, TierPerformance]
    overall_hit_rate: float | None = Field(description="Hits of all tiers over look-ups of all tiers.")
    served_from_cache: float | None = Field(description="Share of requests that any tier answered, 0-1.")
    dollars_saved: float = Field(description="Of all tiers, against the baseline model.")
    milliseconds_saved: float | None = Field(description="Of all tiers, against their models.")
    cost_per_thousand_requests: float | None = Field(
        description="Dollars for a thousand requests, cached or not."
    )
    tokens_per_dollar: float | None = Field(
        description="Tokens in and out, of cached answers too, for each dollar."
    )


class Percentiles(_Value):
    """Latency in milliseconds, read from the histogram's buckets; above the highest bound it reads as that bound."""

    p50: float | None
    p75: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    requests: float = Field(description="Requests that have a latency.")


class LatencyPercentiles(Answer, Percentiles):
    """Latency of all requests and by model."""

    by_model: dict[str, Percentiles]
