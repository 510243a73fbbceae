"""Anomalies: what just went wrong, and why."""

from asahi_analytics.anomaly.config import KINDS, AnomalyConfig, Kind
from asahi_analytics.anomaly.scoring import score_series

__all__ = ["KINDS", "AnomalyConfig", "Kind", "score_series"]
