"""Real processes: killed with -9 and started again, gunicorn workers, promtool on what they serve."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from asahi_analytics.demo.servers import free_ports
from asahi_exporter import MetricsCollector, MetricsConfig
from asahi_exporter import conventions as names
from support.exporting import inference, total

pytestmark = pytest.mark.integration

WRITER = """
import json, os, random, sys
from asahi_exporter import InferenceEvent, MetricsCollector, MetricsConfig
state, ledger, seed = sys.argv[1:]
collector = MetricsCollector(MetricsConfig(state_dir=state))
chance = random.Random(int(seed))
done = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
print("ready", flush=True)
while True:
    model, user = f"m{chance.randrange(5)}", f"u{chance.randrange(30)}"
    cost = chance.randrange(1, 10_000) / 1_000_000
    collector.record_inference(InferenceEvent(model=model, user=user, cost_dollars=cost, latency_ms=5.0))
    os.write(done, (json.dumps([model, user, cost]) + "\\n").encode())
"""


def start_writer(state: Path, ledger: Path, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(state), str(ledger), str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def booked(ledgers: list[Path]) -> list[tuple[str, str, float]]:
    """Return the whole lines of the ledgers; one that was being written when its process died is no booking."""
    lines = [line for ledger in ledgers if ledger.exists() for line in ledger.read_text().splitlines()]
    return [tuple(json.loads(line)) for line in lines if line.endswith("]")]


def test_kill_9_again_and_again_loses_nothing_and_nothing_goes_down(tmp_path: Path) -> None:
    state, ledgers = tmp_path / "state", [tmp_path / f"ledger-{n}" for n in range(2)]
    chance = random.Random(7)
    reader = MetricsCollector(MetricsConfig(state_dir=state))
    writers = [start_writer(state, ledger, seed) for seed, ledger in enumerate(ledgers)]
    kills, last = 0, 0.0
    try:
        while kills < 6:
            now = total(reader, "asahi_requests_total")
            assert now >= last
            last = now
            victim = chance.randrange(2)
            kill(writers[victim])
            kills += 1
            writers[victim] = start_writer(state, ledgers[victim], 100 + kills)
    finally:
        for writer in writers:
            kill(writer)
    books = booked(ledgers)
    assert len(books) > 100 * kills
    # A process that dies between counting and booking leaves one request that is counted only.
    assert 0 <= total(reader, "asahi_requests_total") - len(books) <= kills + 3
    dearest = 0.01
    for model in {model for model, _, _ in books}:
        spent = sum(cost for name, _, cost in books if name == model)
        assert (
            0
            <= total(reader, "asahi_cost_dollars_total", model=model) - spent + 1e-9
            <= dearest * (kills + 3)
        )
    assert len(list(state.glob("*.cells"))) <= 14


def test_many_deaths_leave_few_files(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path[:0] = sys.argv[2:];"
        "from asahi_exporter import *;"
        "c = MetricsCollector(MetricsConfig(state_dir=sys.argv[1]));"
        "event = InferenceEvent(model='m', cost_dollars=0.5);\n"
        "for _ in range(30):\n"
        "    if os.fork() == 0: c.record_inference(event); os.kill(os.getpid(), 9)\n"
        "    os.wait()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    collector = MetricsCollector(MetricsConfig(state_dir=tmp_path))
    assert total(collector, "asahi_cost_dollars_total") == 15.0
    assert len(list(tmp_path.glob("*.cells"))) <= 10


APP = """
import os
from flask import Flask, request
from asahi_exporter import InferenceEvent, MetricsCollector, MetricsConfig
collector = MetricsCollector(MetricsConfig())
app = Flask("app")
app.register_blueprint(collector.flask_blueprint())
@app.get("/spend")
def spend():
    collector.record_inference(InferenceEvent(
        model=request.args["model"], user=request.args["user"], cost_dollars=float(request.args["cost"])))
    return str(os.getpid())
