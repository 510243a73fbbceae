"""A forked worker whose state directory does not open counts in memory until it does; nothing is lost or doubled."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from asahi_exporter import MetricsCollector, MetricsConfig, StateDirectoryError, schema
from asahi_exporter.cellfile import CellFile
from asahi_exporter.cells import Block
from support.exporting import HandClock, inference, total, value

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
SECONDS_TO_THE_NEXT_TRY = MetricsConfig().collection_interval_seconds


class Disk:
    """A state directory with two inferences of a dead process in it, whose identity can be taken away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = path / "store.json"
        former = MetricsCollector(MetricsConfig(state_dir=path))
        former.record_inference(inference(user="former"))
        former.record_inference(inference(user="former"))
        former.close()
        self._content = self._identity.read_text()

    def breaks(self) -> None:
        self._identity.write_text("{")

    def mends(self) -> None:
        self._identity.write_text(self._content)

    def reads(self) -> MetricsCollector:
        """Another worker, that sees what the files hold."""
        return MetricsCollector(MetricsConfig(state_dir=self.path))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def worker(disk: Disk, clock: HandClock) -> MetricsCollector:
    """A worker that was forked, and whose first record met a directory that does not open."""
    collector = MetricsCollector(MetricsConfig(state_dir=disk.path), clock=clock)
    disk.breaks()
    collector._after_fork_in_child()
    collector.record_inference(inference(user="waiting"))
    return collector


def test_a_scrape_of_the_worker_fails_rather_than_show_a_part(
    worker: MetricsCollector, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StateDirectoryError, match=r"wait in memory: .*store\.json: damaged"):
        total(worker, "asahi_requests_total")
    assert worker.get_summary(1)["requests"] == 1
    assert "counters of this worker wait in memory" in caplog.get_records("setup")[0].getMessage()


def test_what_waited_is_counted_once_the_directory_opens(
    worker: MetricsCollector, disk: Disk, clock: HandClock
) -> None:
    disk.mends()
    clock.now += SECONDS_TO_THE_NEXT_TRY
    worker.record_inference(inference(user="waiting"))
    assert value(worker, "asahi_user_requests_total", user="waiting") == 2
    assert total(worker, "asahi_requests_total") == 4
    other = disk.reads()
    assert total(other, "asahi_requests_total") == 4
    assert value(other, "asahi_state_write_failures_total") == 0
    worker.record_inference(inference(user="waiting"))
    assert total(other, "asahi_requests_total") == 5


def test_a_directory_that_stays_shut_is_tried_again_and_again(
    worker: MetricsCollector, disk: Disk, clock: HandClock
) -> None:
    for _ in range(3):
        clock.now += SECONDS_TO_THE_NEXT_TRY
        worker.record_inference(inference())
    with pytest.raises(StateDirectoryError):
        total(worker, "asahi_requests_total")
    disk.mends()
    assert total(worker, "asahi_requests_total") == 6


def test_what_finds_no_room_in_the_new_file_is_told_and_moves_in_when_there_is_some(
    worker: MetricsCollector, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, waiting = CellFile.place, len(worker._book.cells.blocks)

    def full(file: CellFile, block: Block) -> None:
        if block.schema is not schema.WRITE_FAILURES:
            raise OSError
        place(file, block)

    disk.mends()
    monkeypatch.setattr(CellFile, "place", full)
    other = disk.reads()
    for each in (worker, other):
        assert total(each, "asahi_requests_total") == 2
        assert value(each, "asahi_state_write_failures_total") >= waiting
    monkeypatch.setattr(CellFile, "place", place)
    worker._book.settle(0.0)
    for each in (worker, other):
        assert total(each, "asahi_requests_total") == 3


def test_what_waits_moves_in_although_nothing_is_recorded_or_scraped(disk: Disk) -> None:
    collector = MetricsCollector(MetricsConfig(state_dir=disk.path, collection_interval_seconds=0.02))
    disk.breaks()
    collector._after_fork_in_child()
    collector.record_inference(inference())
    assert "asahi-exporter-retry" in {thread.name for thread in threading.enumerate()}
    disk.mends()
    other, deadline = disk.reads(), time.monotonic() + 30.0
    while total(other, "asahi_requests_total") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while "asahi-exporter-retry" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_waits_moves_in_at_the_end_of_the_process(disk: Disk) -> None:
    code = f"""if True:
        from pathlib import Path
        from asahi_exporter import MetricsCollector, MetricsConfig, InferenceEvent
        collector = MetricsCollector(MetricsConfig(state_dir={str(disk.path)!r}))
        identity = Path({str(disk.path)!r}, "store.json")
        content = identity.read_text()
        identity.write_text("{{")
        collector._after_fork_in_child()
        collector.record_inference(InferenceEvent(model="m"))
        identity.write_text(content)
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert total(disk.reads(), "asahi_requests_total") == 3


def test_a_child_of_a_worker_that_waits_does_not_count_its_records_again(
    worker: MetricsCollector, disk: Disk
) -> None:
    disk.mends()
    pid = os.fork()
    if pid == 0:
        worker.record_inference(inference())
        worker.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert total(worker, "asahi_requests_total") == 4


def test_closing_brings_in_what_waited(worker: MetricsCollector, disk: Disk) -> None:
    disk.mends()
    worker.close()
    assert total(disk.reads(), "asahi_requests_total") == 3


def test_after_closing_counters_wait_for_nothing(worker: MetricsCollector, disk: Disk) -> None:
    worker.close()
    disk.mends()
    with pytest.raises(StateDirectoryError):
        total(worker, "asahi_requests_total")
    assert total(disk.reads(), "asahi_requests_total") == 2


def test_threads_that_record_first_at_the_same_time_share_one_memory(disk: Disk) -> None:
    collector = MetricsCollector(MetricsConfig(state_dir=disk.path))
    disk.breaks()
    collector._after_fork_in_child()
    start = threading.Barrier(8)

    def record() -> None:
        start.wait()
        collector.record_inference(inference())

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    disk.mends()
    assert total(collector, "asahi_requests_total") == 10


def test_a_directory_that_is_no_longer_named_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    collector = MetricsCollector()
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    collector._after_fork_in_child()
    collector.record_inference(inference())
    assert total(collector, "asahi_requests_total") == 1
    assert (schema.WRITE_FAILURES, ()) not in collector._book.cells.blocks
