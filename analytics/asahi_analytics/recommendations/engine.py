"""``RecommendationEngine``: from the last four weeks of traffic to advice in dollars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from asahi_analytics.recommendations.cache_rules import cache_rules
from asahi_analytics.recommendations.dollars import MONTH_DAYS
from asahi_analytics.recommendations.findings import advice
from asahi_analytics.recommendations.models import Recommendation
from asahi_analytics.recommendations.observed import Observed, observe
from asahi_analytics.recommendations.routing_rules import routing_rules
from asahi_analytics.recommendations.spend_rules import spend_rules
from asahi_analytics.recommendations.token_rules import token_rules
from asahi_analytics.recommendations.unit_prices import UnitPrice, observed_prices

if TYPE_CHECKING:
    from asahi_analytics.engine import AnalyticsEngine

MIN_REQUESTS: Final = 1_000
"""Requests in four weeks below which no advice is given: it would be advice on noise."""
_RANK: Final = {"high": 0, "medium": 1, "low": 2}


class RecommendationEngine:
    """Advice on what to change.

    ``list_prices`` are unit prices of models that may be proposed although they are not in use; what a model in use
    was really paid is read from the traffic and goes before it.
    """

    def __init__(self, engine: AnalyticsEngine, list_prices: Mapping[str, UnitPrice] | None = None) -> None:
        self._engine = engine
        self._list_prices = dict(list_prices or {})

    def generate(self) -> list[Recommendation]:
        """Return the advice, the most urgent first; an empty list where there is too little traffic to advise on.

        Raises ``PrometheusError`` where Prometheus gave no usable answer.
        """
        return recommend(observe(self._engine.composer, self._engine.clock()), self._list_prices)


def recommend(observed: Observed, list_prices: Mapping[str, UnitPrice]) -> list[Recommendation]:
    """Return the advice on ``observed``, ordered by priority and then by dollars."""
    if observed.requests < MIN_REQUESTS:
        return []
    prices = {**list_prices, **observed_prices(observed)}
    findings = [
        *cache_rules(observed),
        *routing_rules(observed, prices),
        *token_rules(observed, prices),
        *spend_rules(observed),
    ]
    monthly_cost = observed.cost_dollars / observed.days * MONTH_DAYS
    advised = [advice(finding, monthly_cost) for finding in findings]
    return sorted(advised, key=lambda item: (_RANK[item.priority], -item.estimated_savings, item.id))
