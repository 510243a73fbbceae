"""What a cache tier is worth: the dollars and milliseconds that would be lost if it were switched off.

The counterfactual, the same for dollars and for time: tier t is not there, and nothing else changes. Each request
that t answered goes on to the tiers after it, of which each answers the share of its look-ups that it answers of all
(``h_u = hits / look-ups``); what none of them answers goes to the model that the request is counted under. So it ends

    at tier u > t     with probability  p_u = h_u x product over t < w < u of (1 - h_w)
    at the model      with probability  p_none = product over w > t of (1 - h_w)

and costs and takes what requests of its kind that ended there cost and took on average in the same window: dollars by
model and task type, milliseconds by model, and by less where a kind never ended there. No look-up of t is made any
more, neither for the requests that it answered nor for those that it could not; latencies are taken to be of the whole
request, look-ups in turn and included:

    marginal dollars        =  sum over requests of t (expected dollars without t) - dollars of t's requests
    marginal milliseconds   =  sum over requests of t (expected ms without t - ms with t) - ms of all look-ups of t

Positive is what is lost without the tier; negative milliseconds say that its look-ups cost more time than its hits
save. What running the tier costs is not known here. Requests to a model without a price have no known dollars without
the cache: they are counted as unvalued and never as free.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from asahi_analytics.composer import unpriced_ratio
from asahi_analytics.figures import Key
from asahi_exporter import conventions as names

Amounts = Mapping[Key, float]
ROUNDING: Final = 1e-9
"""Share of the dollars compared below which their difference is what sums of floating point leave, and none."""


@dataclass(frozen=True)
class TierValue:
    """What one tier is worth in the window; ``None`` where the traffic does not tell.

    It does not where nobody asked the tier, or where it hit but no request says that it was answered from there.
    """

    milliseconds_saved: float | None
    marginal_dollars: float | None
    marginal_milliseconds: float | None
    unvalued_requests: float


@dataclass(frozen=True)
class Means:
    """Mean of an amount per request: of its own kind, else of the wider kind, else of all."""

    levels: tuple[Mapping[Key, float], ...]

    @classmethod
    def of(cls, amounts: Amounts, counts: Amounts) -> Means:
        """Take amounts and counts by key; a wider kind has the first part of a key less."""
        levels = []
        width = max(map(len, counts), default=0)
        for drop in range(width + 1):
            amount, count = _shortened(amounts, drop), _shortened(counts, drop)
            levels.append({key: amount.get(key, 0.0) / number for key, number in count.items() if number > 0})
        return cls(tuple(levels))

    def get(self, key: Key) -> float | None:
        """Return the mean for ``key``; ``None`` when nothing was counted at all."""
        for drop, level in enumerate(self.levels):
            mean = level.get(key[drop:])
            if mean is not None:
                return mean
        return None


@dataclass(frozen=True)
class CacheTraffic:
    """What was counted in a window.

    ``requests`` and ``cost`` (dollars) by model, task type and cache tier; ``unpriced_requests`` by model;
    ``latency_ms`` and ``timed`` (requests with a latency) by model and cache tier; the rest by tier, where
    ``timed_lookups`` are those that ``lookup_ms`` is the sum of.
    """

    requests: Amounts
    cost: Amounts
    unpriced_requests: Amounts
    latency_ms: Amounts
    timed: Amounts
    hits: Amounts
    misses: Amounts
    lookup_ms: Amounts
    timed_lookups: Amounts

    def value(self, tier: str) -> TierValue:
        """Return what ``tier`` is worth."""
        served = {key[:-1]: count for key, count in self.requests.items() if key[-1] == tier and count > 0}
        hits_that_are_no_requests = not served and self.hits.get((tier,), 0.0) > 0
        if hits_that_are_no_requests or (not served and self._lookups(tier) <= 0):
            return TierValue(None, None, None, 0.0)
        ends = self._ends_without(tier)
        dollars, unvalued = self._marginal_dollars(tier, served, ends)
        lost_ms, lookups_ms = self._milliseconds_lost(tier, served, ends), self._lookup_milliseconds(tier)
        return TierValue(
            milliseconds_saved=self._milliseconds_lost(tier, served, {names.NO_CACHE: 1.0}),
            marginal_dollars=dollars,
            marginal_milliseconds=None if lost_ms is None or lookups_ms is None else lost_ms - lookups_ms,
            unvalued_requests=unvalued,
        )

    def _ends_without(self, tier: str) -> dict[str, float]:
        """Return where a request that ``tier`` answered would end without it, with probabilities."""
        left, ends = 1.0, {}
        for after in self._after(tier):
            ends[after] = left * self.hits.get((after,), 0.0) / self._lookups(after)
            left -= ends[after]
        return {**ends, names.NO_CACHE: left}

    def _after(self, tier: str) -> Sequence[str]:
        known = sorted({key[0] for key in (*self.hits, *self.misses)}, key=_order)
        return [name for name in known if _order(name) > _order(tier) and self._lookups(name) > 0]

    def _lookups(self, tier: str) -> float:
        return self.hits.get((tier,), 0.0) + self.misses.get((tier,), 0.0)

    def _lookup_milliseconds(self, tier: str) -> float | None:
        """The time of all look-ups of ``tier``, at the mean of those that were timed."""
        timed = self.timed_lookups.get((tier,), 0.0)
        if timed <= 0:
            return None if self._lookups(tier) > 0 else 0.0
        return self.lookup_ms.get((tier,), 0.0) / timed * self._lookups(tier)

    # Dollars ----------------------------------------------------------------------------------------------------
    @cached_property
    def _dollars(self) -> Mapping[str, Means]:
        """Dollars of a priced request, by where it ended."""
        priced = {
            key: count * (1.0 - self._unpriced_ratio(key[0]) if key[-1] == names.NO_CACHE else 1.0)
            for key, count in self.requests.items()
        }
        ends = {key[-1] for key in priced}
        return {end: Means.of(_ended(self.cost, end), _ended(priced, end)) for end in ends}

    @cached_property
    def _unpriced_ratios(self) -> Mapping[str, float]:
        """The share of the uncached requests of each model whose cost was not known."""
        asked: defaultdict[str, list[float]] = defaultdict(list)
        for key, count in self.requests.items():
            if key[-1] == names.NO_CACHE:
                asked[key[0]].append(count)
        totals = {model: math.fsum(counts) for model, counts in asked.items()}
        return {
            model: unpriced_ratio(self.unpriced_requests.get((model,), 0.0), total) or 0.0
            for model, total in totals.items()
        }

    def _unpriced_ratio(self, model: str) -> float:
        return self._unpriced_ratios.get(model, 0.0)

    def _marginal_dollars(
        self, tier: str, served: Amounts, ends: Mapping[str, float]
    ) -> tuple[float | None, float]:
        lost: list[float] = []
        unvalued = 0.0
        for kind, count in served.items():
            without = self._expected(self._dollars, ends, kind)
            if without is None or self._unpriced_ratio(kind[0]) >= 1.0:
                unvalued += count
                continue
            lost += [count * without, -self.cost.get((*kind, tier), 0.0)]
        if not lost and served:
            return None, unvalued
        dollars = math.fsum(lost)
        return (dollars if abs(dollars) > ROUNDING * math.fsum(map(abs, lost)) else 0.0), unvalued

    # Time -------------------------------------------------------------------------------------------------------
    @cached_property
    def _milliseconds(self) -> Mapping[str, Means]:
        ends = {key[-1] for key in self.timed}
        return {end: Means.of(_ended(self.latency_ms, end), _ended(self.timed, end)) for end in ends}

    def _milliseconds_lost(self, tier: str, served: Amounts, ends: Mapping[str, float]) -> float | None:
        longer: dict[Key, float] = {}
        for of_model in dict.fromkeys(kind[:1] for kind in served):
            without = self._expected(self._milliseconds, ends, of_model)
            took = self._expected(self._milliseconds, {tier: 1.0}, of_model)
            if without is None or took is None:
                return None
            longer[of_model] = without - took
        return math.fsum(count * longer[kind[:1]] for kind, count in served.items())

    @staticmethod
    def _expected(means: Mapping[str, Means], ends: Mapping[str, float], kind: Key) -> float | None:
        """Return the mean over ``ends``; ``None`` where an end that is possible is not known."""
        total = 0.0
        for end, probability in ends.items():
            if probability <= 0:
                continue
            mean = means[end].get(kind) if end in means else None
            if mean is None:
                return None
            total += probability * mean
        return total


def _shortened(amounts: Amounts, drop: int) -> dict[Key, float]:
    sums: defaultdict[Key, float] = defaultdict(float)
    for key, amount in amounts.items():
        sums[key[drop:]] += amount
    return dict(sums)


def _ended(amounts: Amounts, end: str) -> dict[Key, float]:
    return {key[:-1]: amount for key, amount in amounts.items() if key[-1] == end}


def _order(tier: str) -> tuple[int, str]:
    """Tiers in the order in which they are looked up: by number."""
    return (int(tier), "") if tier.isdigit() else (len(tier) + 1_000, tier)
