"""``RecommendationEngine``: from the last four weeks of traffic to advice in dollars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from asahi_analytics.recommendations.cache_rules import cache_rules
from asahi_analytics.recommendations.findings import advice
from asahi_analytics.recommendations.models import AdviceReport, Recommendation
from asahi_analytics.recommendations.observed import WINDOW_DAYS, Observed, observe, window_before
from asahi_analytics.recommendations.routing_rules import routing_rules
from asahi_analytics.recommendations.spend_rules import spend_rules
from asahi_analytics.recommendations.token_rules import token_rules
from asahi_analytics.recommendations.unit_prices import UnitPrice, observed_prices, of_rate

if TYPE_CHECKING:
    from datetime import datetime

    from asahi_analytics.engine import AnalyticsEngine

MIN_REQUESTS: Final = 1_000
"""Requests in four weeks below which no advice is given: it would be advice on noise."""
_RANK: Final = {"high": 0, "medium": 1, "low": 2}


class RecommendationEngine:
    """Advice on what to change.

    ``list_prices`` are unit prices of models that may be proposed although they are not in use; without them they are
    what the price file says of the other models of those who sell the models in use. What a model in use was really
    paid is read from the traffic and goes before it.
    """

    def __init__(self, engine: AnalyticsEngine, list_prices: Mapping[str, UnitPrice] | None = None) -> None:
        self._engine = engine
        self._list_prices = list_prices

    def generate(self) -> list[Recommendation]:
        """Return the advice, the most urgent first; an empty list where there is too little traffic to advise on.

        Raises ``PrometheusError`` where Prometheus gave no usable answer.
        """
        return self.report().recommendations

    def report(self) -> AdviceReport:
        """Return the advice with what it was read from and, where there is too little to judge by, a warning.

        Raises ``PrometheusError`` where Prometheus gave no usable answer.
        """
        now = self._engine.clock()
        observed = observe(self._engine.composer, now)
        window = window_before(now)
        return AdviceReport(
            start=window.start,
            end=window.end,
            trust=observed.trust,
            generated_at=now,
            warning=_too_little(observed),
            recommendations=recommend(observed, self._prices(observed, now)),
        )

    def _prices(self, observed: Observed, now: datetime) -> Mapping[str, UnitPrice]:
        if self._list_prices is not None:
            return self._list_prices
        offered = self._engine.prices.offered(observed.models, now)
        return {model: of_rate(rate) for model, rate in offered.items()}


def _too_little(observed: Observed) -> str | None:
    if not observed.days:
        return f"nothing was scraped in the {WINDOW_DAYS} days up to the last full hour"
    if observed.requests >= MIN_REQUESTS:
        return None
    return (
        f"{observed.requests:,.0f} requests in the last {WINDOW_DAYS} days are too few to advise on: "
        f"{MIN_REQUESTS:,} are needed"
    )


def recommend(observed: Observed, list_prices: Mapping[str, UnitPrice]) -> list[Recommendation]:
    """Return the advice on ``observed``, ordered by priority and then by dollars."""
    if observed.requests < MIN_REQUESTS:
        return []
    prices = observed_prices(observed)
    findings = [
        *cache_rules(observed),
        *routing_rules(observed, prices, list_prices),
        *token_rules(observed, prices),
        *spend_rules(observed, prices),
    ]
    advised = [advice(finding, observed) for finding in findings]
    return sorted(advised, key=lambda item: (_RANK[item.priority], -item.estimated_savings, item.id))
