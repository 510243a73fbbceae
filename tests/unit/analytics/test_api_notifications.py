"""Anomalies and budgets become alerts; one worker sends them, and its counters are everybody's."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import responses

from asahi_alerts.thresholds import load
from asahi_analytics.anomaly import Anomaly
from asahi_analytics.anomaly.incidents import MERGE_GAP
from asahi_analytics.api import notifications
from asahi_analytics.api.app import create_app
from asahi_analytics.api.service_metrics import ServiceMetrics
from asahi_analytics.cli.server import MULTIPROCESS_VARIABLE
from asahi_analytics.deadline import within
from asahi_analytics.errors import PrometheusUnreachable

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
URL = "http://127.0.0.1:9093"


def anomaly(*, ongoing: bool = True) -> Anomaly:
    return Anomaly(
        id="a1",
        anomaly_type="cost_spike",
        severity="critical",
        metric_name="asahi_cost_dollars_total",
        current_value=41.2,
        expected_value=13.3,
        deviation_pct=210.0,
        message="Cost is 3.1x the usual.",
        detected_at=NOW - timedelta(minutes=20),
        start=NOW - timedelta(minutes=40),
        peak=NOW - timedelta(minutes=20),
        peak_value=44.0,
        end=NOW - timedelta(minutes=10),
        ongoing=ongoing,
        labels={"model": "gpt-4o"},
    )


def risk(probability: float | None) -> Any:
    return SimpleNamespace(
        name="total",
        budget=100.0,
        spent=60.0,
        forecast_total=130.0,
        overrun_probability=probability,
        exhaustion_at=datetime(2026, 3, 20, 5, tzinfo=UTC),
        exhaustion_day=date(2026, 3, 19),  # where the budget's month is that of Los Angeles
        start=NOW.replace(day=1, hour=0),
    )


def service(*, anomalies: Any = (), risks: Any = (), url: str | None = URL) -> Any:
    def check() -> Any:
        if isinstance(anomalies, Exception):
            raise anomalies
        return list(anomalies)

    return SimpleNamespace(
        detector=SimpleNamespace(check=check),
        budgets=SimpleNamespace(plans=tuple(risks), report=lambda: SimpleNamespace(budgets=list(risks))),
        engine=SimpleNamespace(clock=lambda: NOW),
        settings=SimpleNamespace(alertmanager_url=url),
        metrics=ServiceMetrics(),
        answering=lambda: within(45.0),
        thresholds=load(),
    )


def test_an_anomaly_keeps_its_labels_and_says_why() -> None:
    (alert,) = notifications.current_alerts(service(anomalies=[anomaly()]), load())
    assert alert.labels["model"] == "gpt-4o"
    assert alert.labels["severity"] == "critical"
    assert alert.annotations["description"] == "Cost is 3.1x the usual."
    assert alert.ends_at is None


def test_an_anomaly_that_is_over_carries_its_end() -> None:
    (alert,) = notifications.current_alerts(service(anomalies=[anomaly(ongoing=False)]), load())
    assert alert.ends_at == NOW - timedelta(minutes=10)
    assert alert.over_at == alert.ends_at + MERGE_GAP, "until then it might have come back"


@pytest.mark.parametrize(
    ("probability", "severities"), [(None, []), (0.79, []), (0.81, ["warning"]), (0.97, ["critical"])]
)
def test_a_budget_alerts_from_its_probability_on(probability: float | None, severities: list[str]) -> None:
    alerts = notifications.current_alerts(service(risks=[risk(probability)]), load())
    assert [alert.labels["severity"] for alert in alerts] == severities


def test_a_budget_alert_names_the_day_that_the_page_names() -> None:
    (alert,) = notifications.current_alerts(service(risks=[risk(0.97)]), load())
    assert alert.annotations["description"].endswith("It runs out on 2026-03-19.")


def test_without_an_alertmanager_nothing_is_started() -> None:
    assert notifications.start(service(url=None), threading.Event()) is None


@responses.activate
def test_the_loop_posts_and_counts_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posted = threading.Event()

    def take(_request: Any) -> tuple[int, dict[str, str], str]:
        posted.set()
        return 200, {}, ""

    responses.add_callback(responses.POST, f"{URL}/api/v2/alerts", take)
    running, stop = service(anomalies=[anomaly()]), threading.Event()
    monkeypatch.setattr(notifications, "lock_path", lambda: tmp_path / "lock")
    thread = notifications.start(running, stop)
    assert thread is not None
    assert posted.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    text = running.metrics.exposition().decode()
    assert 'asahi_notifier_alerts_total{result="sent"} 1.0' in text
    assert "asahi_notifier_last_success_timestamp_seconds 1.7" in text


def test_prometheus_down_is_counted_and_not_raised() -> None:
    down = service(anomalies=PrometheusUnreachable("no connection"))
    loop = notifications.dispatcher(down, URL)
    assert loop.step() > 0
    assert loop.counts.source_failed == 1


def test_the_lock_lies_with_the_metrics_that_workers_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MULTIPROCESS_VARIABLE, str(tmp_path))
    assert notifications.lock_path().parent == tmp_path
    monkeypatch.delenv(MULTIPROCESS_VARIABLE)
    assert notifications.lock_path().name == notifications.LOCK_NAME


def test_the_runbook_that_an_alert_points_at_is_served() -> None:
    (alert,) = notifications.current_alerts(service(anomalies=[anomaly()]), load())
    path = "/runbooks/" + alert.annotations["runbook_url"].rpartition("/")[2]
    browser = create_app().test_client()
    with browser.get(path) as answer:
        assert (answer.status_code, answer.mimetype) == (200, "text/plain")
        assert answer.text.startswith("# AsahiAnomaly")
    assert browser.get("/runbooks/..%2fthresholds.md").status_code == 404
    assert browser.get("/runbooks/AsahiNothing.md").mimetype == "application/problem+json"
