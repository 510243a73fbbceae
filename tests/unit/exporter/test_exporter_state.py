"""State directories: files that outlive their processes, taken over, folded and read."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asahi_exporter import MetricsCollector, MetricsConfig, StateDirectoryError, schema
from asahi_exporter.cellfile import SEGMENT_BYTES, CellFile
from asahi_exporter.cells import Block
from asahi_exporter.directory import FOLDED
from asahi_exporter.reader import FileReading
from support.exporting import HandClock, inference, total, value
from support.state_directories import collector, die, files


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_a_restart_continues_where_the_last_process_was(state: Path) -> None:
    for run in range(1, 4):
        one = collector(state)
        one.record_inference(inference())
        one.record_cache_event(1, True, 3.0)
        assert total(one, "asahi_cost_dollars_total") == 0.25 * run
        assert total(one, "asahi_latency_ms_count") == run
        assert value(one, "asahi_cache_hits_total", tier="1") == run
        die(one)
    assert len(files(state)) == 1


def test_every_series_carries_the_identity_of_the_directory(state: Path) -> None:
    one = collector(state)
    identity = json.loads((state / "store.json").read_text())["store"]
    assert {s.labels["store"] for f in one.registry.collect() for s in f.samples} == {identity}
    die(one)
    again = collector(state)
    assert again._book.store.identity == identity


def test_the_memory_keeps_its_birthday(state: Path) -> None:
    config = MetricsConfig(state_dir=state)
    die(MetricsCollector(config, clock=HandClock(1_000.0)))
    again = MetricsCollector(config, clock=HandClock(9_000.0))
    assert value(again, "asahi_store_created_timestamp_seconds") == 1_000.0


def test_processes_that_live_together_have_a_file_each_and_one_sum(state: Path) -> None:
    workers = [collector(state) for _ in range(3)]
    for worker in workers:
        worker.record_inference(inference())
    assert len(files(state)) == 3
    assert {total(worker, "asahi_requests_total") for worker in workers} == {3.0}
    assert value(workers[0], "asahi_state_files") == 3


def test_rolling_gauges_are_those_of_all_living_workers(state: Path) -> None:
    clock = HandClock()
    one, two = (MetricsCollector(MetricsConfig(state_dir=state), clock=clock) for _ in range(2))
    for _ in range(3):
        one.record_cache_event(1, True)
    two.record_cache_event(1, False)
    two.record_inference(inference(quality_score=1.0))
    one.record_inference(inference(quality_score=4.0))
    clock.now += 11
    one.record_cache_event(2, True)
    two.record_cache_event(2, True)
    assert (
        value(one, "asahi_cache_hit_rate", tier="1") == value(two, "asahi_cache_hit_rate", tier="1") == 0.75
    )
    assert value(one, "asahi_quality_score", model="gpt-4o") == 2.5
    die(two)
    clock.now += 3_600
    assert value(one, "asahi_cache_hit_rate", tier="1") is None


def test_a_file_that_is_taken_over_does_not_bring_its_rolling_gauges(state: Path) -> None:
    clock = HandClock()
    config = MetricsConfig(state_dir=state)
    one = MetricsCollector(config, clock=clock)
    one.record_cache_event(1, True)
    one.get_prometheus_metrics()
    die(one)
    again = MetricsCollector(config, clock=clock)
    again.record_cache_event(1, False)
    assert value(again, "asahi_cache_hit_rate", tier="1") == 0.0
    assert value(again, "asahi_cache_hits_total", tier="1") == 1


def test_files_of_many_dead_processes_are_folded_into_one(state: Path) -> None:
    workers = [collector(state) for _ in range(12)]
    for number, worker in enumerate(workers):
        worker.record_inference(inference(cost_dollars=0.1 * number, user=f"user-{number}"))
    before = total(workers[0], "asahi_cost_dollars_total")
    die(*workers)
    one = collector(state)
    assert files(state)[-1] == FOLDED
    assert len(files(state)) == 2
    assert total(one, "asahi_cost_dollars_total") == before
    assert total(one, "asahi_user_requests_total") == 12
    one.record_inference(inference(cost_dollars=1.0))
    assert total(one, "asahi_cost_dollars_total") == pytest.approx(before + 1)


@settings(max_examples=12)
@given(st.lists(st.lists(st.floats(0, 100), max_size=4), min_size=1, max_size=25), st.data())
def test_no_restart_and_no_fold_changes_a_total(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[float]], data: st.DataObject
) -> None:
    state = tmp_path_factory.mktemp("state")
    alive: list[MetricsCollector] = []
    ledger: dict[str, list[float]] = {}
    last = 0.0
    for dollars in runs:
        alive.append(collector(state, label_limits={"model": 3}))
        for number, cost in enumerate(dollars):
            alive[-1].record_inference(inference(model=f"m{number}", cost_dollars=cost))
            ledger.setdefault(f"m{number}" if number < 3 else "other", []).append(cost)
        for name, costs in ledger.items():
            assert total(alive[-1], "asahi_cost_dollars_total", model=name) == pytest.approx(sum(costs))
        now = sum(total(alive[-1], "asahi_cost_dollars_total", model=name) for name in sorted(ledger))
        assert now >= last * (1 - 1e-15)
        last = now
        if data.draw(st.booleans()):
            die(*alive)
            alive.clear()
    die(*alive)


def test_a_fold_that_was_cut_short_before_deleting_counts_nothing_twice(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [collector(state) for _ in range(12)]
    for worker in workers:
        worker.record_inference(inference())
    die(*workers)
    with monkeypatch.context() as patched:
        patched.setattr("asahi_exporter.directory._Surplus.dispose", lambda _self: None)
        one = collector(state)
    assert len(files(state)) == 13
    assert total(one, "asahi_requests_total") == 12
    die(one)
    again = collector(state)
    assert len(files(state)) == 2
    assert total(again, "asahi_requests_total") == 12


def test_a_fold_that_was_cut_short_before_it_had_its_name_counts_nothing_twice(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [collector(state) for _ in range(12)]
    for worker in workers:
        worker.record_inference(inference())
    die(*workers)

    def crash(_self: Path, _target: Path) -> Path:
        raise OSError(errno.EIO, "power cut")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        patched.setattr(Path, "unlink", lambda *_args, **_kwargs: None)
        with pytest.raises(StateDirectoryError, match="power cut"):
            collector(state)
    assert files(state, "*.new")
    one = collector(state)
    assert files(state, "*.new") == []
    assert total(one, "asahi_requests_total") == 12


def test_a_scrape_during_a_fold_is_repeated(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = [collector(state) for _ in range(12)]
    for worker in workers:
        worker.record_inference(inference())
    reader = workers.pop()
    original = FileReading.rows
    pending = [True]

    def fold_first(reading: FileReading) -> list[Any]:
        if pending and reading.path.name != FOLDED:
            pending.clear()
            die(*workers)
            collector(state)
        return original(reading)

    monkeypatch.setattr(FileReading, "rows", fold_first)
    assert total(reader, "asahi_requests_total") == 12
    assert FOLDED in files(state)


def test_workers_share_the_limit_of_a_label(state: Path) -> None:
    workers = [collector(state, label_limits={"user": 4}) for _ in range(3)]
    for number, worker in enumerate(workers):
        for user in range(3):
            worker.record_inference(inference(user=f"user-{number}-{user}"))
    users = {
        s.labels["user"]
        for f in workers[0].registry.collect()
        for s in f.samples
        if s.name == "asahi_user_requests_total"
    }
    assert len(users - {"other"}) == 4
    assert total(workers[0], "asahi_user_requests_total") == 9
    assert total(workers[0], "asahi_user_requests_total", user="other") == 5
    die(*workers)
    again = collector(state, label_limits={"user": 4})
    again.record_inference(inference(user="user-0-0"))
    again.record_inference(inference(user="user-2-2"))
    assert total(again, "asahi_user_requests_total", user="user-0-0") == 2
    assert total(again, "asahi_user_requests_total", user="other") == 6


def test_a_record_larger_than_a_segment_stays_in_memory(tmp_path: Path) -> None:
    file = CellFile.create(tmp_path / "x.cells")
    with pytest.raises(OSError, match="does not fit a segment"):
        file.place(Block(schema.USER, ("x" * SEGMENT_BYTES,), [0.0] * 5))
    file.close()


def test_a_file_that_exists_is_not_made_anew(tmp_path: Path) -> None:
    CellFile.create(tmp_path / "x.cells").close()
    with pytest.raises(FileExistsError):
        CellFile.create(tmp_path / "x.cells")


def test_what_is_recorded_after_closing_stays_in_memory(state: Path) -> None:
    one = collector(state)
    one.close()
    one.record_inference(inference())
    assert total(collector(state), "asahi_requests_total") == 0
