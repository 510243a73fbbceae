"""The demo comes up, answers, and goes down as it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asahi_analytics.demo.servers import free_port, is_free

pytestmark = pytest.mark.integration
PROGRAM = "import sys; from asahi_analytics.cli import main; sys.exit(main())"
OPTIONS = ("--port", "--prometheus-port", "--alertmanager-port", "--exporter-port")


def command(folder: Path, ports: list[int], *more: str) -> list[str]:
    named = [part for option, port in zip(OPTIONS, ports, strict=True) for part in (option, str(port))]
    return [sys.executable, "-c", PROGRAM, "demo", "--days", "0.15", "--dir", str(folder), *named, *more]


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
    ports = [free_port() for _ in OPTIONS]
    folder = tmp_path / "demo"
    for more in ([], ["--keep"]):
        with subprocess.Popen(command(folder, ports, *more), stdout=subprocess.PIPE, text=True) as process:
            said = wait_for(process, "Ctrl-C stops it all.")
            assert ("Going on with the history" in said) == bool(more)
            assert not any(is_free(port) for port in ports)
            process.send_signal(signal.SIGTERM if more else signal.SIGINT)
            assert process.wait(60) == 0
        assert all(is_free(port) for port in ports)


def test_the_demo_ends_when_one_of_its_servers_does(tmp_path: Path) -> None:
    ports = [free_port() for _ in OPTIONS]
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
