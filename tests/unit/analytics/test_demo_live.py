"""The demo's live traffic goes on from its history, in a folder that is its own."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from asahi_analytics.demo import store
from asahi_analytics.demo.build import MARGIN_DAYS, HistoryPlan, build_history
from asahi_analytics.demo.intensity import Intensity
from asahi_analytics.demo.present import LONGEST_GAP_SECONDS, LiveTraffic, run_traffic
from asahi_analytics.demo.servers import free_port, free_ports, is_free
from asahi_analytics.demo.stack import Ports, traffic, write_rules, write_thresholds
from asahi_analytics.demo.store import Folder, exporter
from asahi_analytics.errors import UserInputError
from asahi_analytics.traffic.live import serving
from asahi_exporter import MetricsCollector, MetricsConfig

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


class Silent:
    def say(self, text: str) -> None:
        assert text

    def step(self, _name: str) -> AbstractContextManager[Callable[[int, int], None]]:
        return nullcontext(lambda _done, _total: None)


def sums(collector: MetricsCollector) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in collector.collect():
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def live(collector: MetricsCollector) -> LiveTraffic:
    return LiveTraffic(collector, Intensity(NOON.timestamp()), 1, NOON.timestamp())


def test_live_requests_come_at_the_rate_of_the_hour_and_fill_every_family() -> None:
    collector = MetricsCollector()
    traffic = live(collector)
    traffic.make_up(NOON.timestamp() + 60)
    found = sums(collector)
    assert 300 < traffic.requests < 1_500
    assert found["asahi_requests_total"] == found["asahi_latency_ms_count"] == traffic.requests
    assert found["asahi_cost_dollars_total"] > 0
    assert found["asahi_cost_dollars_total"] + found["asahi_savings_dollars_total"] == pytest.approx(
        found["asahi_baseline_dollars_total"]
    )
    for name in ("asahi_routing_decisions_total", "asahi_batches_total", "asahi_quality_samples_total"):
        assert found[name] > 0
    assert found.get("asahi_refused_records_total", 0.0) == 0.0


def test_errors_come_too() -> None:
    collector = MetricsCollector()
    live(collector).make_up(NOON.timestamp() + 150)
    assert sums(collector)["asahi_errors_total"] > 0


def test_a_long_gap_is_not_made_up_for_in_full() -> None:
    collector = MetricsCollector()
    traffic = live(collector)
    traffic.make_up(NOON.timestamp() + 86_400)
    assert traffic.requests < 30 * LONGEST_GAP_SECONDS
    before = traffic.requests
    traffic.catch_up(NOON.timestamp())
    assert traffic.requests == before


def test_traffic_runs_until_told_to_stop() -> None:
    traffic = live(MetricsCollector())
    answers = iter([False, False, True])
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return next(answers)

    run_traffic(traffic, wait, tick_seconds=0.25)
    assert waited == [0.25] * 3


def test_the_exporter_goes_on_from_the_history_under_the_same_identity(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "demo")
    folder.clear()
    written = build_history(HistoryPlan(NOON, 0.1, 1, "127.0.0.1:9464"), folder, Silent())
    assert written.samples > 100_000
    assert folder.ended == NOON
    with exporter(folder) as collector:
        before = sums(collector)
        assert before["asahi_requests_total"] > 10_000
        live(collector).make_up(NOON.timestamp() + 5)
        after = sums(collector)
        created = (NOON - timedelta(days=0.1 + MARGIN_DAYS)).timestamp()
        assert collector.registry.get_sample_value(
            "asahi_store_created_timestamp_seconds", {"store": collector._book.store.identity}
        ) == pytest.approx(created)
    assert after["asahi_requests_total"] > before["asahi_requests_total"]
    with exporter(folder) as again:
        assert sums(again)["asahi_requests_total"] == after["asahi_requests_total"]


def requests_counted(folder: Folder) -> float:
    with exporter(folder) as collector:
        return sums(collector).get("asahi_requests_total", 0.0)


def test_a_demo_that_goes_on_makes_up_only_the_time_since_its_last_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "demo")
    folder.make()
    assert folder.recorded_s is None
    counted = [0.0]
    for now_s in (NOON.timestamp() + 600, NOON.timestamp() + 600, NOON.timestamp() + 630):
        monkeypatch.setattr("asahi_analytics.demo.stack.time.time", lambda now_s=now_s: now_s)
        with traffic(folder, NOON, 1, free_port()):
            assert folder.recorded_s == now_s
        counted.append(requests_counted(folder))
    first, again, later = np.diff(counted)
    assert first > 3_000
    assert again == 0
    assert 0 < later < first / 5
    folder.clear()
    assert folder.recorded_s is None


@pytest.mark.parametrize("days", [0.0, 0.01, 400.0, float("nan")])
def test_a_length_that_makes_no_sense_is_refused(days: float) -> None:
    with pytest.raises(UserInputError, match=r"pass 0\.1 to 366"):
        HistoryPlan(NOON, days, 1, "x")


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserInputError, match="pass another --dir"):
        Folder(tmp_path).clear()
    assert (tmp_path / "thesis.txt").exists()


def test_a_folder_of_the_demo_is_made_anew(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "demo")
    folder.make()
    assert folder.ended is None
    folder.complete(NOON)
    (folder.path / "old").touch()
    (folder.path / "older" / "still").mkdir(parents=True)
    assert folder.ended == NOON
    folder.clear()
    assert [path.name for path in folder.path.iterdir()] == [store.MARK]
    assert folder.ended is None


def test_a_port_in_use_names_the_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(
            UserInputError, match=f"port {port} is in use by another program; pass another --prometh"
        ):
            Ports(service=free_port(), prometheus=port).check()


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_port_that_is_none_names_the_option(port: int) -> None:
    with pytest.raises(UserInputError, match=f"--exporter-port is {port}; pass 1 to 65535"):
        Ports(*free_ports(3), port).check()


def test_a_port_that_was_taken_while_the_history_was_made_names_the_option_of_the_demo(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path / "demo")
    folder.clear()
    build_history(HistoryPlan(NOON, 0.1, 1, "127.0.0.1:9464"), folder, Silent())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = f"{port}: the port is in use; pass another --exporter-port"
        with pytest.raises(UserInputError, match=words), traffic(folder, NOON, 1, port):
            pass


@pytest.mark.parametrize(("addr", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70_000)])
def test_an_address_that_cannot_be_listened_on_ends_in_one_line(addr: str, port: int) -> None:
    with (
        pytest.raises(UserInputError, match="pass another --addr or --port"),
        serving(MetricsCollector(MetricsConfig()), addr, port),
    ):
        pass


def test_a_port_given_twice_is_refused() -> None:
    port = free_port()
    with pytest.raises(UserInputError, match=f"port {port} is given twice"):
        Ports(service=port, exporter=port).check()


def test_the_runbooks_of_the_demo_are_where_its_service_serves_them(tmp_path: Path) -> None:
    write_thresholds(tmp_path / "thresholds.yml", 8080)
    written = write_rules(tmp_path / "rules", tmp_path / "thresholds.yml")
    text = "".join(path.read_text() for path in written)
    assert "http://127.0.0.1:8080/runbooks/AsahiCostSpike.md" in text
    assert "http://127.0.0.1:8000" not in text


def test_all_rules_are_written(tmp_path: Path) -> None:
    written = {path.name for path in write_rules(tmp_path)}
    committed = Path(__file__).parents[3] / "prometheus" / "rules"
    assert written == {path.name for path in committed.glob("*.yml")}
    assert all((tmp_path / name).stat().st_size > 0 for name in written)
