"""Advice on the cache tiers: how often they hit, and whether a tier earns its look-up time."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.recommendations.findings import Finding, percent, window_sum
from asahi_analytics.recommendations.models import Evidence
from asahi_analytics.recommendations.observed import Observed
from asahi_analytics.recommendations.unit_prices import uncached
from asahi_exporter import conventions as names

HIT_RATE_GOAL: Final = 0.50
SEMANTIC_TIER: Final = "2"
SEMANTIC_HIT_RATE_GOAL: Final = 0.20
MIN_LOOKUPS: Final = 1_000
MIN_WASTED_MS: Final = 0.5
"""Milliseconds that a tier must cost each look-up, all hits counted in, before it is spoken of."""


def cache_rules(observed: Observed) -> list[Finding]:
    """Return what the three rules about caches find."""
    return [*low_hit_rate(observed), *low_semantic_hit_rate(observed), *slow_tiers(observed)]


def low_hit_rate(observed: Observed) -> list[Finding]:
    """Fewer than half of the requests are answered by a cache: longer time to live.

    Counterfactual: on each day, as many more requests of the uncached ones as bring the share to 50 % would have
    cost what cached ones cost. The share is the larger of requests answered from a tier and look-ups that hit.
    """
    lookups = _lookups(observed)
    if lookups.to_numpy().sum() < MIN_LOOKUPS or observed.requests <= 0:
        return []
    by_tier = observed.by("requests", names.CACHE_TIER).sum()
    served = 1 - float(by_tier.get(names.NO_CACHE, 0.0)) / observed.requests
    hits = observed.frames["cache_hits"].to_numpy().sum() / lookups.to_numpy().sum()
    rate = max(served, float(hits))
    if rate >= HIT_RATE_GOAL:
        return []
    worst = _dearest_uncached_task_type(observed)
    return [
        Finding(
            id="cache-hit-rate",
            category="cache",
            title=f"Caches answer only {percent(rate)} of requests",
            seen=f"{percent(rate)} of requests were answered from a cache, under the goal of {percent(HIT_RATE_GOAL)}.",
            computed=(
                f"Had {percent(HIT_RATE_GOAL)} been answered from a cache, the additional hits would have cost what "
                "cached requests cost instead of what uncached ones did, day by day on the traffic seen."
            ),
            action=(
                f"Raise the time to live of cached answers, first for task type '{worst}', "
                "whose uncached requests cost most."
            ),
            daily_dollars=_dollars_of_extra_hits(
                observed, (HIT_RATE_GOAL - rate) * observed.total("requests")
            ),
            evidence=(
                Evidence(
                    statement="Share of requests answered from a cache, 0-1.",
                    value=rate,
                    promql=window_sum("requests", [names.CACHE_TIER]),
                ),
            ),
        )
    ]


def low_semantic_hit_rate(observed: Observed) -> list[Finding]:
    """Tier 2 hits less than one look-up in five: embeddings or the similarity threshold.

    Counterfactual: look-ups of tier 2 that bring its rate to 20 % become hits, each of which saves what an uncached
    request costs over a cached one.
    """
    lookups, hits = _lookups(observed), observed.frames["cache_hits"]
    if SEMANTIC_TIER not in lookups or lookups[SEMANTIC_TIER].sum() < MIN_LOOKUPS:
        return []
    rate = float(hits[SEMANTIC_TIER].sum() if SEMANTIC_TIER in hits else 0.0) / float(
        lookups[SEMANTIC_TIER].sum()
    )
    if rate >= SEMANTIC_HIT_RATE_GOAL:
        return []
    return [
        Finding(
            id=f"cache-tier-{SEMANTIC_TIER}-hit-rate",
            category="cache",
            title=f"Cache tier {SEMANTIC_TIER} hits only {percent(rate)} of its look-ups",
            seen=(
                f"Tier {SEMANTIC_TIER} hit {percent(rate)} of {lookups[SEMANTIC_TIER].sum():,.0f} look-ups, "
                f"under the goal of {percent(SEMANTIC_HIT_RATE_GOAL)}."
            ),
            computed=(
                f"Had {percent(SEMANTIC_HIT_RATE_GOAL)} hit, each additional hit would have saved the difference "
                "between an uncached and a cached request, day by day on the traffic seen."
            ),
            action=(
                f"Lower the similarity threshold of cache tier {SEMANTIC_TIER} step by step while its answers keep "
                "their quality score, or move it to a better embedding model."
            ),
            daily_dollars=_dollars_of_extra_hits(
                observed, (SEMANTIC_HIT_RATE_GOAL - rate) * lookups[SEMANTIC_TIER]
            ),
            evidence=(
                Evidence(
                    statement=f"Share of tier {SEMANTIC_TIER} look-ups that hit, 0-1.",
                    value=rate,
                    promql=window_sum("cache_hits", [names.TIER]),
                ),
                Evidence(
                    statement=f"Look-ups of tier {SEMANTIC_TIER} that missed.",
                    value=float(lookups[SEMANTIC_TIER].sum()) * (1 - rate),
                    promql=window_sum("cache_misses", [names.TIER]),
                ),
            ),
        )
    ]


def slow_tiers(observed: Observed) -> list[Finding]:
    """Return the tiers whose look-ups cost more time, over all requests, than their hits save.

    Milliseconds per look-up = look-up time of every look-up, less the hits times (mean latency of uncached requests -
    mean latency of requests that this tier answered). The dollars given are zero: the saving is time, and the hits'
    dollars are lost if the tier goes, which the action says.
    """
    lookups, hits = _lookups(observed).sum(), observed.frames["cache_hits"].sum()
    spent = observed.frames["cache_lookup_latency_ms_sum"].sum()
    latency = _mean_latency_ms(observed)
    if names.NO_CACHE not in latency:
        return []
    found = []
    for tier in lookups.index[lookups >= MIN_LOOKUPS]:
        hit = float(hits.get(tier, 0.0))
        faster_ms = float(latency[names.NO_CACHE] - latency.get(tier, np.nan)) if hit else 0.0
        net_ms = (float(spent.get(tier, 0.0)) - hit * faster_ms) / float(lookups[tier])
        if net_ms > MIN_WASTED_MS:  # False too where the latency of the tier's hits is not known
            found.append(_slow_tier(observed, str(tier), net_ms))
    return found


def _slow_tier(observed: Observed, tier: str, net_ms: float) -> Finding:
    return Finding(
        id=f"cache-tier-{tier}-latency",
        category="cache",
        title=f"Cache tier {tier} costs more time than it saves",
        seen=f"Counting the time its hits save, each look-up of tier {tier} still costs {net_ms:.1f} ms.",
        computed="The gain is time, so no dollars are claimed.",
        action=(
            f"Look up tier {tier} in parallel with the tiers below it, shrink its index, or skip it for task types "
            "that rarely hit. Weigh that against the dollars its hits save (cache performance shows them)."
        ),
        daily_dollars=observed.total("cost_dollars") * 0.0,
        evidence=(
            Evidence(
                statement=f"Milliseconds lost per look-up of tier {tier}.",
                value=net_ms,
                promql=window_sum("cache_lookup_latency_ms_sum", [names.TIER]),
            ),
        ),
    )


def _lookups(observed: Observed) -> pd.DataFrame:
    """Return the daily look-ups by tier: hits and misses."""
    return observed.frames["cache_hits"].add(observed.frames["cache_misses"], fill_value=0.0)


def _dollars_of_extra_hits(observed: Observed, extra_hits: pd.Series) -> pd.Series:
    """Return what ``extra_hits`` a day would save: the mean uncached cost less the mean cached cost of that day."""
    cost, requests = uncached(observed.frames["cost_dollars"]), uncached(observed.frames["requests"])
    uncached_cost, uncached_requests = cost.sum(axis=1), requests.sum(axis=1)
    cached_cost = observed.total("cost_dollars") - uncached_cost
    cached_requests = observed.total("requests") - uncached_requests
    saved_each = _ratio(uncached_cost, uncached_requests) - _ratio(cached_cost, cached_requests)
    return extra_hits.clip(upper=uncached_requests) * saved_each


def _dearest_uncached_task_type(observed: Observed) -> str:
    """Return the task type whose uncached requests cost most."""
    cost = uncached(observed.frames["cost_dollars"])
    return str(cost.T.groupby(level=names.TASK_TYPE).sum().sum(axis=1).idxmax()) if cost.shape[1] else "any"


def _mean_latency_ms(observed: Observed) -> pd.Series:
    """Return the mean latency in ms by cache tier, over the whole window."""
    total = observed.by("latency_ms_sum", names.CACHE_TIER).sum()
    count = observed.by("latency_ms_count", names.CACHE_TIER).sum()
    return (total / count[count > 0]).dropna()


def _ratio(numerator: pd.Series, denominator: pd.Series) -> pd.Series:
    """Return the quotient, 0 where the denominator is 0."""
    return (numerator / denominator.where(denominator > 0)).fillna(0.0)
