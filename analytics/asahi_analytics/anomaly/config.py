"""What counts as an anomaly: the kinds and their thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from asahi_alerts import thresholds
from asahi_alerts.thresholds import Thresholds

Kind = Literal["cost_spike", "latency_spike", "error_rate", "cache_degradation", "quality_drop"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Severity = Literal["warning", "critical"]

_OF_RULES: Final[Mapping[str, Callable[[Thresholds], Any]]] = {
    "cost_spike_threshold": lambda limits: limits.cost_spike_threshold,
    "latency_spike_threshold": lambda limits: limits.latency_spike_threshold,
    "error_rate_threshold": lambda limits: limits.error_rate_threshold,
    "cache_degradation_threshold": lambda limits: limits.cache_degradation_threshold,
    "quality_drop_threshold": lambda limits: limits.quality_drop_threshold,
    "rolling_window_hours": lambda limits: limits.rolling_window_hours,
    "min_history_hours": lambda limits: thresholds.seconds(limits.usual.min_history) / 3600,
    "critical_factor": lambda limits: limits.critical_factor,
    "critical_error_factor": lambda limits: limits.error_rate.critical_factor,
    "min_requests": lambda limits: limits.latency_spike.min_requests,
    "latency_quantile": lambda limits: limits.latency_spike.quantile,
}
"""What the detector and the alert rules have in common, as the file of the rules has it."""


def _shipped(name: str) -> Callable[[], Any]:
    return lambda: _OF_RULES[name](thresholds.load())


class AnomalyConfig(BaseModel):
    """Thresholds of the detector; the defaults are those of the alert rules (``thresholds.yml``).

    A threshold is a ratio (or a rate, or points) against what was to be expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cost_spike_threshold: FiniteFloat = Field(
        default_factory=_shipped("cost_spike_threshold"),
        gt=1,
        description="Spend against the expected spend: 2.0 is twice as much.",
    )
    latency_spike_threshold: FiniteFloat = Field(
        default_factory=_shipped("latency_spike_threshold"),
        gt=1,
        description="Latency against the expected latency: 2.0 is twice as slow.",
    )
    error_rate_threshold: FiniteFloat = Field(
        default_factory=_shipped("error_rate_threshold"),
        gt=0,
        lt=1,
        description="Errors for each request, 0-1.",
    )
    cache_degradation_threshold: FiniteFloat = Field(
        default_factory=_shipped("cache_degradation_threshold"),
        gt=0,
        lt=1,
        description="Hit rate against the expected hit rate: 0.5 is half of it.",
    )
    quality_drop_threshold: FiniteFloat = Field(
        default_factory=_shipped("quality_drop_threshold"),
        gt=0,
        description="Points below the expected quality score.",
    )
    rolling_window_hours: int = Field(
        default_factory=_shipped("rolling_window_hours"),
        ge=1,
        le=thresholds.MAX_ROLLING_WINDOW_HOURS,
        description="The rolling mean that stands for the usual while history is short.",
    )
    profile_days: int = Field(
        default=14, ge=1, le=60, description="Previous days that make the usual value of a time of day."
    )
    min_history_hours: FiniteFloat = Field(
        default_factory=_shipped("min_history_hours"),
        gt=0,
        description="No judgement before there is this much history.",
    )
    min_excess_share: FiniteFloat = Field(
        default=0.1,
        ge=0,
        description="A cost spike must add this share of the last day's mean spend of a bin.",
    )
    critical_factor: FiniteFloat = Field(
        default_factory=_shipped("critical_factor"),
        gt=1,
        description="A spike is critical at this many times its warning threshold.",
    )
    critical_error_factor: FiniteFloat = Field(
        default_factory=_shipped("critical_error_factor"),
        gt=1,
        description="An error rate is critical at this many times its threshold.",
    )
    error_rate_sigmas: FiniteFloat = Field(
        default=4.0,
        gt=0,
        description="How far beyond chance errors must be, in standard deviations of so many requests.",
    )
    outage_ratio: FiniteFloat = Field(
        default=0.02, ge=0, lt=1, description="Traffic at or below this share of the expected is an outage."
    )
    outage_min_requests: FiniteFloat = Field(
        default=20.0,
        ge=0,
        description="Requests that a bin must be expected to hold for an outage to be told.",
    )
    min_requests: int = Field(
        default_factory=_shipped("min_requests"),
        ge=0,
        description="Fewer requests in a bin say nothing about its latency.",
    )
    latency_quantile: FiniteFloat = Field(
        default_factory=_shipped("latency_quantile"),
        gt=0,
        lt=1,
        description="The latency that is judged, as a quantile.",
    )
    step_minutes: int = Field(
        default=10, ge=1, le=1440, description="Length of a bin that the detector judges."
    )
    history_days: int = Field(default=14, ge=2, le=90, description="History that the detector asks for.")
    level_history_days: int = Field(
        default=7, ge=1, le=90, description="The same for rates and scores, that need less."
    )
    latency_history_days: int = Field(
        default=3, ge=1, le=90, description="The same for latency, whose histogram has many series."
    )
    report_hours: FiniteFloat = Field(
        default=24.0, gt=0, description="Incidents that ended longer ago are not reported."
    )
    min_share: FiniteFloat = Field(
        default=0.05,
        ge=0,
        le=1,
        description="A model with less of the last day's spend is not judged on its own.",
    )
    max_models: int = Field(
        default=8, ge=1, description="So many models, the largest, are judged on their own."
    )

    @classmethod
    def following(cls, limits: Thresholds) -> Self:
        """Return the configuration whose thresholds are those of the alert rules made from ``limits``."""
        return cls(**{name: read(limits) for name, read in _OF_RULES.items()})
