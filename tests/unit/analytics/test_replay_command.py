"""``asahi-obs replay`` as a user meets it: what it says, what it refuses, what it leaves behind."""

from __future__ import annotations

import io
import shlex
import signal
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import responses

from asahi_analytics.cli import main, replay
from asahi_analytics.cli.progress import Narrator
from asahi_analytics.cli.replay import commands, headers
from asahi_analytics.demo.servers import free_port
from asahi_analytics.history import write_blocks
from asahi_analytics.prices import PriceBook, given_prices
from asahi_analytics.traffic import live
from asahi_analytics.traffic.live import LivePlay, play_live, stopping
from asahi_analytics.traffic.traces import read_trace
from support.histories import as_history

BINNED = "model,client,t_s,requests,input_tokens_mean,output_tokens_mean\nm,1,0,60,100,10\nx,2,600,5,1,1\n"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(BINNED)
    return path


def test_history_lands_in_the_data_directory(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(trace), "--data-dir", str(tmp_path / "data"), "--price", "m=1,2"]) == 0
    assert list((tmp_path / "data").glob("*/meta.json"))
    said = capsys.readouterr()
    assert "65 requests in 0.33 hours, models m, x (format: binned)" in said.err
    assert "5 of 65 requests have no price; they are counted as unpriced, not as free" in said.err
    assert f"--storage.tsdb.path={tmp_path / 'data'}" in said.out


NOON = "2026-03-10T12:00:00Z"


def replayed(trace: Path, folder: Path, *more: str) -> int:
    return main(["replay", str(trace), "--data-dir", str(folder), "--price", "m=1,2", *more])


def blocks(folder: Path) -> int:
    return len(list(folder.glob("*/meta.json")))


@pytest.mark.parametrize("end", [NOON, "2026-03-10T12:19:00Z", "2026-03-10T11:42:00Z"])
def test_the_same_time_is_not_counted_twice_by_accident(
    trace: Path, tmp_path: Path, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(trace, tmp_path, "--end", NOON) == 0
    before = blocks(tmp_path)
    capsys.readouterr()
    assert replayed(trace, tmp_path, "--end", end) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        f"asahi-obs replay: {tmp_path} already holds traffic from 2026-03-10T11:40:00+00:00 to "
    )
    assert "--again" in said
    assert blocks(tmp_path) == before
    assert replayed(trace, tmp_path, "--end", end, "--again") == 0
    assert blocks(tmp_path) > before


@pytest.mark.parametrize("end", ["2026-03-10T12:22:00Z", "2026-03-10T11:38:00Z"])
def test_traffic_of_another_time_is_added(trace: Path, tmp_path: Path, end: str) -> None:
    assert replayed(trace, tmp_path, "--end", NOON) == 0
    assert replayed(trace, tmp_path, "--end", end) == 0


def test_a_block_that_a_crash_cut_off_is_no_block(trace: Path, tmp_path: Path) -> None:
    assert replayed(trace, tmp_path, "--end", NOON) == 0
    for meta in tmp_path.glob("*/meta.json"):
        meta.write_text(meta.read_text()[:40])
    assert replayed(trace, tmp_path, "--end", NOON) == 0


def test_samples_of_others_do_not_count_as_traffic(trace: Path, tmp_path: Path) -> None:
    noon_ms = round(datetime.fromisoformat(NOON).timestamp() * 1000)
    write_blocks(
        [as_history("not_asahi_requests_total_", {"job": "x"}, [noon_ms - 60_000, noon_ms], [1, 2])], tmp_path
    )
    assert replayed(trace, tmp_path, "--end", NOON) == 0


def test_what_to_type_next_is_whole(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replayed(trace, tmp_path / "my data", "--end", NOON)
    prometheus, report = (shlex.split(line) for line in capsys.readouterr().out.splitlines())
    assert prometheus[:3] == [
        "prometheus",
        "--config.file=/dev/null",
        f"--storage.tsdb.path={tmp_path / 'my data'}",
    ]
    address = prometheus[-1].removeprefix("--web.listen-address=")
    assert report == [
        "asahi-obs",
        "report",
        "--window",
        "2026-03-10T11:40:00Z,2026-03-10T12:00:00Z",
        "--prometheus-url",
        f"http://{address}",
    ]


def test_the_report_is_called_as_the_replay_was(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 3, 10, 12, tzinfo=UTC)
    for called, own in [(".venv/bin/asahi-obs", ".venv/bin/asahi-obs"), ("/usr/bin/pytest", "asahi-obs")]:
        monkeypatch.setattr("sys.argv", [called])
        assert shlex.split(commands(Path("d"), moment, moment, moment)[1])[:2] == [own, "report"]


@pytest.mark.parametrize(("age_days", "kept"), [(0, 400), (30, 430), (1000, 1400)])
def test_what_was_replayed_is_kept_however_old_it_is(age_days: int, kept: int) -> None:
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    first = now - timedelta(days=age_days)
    prometheus, _ = commands(Path("d"), first, first, now)
    assert f"--storage.tsdb.retention.time={kept}d " in prometheus


def test_a_port_that_is_taken_is_not_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 3, 10, 12, 0, 0, 5000, tzinfo=UTC)
    monkeypatch.setattr(replay, "is_free", lambda _port: False)
    monkeypatch.setattr(replay, "free_port", lambda: 23_456)
    prometheus, report = commands(Path("d"), moment, moment, moment)
    assert prometheus.endswith("=127.0.0.1:23456")
    assert report.endswith(" http://127.0.0.1:23456")
    assert "--window 2026-03-10T12:00:00Z,2026-03-10T12:00:01Z " in report


