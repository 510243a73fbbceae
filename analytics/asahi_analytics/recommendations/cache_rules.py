"""Advice on the cache tiers: how often they hit, and whether a tier earns its look-up time."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.cache_value import CacheTraffic, TierValue
from asahi_analytics.figures import quotients
from asahi_analytics.recommendations.dollars import MONTH_DAYS
from asahi_analytics.recommendations.findings import Finding, money, window_sum
from asahi_analytics.recommendations.models import Evidence
from asahi_analytics.recommendations.observed import Observed
from asahi_exporter import conventions as names
from asahi_exporter.prose import named, percent

HIT_RATE_GOAL: Final = 0.50
UNCACHED: Final = {names.CACHE_TIER: names.NO_CACHE}
SEMANTIC_TIER: Final = "2"
SEMANTIC_HIT_RATE_GOAL: Final = 0.20
MIN_LOOKUPS: Final = 1_000
MIN_WASTED_MS: Final = 0.5
"""Milliseconds that a tier must cost each look-up, the time its hits save counted in, before it is spoken of."""


def cache_rules(observed: Observed) -> list[Finding]:
    """Return what the three rules about caches find."""
    return [*low_hit_rate(observed), *low_semantic_hit_rate(observed), *slow_tiers(observed)]


def low_hit_rate(observed: Observed) -> list[Finding]:
    """Fewer than half of the requests are answered by a cache: longer time to live.

    Counterfactual: as many more requests of the uncached ones as bring the share to 50 % would have cost what cached
    ones cost, day by day; on a day above it, as many fewer. The share is the larger of requests answered from a tier
    and look-ups that hit.
    """
    lookups = observed.lookups
    if lookups.to_numpy().sum() < MIN_LOOKUPS or observed.requests <= 0:
        return []
    requests, served_each = observed.total("requests"), _served(observed)
    served = float(served_each.sum()) / observed.requests
    hits = float(observed.frames["cache_hits"].to_numpy().sum() / lookups.to_numpy().sum())
    rate = max(served, hits)
    if rate >= HIT_RATE_GOAL:
        return []
    dearest = _dearest_uncached_task_type(observed)
    goal = percent(HIT_RATE_GOAL, 0)
    worst = named(names.TASK_TYPE, dearest)
    return [
        Finding(
            id="cache-hit-rate",
            category="cache",
            title=f"Caches answer only {percent(rate)} of requests",
            seen=f"{percent(rate)} of requests were answered from a cache, under the goal of {goal}.",
            computed=(
                f"Had {goal} been answered from a cache, the additional hits would have cost what "
                "cached requests cost instead of what uncached ones did, day by day on the traffic seen."
            ),
            action=(
                f"Raise the time to live of cached answers, first for {worst}, "
                "whose uncached requests cost most."
            ),
            daily_dollars=_dollars_of_extra_hits(
                observed, HIT_RATE_GOAL * requests - (served_each if served >= hits else hits * requests)
            ),
            evidence=(
                Evidence(
                    statement="Share of requests answered from a cache, 0-1.",
                    value=served,
                    promql=f"1 - {window_sum('requests', UNCACHED)} / {window_sum('requests')}",
                ),
                _hit_share("all tiers", hits, {}),
            ),
        )
    ]


def _served(observed: Observed) -> pd.Series:
    """Return the requests of each day that a cache answered."""
    return observed.total("requests") - observed.uncached.total_requests()


def low_semantic_hit_rate(observed: Observed) -> list[Finding]:
    """Tier 2 hits less than one look-up in five: embeddings or the similarity threshold.

    Counterfactual: look-ups of tier 2 that bring its rate to 20 % become hits, each of which saves what an uncached
    request costs over a cached one.
    """
    lookups, hits = observed.lookups, observed.frames["cache_hits"]
    if SEMANTIC_TIER not in lookups or lookups[SEMANTIC_TIER].sum() < MIN_LOOKUPS:
        return []
    hit = hits[SEMANTIC_TIER] if SEMANTIC_TIER in hits else 0.0 * lookups[SEMANTIC_TIER]
    rate = float(hit.sum()) / float(lookups[SEMANTIC_TIER].sum())
    if rate >= SEMANTIC_HIT_RATE_GOAL:
        return []
    return [
        Finding(
            id=f"cache-tier-{SEMANTIC_TIER}-hit-rate",
            category="cache",
            title=f"Cache tier {SEMANTIC_TIER} hits only {percent(rate)} of its look-ups",
            seen=(
                f"Tier {SEMANTIC_TIER} hit {percent(rate)} of {lookups[SEMANTIC_TIER].sum():,.0f} look-ups, "
                f"under the goal of {percent(SEMANTIC_HIT_RATE_GOAL, 0)}."
            ),
            computed=(
                f"Had {percent(SEMANTIC_HIT_RATE_GOAL, 0)} hit, each additional hit would have saved the difference "
                "between an uncached and a cached request, day by day on the traffic seen."
            ),
            action=(
                f"Lower the similarity threshold of cache tier {SEMANTIC_TIER} step by step while its answers keep "
                "their quality score, or move it to a better embedding model."
            ),
            daily_dollars=_dollars_of_extra_hits(
                observed, SEMANTIC_HIT_RATE_GOAL * lookups[SEMANTIC_TIER] - hit
            ),
            evidence=(_hit_share(f"tier {SEMANTIC_TIER}", rate, {names.TIER: SEMANTIC_TIER}),),
        )
    ]


def _hit_share(what: str, share: float, where: dict[str, str]) -> Evidence:
    hits, misses = (window_sum(family, where) for family in ("cache_hits", "cache_misses"))
    return Evidence(
        statement=f"Share of look-ups of {what} that hit, 0-1.",
        value=share,
        promql=f"{hits} / ({hits} + {misses})",
    )


def slow_tiers(observed: Observed) -> list[Finding]:
    """Return the tiers whose look-ups cost more time, over all requests, than their hits save.

    The time is the tier's marginal value in milliseconds (``cache_value`` states the counterfactual), for each look-up.
    The dollars given are zero: the gain is time, and what the tier's hits save is lost if it goes; the action says how
    much that is.
    """
    lookups, traffic = observed.lookups.sum(), _cache_traffic(observed)
    found = []
    for tier in lookups.index[lookups >= MIN_LOOKUPS]:
        value = traffic.value(str(tier))
        if value.marginal_milliseconds is None:
            continue
        lost_ms = -value.marginal_milliseconds / float(lookups[tier])
        if lost_ms > MIN_WASTED_MS:
            found.append(_slow_tier(observed, str(tier), lost_ms, value))
    return found


def _cache_traffic(observed: Observed) -> CacheTraffic:
    """Return the whole window's traffic as the value of a tier is worked out from."""
    sums = observed.sums
    return CacheTraffic(
        requests=sums("requests"),
        cost=sums("cost_dollars"),
        unpriced_requests=sums("unpriced_requests"),
        latency_ms=sums("latency_ms_sum"),
        timed=sums("latency_ms_count"),
        hits=sums("cache_hits"),
        misses=sums("cache_misses"),
        lookup_ms=sums("cache_lookup_latency_ms_sum"),
        timed_lookups=sums("cache_lookup_latency_ms_count"),
    )


