"""The service as it is run: a real exporter, a real Prometheus with the rules, gunicorn with two workers."""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from asahi_analytics import recording
from asahi_analytics.demo import servers
from asahi_exporter import InferenceEvent, MetricsCollector, MetricsConfig
from support.slow_prometheus import slow_prometheus

pytestmark = pytest.mark.integration

LEDGER = [
    ("gpt-4o", "chat", None, "ann", 0.03125, {"routing": 0.25}),
    ("gpt-4o", "code", None, 'bob "the\\builder"\n', 0.5, {}),
    ("haiku", "chat", 1, "ann", 0.0078125, {"cache": 0.125}),
    ("haiku", "chat", 2, "écru-🦊", 0.015625, {"cache": 0.0625}),
]
GROUPS = {"model": 0, "task_type": 1, "tier": 2, "user": 3}


@dataclass
class Service:
    """A service that runs, and what it wrote."""

    url: str
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def get(self, path: str, **options) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **options)


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Service]:
    """Run ``asahi-obs serve`` on a free port, and end it."""
    port = servers.free_port()
    code = "import sys; from asahi_analytics.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", "--port", str(port), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASAHI_OBS_")}
    environment["TMPDIR"] = str(folder)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    service = Service(f"http://127.0.0.1:{port}", process)
    try:
        for line in process.stdout:
            service.lines.append(line)
            if "ready on" in line:
                break
        else:
            raise AssertionError(f"the service ended: {service.lines}")
        yield service
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory) -> Iterator[servers.Server]:
    """A Prometheus that scrapes an exporter holding ``LEDGER``, with rules of one second."""
    folder = tmp_path_factory.mktemp("prometheus")
    collector = MetricsCollector(MetricsConfig(state_dir=folder / "state"))
    port = servers.free_port()
    collector.start_http_server(port=port)
    rules = folder / "rules.yml"
    rules.write_text(next(iter(recording.rule_files().values())))
    config = servers.prometheus_config(
        targets={"asahi": [f"127.0.0.1:{port}"]}, rule_files=[rules], scrape_interval="1s"
    )
    with servers.running(servers.prometheus(folder, config)) as server:
        until(lambda: scraped(server) is not None, "the exporter is scraped")
        for model, task_type, tier, user, cost, savings in LEDGER:
            collector.record_inference(
                InferenceEvent(
                    model=model,
                    task_type=task_type,
                    cache_tier=tier,
                    user=user,
                    input_tokens=100,
                    output_tokens=10,
                    cost_dollars=cost,
                    savings_dollars=savings,
                    latency_ms=100.0,
                )
            )
            collector.record_cache_event(tier=tier or 1, hit=tier is not None, latency_ms=1.0)
        until(lambda: scraped(server) == len(LEDGER), "what was recorded is scraped")
        yield server


@pytest.fixture(scope="module")
def service(prometheus, tmp_path_factory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, "--workers", "2", "--prometheus-url", prometheus.url) as running:
        until(lambda: counted(running) == len(LEDGER), "the service's clock has come to what was scraped")
        yield running


def counted(service: Service) -> float:
    """Requests that the service knows of; its clock moves in steps of a few seconds."""
    return service.get("/analytics/cost-breakdown", params={"period": "hour"}).json()["requests"]


