"""What a forked process does with the counters of its parent."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from asahi_exporter import MetricsCollector, MetricsConfig
from support.exporting import inference, total

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def forked(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_worker_counts_in_a_file_of_its_own(tmp_path: Path) -> None:
    collector = MetricsCollector(MetricsConfig(state_dir=tmp_path))
    collector.record_inference(inference())

    def work() -> None:
        for _ in range(5):
            collector.record_inference(inference())
        assert total(collector, "asahi_requests_total") == 6

    assert forked(work) == 0
    assert len(list(tmp_path.glob("*.cells"))) == 2
    assert total(collector, "asahi_requests_total") == 6
    collector.record_inference(inference())
    assert total(collector, "asahi_requests_total") == 7


def test_a_forked_worker_that_records_nothing_makes_no_file(tmp_path: Path) -> None:
    MetricsCollector(MetricsConfig(state_dir=tmp_path))
    assert forked(lambda: None) == 0
    assert len(list(tmp_path.glob("*.cells"))) == 1


def test_without_a_state_directory_a_fork_copies_as_prometheus_client_does() -> None:
    collector = MetricsCollector()
    collector.record_inference(inference())

    def work() -> None:
        collector.record_inference(inference())
        assert total(collector, "asahi_requests_total") == 2

    assert forked(work) == 0
    assert total(collector, "asahi_requests_total") == 1


def test_a_fork_while_threads_record_does_not_hang(tmp_path: Path) -> None:
    collector = MetricsCollector(MetricsConfig(state_dir=tmp_path))
    stop = threading.Event()

    def record() -> None:
        while not stop.is_set():
            collector.record_inference(inference())

    threads = [threading.Thread(target=record) for _ in range(3)]
    for thread in threads:
        thread.start()
    codes = [forked(lambda: collector.record_inference(inference())) for _ in range(10)]
    stop.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 10


def test_the_file_of_a_dead_parent_can_be_taken_over_while_its_child_lives(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        collector = MetricsCollector(MetricsConfig(state_dir=tmp_path))
        collector.record_inference(inference())
        child = os.fork()
        if child == 0:  # by now it has let go of what it inherited
            os.write(writing, str(os.getpid()).encode())
            signal.pause()
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    child = int(os.read(reading, 20))
    os.close(reading)
    os.close(writing)
    try:
        heir = MetricsCollector(MetricsConfig(state_dir=tmp_path))
        assert len(list(tmp_path.glob("*.cells"))) == 1
        assert total(heir, "asahi_requests_total") == 1
    finally:
        os.kill(child, signal.SIGKILL)