def test_totals_are_left_out_on_request(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def series(*more: str) -> int:
        folder = tmp_path / f"data{len(more)}"
        main(["replay", str(trace), "--data-dir", str(folder), "--price", "m=1,2", *more])
        words = capsys.readouterr().err.split(" series, from")[0].split()
        return int(words[-1].replace(",", ""))

    assert series("--no-totals") < series()


@responses.activate
def test_history_goes_to_a_remote_write_endpoint(trace: Path) -> None:
    url = "http://127.0.0.1:9/api/v1/write"
    responses.post(url, status=204)
    assert main(["replay", str(trace), "--remote-write", url, "--header", "X-Scope-OrgID: demo"]) == 0
    assert responses.calls[0].request.headers["X-Scope-OrgID"] == "demo"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--speed", "0"], "--speed is 0; pass a number above 0"),
        (["--speed", "nan"], "--speed is nan"),
        (["--interval", "0.5", "--data-dir", "d"], "--interval is 0.5; pass 1 to 300 seconds"),
        (["--port", "70000"], "--port is 70000; pass 0 to 65535"),
        (["--price", "m=1"], "'m=1' is not a price"),
        (["--price", "m=1e9,1"], "'m=1e9,1' is not a price: input "),
        (["--price", "m=1,-1"], "'m=1,-1' is not a price: output "),
        (["--prices", "none.yml"], "the price file none.yml cannot be read: No such file or directory"),
        (["--end", "recorded", "--data-dir", "d"], "does not say when it was recorded"),
        (["--end", "soon", "--data-dir", "d"], "pass now, recorded or a time"),
        (["--remote-write", "nowhere"], "write it like http://"),
        (["--remote-write", "http://127.0.0.1:9", "--header", "tenant"], "write NAME:VALUE"),
        (["--data-dir", "d", "--header", "X-Scope-OrgID:demo"], "--header goes with --remote-write"),
    ],
)
def test_a_wrong_option_ends_in_one_line(
    trace: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(trace), *options]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_wrong_end_is_told_before_the_trace_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(tmp_path / "none.csv"), "--data-dir", "d", "--end", "soon"]) == 2
    assert "pass now, recorded or a time" in capsys.readouterr().err


def test_a_wrong_row_ends_in_one_line_with_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(BINNED.replace("5,1,1", "5,-7,1"))
    assert main(["replay", str(path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"asahi-obs replay: {path}: line 3: input_tokens_mean is -7; it must be from 0 to 1e+09"
    )


def test_one_place_only(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", str(trace), "--data-dir", "d", "--remote-write", "http://x"])
    assert "not allowed with" in capsys.readouterr().err


def test_headers_may_hold_colons() -> None:
    assert headers(["Authorization: Bearer a:b", "X:"]) == {"Authorization": "Bearer a:b", "X": ""}


def test_live_play_serves_the_traffic_and_ends_with_the_trace(
    trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "TICK_SECONDS", 0.02)
    said = io.StringIO()
    book = PriceBook([given_prices(["m=1,2"])])
    play = LivePlay(speed=1200 / 0.2, addr="127.0.0.1", port=free_port(), model="unknown", stay=False)
    assert play_live(read_trace(trace), book, play, Narrator(said)) == 0
    assert f"Serving http://127.0.0.1:{play.port}/metrics" in said.getvalue()
    assert "65 requests played, 5 of them without a price" in said.getvalue()


def test_live_play_stays_until_it_is_told_to_stop(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "TICK_SECONDS", 0.02)
    port = free_port()
    seen: list[str] = []

    class Told(Narrator):
        def say(self, text: str) -> None:
            if "its last state is served" in text:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                    seen.append(answer.read().decode())
                signal.raise_signal(signal.SIGTERM)

    play = LivePlay(speed=1e5, addr="127.0.0.1", port=port, model="unknown", stay=True)
    assert play_live(read_trace(trace), PriceBook.bundled(), play, Told(io.StringIO())) == 0
    assert 'asahi_user_requests_total{user="1"} 60.0' in seen[0]


def test_a_port_in_use_ends_in_one_line(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["replay", str(trace), "--port", str(port)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert said.endswith("pass another --port")


def test_signals_do_what_they_did_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopping() as stop:
        assert isinstance(stop, threading.Event)
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


def test_steps_are_told_with_their_time_where_there_is_no_terminal() -> None:
    said, now = io.StringIO(), iter([1.0, 3.5])
    with Narrator(said, clock=lambda: next(now)).step("Thinking") as update:
        update(1, 2)
    assert said.getvalue() == "  Thinking: 2.5 s\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_on_a_terminal() -> None:
    said = Terminal()
    with Narrator(said).step("Thinking") as update:
        update(1, 2)
    assert "Thinking" in said.getvalue()
    assert "50%" in said.getvalue()
    assert "ETA" in said.getvalue()


def test_where_nobody_knows_how_much_there_is_to_do_no_share_is_told_and_no_end() -> None:
    said = Terminal()
    with Narrator(said).step("Thinking") as update:
        update(12_345, 0)
    assert "12,345 done" in said.getvalue()
    assert "%" not in said.getvalue()
    assert "ETA" not in said.getvalue()


def test_history_ends_when_it_is_told_to(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    main(["replay", str(trace), "--data-dir", str(tmp_path / "d"), "--end", end.isoformat()])
    assert f"to {end:%Y-%m-%dT%H:%M:%SZ}\n" in capsys.readouterr().err


def test_genai_prices_are_asked_when_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "Timestamp,Model,Request tokens,Response tokens\n1,openai/gpt-4o,10,10\n2,no/such,10,10\n"
    )
    for more, unpriced in (([], "2 of 2"), (["--genai-prices"], "1 of 2")):
        main(["replay", str(path), "--data-dir", str(tmp_path / unpriced), *more])
        assert f"{unpriced} requests have no price" in capsys.readouterr().err