def until(condition, what: str, seconds: float = 30.0) -> None:
    """Return once ``condition`` holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s, but not: {what}"
        time.sleep(0.1)


def scraped(server: servers.Server) -> float | None:
    """Requests that Prometheus knows of; None before the first scrape of the exporter."""
    query = {"query": "sum(asahi_requests_total) or (0 * sum(asahi_store_created_timestamp_seconds))"}
    result = requests.get(f"{server.url}/api/v1/query", params=query, timeout=5).json()["data"]["result"]
    return float(result[0]["value"][1]) if result else None


def ledger_by(group_by: str) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for entry in LEDGER:
        key = entry[GROUPS[group_by]]
        sums["none" if key is None else str(key)] += entry[4]
    return dict(sums)


@pytest.mark.parametrize("group_by", GROUPS)
def test_every_dollar_recorded_is_in_the_answer(service, group_by) -> None:
    answer = service.get("/analytics/cost-breakdown", params={"group_by": group_by, "period": "hour"}).json()
    found = {name: value for name, value in answer["breakdown"].items() if value}
    assert found == pytest.approx(ledger_by(group_by), abs=1e-12)
    assert answer["total_cost"] == pytest.approx(math.fsum(entry[4] for entry in LEDGER), abs=1e-12)
    assert answer["requests"] == len(LEDGER)


def test_baseline_cache_and_latency_follow_from_the_ledger(service) -> None:
    baseline = service.get("/analytics/baseline", params={"period": "hour", "group_by": "tier"}).json()
    assert baseline["actual_cost"] + baseline["savings"] == baseline["baseline_cost"]
    assert baseline["savings"] == pytest.approx(0.4375)
    assert baseline["cache_contribution_pct"] == pytest.approx(100 * 0.1875 / 0.4375)
    cache = service.get("/analytics/cache-performance", params={"period": "hour"}).json()
    assert cache["tiers"]["1"]["hits"] == 1
    assert cache["overall_hit_rate"] == pytest.approx(0.5)
    latency = service.get("/analytics/latency-percentiles", params={"period": "hour"}).json()
    assert latency["p50"] == pytest.approx(100, rel=0.15)
    drivers = service.get("/analytics/top-cost-drivers", params={"limit": 1}).json()
    assert drivers["drivers"][0]["labels"]["task_type"] == "code"


@pytest.mark.parametrize("group_by", GROUPS)
def test_any_baseline_model_is_priced_from_the_counted_tokens(service, group_by) -> None:
    asked = {"period": "hour", "group_by": group_by, "baseline_model": "gpt-4"}
    answer = service.get("/analytics/baseline", params=asked).json()
    each = (100 * 30 + 10 * 60) / 1e6
    requests_by = defaultdict(int)
    for entry in LEDGER:
        requests_by["none" if entry[GROUPS[group_by]] is None else str(entry[GROUPS[group_by]])] += 1
    baselines = {name: part["baseline"] for name, part in answer["breakdown"].items() if part["baseline"]}
    assert baselines == pytest.approx({name: each * count for name, count in requests_by.items()})
    assert answer["actual_cost"] + answer["savings"] == answer["baseline_cost"]
    for part in answer["breakdown"].values():
        assert part["cost"] + part["savings"] == part["baseline"]
    assert answer["baseline_cost"] == pytest.approx(each * len(LEDGER))
    assert answer["unpriced_tokens"] == 0


def test_what_a_tier_is_worth_follows_from_the_ledger(service) -> None:
    tiers = service.get("/analytics/cache-performance", params={"period": "hour"}).json()["tiers"]
    without = tiers["1"]
    assert without["dollars_saved"] == pytest.approx(0.125)
    assert without["marginal_dollars"] == pytest.approx(0.015625 - 0.0078125)
    assert without["milliseconds_saved"] == pytest.approx(0.0)
    assert without["marginal_milliseconds"] == pytest.approx(-3.0)


def test_a_trend_adds_up_to_the_breakdown(service) -> None:
    points = service.get("/analytics/trends", params={"period": "hour", "intervals": 3}).json()["points"]
    assert math.fsum(point["value"] or 0.0 for point in points) == pytest.approx(
        sum(entry[4] for entry in LEDGER)
    )


def test_the_service_is_ready_and_has_a_page(service) -> None:
    ready = service.get("/readyz").json()
    assert (ready["ready"], ready["prometheus"]) == (True, "ok")
    assert service.get("/").headers["Content-Type"].startswith("text/html")


def test_the_metrics_count_the_requests_of_every_worker(service) -> None:
    def answered() -> float:
        lines = service.get("/metrics").text.splitlines()
        counts = [
            line for line in lines if line.startswith('asahi_service_requests_total{endpoint="/healthz"')
        ]
        return float(counts[0].rpartition(" ")[2]) if counts else 0.0

    before = answered()
    for _ in range(20):
        assert service.get("/healthz", headers={"Connection": "close"}).status_code == 200
    assert answered() == before + 20


@pytest.mark.parametrize(("length", "limit"), [(6_000, "4096"), (1_000_000, "8190")])
def test_an_address_that_is_too_long_is_a_problem(service, length, limit) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"GET /analytics/trends?x=" + b"a" * length + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 414 ")
    assert b"application/problem+json" in answer
    assert limit.encode() in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000, b"431"),
        (b"GET / HTTP/9.9\r\nHost: x", b"400"),
    ],
)
def test_what_is_no_request_is_answered_with_a_problem(service, sent, status) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"application/problem+json" in answer


def test_without_prometheus_the_service_starts_and_says_so(tmp_path) -> None:
    nowhere = f"http://127.0.0.1:{servers.free_port()}"
    with serving(tmp_path, "--workers", "1", "--prometheus-url", nowhere) as alone:
        assert any("cannot be reached" in line for line in alone.lines)
        assert alone.get("/healthz").status_code == 200
        assert alone.get("/readyz").status_code == 503
        refused = alone.get("/analytics/cost-breakdown")
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "5"
        assert nowhere in refused.json()["detail"]
    assert alone.process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_it_says_that_it_lives_while_every_thread_waits_for_prometheus(tmp_path) -> None:
    config = tmp_path / "two.yml"
    config.write_text("analytics: {server: {threads: 2}}")
    with (
        slow_prometheus(30.0) as slow,
        serving(tmp_path, "--workers", "1", "--config", str(config), "--prometheus-url", slow) as alone,
        contextlib.ExitStack() as clients,
    ):
        address = ("127.0.0.1", int(alone.url.rpartition(":")[2]))
        waiting = [clients.enter_context(socket.create_connection(address)) for _ in range(6)]
        for client in waiting:
            client.sendall(b"GET /analytics/trends HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [alone.get("/healthz").status_code for _ in range(3)] == [200] * 3
        assert select.select(waiting, [], [], 0)[0] == []
        alone.process.kill()


def test_a_port_in_use_ends_in_one_line(prometheus) -> None:
    code = "import sys; from asahi_analytics.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", "--port", str(prometheus.port)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        f"asahi-obs serve: cannot listen on 127.0.0.1:{prometheus.port}: Address already in use"
    )
    assert "Traceback" not in ended.stderr


def test_an_empty_prometheus_is_answered_honestly(tmp_path) -> None:
    config = servers.prometheus_config()
    with (
        servers.running(servers.prometheus(tmp_path / "empty", config)) as empty,
        serving(tmp_path, "--workers", "1", "--prometheus-url", empty.url) as alone,
    ):
        for path in (
            "cost-breakdown",
            "trends",
            "baseline",
            "top-cost-drivers",
            "cache-performance",
            "latency-percentiles",
        ):
            answer = alone.get(f"/analytics/{path}")
            assert answer.status_code == 200, path
            assert "NaN" not in answer.text
        cost = alone.get("/analytics/cost-breakdown").json()
        assert (cost["total_cost"], cost["breakdown"], cost["cost_per_request"]) == (0, {}, None)
