"""What the service finds, as alerts: pure functions of plain values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
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
    forecast_dollars: float | None,
    overrun_probability: float,
    exhausted_on: date | None,
    starts_at: datetime,
    ends_at: datetime | None = None,
    runbook_base_url: str,
    generator_url: str = "",
) -> Alert:
    """Return the alert of a budget that will probably not last, or is spent.

    ``overrun_probability`` is 0 to 1, ``exhausted_on`` the day in the budget's own time zone. What is None is not told.
    """
    spent = spent_dollars >= budget_dollars
    state = (
        "is spent" if spent else f"will be overrun with a probability of {percent(overrun_probability, 0)}"
    )
    expected = (
        f", ${forecast_dollars:,.2f} expected by the end of the month" if forecast_dollars is not None else ""
    )
    day = f" It {'ran' if spent else 'runs'} out on {exhausted_on}." if exhausted_on is not None else ""
    return Alert(
        labels={"alertname": BUDGET_RISK, "budget": budget, "incident": "budget", "severity": severity},
        annotations={
            "summary": "A monthly budget is spent." if spent else "A monthly budget will probably not last.",
            "description": (
                f"The budget {shown(budget)} of ${budget_dollars:,.2f} {state}: "
                f"${spent_dollars:,.2f} {'so far' if spent else 'spent'}{expected}.{day}"
            ),
            "runbook_url": _runbook(runbook_base_url, BUDGET_RISK),
        },
        starts_at=starts_at,
        ends_at=ends_at,
        generator_url=generator_url,
    )


def _runbook(base_url: str, alert_name: str) -> str:
    return f"{base_url.rstrip('/')}/{alert_name}.md"
