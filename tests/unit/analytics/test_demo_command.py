"""``asahi-obs demo`` with stand-ins for the servers: what it starts, says and checks, and how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asahi_analytics.cli import demo as command
from asahi_analytics.cli import main
from asahi_analytics.cli.progress import Narrator
from asahi_analytics.demo import check, only_live, servers, stack
from asahi_analytics.demo.check import DATA, PLAIN, check_all
from asahi_analytics.demo.servers import Server, ServerError, free_port, running
from asahi_analytics.demo.stack import Ports, Stack, watch
from asahi_analytics.demo.store import Folder

FAKE = Path(__file__).parents[2] / "support" / "fake_server.py"
HEALTHY = {
    "/api/v1/targets": {"data": {"activeTargets": [{"labels": {"job": "asahi"}, "health": "up"}]}},
    "/api/v1/rules": {"data": {"groups": [{"rules": [{"name": "r", "health": "ok"}]}]}},
    "/api/v1/query": {"data": {"result": [{"metric": {}, "value": [0, "1"]}]}},
    **{path.partition("?")[0]: {field: [1, 2] for field in fields} for path, fields in DATA.items()},
}
HEALTHY["/analytics/cost-breakdown"] = {"total_cost": 12.5, "breakdown": {"m": 12.5}}


@pytest.fixture
def fake_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, object]], None]:
    """Put stand-ins for Prometheus and Alertmanager on the PATH, and for the service into the stack."""
    programs = tmp_path / "bin"
    programs.mkdir()
    answers = tmp_path / "answers.json"
    for name in ("prometheus", "alertmanager"):
        path = programs / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@" "{answers}"\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def service(folder: Folder, ports: Ports) -> Server:
        line = [sys.executable, str(FAKE), str(ports.service), str(answers)]
        return Server("The analytics service", line, ports.service, "/readyz", folder.path / "service.log")

    monkeypatch.setattr(stack, "_service", service)
    monkeypatch.setattr(check, "PATIENCE_SECONDS", 0.0)

    def answering(what: dict[str, object]) -> None:
        answers.write_text(json.dumps(what))

    return answering


def options(folder: Path, *more: str) -> list[str]:
    names = ("--port", "--prometheus-port", "--alertmanager-port", "--exporter-port")
    ports = [part for name in names for part in (name, str(free_port()))]
    return ["demo", "--days", "0.1", "--dir", str(folder), *ports, *more]


def test_a_check_of_a_healthy_demo_ends_well(
    tmp_path: Path, fake_programs: Callable[[dict[str, object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_programs(HEALTHY)
    assert main(options(tmp_path / "demo", "--check")) == 0
    said = capsys.readouterr().out
    assert "Making 0.1 days of history" in said
    assert "samples of" in said
    assert "curl 'http://127.0.0.1:" in said
    assert said.count("  ok  ") == 3 + len(PLAIN) + len(DATA)
    assert said.rstrip().endswith("All is well.")
    assert {path.name for path in (tmp_path / "demo" / "rules").iterdir()} >= {"asahi_totals.yml"}


def test_a_check_knows_what_a_short_history_cannot_have(
    tmp_path: Path, fake_programs: Callable[[dict[str, object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    short = {"/api/v1/query": {"data": {"result": []}}, "/analytics/forecast": {"predicted_cost": None}}
    fake_programs({**HEALTHY, **short, "/analytics/anomalies": {"anomalies": []}})
    assert main(options(tmp_path / "demo", "--check")) == 0
    said = capsys.readouterr().out
    assert "a forecast needs two whole days of history" in said
    assert "anomalies need six hours of history" in said
    assert "total_cost: $12.50" in said
    assert "Ctrl-C" not in said


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"/analytics/forecast": {"predicted_cost": None}}, "predicted_cost is empty"),
        ({"/analytics/anomalies": {"anomalies": []}}, "/analytics/anomalies: anomalies is empty"),
        ({"/analytics/baseline": 503}, "/analytics/baseline: status 503"),
        (
            {
                "/api/v1/targets": {
                    "data": {"activeTargets": [{"labels": {"job": "asahi"}, "health": "down"}]}
                }
            },
            "not up: asahi",
        ),
        ({"/api/v1/targets": {"data": {"activeTargets": []}}}, "not up: there are no targets"),
        (
            {
                "/api/v1/rules": {
                    "data": {"groups": [{"rules": [{"name": "r", "health": "err", "lastError": "why"}]}]}
                }
            },
            "1 of 1 rules fail: r why",
        ),
    ],
)
def test_what_is_not_well_is_told_and_ends_with_code_1(
    tmp_path: Path,
    fake_programs: Callable[[dict[str, object]], None],
    capsys: pytest.CaptureFixture[str],
    wrong: dict[str, object],
    words: str,
) -> None:
    fake_programs({**HEALTHY, **wrong})
    folder = Folder(tmp_path / "demo")
    folder.make()
    folder.complete(datetime.now(UTC))
    assert main(options(folder.path, "--check", "--keep")) == 1
    said = capsys.readouterr().out
    assert "Going on with the history" in said
    assert words in said
    assert "1 of the answers are not what they must be." in said


@pytest.fixture
def written(tmp_path: Path, fake_programs: Callable[[dict[str, object]], None]) -> Folder:
    """A folder whose history is there, and programs that are well."""
    fake_programs(HEALTHY)
    folder = Folder(tmp_path / "demo")
    folder.make()
    folder.complete(datetime.now(UTC))
    return folder


def test_a_signal_ends_a_demo_that_is_up(
    written: Folder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str | None] = []

    def told(up: Stack, stop: threading.Event) -> None:
        signal.raise_signal(signal.SIGINT)
        watch(up, stop)
        ended.append(up.ended())

    monkeypatch.setattr(command, "watch", told)
    assert main(options(written.path, "--keep")) == 0
    assert ended == [None]
    assert "Stopping the servers" in capsys.readouterr().out


def test_a_signal_while_the_servers_start_ends_those_that_are_up(
    written: Folder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Server] = []

    def start(server: Server, timeout_seconds: float) -> None:
        started.append(server)
        really(server, timeout_seconds)
        signal.raise_signal(signal.SIGINT)

    really = Server.start
    monkeypatch.setattr(Server, "start", start)
    assert main(options(written.path, "--keep")) == 130
    assert [server.name for server in started] == ["Alertmanager"]
    assert started[0].process is None
    said = capsys.readouterr().out
    assert said.endswith("Stopping the servers\n")
    assert "Ready" not in said


def test_keep_without_a_history_makes_one(
    tmp_path: Path, fake_programs: Callable[[dict[str, object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_programs(HEALTHY)
    assert main(options(tmp_path / "demo", "--keep", "--check")) == 0
    assert "Making 0.1 days of history" in capsys.readouterr().out


def test_all_ports_in_use_are_told_at_once_after_the_days(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
            each.listen()
        ports = [str(each.getsockname()[1]) for each in (one, other)]
        line = options(tmp_path / "demo", "--port", ports[0], "--prometheus-port", ports[1])
        assert main([*line, "--days", "1000"]) == 2
        assert main(line) == 2
    days, taken = capsys.readouterr().err.splitlines()
    assert days.endswith("--days is 1000; pass 0.1 to 366")
    assert all(f"port {port} is in use" in taken for port in ports)


def test_a_demo_that_goes_on_says_up_to_when_it_recorded(
    tmp_path: Path, fake_programs: Callable[[dict[str, object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_programs(HEALTHY)
    folder = Folder(tmp_path / "demo")
    folder.make()
    now = datetime.now(UTC)
    folder.complete(now - timedelta(minutes=12))
    folder.note_recorded(now.timestamp())
    assert main(options(folder.path, "--check", "--keep")) == 0
    assert f"which ends at {now:%Y-%m-%d %H:%M} UTC" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--port", "--prometheus-port", "--alertmanager-port", "--exporter-port"])
def test_a_port_in_use_ends_in_one_line_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(options(tmp_path / "demo", option, str(port))) == 2
    assert f"port {port} is in use by another program; pass another {option}\n" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_a_folder_in_which_another_demo_runs_is_left_alone(
    tmp_path: Path, fake_programs: Callable[[dict[str, object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_programs(HEALTHY)
    folder = Folder(tmp_path / "demo")
    with folder.held():
        (folder.path / "state").mkdir()
        assert main(options(folder.path, "--check")) == 2
    assert f"another demo runs in {folder.path}; end it, or pass another --dir" in capsys.readouterr().err
    assert folder.state.exists()
    assert main(options(folder.path, "--check")) == 0


def test_a_program_that_is_missing_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(options(tmp_path / "demo")) == 2
    assert "apt-get install prometheus" in capsys.readouterr().err


def test_a_server_that_ends_by_itself_ends_the_demo(tmp_path: Path) -> None:
    line = [sys.executable, "-c", "raise SystemExit('no more')"]
    gone = Server("Prometheus", line, free_port(), "/", tmp_path / "log")
    with pytest.raises(ServerError, match=r"(?s)did not start on port .*no more"):
        gone.start(30)
    alive = Server("Alertmanager", [sys.executable, str(FAKE), str(free_port())], 0, "/", tmp_path / "log2")
    alive.port = int(alive.command[-1])
    with running(alive):
        assert Stack(alive, alive, alive, "").ended() is None
        assert alive.process is not None
        os.kill(alive.process.pid, signal.SIGKILL)
        alive.process.wait()
        with pytest.raises(ServerError, match="Alertmanager has ended with code -9"):
            watch(Stack(alive, alive, alive, ""), threading.Event())


def test_a_server_that_does_not_heed_a_signal_is_killed_with_what_it_started(tmp_path: Path) -> None:
    port, child = free_port(), tmp_path / "child"
    program = (
        "import runpy, signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(child)!r}, 'w').write(str(left.pid));"
        f"sys.argv = ['x', '{port}']; runpy.run_path({str(FAKE)!r}, run_name='__main__')"
    )
    stubborn = Server("Stubborn", [sys.executable, "-c", program], port, "/", tmp_path / "log")
    stubborn.start()
    stubborn.stop(timeout_seconds=0.2)
    assert gone(int(child.read_text()))
    stubborn.stop()


def gone(process_id: int) -> bool:
    """Wait until a process that was killed has ended (or waits to be reaped by whoever took it over)."""
    state, deadline = Path(f"/proc/{process_id}/stat"), time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_the_service_is_told_where_prometheus_and_alertmanager_are(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "demo")
    folder.make()
    service = stack._service(folder, Ports(1, 2, 3, 4))
    assert service.environment["ASAHI_OBS_PROMETHEUS_URL"] == "http://127.0.0.1:2"
    assert service.environment["ASAHI_OBS_ALERTMANAGER_URL"] == "http://127.0.0.1:3"
    assert service.command[-2:] == ["--port", "1"]


def test_traffic_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    port, seen = free_port(), []

    def once(_live: object, wait: Callable[[float], bool]) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            seen.append(answer.read())
        signal.raise_signal(signal.SIGTERM)
        assert wait(60)

    monkeypatch.setattr(only_live, "run_traffic", once)
    assert main(["demo", "--live-only", "--port", str(port)]) == 0
    assert b"asahi_cache_hits_total" in seen[0]
    assert f"Traffic on http://127.0.0.1:{port}/metrics" in capsys.readouterr().out


def test_traffic_alone_with_a_wrong_setting_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASAHI_METRICS_ENABLD", "1")
    assert main(["demo", "--live-only"]) == 2
    assert "did you mean 'enabled'" in capsys.readouterr().err


def test_what_does_not_answer_is_told(tmp_path: Path) -> None:
    dead = Server("x", [], free_port(), "/", tmp_path / "log")
    findings = list(check_all(Stack(dead, dead, dead, "")))
    assert len(findings) == 3 + len(PLAIN) + len(DATA)
    assert not any(finding.ok for finding in findings)
    assert "refused" in findings[0].words


def test_progress_of_the_demo_goes_to_the_output() -> None:
    said = io.StringIO()
    Narrator(said).say("hello")
    assert said.getvalue() == "hello\n"


def test_a_configuration_names_targets_and_alertmanagers() -> None:
    config = servers.prometheus_config(alertmanagers=["a:1"], out_of_order="1d", targets={"j": ["h:1"]})
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["a:1"]
    assert config["storage"]["tsdb"]["out_of_order_time_window"] == "1d"
