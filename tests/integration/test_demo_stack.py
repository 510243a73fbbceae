"""The demo comes up, answers, and goes down as it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asahi_analytics.demo.servers import free_port, free_ports, is_free
from support.snippets import PYTHON, snippets

pytestmark = pytest.mark.integration
PROGRAM = "import sys; from asahi_analytics.cli import main; sys.exit(main())"
OPTIONS = ("--port", "--prometheus-port", "--alertmanager-port", "--exporter-port")
USUAL = (8000, 9090, 9093, 9464)
DAYS_WITH_ANOMALIES = 2.0
ROOT = Path(__file__).resolve().parents[2]


def command(folder: Path, ports: list[int], *more: str, days: float = 0.15) -> list[str]:
    named = [part for option, port in zip(OPTIONS, ports, strict=True) for part in (option, str(port))]
    return [sys.executable, "-c", PROGRAM, "demo", "--days", str(days), "--dir", str(folder), *named, *more]


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """Read what the process says until ``words`` come."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


def test_the_demo_comes_up_and_a_signal_takes_it_down_in_order(tmp_path: Path) -> None:
    ports = free_ports(len(OPTIONS))
    folder = tmp_path / "demo"
    for more in ([], ["--keep"]):
        with subprocess.Popen(command(folder, ports, *more), stdout=subprocess.PIPE, text=True) as process:
            said = wait_for(process, "Ctrl-C stops it all.")
            assert ("Going on with the history" in said) == bool(more)
            assert not any(is_free(port) for port in ports)
            process.send_signal(signal.SIGTERM if more else signal.SIGINT)
            assert process.wait(60) == 0
        assert all(is_free(port) for port in ports)


def moved(code: str, ports: list[int]) -> str:
    """Return ``code`` for a demo that listens on ``ports``."""
    for usual, port in zip(USUAL, ports, strict=True):
        code = code.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{port}")
    return code


def test_what_the_pages_ask_to_paste_beside_the_demo_runs_as_it_stands(tmp_path: Path) -> None:
    ports = free_ports(len(OPTIONS))
    python = [(page, [sys.executable, "-"], tmp_path, code) for page, code in snippets(ROOT, PYTHON)]
    shell = [(page, ["bash", "-e"], ROOT, code) for page, code in snippets(ROOT, "bash")]
    pasted = python + [each for each in shell if each[-1].startswith("curl ")]
    assert len(pasted) > 10
    failed, said = [], ""
    line = command(tmp_path / "demo", ports, days=DAYS_WITH_ANOMALIES)
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        wait_for(process, "Ctrl-C stops it all.")
        for page, line, folder, code in pasted:
            here = moved(code, ports)
            ran = subprocess.run(
                line, input=here, cwd=folder, capture_output=True, text=True, check=False, timeout=60
            )
            if ran.returncode or not (ran.stdout or "start_http_server" in here):
                failed.append((page, here, ran.stderr))
            said += ran.stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert failed == []
    assert "critical Hit rate of cache tier 2" in said, "what is printed of each anomaly was printed of one"


def test_the_demo_ends_when_one_of_its_servers_does(tmp_path: Path) -> None:
    ports = free_ports(len(OPTIONS))
    with subprocess.Popen(
        command(tmp_path / "demo", ports), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(process, "Ctrl-C stops it all.")
        os.kill(child_named(process.pid, "alertmanager"), signal.SIGKILL)
        assert process.wait(60) == 2
        assert process.stderr is not None
        assert "Alertmanager has ended with code -9" in process.stderr.read()
    assert all(is_free(port) for port in ports)


def child_named(parent: int, name: str) -> int:
    """Return the process that ``parent`` started whose program has ``name`` in it."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if name in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0].decode():
            return int(child)
    raise AssertionError(f"no child named {name}")


def test_traffic_alone_serves_metrics_and_keeps_its_counters(tmp_path: Path) -> None:
    port = free_port()
    line = [sys.executable, "-c", PROGRAM, "demo", "--live-only", "--port", str(port)]
    environment = {**os.environ, "ASAHI_METRICS_STATE_DIR": str(tmp_path / "state")}
    for _ in range(2):
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert f"Traffic on http://127.0.0.1:{port}/metrics" in wait_for(process, "Traffic on")
            counted = scraped(port)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    assert counted > 1


def scraped(port: int) -> float:
    """Return the requests counted, once there are some."""
    import urllib.request

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        counts = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("asahi_requests_total{")]
        if sum(counts) > 1:
            return sum(counts)
        time.sleep(0.2)
    raise AssertionError("no requests were made")


def test_a_wrong_setting_of_the_exporter_ends_in_one_line(tmp_path: Path) -> None:
    line = [sys.executable, "-c", PROGRAM, "demo", "--live-only"]
    environment = {**os.environ, "ASAHI_METRICS_STATE_DIRR": str(tmp_path)}
    ended = subprocess.run(line, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert ended.returncode == 2
    assert "did you mean 'state_dir'" in ended.stderr
    assert "Traceback" not in ended.stderr
