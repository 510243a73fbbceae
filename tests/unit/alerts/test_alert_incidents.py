from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from asahi_alerts.incidents import INCIDENTS, anomaly_alert, budget_alert

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUNBOOKS = "http://127.0.0.1:8000/runbooks/"


def anomaly(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "anomaly_type": "latency_spike",
        "severity": "warning",
        "message": "gpt-4o answers in 4.1 s, usually in 1.2 s.",
        "starts_at": NOON,
        "subject": {"model": "gpt-4o", "cache_tier": "none"},
        "runbook_base_url": RUNBOOKS,
    }
    return anomaly_alert(**values | changes)


def test_an_anomaly_carries_what_it_is_about_and_what_to_do() -> None:
    alert = anomaly(generator_url="http://127.0.0.1:8000/")
    assert alert.labels == {
        "alertname": "AsahiAnomaly",
        "anomaly_type": "latency_spike",
        "incident": "latency",
        "severity": "warning",
        "model": "gpt-4o",
        "cache_tier": "none",
    }
    assert alert.annotations == {
        "summary": "Unusual: latency spike.",
        "description": "gpt-4o answers in 4.1 s, usually in 1.2 s.",
        "runbook_url": "http://127.0.0.1:8000/runbooks/AsahiAnomaly.md",
    }
    assert (alert.starts_at, alert.ends_at, alert.generator_url) == (NOON, None, "http://127.0.0.1:8000/")


def test_an_anomaly_stays_the_same_alert_while_its_numbers_change() -> None:
    later = anomaly(message="gpt-4o answers in 9 s, usually in 1.2 s.", ends_at=NOON + timedelta(hours=1))
    assert later.identity == anomaly().identity
    assert later.ends_at == NOON + timedelta(hours=1)


def test_a_subject_cannot_rename_the_alert() -> None:
    alert = anomaly(subject={"alertname": "Other", "severity": "none"})
    assert alert.labels["alertname"] == "AsahiAnomaly"
    assert alert.labels["severity"] == "warning"


def test_an_anomaly_about_everything_has_no_subject() -> None:
    assert "model" not in anomaly(subject=None).labels


@pytest.mark.parametrize("kind", INCIDENTS)
def test_each_type_belongs_to_an_incident(kind: str) -> None:
    assert anomaly(anomaly_type=kind).labels["incident"] == INCIDENTS[kind]


def test_a_type_that_is_new_is_an_incident_of_its_own() -> None:
    assert anomaly(anomaly_type="data_health").labels["incident"] == "data_health"


def budget(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "budget": "team-a",
        "severity": "critical",
        "budget_dollars": 1200.0,
        "spent_dollars": 900.5,
        "forecast_dollars": 1500.0,
        "overrun_probability": 0.97,
        "exhausted_on": date(2026, 3, 24),
        "starts_at": NOON,
        "runbook_base_url": RUNBOOKS,
    }
    return budget_alert(**values | changes)


def test_a_budget_risk_names_the_day() -> None:
    alert = budget()
    assert alert.labels == {
        "alertname": "AsahiBudgetRisk",
        "budget": "team-a",
        "incident": "budget",
        "severity": "critical",
    }
    assert alert.annotations["description"] == (
        "The budget team-a of $1,200.00 will be overrun with a probability of 97 %: $900.50 spent, "
        "$1,500.00 expected by the end of the month. It runs out on 2026-03-24."
    )
    assert alert.annotations["runbook_url"].endswith("/AsahiBudgetRisk.md")


def test_a_budget_risk_without_a_day_names_none() -> None:
    assert budget(exhausted_on=None).annotations["description"].endswith("by the end of the month.")


def test_a_budget_that_is_spent_is_told_in_the_past_tense() -> None:
    alert = budget(spent_dollars=1200.0, overrun_probability=1.0)
    assert alert.annotations["summary"] == "A monthly budget is spent."
    assert alert.annotations["description"] == (
        "The budget team-a of $1,200.00 is spent: $1,200.00 so far, $1,500.00 expected by the end of the month. "
        "It ran out on 2026-03-24."
    )


def test_a_budget_without_a_forecast_tells_no_expectation() -> None:
    alert = budget(spent_dollars=1300.0, forecast_dollars=None)
    assert alert.annotations["description"] == (
        "The budget team-a of $1,200.00 is spent: $1,300.00 so far. It ran out on 2026-03-24."
    )
