"""What the cache did and is worth, as an answer of the engine."""

from __future__ import annotations

import math
from collections.abc import Mapping

from asahi_analytics.cache_value import CacheTraffic
from asahi_analytics.composer import Sums
from asahi_analytics.figures import Key, by_key, divided
from asahi_analytics.models import CachePerformance, TierPerformance
from asahi_analytics.trusts import merged
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names

Amounts = Mapping[Key, float]


def cache_performance(window: Window, sums: Mapping[str, Sums]) -> CachePerformance:
    """Return the answer for ``window``; ``sums`` are the fields of ``CacheTraffic``, ``baseline`` and ``tokens``."""
    found = {name: by_key(each) for name, each in sums.items()}
    baseline, tokens = found.pop("baseline"), math.fsum(found.pop("tokens").values())
    traffic = CacheTraffic(**found)
    hits, misses = math.fsum(traffic.hits.values()), math.fsum(traffic.misses.values())
    requests, cost = math.fsum(traffic.requests.values()), math.fsum(traffic.cost.values())
    known = {key[0] for key in (*traffic.hits, *traffic.misses)}
    tiers = {name: _tier(name, traffic, baseline) for name in sorted({*known, *names.CACHE_TIERS})}
    saved_ms = [each.milliseconds_saved for each in tiers.values() if each.milliseconds_saved is not None]
    return CachePerformance(
        start=window.start,
        end=window.end,
        trust=merged([each.trust for each in sums.values()]),
        tiers=tiers,
        overall_hit_rate=divided(hits, hits + misses),
        served_from_cache=divided(math.fsum(each.requests_served for each in tiers.values()), requests),
        dollars_saved=math.fsum(each.dollars_saved for each in tiers.values()),
        milliseconds_saved=math.fsum(saved_ms) if saved_ms else None,
        cost_per_thousand_requests=divided(1000 * cost, requests),
        tokens_per_dollar=divided(tokens, cost),
    )


def _tier(name: str, traffic: CacheTraffic, baseline: Amounts) -> TierPerformance:
    def lookups(of: Amounts) -> float:
        return of.get((name,), 0.0)

    def served(of: Amounts) -> float:
        return math.fsum(amount for key, amount in of.items() if key[-1] == name)

    hits, misses, value = lookups(traffic.hits), lookups(traffic.misses), traffic.value(name)
    return TierPerformance(
        hits=hits,
        misses=misses,
        hit_rate=divided(hits, hits + misses),
        avg_latency_ms=divided(lookups(traffic.lookup_ms), lookups(traffic.timed_lookups)),
        requests_served=served(traffic.requests),
        dollars_saved=served(baseline) - served(traffic.cost),
        milliseconds_saved=value.milliseconds_saved,
        marginal_dollars=value.marginal_dollars,
        marginal_milliseconds=value.marginal_milliseconds,
        unvalued_requests=value.unvalued_requests,
    )
