"""State directories: files that outlive their processes, taken over, folded and read."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
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


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def collector(state: Path, **settings: Any) -> MetricsCollector:
    return MetricsCollector(MetricsConfig(state_dir=state, **settings))


def files(state: Path, pattern: str = "*.cells") -> list[str]:
    return sorted(path.name for path in state.glob(pattern))


def die(*collectors: MetricsCollector) -> None:
    """Let go of the files, as the end of a process does; nothing is flushed on purpose."""
    for one in collectors:
        one.close()


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


def corrupt(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize("offset", [0, 4, 60, 100, 2_000])
def test_a_damaged_file_costs_itself_at_most_and_is_moved_aside(state: Path, offset: int) -> None:
    one, two = collector(state), collector(state)
    for _ in range(2):
        one.record_inference(inference())
        two.record_inference(inference())
    path = one._book.store._own  # type: ignore[attr-defined]
    die(one, two)
    corrupt(path, offset, b"\xff" * 16)
    again = collector(state)
    assert 2 <= total(again, "asahi_requests_total") <= 4
    assert files(state, "*.damaged") == [path.stem + ".damaged"]
    assert value(again, "asahi_state_damaged_files") == 1
    again.record_inference(inference())
    die(again)
    third = collector(state)
    assert 3 <= total(third, "asahi_requests_total") <= 5


def test_a_cell_that_is_not_a_number_costs_its_row(state: Path) -> None:
    one, two = collector(state), collector(state)
    one.record_inference(inference())
    block = one._book.cells.block(schema.USER, ("team-a",))
    assert block.mirror is not None
    block.mirror[block.at] = float("nan")
    assert total(two, "asahi_user_requests_total") == 0
    assert total(two, "asahi_requests_total") == 1
    assert value(two, "asahi_state_damaged_files") == 1
    die(one, two)
    again = collector(state)
    assert total(again, "asahi_requests_total") == 1
    assert len(files(state, "*.damaged")) == 1


@pytest.mark.parametrize("keep", [0, 10, 1_000, SEGMENT_BYTES - 8, SEGMENT_BYTES + 100])
def test_a_truncated_file_does_not_keep_a_service_from_starting(state: Path, keep: int) -> None:
    one = collector(state)
    for number in range(400):
        one.record_inference(inference(user=f"user-{number}"))
    path = one._book.store._own  # type: ignore[attr-defined]
    die(one)
    os.truncate(path, keep)
    again = collector(state)
    again.record_inference(inference())
    assert total(again, "asahi_requests_total") >= 1


def test_rows_of_another_version_are_told_and_not_lost(state: Path) -> None:
    die(collector(state))
    old = CellFile.create(state / "0000.cells")
    old.append(b'["request.00000000",["m","chat","none"]]', [1.0] * 9)
    old.close()
    one = collector(state)
    assert value(one, "asahi_state_damaged_files") == 1
    assert files(state, "*.damaged") == ["0000.damaged"]


def test_a_damaged_fold_is_kept_aside_when_the_next_one_replaces_it(state: Path) -> None:
    for _ in range(2):
        workers = [collector(state) for _ in range(12)]
        for worker in workers:
            worker.record_inference(inference())
        die(*workers)
        die(collector(state))
        if len(files(state, "folded*.damaged")) == 0:
            corrupt(state / FOLDED, (state / FOLDED).stat().st_size - SEGMENT_BYTES + 400, b"\xff" * 8)
    assert len(files(state, "folded*.damaged")) == 1
    assert total(collector(state), "asahi_requests_total") >= 12


def test_a_directory_of_another_service_is_refused(state: Path) -> None:
    die(collector(state, service="router"))
    with pytest.raises(StateDirectoryError, match="belongs to service 'router', not to 'batcher'"):
        collector(state, service="batcher")


def test_a_damaged_identity_is_told(state: Path) -> None:
    die(collector(state))
    (state / "store.json").write_text("{")
    with pytest.raises(StateDirectoryError, match="damaged; restore it"):
        collector(state)
    (state / "store.json").write_text('{"format": 99}')
    with pytest.raises(StateDirectoryError, match="format 99"):
        collector(state)
    (state / "store.json").unlink()
    with pytest.raises(StateDirectoryError, match=r"holds counters but no store\.json"):
        collector(state)


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateDirectoryError, match="in the way"):
        collector(tmp_path / "state")
    with pytest.raises(StateDirectoryError, match="cannot be used"):
        collector(tmp_path / "state" / "below")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_directory_that_cannot_be_written_is_told(
    state: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_args: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(StateDirectoryError, match=f"cannot be used: {os.strerror(number)}"):
        collector(state)
    assert files(state, "*.new") == []


def test_a_system_without_allocation_writes_zeros(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    one = collector(state)
    one.record_inference(inference())
    assert total(one, "asahi_requests_total") == 1
    monkeypatch.setattr(os, "pwrite", lambda *_args: 0)
    with pytest.raises(StateDirectoryError, match="No space left"):
        collector(state)


def test_a_lock_that_is_held_too_long_is_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asahi_exporter.directory._LOCK_SECONDS", 0.02)
    one = collector(state)
    directory = one._book.store._directory  # type: ignore[attr-defined]
    with directory._locked(), pytest.raises(StateDirectoryError, match="another process has held its lock"):
        collector(state)


def test_a_disk_that_fills_up_later_never_raises_and_is_counted(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = collector(state)

    def full(*_args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    for number in range(900):
        one.record_inference(inference(user=f"user-{number}"))
    assert total(one, "asahi_user_requests_total") == 900
    assert total(one, "asahi_requests_total") == 900
    assert total(one, "asahi_state_write_failures_total") > 0


def test_a_directory_that_is_gone_is_an_error_of_the_scrape(state: Path) -> None:
    one = collector(state)
    one.record_inference(inference())
    for path in state.iterdir():
        path.unlink()
    state.rmdir()
    one.record_inference(inference(user="somebody-new"))
    with pytest.raises(StateDirectoryError, match="cannot be read any more"):
        one.get_prometheus_metrics()


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


def test_a_directory_that_never_rests_is_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = collector(state)
    marks: Iterator[tuple[int, int, int]] = ((n, n, n) for n in range(1_000))
    monkeypatch.setattr(type(one._book.store), "_mark", lambda _self: next(marks))
    monkeypatch.setattr(type(one._book.store), "_read", lambda _self, _mark: [])
    with pytest.raises(StateDirectoryError, match="change faster"):
        list(one._book.store.rows())


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


def test_a_broken_label_file_does_not_stop_anything(state: Path) -> None:
    die(collector(state))
    (state / "labels").write_bytes(b'["user", "old"]\n{not json\n[1, 2]\n["user", "torn')
    one = collector(state, label_limits={"user": 3})
    for user in ("old", "new", "newer"):
        one.record_inference(inference(user=user))
    assert total(one, "asahi_user_requests_total", user="newer") == 1
    two = collector(state, label_limits={"user": 3})
    two.record_inference(inference(user="newest"))
    assert total(two, "asahi_user_requests_total", user="other") == 1


def test_a_label_file_that_is_locked_for_long_is_not_waited_for(state: Path) -> None:
    import fcntl

    one = collector(state)
    with (state / "labels").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        one.record_inference(inference(user="impatient"))
    assert total(one, "asahi_user_requests_total", user="impatient") == 1


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
