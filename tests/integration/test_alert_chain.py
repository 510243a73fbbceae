"""The whole chain, with real programs: exporter, Prometheus, rules, Alertmanager, a webhook that is told."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from asahi_alerts import generator, thresholds
from asahi_alerts.alertmanager import Alert, AlertmanagerClient
from asahi_alerts.dispatcher import Dispatcher
from asahi_alerts.incidents import INCIDENTS, SERVICE_ALERTS, anomaly_alert
from asahi_analytics import recording, tiles
from asahi_analytics.demo import servers
from support.webhook import Webhook, listening

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
# Serves /metrics; each line read is the number of dollars that one more request cost.
EXPORTER = """
import sys
from asahi_exporter import InferenceEvent, MetricsCollector, MetricsConfig
collector = MetricsCollector(MetricsConfig(state_dir=sys.argv[2]))
collector.start_http_server(port=int(sys.argv[1]))
for line in sys.stdin:
    collector.record_inference(InferenceEvent(model="gpt-4o", task_type="chat", user="team-a", input_tokens=10,
        output_tokens=10, cost_dollars=float(line), latency_ms=5.0))
"""


class Exporter:
    """A process that serves the metrics of requests it is told of."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        command = [sys.executable, "-c", EXPORTER, str(port), str(folder / "state")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def spend(self, dollars: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{dollars}\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def spending(exporter: Exporter, dollars: float) -> Iterator[None]:
    """Spend ``dollars`` ten times a second meanwhile."""
    enough = threading.Event()

    def spend() -> None:
        while not enough.wait(0.1):
            exporter.spend(dollars)

    thread = threading.Thread(target=spend)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def quick_thresholds() -> thresholds.Thresholds:
    """Everything as shipped, in seconds instead of minutes."""
    return thresholds.parse(
        {
            "evaluation_interval": "1s",
            "slow_evaluation_interval": "1s",
            "exporter_down": {"for": "1s"},
            "budget": {
                "monthly_dollars": 1000,
                "burn_windows": [
                    {"burn_rate": 14.4, "short": "5s", "long": "10s", "severity": "critical", "for": "1s"}
                ],
            },
        }
    )


def write_rules(folder: Path) -> list[Path]:
    second = timedelta(seconds=1)
    parameters = tiles.RuleParameters(
        interval=second, state_interval=2 * second, settle=second, scrape_interval=second
    )
    folder.mkdir()
    totals = recording.rule_files(parameters)
    files = {name: totals[name] for name in ("asahi_totals.yml", "asahi_minutes.yml")}
    files.update(generator.rule_files(quick_thresholds()))
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in files]


def sample_configuration(webhook: Webhook) -> dict[str, Any]:
    """The configuration that is shipped, told where the test listens, and in a hurry."""
    text = (ROOT / "alerts" / "alertmanager.yml").read_text().replace("http://127.0.0.1:9095", webhook.url)
    configuration = yaml.safe_load(text)
    for route in (configuration["route"], *configuration["route"]["routes"]):
        route.update(group_wait="1s", group_interval="1s")
    return configuration


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
def alertmanager(tmp_path: Path, webhook: Webhook) -> Iterator[servers.Server]:
    with servers.running(servers.alertmanager(tmp_path / "am", sample_configuration(webhook))) as server:
        yield server


