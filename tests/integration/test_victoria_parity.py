"""The API answers from VictoriaMetrics what it answers from Prometheus: same samples, same moment, every endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isclose
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import yaml
from flask.testing import FlaskClient

from asahi_analytics.api.app import create_app
from asahi_analytics.api.endpoints import ENDPOINTS
from asahi_analytics.api.service import Service, build
from asahi_analytics.cli import doctor, report
from asahi_analytics.demo import servers
from asahi_analytics.demo.build import all_series
from asahi_analytics.demo.past import draw_past
from asahi_analytics.demo.servers import running
from asahi_analytics.demo.store import intensity_of
from asahi_analytics.errors import PrometheusRefused, PrometheusUnreachable
from asahi_analytics.history import HistorySeries, write_blocks
from asahi_analytics.models import GROUPINGS
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.settings import PrometheusSettings, Settings
from asahi_analytics.tiles import INSTANCE, JOB
from asahi_analytics.trends import METRICS
from asahi_analytics.windows import PERIODS, WINDOW_NAMES
from asahi_exporter.conventions import STORE
from support.victoria import fill, victoria_metrics

pytestmark = pytest.mark.integration
DAYS = 3
"""So many hold two whole days, of which a forecast is made, at any time of the day."""
SCRAPED_EVERY_SECONDS, IN_THE_LAST_HOUR = 300.0, 60.0
SEED = 7
CLOSE = 1e-7
"""VictoriaMetrics keeps 12 digits of a number. An answer is the difference of two running totals of ``DAYS`` days: for
an hour of one user that costs three digits, and two more for the change between two such hours that are alike."""
TINY = 1e-9
"""Dollars, milliseconds, shares and percent: what is less than this is nothing, whatever its digits."""
BUDGETS = {
    "budgets": [
        {"monthly_dollars": 3000},
        {"model": "gpt-4o", "monthly_dollars": 1200},
        {"name": "support bots", "task_type": "support", "monthly_dollars": 40},
    ]
}
OF_THE_BACKEND = {"Prometheus", "Alertmanager"}
"""Findings of the doctor that tell the one server from the other."""
RULES = "recording rules"
"""So does this one, and it must: VictoriaMetrics evaluates no rules itself, Prometheus might."""


@dataclass(frozen=True)
class Both:
    """The service over a Prometheus and over a VictoriaMetrics, and what asks each."""

    prometheus: Service
    victoria: Service
    clients: tuple[FlaskClient, FlaskClient]

    @classmethod
    def of(cls, *services: Service) -> Both:
        """Make what asks them."""
        first, second = (create_app(service=service).test_client() for service in services)
        return cls(*services, (first, second))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Both hold the demo's last days, up to now: the newest samples are younger than what is shown without asking."""
    folder = tmp_path_factory.mktemp("parity")
    now = datetime.now(UTC).replace(microsecond=0)
    end_s, last_hour_s = now.timestamp(), now.timestamp() - 3600.0
    times = np.concatenate(
        [
            np.arange(end_s - DAYS * 86_400, last_hour_s, SCRAPED_EVERY_SECONDS),
            np.arange(last_hour_s, end_s + 1.0, IN_THE_LAST_HOUR),
        ]
    )
    past = draw_past(intensity_of(now, SEED), times)
    series = list(all_series(past, {JOB: "asahi", INSTANCE: "127.0.0.1:9091", STORE: "demo"}))
    write_blocks(series, folder / "data")
    (folder / "budgets.yml").write_text(yaml.safe_dump(BUDGETS))

    def service(server: servers.Server) -> Service:
        told = Settings(prometheus=PrometheusSettings(url=server.url), budgets_file=folder / "budgets.yml")
        return build(told, clock=lambda: now)

    prometheus = servers.prometheus(folder, servers.prometheus_config(), data=folder / "data")
    with running(prometheus), running(victoria_metrics(folder)) as victoria:
        fill(victoria, series)
        yield Both.of(service(prometheus), service(victoria))


def questions() -> Iterator[str]:
    """Every endpoint with every period and grouping, and what lies on no grid."""
    for period in PERIODS:
        for group_by in GROUPINGS:
            yield f"cost-breakdown?period={period}&group_by={group_by}"
        yield f"baseline?period={period}&group_by=model"
        yield f"baseline?period={period}&baseline_model=gpt-4o"
        for name in ("top-cost-drivers", "cache-performance", "latency-percentiles"):
            yield f"{name}?period={period}"
    for name in WINDOW_NAMES:
        yield f"cost-breakdown?window={name}&group_by=user"
    for metric in METRICS:
        yield f"trends?metric={metric}&period=hour&intervals=70"
    yield "trends?metric=cost&period=day&intervals=60"
    yield "forecast?horizon_days=7&group_by=model&monthly_budget=500"
    yield "forecast?group_by=model&name=gpt-4o&monthly_budget=50"
    yield "forecast/cache-hit-rate?tier=1"
    yield from ("budgets", "anomalies", "recommendations")


QUESTIONS = tuple(questions())


