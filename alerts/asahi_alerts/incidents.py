"""What the service finds, as alerts: pure functions of plain values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from asahi_alerts.alertmanager import Alert
from asahi_alerts.thresholds import Severity
from asahi_exporter.prose import percent, shown

ANOMALY: Final = "AsahiAnomaly"
BUDGET_RISK: Final = "AsahiBudgetRisk"
SERVICE_ALERTS: Final = (ANOMALY, BUDGET_RISK)
"""Alerts that no rule raises but the service itself."""
INCIDENTS: Final[Mapping[str, str]] = {
    "cost_spike": "spend",
    "latency_spike": "latency",
    "error_rate": "errors",
    "cache_degradation": "cache",
    "quality_drop": "quality",
    "outage": "traffic",
}
"""The label ``incident`` of each type of anomaly, the same as of the rules that see the same thing."""


def anomaly_alert(
    *,
    anomaly_type: str,
    severity: Severity,
    message: str,
    starts_at: datetime,
    ends_at: datetime | None = None,
    over_at: datetime | None = None,
    subject: Mapping[str, str] | None = None,
    runbook_base_url: str,
    generator_url: str = "",
) -> Alert:
    """Return the alert of an anomaly.

    ``subject`` holds the labels of what it is about, such as ``{"model": "gpt-4o"}``. The labels must be the same
    as long as the anomaly lasts, so no number is among them; numbers stand in ``message``.
    """
    return Alert(
        labels={
            **(subject or {}),
            "alertname": ANOMALY,
            "anomaly_type": anomaly_type,
            "incident": INCIDENTS.get(anomaly_type, anomaly_type),
            "severity": severity,
        },
        annotations={
            "summary": f"Unusual: {anomaly_type.replace('_', ' ')}.",
            "description": message,
            "runbook_url": _runbook(runbook_base_url, ANOMALY),
        },
        starts_at=starts_at,
        ends_at=ends_at,
        over_at=over_at,
        generator_url=generator_url,
    )


def budget_alert(
    *,
    budget: str,
    severity: Severity,
    budget_dollars: float,
    spent_dollars: float,
    forecast_dollars: float,
    overrun_probability: float,
    exhausted_at: datetime | None,
    starts_at: datetime,
    ends_at: datetime | None = None,
    runbook_base_url: str,
    generator_url: str = "",
) -> Alert:
    """Return the alert of a budget that will probably not last; ``overrun_probability`` is 0 to 1."""
    runs_out = f" It runs out on {exhausted_at:%Y-%m-%d}." if exhausted_at is not None else ""
    return Alert(
        labels={"alertname": BUDGET_RISK, "budget": budget, "incident": "budget", "severity": severity},
        annotations={
            "summary": "A monthly budget will probably not last.",
            "description": (
                f"The budget {shown(budget)} of ${budget_dollars:,.2f} will be overrun with a probability of "
                f"{percent(overrun_probability, 0)}: ${spent_dollars:,.2f} spent, ${forecast_dollars:,.2f} expected "
                f"by the end of the month.{runs_out}"
            ),
            "runbook_url": _runbook(runbook_base_url, BUDGET_RISK),
        },
        starts_at=starts_at,
        ends_at=ends_at,
        generator_url=generator_url,
    )


def _runbook(base_url: str, alert_name: str) -> str:
    return f"{base_url.rstrip('/')}/{alert_name}.md"