def unhealthy_rules(url: str) -> dict[str, str]:
    """Return what Prometheus says of each rule that it could not evaluate."""
    groups = requests.get(f"{url}/api/v1/rules", timeout=5).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 60
    return {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"}


def test_an_alert_reaches_the_webhook_and_so_does_its_end(
    tmp_path: Path, webhook: Webhook, alertmanager: servers.Server
) -> None:
    exporter = Exporter(tmp_path, servers.free_port())
    configuration = servers.prometheus_config(
        targets={"asahi": [f"127.0.0.1:{exporter.port}"]},
        rule_files=write_rules(tmp_path / "rules"),
        scrape_interval="1s",
        evaluation_interval="1s",
        alertmanagers=[f"127.0.0.1:{alertmanager.port}"],
    )
    prometheus = servers.prometheus(
        tmp_path / "prometheus", configuration, extra_flags=["--rules.alert.resend-delay=1s"]
    )
    with servers.running(prometheus):
        try:
            with spending(exporter, 0.5):
                fired = webhook.of("AsahiBudgetBurn", "firing")
            assert fired.path == "/page"
            assert fired.group == {"incident": "budget"}
            assert fired.labels["window"] == "10s"
            assert "times the pace that lasts the month" in fired.annotations["description"]
            assert "of a budget of $1000.00" in fired.annotations["description"]
            assert fired.annotations["runbook_url"].endswith("/AsahiBudgetBurn.md")
            assert webhook.of("AsahiBudgetBurn", "resolved").path == "/page"

            assert unhealthy_rules(prometheus.url) == {}

            exporter.process.send_signal(signal.SIGSTOP)
            down = webhook.of("AsahiExporterDown", "firing")
            assert down.labels["instance"] == f"127.0.0.1:{exporter.port}"
            exporter.process.send_signal(signal.SIGCONT)
            webhook.of("AsahiExporterDown", "resolved")
            assert {one.labels["alertname"] for one in webhook.received} == {
                "AsahiBudgetBurn",
                "AsahiExporterDown",
            }
        finally:
            exporter.kill()


def spike(ends_at: datetime | None = None, **changes: Any) -> Alert:
    values: dict[str, Any] = {
        "anomaly_type": "cost_spike",
        "severity": "critical",
        "message": "gpt-4o costs three times the usual: twice the requests, of one and a half times the size.",
        "starts_at": datetime.now(UTC) - timedelta(minutes=10),
        "ends_at": ends_at,
        "subject": {"model": "gpt-4o"},
        "runbook_base_url": "http://127.0.0.1:8000/runbooks",
    }
    return anomaly_alert(**values | changes)


@contextlib.contextmanager
def dispatching(found: list[Alert], url: str) -> Iterator[Dispatcher]:
    """Run a dispatcher of whatever ``found`` holds."""
    dispatcher = Dispatcher(lambda _: list(found), AlertmanagerClient(url), resend_seconds=1.0)
    stop = threading.Event()

    def step() -> None:
        while not stop.is_set():
            stop.wait(dispatcher.step())

    thread = threading.Thread(target=step)
    thread.start()
    try:
        yield dispatcher
    finally:
        stop.set()
        thread.join()


def until_inhibited(url: str, pairs: int = 1, seconds: float = 30.0) -> None:
    """Wait until Alertmanager holds ``pairs`` of alerts, one of each inhibited by the other."""
    deadline = time.monotonic() + seconds
    while True:
        alerts = requests.get(f"{url}/api/v2/alerts", timeout=5).json()
        inhibited = [bool(alert["status"]["inhibitedBy"]) for alert in alerts]
        if inhibited.count(True) == pairs and len(alerts) == 2 * pairs:
            return
        assert time.monotonic() < deadline, alerts
        time.sleep(0.1)


def test_a_symptom_found_together_with_its_cause_is_told_to_nobody(
    webhook: Webhook, alertmanager: servers.Server
) -> None:
    """Alertmanager tells an alert that began long ago at once: of one post it now and then tells the symptom.

    One pair for each incident, which is a group of notifications, and the symptom first, so that a slip shows.
    """
    found = [
        spike(anomaly_type=kind, severity=each) for kind in INCIDENTS for each in ("warning", "critical")
    ]
    with dispatching(found, alertmanager.url) as dispatcher:
        until_inhibited(alertmanager.url, len(INCIDENTS))
        for kind in INCIDENTS:
            webhook.of("AsahiAnomaly", "firing", anomaly_type=kind)
        over = datetime.now(UTC)
        found[:] = [replace(each, ends_at=over) for each in found]
        for kind in INCIDENTS:
            webhook.of("AsahiAnomaly", "resolved", anomaly_type=kind)
    assert dispatcher.counts.failed == 0
    assert {one.labels["severity"] for one in webhook.received} == {"critical"}


def everything_that_can_fire() -> dict[str, str]:
    """The expressions of every alert by name; those of the service, and of a cause of other alerts, have none."""
    causes = {"AsahiExporterDown", "AsahiExporterAbsent", "AsahiTotalsMissing"}
    found = dict.fromkeys(SERVICE_ALERTS, "")
    for alert in generator.alerts():
        if alert.name not in causes:
            found[alert.name] = found.get(alert.name, "") + alert.expr
    return found


def test_only_what_rules_compute_from_totals_waits_for_them(alertmanager: servers.Server) -> None:
    """The service reads the samples where there are no totals: its anomalies and budgets are told."""
    expressions = everything_that_can_fire()
    # info, so that none is the critical alert or the cause of another one
    severities = {"AsahiTotalsMissing": "critical", **dict.fromkeys(expressions, "info")}
    alerts = [{"labels": {"alertname": name, "severity": severity}} for name, severity in severities.items()]
    AlertmanagerClient(alertmanager.url).post(alerts)
    from_totals = {name for name, expr in expressions.items() if re.search(r"\basahi\w*:", expr)}
    deadline = time.monotonic() + 30
    while True:
        alerts = requests.get(f"{alertmanager.url}/api/v2/alerts", timeout=5).json()
        fingerprints = {one["labels"]["alertname"]: one["fingerprint"] for one in alerts}
        waiting = {
            one["labels"]["alertname"]
            for one in alerts
            if fingerprints.get("AsahiTotalsMissing") in one["status"]["inhibitedBy"]
        }
        if waiting == from_totals and len(alerts) == len(expressions) + 1:
            break
        assert time.monotonic() < deadline, waiting ^ from_totals
        time.sleep(0.1)
    assert "AsahiBudgetBurn" in from_totals
    assert not from_totals & {"AsahiBudgetSpent", "AsahiForecastOverBudget", *SERVICE_ALERTS}


def test_what_the_service_finds_reaches_the_webhook_through_a_restart(
    webhook: Webhook, alertmanager: servers.Server
) -> None:
    found = [spike()]
    with dispatching(found, alertmanager.url) as dispatcher:
        fired = webhook.of("AsahiAnomaly", "firing")
        found.append(spike(severity="warning"))
        until_inhibited(alertmanager.url)
        assert fired.path == "/page"
        assert fired.labels["model"] == "gpt-4o"
        assert fired.annotations["description"].startswith("gpt-4o costs three times the usual")
    assert dispatcher.counts.failed == 0

    # the incident ends while no service runs; the next one finds it among those that ended lately
    found[:] = [spike(datetime.now(UTC)), spike(datetime.now(UTC), severity="warning")]
    with dispatching(found, alertmanager.url):
        resolved = webhook.of("AsahiAnomaly", "resolved")
    assert resolved.path == "/page"
    assert {one.labels["severity"] for one in webhook.received if one.status == "firing"} == {"critical"}
    left = requests.get(f"{alertmanager.url}/api/v2/alerts", timeout=5).json()
    assert left == []
