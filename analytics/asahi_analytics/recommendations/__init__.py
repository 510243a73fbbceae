"""Advice: what to change, what it is worth in dollars per month, and how that is known."""

from asahi_analytics.recommendations.engine import RecommendationEngine, recommend
from asahi_analytics.recommendations.models import Evidence, Recommendation

__all__ = ["Evidence", "Recommendation", "RecommendationEngine", "recommend"]
