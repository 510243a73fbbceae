"""Tells Alertmanager of anomalies and budget risks: one loop in one worker of the service.

Nothing is kept: every step asks the detector and the budgets anew, and both derive what goes on and what ended
lately from Prometheus, so a restart loses nothing. The worker that holds the lock sends; when it dies another does.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from asahi_alerts.alertmanager import Alert, AlertmanagerClient
from asahi_alerts.dispatcher import Dispatcher
from asahi_alerts.election import run_elected
from asahi_alerts.incidents import anomaly_alert, budget_alert
from asahi_alerts.thresholds import Severity, Thresholds
from asahi_analytics.anomaly import Anomaly
from asahi_analytics.anomaly.incidents import MERGE_GAP
from asahi_analytics.api.service import Service
from asahi_analytics.cli.server import MULTIPROCESS_VARIABLE
from asahi_analytics.errors import AnalyticsError
from asahi_analytics.forecasting import BudgetRisk

LOG: Final = logging.getLogger(__name__)
LOCK_NAME: Final = "notifier.lock"
CRITICAL_PROBABILITY: Final = 0.95
"""Probability of an overrun from which a budget's alert is critical rather than a warning."""


def current_alerts(service: Service, thresholds: Thresholds) -> list[Alert]:
    """Return the alerts of every anomaly that goes on or ended lately, and of every budget at risk.

    Raises ``AnalyticsError`` where Prometheus gives no usable answer.
    """
    base = thresholds.runbook_base_url
    alerts = [_of_anomaly(anomaly, base) for anomaly in service.detector.check()]
    probable = thresholds.budget.overrun_probability
    risks = service.budgets.report().budgets if service.budgets.plans else []
    alerts.extend(_of_budget(risk, base) for risk in risks if (risk.overrun_probability or 0.0) >= probable)
    return alerts


def _of_anomaly(anomaly: Anomaly, runbook_base_url: str) -> Alert:
    return anomaly_alert(
        anomaly_type=anomaly.anomaly_type,
        severity=anomaly.severity,
        message=anomaly.message,
        starts_at=anomaly.start,
        ends_at=None if anomaly.ongoing else anomaly.end,
        over_at=None if anomaly.ongoing else anomaly.end + MERGE_GAP,
        subject=anomaly.labels,
        runbook_base_url=runbook_base_url,
    )


def _of_budget(risk: BudgetRisk, runbook_base_url: str) -> Alert:
    probability = risk.overrun_probability or 0.0
    severity: Severity = "critical" if probability >= CRITICAL_PROBABILITY else "warning"
    return budget_alert(
        budget=risk.name,
        severity=severity,
        budget_dollars=risk.budget,
        spent_dollars=risk.spent,
        forecast_dollars=risk.forecast_total,
        overrun_probability=probability,
        exhausted_on=risk.exhaustion_day,
        starts_at=risk.start,
        runbook_base_url=runbook_base_url,
    )


def dispatcher(service: Service, alertmanager_url: str) -> Dispatcher:
    """Return the loop that keeps the Alertmanager at ``alertmanager_url`` informed of ``service``."""

    def source(_now: datetime) -> Sequence[Alert]:
        with service.answering():
            return current_alerts(service, service.thresholds)

    client = AlertmanagerClient(alertmanager_url)
    LOG.info("anomalies and budget risks are sent to %s", client.url)
    return Dispatcher(source, client, clock=service.engine.clock, source_errors=(AnalyticsError, OSError))


def lock_path() -> Path:
    """Return the file by which the workers of one service elect who sends."""
    return Path(os.environ.get(MULTIPROCESS_VARIABLE) or tempfile.gettempdir()) / LOCK_NAME


def start(service: Service, stop_event: threading.Event) -> threading.Thread | None:
    """Start the loop in a thread of this worker; None where no Alertmanager is configured."""
    url = service.settings.alertmanager_url
    if url is None:
        return None
    loop = dispatcher(service, url)

    def lead(stop_event: threading.Event) -> None:
        while not stop_event.is_set():
            pause_seconds = loop.step()
            service.metrics.observe_notifier(loop.counts.samples())
            stop_event.wait(pause_seconds)

    thread = threading.Thread(
        target=run_elected, args=(lead, lock_path(), stop_event), name="asahi-notifier", daemon=True
    )
    thread.start()
    return thread
