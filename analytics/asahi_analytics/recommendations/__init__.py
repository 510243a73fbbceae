"""Advice: what to change, what it is worth in dollars per month, and how that is known."""

from asahi_analytics.recommendations.engine import RecommendationEngine, recommend
from asahi_analytics.recommendations.models import AdviceReport, Evidence, Recommendation

__all__ = ["AdviceReport", "Evidence", "Recommendation", "RecommendationEngine", "recommend"]
