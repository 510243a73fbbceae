"""What the detector answers: anomalies, data-health findings, and the report that holds both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from asahi_analytics.anomaly.config import Kind, Severity
from asahi_analytics.models import Answer

AnomalyType = Kind | Literal["outage"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Cause(_Value):
    """One thing that moved, and how much of the change it carries."""

    factor: str = Field(
        description="What moved: volume, token_size, model_mix, unit_price, hit_rate; or queue, tail, tier, …"
    )
    change: float = Field(description="Its share of the change, in the unit of the metric (dollars, ms, …).")
    labels: dict[str, str] = Field(
        default_factory=dict, description="The label set that carries most of it; empty: everything."
    )
    text: str = Field(description="The same in words.")


class Anomaly(_Value):
    """One incident: from its first anomalous bin to its last, however it flickered in between."""

    id: str = Field(description="Stable for the incident: the same in every check that sees it.")
    anomaly_type: AnomalyType
    severity: Severity
    metric_name: str = Field(description="The Prometheus metric that the value comes from.")
    current_value: float = Field(description="In the last anomalous bin: dollars, ms, ratio 0-1 or points.")
    expected_value: float = Field(description="What that bin was expected to hold.")
    deviation_pct: float = Field(
        description="current_value against expected_value in percent; against the threshold where that is 0."
    )
    message: str = Field(description="A sentence for the engineer on call.")
    detected_at: datetime = Field(description="End of the bin from which on it could be told.")
    start: datetime = Field(description="Start of the first bin above the threshold.")
    peak: datetime = Field(description="Start of the highest bin; of a fall, of the lowest.")
    peak_value: float = Field(description="The value of that bin.")
    end: datetime = Field(description="End of the last anomalous bin so far.")
    ongoing: bool = Field(description="Whether it still goes on.")
    labels: dict[str, str] = Field(default_factory=dict, description="The label set; empty: everything.")
    causes: list[Cause] = Field(default_factory=list, description="What moved, largest share first.")
    parts: dict[str, float] = Field(
        default_factory=dict,
        description="The change of cost in dollars, split by what moved; the parts add up to the change.",
    )


class Finding(_Value):
    """Something that keeps the detector from seeing: not an anomaly of the traffic."""

    kind: Literal["scrape_gap", "short_history"]
    message: str
    start: datetime
    end: datetime


class AnomalyReport(Answer):
    """Every anomaly of the window that was judged, and what could not be judged."""

    anomalies: list[Anomaly]
    findings: list[Finding]


def identity(anomaly_type: str, labels: Mapping[str, str], start: datetime) -> str:
    """Return the id of the incident of this type and label set that began at ``start``."""
    words = [anomaly_type, *(f"{name}={labels[name]}" for name in sorted(labels)), start.isoformat()]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