def test_every_endpoint_is_asked() -> None:
    asked = {f"/analytics/{question.partition('?')[0]}" for question in QUESTIONS}
    assert asked == {endpoint.path for endpoint in ENDPOINTS}


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_is_the_same_in_every_field(both: Both, question: str) -> None:
    first, second = (client.get(f"/analytics/{question}") for client in both.clients)
    assert (first.status_code, second.status_code) == (200, 200)
    assert differences(first.json, second.json) == []


@pytest.mark.parametrize("name", ["cost-breakdown", "top-cost-drivers", "latency-percentiles"])
def test_a_window_that_lies_on_no_grid_is_answered_the_same(both: Both, name: str) -> None:
    now = both.prometheus.engine.clock()
    start, end = now - timedelta(hours=31, minutes=17, seconds=41), now - timedelta(hours=5, seconds=13)
    window = quote(f"{start.isoformat()},{end.isoformat()}")
    first, second = (client.get(f"/analytics/{name}?window={window}").json for client in both.clients)
    assert first["start"].startswith(start.strftime("%Y-%m-%dT%H:%M:%S"))
    assert differences(first, second) == []


def test_there_is_something_to_compare(both: Both) -> None:
    client, _ = both.clients
    answers = {
        name: client.get(f"/analytics/{name}").json
        for name in ("cost-breakdown?period=hour", "anomalies", "recommendations", "forecast", "budgets")
    }
    assert answers["cost-breakdown?period=hour"]["total_cost"] > 0
    assert answers["anomalies"]["anomalies"]
    assert answers["recommendations"]["recommendations"]
    assert answers["forecast"]["predicted_cost"] > 0
    assert answers["budgets"]["budgets"][0]["spent"] > 0


@pytest.mark.parametrize(("minutes", "rules"), [(0, "ok"), (3, "ok"), (16, "missing")])
def test_readiness_is_the_same_however_old_the_last_evaluation_is(
    both: Both, minutes: int, rules: str
) -> None:
    for service in (both.prometheus, both.victoria):
        later = service.engine.clock() + timedelta(minutes=minutes)
        client = create_app(service=build(service.settings, clock=lambda now=later: now)).test_client()
        assert client.get("/readyz").json == {"ready": True, "prometheus": "ok", "rules": rules}


def test_the_doctor_finds_the_same(both: Both) -> None:
    first, second = (
        {
            finding.title: (finding.level, finding.detail)
            for finding in doctor.examine(service.engine)
            if finding.title not in OF_THE_BACKEND
        }
        for service in (both.prometheus, both.victoria)
    )
    assert len(first) == len(doctor.CHECKS) - 1
    assert first.pop(RULES) == (
        "warn",
        "they have results of the last minutes, but this Prometheus evaluates none of them",
    )
    assert second.pop(RULES) == ("ok", "they are evaluated")
    assert first == second


@pytest.mark.parametrize("period", PERIODS)
def test_a_report_is_the_same(both: Both, period: Any) -> None:
    first, second = (
        json.loads(report.as_json(report.gather(service.engine, period, "user", None)))
        for service in (both.prometheus, both.victoria)
    )
    assert differences(first, second) == []


def test_a_query_that_is_too_long_is_refused_with_the_servers_words(both: Both) -> None:
    long = "vector(1)" + " + 1" * 5000
    with pytest.raises(PrometheusRefused, match=r"\(422\): too long query.*16384"):
        both.victoria.engine.client.query(long, both.victoria.engine.clock())


def test_the_last_half_minute_is_seen_at_once(tmp_path: Path) -> None:
    with running(victoria_metrics(tmp_path)) as server:
        now = datetime.now(UTC)
        times_ms = np.array([now.timestamp() - 60.0, now.timestamp() - 1.0]) * 1000.0
        fill(
            server,
            [HistorySeries("asahi_requests_total", {}, times_ms.astype(np.int64), np.array([1.0, 2.0]))],
        )
        client = PrometheusClient(server.url)
        assert [one.value for one in client.query("asahi_requests_total", now).samples] == [2.0]


def test_a_victoriametrics_that_is_down_is_unreachable(tmp_path: Path) -> None:
    with running(victoria_metrics(tmp_path)) as server:
        client = PrometheusClient(PrometheusSettings(url=server.url, retries=0))
        now = datetime.now(UTC)
        assert client.query("vector(1)", now).samples
    with pytest.raises(PrometheusUnreachable):
        client.query("vector(2)", now)


def differences(first: Any, second: Any, where: str = "") -> list[str]:
    """Tell where two answers differ: numbers by more than ``CLOSE`` and ``TINY``, all else at all."""
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        pairs = [(first[name], second[name], f"{where}.{name}") for name in first]
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = [
            (one, other, f"{where}[{place}]")
            for place, (one, other) in enumerate(zip(first, second, strict=True))
        ]
    else:
        numbers = all(
            isinstance(each, float | int) and not isinstance(each, bool) for each in (first, second)
        )
        alike = first == second or (numbers and isclose(first, second, rel_tol=CLOSE, abs_tol=TINY))
        return [] if alike else [f"{where}: {first!r} from Prometheus, {second!r} from VictoriaMetrics"]
    return [difference for pair in pairs for difference in differences(*pair)]
