"""Anomalies: what just went wrong, and why."""

from asahi_analytics.anomaly.attribution import CostChange, split_cost_change
from asahi_analytics.anomaly.config import KINDS, AnomalyConfig, Kind
from asahi_analytics.anomaly.detector import AnomalyDetector
from asahi_analytics.anomaly.incidents import Incident, incidents
from asahi_analytics.anomaly.models import Anomaly, AnomalyReport, Cause, Finding
from asahi_analytics.anomaly.scoring import score_outage, score_series

__all__ = [
    "KINDS",
    "Anomaly",
    "AnomalyConfig",
    "AnomalyDetector",
    "AnomalyReport",
    "Cause",
    "CostChange",
    "Finding",
    "Incident",
    "Kind",
    "incidents",
    "score_outage",
    "score_series",
    "split_cost_change",
]
