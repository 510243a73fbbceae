"""``asahi-obs serve``: what it checks, how it becomes the server, and gunicorn's settings and hooks."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
from gunicorn.http.errors import (
    InvalidRequestLine,
    InvalidResponseHeader,
    LimitRequestHeaders,
    LimitRequestLine,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import ThreadWorker

from asahi_analytics import deadline
from asahi_analytics.api import server
from asahi_analytics.cli import serve
from asahi_analytics.cli.server import MULTIPROCESS_VARIABLE
from asahi_analytics.errors import UserInputError
from asahi_analytics.settings import PrometheusSettings, ServerSettings, Settings


def arguments(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    return parser.parse_args(["serve", *argv])


@pytest.fixture(autouse=True)
def thawed():
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.fixture
def listener():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken


def test_serve_becomes_the_server_with_the_same_options_and_a_folder_for_metrics(
    monkeypatch, tmp_path, capsys
) -> None:
    became = []
    monkeypatch.setattr(os, "execve", lambda *what: became.append(what))
    monkeypatch.setattr(serve.tempfile, "mkdtemp", lambda **_options: str(tmp_path))
    config = tmp_path / "c.yml"
    config.write_text("analytics: {prometheus: {url: 'http://127.0.0.1:1'}}")
    given = arguments("--port", "0", "--workers", "2", "--config", str(config))
    given.run(given)
    program, line, environment = became[0]
    assert program == sys.executable
    assert line[1:] == [
        "-m",
        "asahi_analytics.cli.server",
        "--port",
        "0",
        "--workers",
        "2",
        "--config",
        str(config),
    ]
    assert environment["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path)
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_server_loads_ends_it_without_a_word_or_a_folder_left(number, tmp_path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    code = (
        "import importlib, os; from asahi_analytics.cli import server;"
        f"importlib.import_module = lambda _name: os.kill(os.getpid(), {int(number)}); server.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, MULTIPROCESS_VARIABLE: str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, "", "")
    assert not folder.exists()


def test_a_port_in_use_is_told_in_a_line(listener) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(
        UserInputError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use; pass"
    ):
        serve.check_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(UserInputError, match=r"cannot listen on 192\.0\.2\.1:8000"):
        serve.check_port("192.0.2.1", 8000)


def test_a_free_port_is_fine_and_stays_free() -> None:
    serve.check_port("127.0.0.1", 0)


@pytest.mark.parametrize("key", ["budgets_file", "price_file", "thresholds_file"])
def test_a_file_that_cannot_be_used_is_told_before_anything_starts(monkeypatch, tmp_path, key) -> None:
    monkeypatch.setattr(os, "execve", lambda *_what: pytest.fail("it started"))
    config = tmp_path / "c.yml"
    config.write_text(f"analytics: {{{key}: '{tmp_path}/missing.yml'}}")
    given = arguments("--port", "0", "--config", str(config))
    with pytest.raises(UserInputError, match=r"missing\.yml cannot be read"):
        given.run(given)


def test_prometheus_down_is_a_warning_only(capsys) -> None:
    serve.warn_if_unreachable(PrometheusSettings(url="http://127.0.0.1:1"))
    assert "the service starts, and answers once Prometheus does" in capsys.readouterr().err


@pytest.mark.parametrize(("host", "bind"), [("0.0.0.0", "0.0.0.0:80"), ("::1", "[::1]:80")])
def test_gunicorn_gets_our_settings(host, bind) -> None:
    made = server.Server(
        Settings(server=ServerSettings(host=host, port=80, workers=3, threads=5, timeout_seconds=99))
    )
    assert made.cfg.address == [(host, 80)]
    assert server.options(made.settings)["bind"] == bind
    assert (made.cfg.workers, made.cfg.threads, made.cfg.timeout, made.cfg.preload_app) == (3, 5, 99, True)
    assert made.cfg.worker_class is server.ProblemWorker
    assert "/analytics/trends" in {rule.rule for rule in made.load().url_map.iter_rules()}


@pytest.mark.parametrize(
    ("answer", "own", "timeout"), [(45.0, 60, 60), (50.0, 60, 60), (50.5, 60, 61), (300, 60, 310)]
)
def test_a_worker_is_not_replaced_while_an_answer_may_still_come(answer, own, timeout) -> None:
    settings = Settings(answer_deadline_seconds=answer, server=ServerSettings(timeout_seconds=own))
    assert server.options(settings)["timeout"] == timeout


def test_the_time_of_an_answer_begins_when_its_request_comes_in_not_when_a_thread_is_free(
    monkeypatch,
) -> None:
    left = []
    monkeypatch.setattr(ThreadWorker, "enqueue_req", lambda _self, _conn: None)

    def handle_request(*_what) -> bool:
        with deadline.within(60) as own:
            left.append(own.left())
        return True

    monkeypatch.setattr(ThreadWorker, "handle_request", handle_request)
    worker, conn = object.__new__(server.ProblemWorker), SimpleNamespace()
    worker.enqueue_req(conn)
    conn.arrived -= 50
    assert worker.handle_request(None, conn)
    assert 0 < left[0] <= 10


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (64, 4), (None, 1)])
def test_there_is_a_worker_for_each_core_up_to_four(monkeypatch, cores, workers) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert server.options(Settings())["workers"] == workers


def test_a_request_line_that_is_too_long_gets_a_problem_even_while_it_is_being_sent() -> None:
    worker = object.__new__(server.ProblemWorker)
    worker.log = SimpleNamespace(warning=lambda *_what: None)
    ours, theirs = socket.socketpair()
    sender = threading.Thread(
        target=lambda: (theirs.sendall(b"x" * 1_000_000), theirs.shutdown(socket.SHUT_WR))
    )
    sender.start()
    with ours, theirs:
        worker.handle_error(None, ours, ("127.0.0.1", 1), LimitRequestLine(1_000_000, 8190))
        sender.join(5)
        head, body = theirs.recv(65_536).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 414 ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert orjson.loads(body)["detail"] == "the request line may have at most 8190 bytes"


def test_a_client_that_is_gone_does_not_matter() -> None:
    worker = object.__new__(server.ProblemWorker)
    worker.log = SimpleNamespace(warning=lambda *_what: None)
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        worker.handle_error(None, ours, None, LimitRequestLine(9000, 8190))


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (InvalidRequestLine("GARBAGE"), 400, "GARBAGE"),
        (LimitRequestHeaders("limit request headers fields"), 431, "limit request headers fields"),
        (UnsupportedTransferCoding("gzip"), 501, "gzip"),
    ],
)
def test_what_cannot_be_read_gets_a_problem(error, status, words) -> None:
    head, body = server.refused(*server.refusal(error)).split(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Content-Type: application/problem+json" in head
    problem = orjson.loads(body)
    assert problem["status"] == status
    assert words in problem["detail"]


@pytest.mark.parametrize("error", [ValueError("x"), InvalidResponseHeader("x")])
def test_other_errors_are_gunicorns(monkeypatch, error) -> None:
    seen = []
    monkeypatch.setattr(ThreadWorker, "handle_error", lambda *what: seen.append(what[-1]), raising=False)
    object.__new__(server.ProblemWorker).handle_error(None, None, None, error)
    assert seen == [error]


@pytest.mark.parametrize("age", [1, 2, 3])
def test_the_last_worker_made_announces_the_address_once_it_has_rehearsed(
    monkeypatch, capsys, listener, age
) -> None:
    said = f"asahi-obs serve: ready on http://127.0.0.1:{listener.getsockname()[1]}\n"
    service, before = SimpleNamespace(settings=Settings()), []
    worker = SimpleNamespace(
        age=age,
        cfg=SimpleNamespace(workers=2),
        sockets=[listener],
        wsgi=SimpleNamespace(extensions={"asahi_service": service}),
    )
    monkeypatch.setattr(server, "answers_at_once", lambda _settings: None)
    monkeypatch.setattr(server, "rehearse", lambda *_what: before.append(capsys.readouterr().out))
    monkeypatch.setattr(server.notifications, "start", lambda *what: before.append(what[0]))
    server.get_ready(worker)
    assert before == ["", service]
    assert capsys.readouterr().out == (said if age == 2 else "")


def test_a_worker_whose_prometheus_is_away_does_not_rehearse(monkeypatch, capsys, listener) -> None:
    def fail(*_what) -> None:
        raise AssertionError("nobody is there to rehearse with")

    settings = Settings(prometheus=PrometheusSettings(url="http://127.0.0.1:1"))
    service = SimpleNamespace(settings=settings)
    monkeypatch.setattr(server, "rehearse", fail)
    monkeypatch.setattr(server.notifications, "start", lambda *_what: None)
    wsgi, cfg = SimpleNamespace(extensions={"asahi_service": service}), SimpleNamespace(workers=1)
    server.get_ready(SimpleNamespace(age=1, cfg=cfg, sockets=[listener], wsgi=wsgi))
    assert "ready on" in capsys.readouterr().out


def test_the_folder_of_metrics_is_removed_at_the_end(monkeypatch, tmp_path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "gauge_livesum_77.db").write_bytes(b"")
    monkeypatch.setenv(MULTIPROCESS_VARIABLE, str(folder))
    server.forget_worker(None, SimpleNamespace(pid=77))
    assert list(folder.iterdir()) == []
    server.remove_metrics(None)
    assert not folder.exists()


def test_without_a_folder_nothing_is_removed(monkeypatch) -> None:
    monkeypatch.delenv(MULTIPROCESS_VARIABLE, raising=False)
    server.forget_worker(None, SimpleNamespace(pid=77))
    server.remove_metrics(None)


def test_a_setting_that_cannot_be_used_is_one_line_and_exit_code_2(capsys) -> None:
    assert server.main(["--port", "70000"]) == 2
    assert capsys.readouterr().err.startswith("asahi-obs serve: server.port must be ")
    assert server.main(["--config", str(Path("no") / "such.yml")]) == 2


def test_the_server_runs_until_it_is_stopped(monkeypatch) -> None:
    ran = []

    def run(made) -> None:
        ran.append(made)

    monkeypatch.setattr(server.Server, "run", run)
    assert server.main(["--port", "0"]) == 0
    assert isinstance(ran[0], server.Server)


def test_what_was_loaded_before_the_fork_is_never_looked_through_for_garbage():
    server.Server(Settings()).load()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] == server.GARBAGE_OBJECTS
    assert len(gc.get_objects()) < gc.get_freeze_count()