def _slow_tier(observed: Observed, tier: str, lost_ms: float, value: TierValue) -> Finding:
    lookups, where = observed.lookups[tier].sum(), {names.TIER: tier}
    hits = float(observed.frames["cache_hits"].sum().get(tier, 0.0))
    lookup_ms, timed = (
        observed.sums(f"cache_lookup_latency_ms_{part}")[(tier,)] for part in ("sum", "count")
    )
    monthly = (value.marginal_dollars or 0.0) / observed.days * MONTH_DAYS
    return Finding(
        id=f"cache-tier-{tier}-latency",
        category="cache",
        title=f"Cache tier {tier} costs more time than it saves",
        seen=f"Counting the time its hits save, each look-up of tier {tier} still costs {lost_ms:.1f} ms.",
        computed="Without it, its requests would go on to the next tiers or their model. No dollars are claimed.",
        action=(
            f"Look up tier {tier} in parallel with the tiers below it, shrink its index, or skip it for task types "
            f"that rarely hit. Weigh that against the {money(monthly)} a month that its hits save."
        ),
        daily_dollars=observed.total("cost_dollars") * 0.0,
        evidence=(
            Evidence(
                statement=f"Mean time of the look-ups of tier {tier} that were timed, in milliseconds.",
                value=lookup_ms / timed,
                promql=(
                    f"{window_sum('cache_lookup_latency_ms_sum', where)} / "
                    f"{window_sum('cache_lookup_latency_ms_count', where)}"
                ),
            ),
            _hit_share(f"tier {tier}", hits / float(lookups), where),
        ),
    )


def _dollars_of_extra_hits(observed: Observed, extra_hits: pd.Series) -> pd.Series:
    """Return what ``extra_hits`` a day would save: the mean uncached cost less the mean cached cost of that day."""
    uncached_cost, uncached_requests = observed.uncached.total_cost(), observed.uncached.total_requests()
    cost, requests = (observed.total(family).to_numpy() for family in ("cost_dollars", "requests"))
    cached_each = quotients(cost - uncached_cost, requests - uncached_requests, otherwise=0.0)
    saved_each = quotients(uncached_cost, uncached_requests, otherwise=0.0) - cached_each
    hits = np.minimum(extra_hits.to_numpy(), uncached_requests)
    return pd.Series(hits * saved_each, index=extra_hits.index)


def _dearest_uncached_task_type(observed: Observed) -> str:
    """Return the task type whose uncached requests cost most."""
    cost: dict[str, float] = {}
    for (_, task_type), dollars in observed.uncached.cost_dollars.items():
        cost[task_type] = cost.get(task_type, 0.0) + float(dollars.sum())
    return max(sorted(cost), key=lambda task_type: cost[task_type], default="any")
