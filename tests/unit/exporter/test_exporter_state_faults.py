"""State directories that are damaged, refused, full, gone or held: what is lost, and what is told."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asahi_exporter import StateDirectoryError, schema
from asahi_exporter.cellfile import SEGMENT_BYTES, CellFile
from asahi_exporter.directory import FOLDED
from asahi_exporter.statestore import StateStore
from support.exporting import inference, total, value
from support.state_directories import collector, die, files


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def refused(*_args: Any, **_options: Any) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


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


def test_a_lock_that_is_held_too_long_is_told(state: Path) -> None:
    one = collector(state)
    directory = one._book.store._directory  # type: ignore[attr-defined]
    with directory._locked(), pytest.raises(StateDirectoryError, match=r"has held its lock for 0\.02 s"):
        StateStore(state, one.config.service, 0.0, lock_seconds=0.02)


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
    monkeypatch.undo()
    one._book.settle(0.0)
    die(one)
    assert total(collector(state), "asahi_user_requests_total") == 900


def test_processes_that_were_forked_tell_the_same_while_the_disk_is_full(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, worker = collector(state), collector(state)
    worker._after_fork_in_child()
    worker.record_inference(inference())

    def full(*_args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    for number in range(900):
        worker.record_inference(inference(user=f"user-{number}"))
    told = total(worker, "asahi_user_requests_total")
    assert told == total(master, "asahi_user_requests_total") < 901
    monkeypatch.undo()
    worker._book.settle(0.0)
    assert total(worker, "asahi_user_requests_total") == total(master, "asahi_user_requests_total") == 901


def test_an_empty_file_is_damaged(state: Path) -> None:
    one = collector(state)
    one.record_inference(inference())
    die(one)
    (state / files(state)[0]).write_bytes(b"")
    again = collector(state)
    assert len(files(state, "*.damaged")) == 1
    assert value(again, "asahi_state_damaged_files") == 1


def test_of_a_file_that_was_cut_off_what_is_left_still_counts(state: Path) -> None:
    one = collector(state)
    one.record_inference(inference())
    die(one)
    path = state / files(state)[0]
    path.write_bytes(path.read_bytes()[:30_000])
    again = collector(state)
    assert total(again, "asahi_requests_total") == 1
    assert value(again, "asahi_state_damaged_files") == 1


def test_a_directory_that_may_not_be_read_any_more_is_an_error_of_the_scrape(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = collector(state)
    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(StateDirectoryError, match="cannot be read any more: Permission denied"):
        one.get_prometheus_metrics()


def test_a_directory_that_is_gone_is_an_error_of_the_scrape(state: Path) -> None:
    one = collector(state)
    one.record_inference(inference())
    for path in state.iterdir():
        path.unlink()
    state.rmdir()
    one.record_inference(inference(user="somebody-new"))
    with pytest.raises(StateDirectoryError, match="cannot be read any more"):
        one.get_prometheus_metrics()


def test_a_directory_that_is_emptied_is_an_error_of_the_scrape_and_not_a_lower_sum(state: Path) -> None:
    one, two = collector(state), collector(state)
    for each in (one, two):
        each.record_inference(inference())
    for path in state.iterdir():
        path.unlink()
    for each in (one, two):
        with pytest.raises(StateDirectoryError, match="was emptied while this process counts in it"):
            each.get_prometheus_metrics()
    one.close()
    assert total(one, "asahi_requests_total") == 1


def test_a_directory_that_never_rests_is_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = collector(state)
    marks: Iterator[tuple[int, int, int]] = ((n, n, n) for n in range(1_000))
    monkeypatch.setattr(type(one._book.store), "_mark", lambda _self: next(marks))
    monkeypatch.setattr(type(one._book.store), "_read", lambda _self, _mark: [])
    with pytest.raises(StateDirectoryError, match="change faster"):
        list(one._book.store.rows())


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