"""


CONFIG = """
workers = 2
preload_app = True

def when_ready(server):
    from gunicorn_app import collector
    collector.start_http_server(port={port})
"""


class Gunicorn:
    """gunicorn with two workers on a free port; the master serves the metrics on another."""

    def __init__(self, folder: Path) -> None:
        (folder / "gunicorn_app.py").write_text(APP)
        self.port, self.metrics_port = free_ports(2)
        (folder / "gunicorn.conf.py").write_text(CONFIG.format(port=self.metrics_port))
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "gunicorn_app:app",
            "--config",
            str(folder / "gunicorn.conf.py"),
        ]
        command += ["--bind", f"127.0.0.1:{self.port}", "--chdir", str(folder), "--log-level", "error"]
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder / "multi")}
        self.process = subprocess.Popen(command, env=environment)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self.get("/metrics")
            except OSError:
                assert self.process.poll() is None
                time.sleep(0.05)
            else:
                return
        raise AssertionError("gunicorn does not answer")

    def get(self, path: str, port: int | None = None) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def scraped(text: str, name: str) -> float:
    return sum(float(found) for found in re.findall(rf"^{name}{{.*}} (\S+)$", text, re.MULTILINE))


def test_gunicorn_workers_together_equal_the_ledger_through_kills_and_a_restart(tmp_path: Path) -> None:
    ledger: list[float] = []
    pids: set[str] = set()
    server = Gunicorn(tmp_path)

    def spend(number: int) -> str:
        cost = 0.001 * (number + 1)
        pid = server.get(f"/spend?model=m{number % 3}&user=u{number % 7}&cost={cost}")
        ledger.append(cost)
        return pid

    try:
        last = 0.0
        for number in range(160):
            try:
                pids.add(spend(number))
            except OSError:  # the worker that was to answer is the one just killed: nothing was recorded
                continue
            if number % 40 == 39:
                os.kill(int(spend(number)), signal.SIGKILL)
            if number % 20 == 0:
                now = scraped(server.get("/metrics"), "asahi_cost_dollars_total")
                assert now >= last
                last = now
        text = server.get("/metrics")
        of_master = server.get("/metrics", server.metrics_port)
    finally:
        server.stop()
    assert len(pids) > 2
    assert scraped(text, "asahi_requests_total") == len(ledger)
    assert scraped(text, "asahi_cost_dollars_total") == pytest.approx(sum(ledger), rel=1e-12)
    assert scraped(of_master, "asahi_cost_dollars_total") == scraped(text, "asahi_cost_dollars_total")
    server = Gunicorn(tmp_path)
    try:
        spend(1)
        again = server.get("/metrics")
    finally:
        server.stop()
    assert scraped(again, "asahi_cost_dollars_total") == pytest.approx(sum(ledger), rel=1e-12)


def test_promtool_accepts_what_is_served(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is needed: install the package prometheus"
    collector = MetricsCollector(MetricsConfig(state_dir=tmp_path))
    collector.record_inference(inference(model='quo"te\n☃'))
    collector.record_inference(inference(cost_dollars=None, outcome="error"))
    collector.record_cache_event(1, True, 1.0)
    collector.record_routing_decision("cost", "gpt-4o", 1.0)
    collector.record_batch_event(4, 10.0)
    collector.record_error("timeout", "router")
    server = collector.start_http_server(port=0)
    assert server is not None
    request: Any = urllib.request.Request(server.url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = gzip.decompress(answer.read())
    collector.close()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    # promtool's style check would have seconds for "_ms"; that name is asahi_latency_ms' own and kept for its siblings.
    style = "metric names should not contain abbreviated units"
    complaints = done.stderr.decode().splitlines()
    assert done.stdout == b""
    assert set(complaints) == {
        f"{metric.name} {style}" for metric in names.METRICS if metric.name.endswith("_ms")
    }
