from __future__ import annotations

import threading
from pathlib import Path

from asahi_alerts.election import leadership, run_elected


def test_one_leads_and_the_others_do_not(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with leadership(lock) as first, leadership(lock) as second:
        assert first
        assert not second


def test_leadership_passes_on_when_it_is_given_up(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with leadership(lock) as first:
        assert first
    with leadership(lock) as second:
        assert second


def test_the_work_of_the_one_elected_is_done_at_once(tmp_path: Path) -> None:
    done = []
    run_elected(done.append, tmp_path / "lock", threading.Event())
    assert len(done) == 1


def test_another_takes_over_when_the_leader_is_gone(tmp_path: Path) -> None:
    lock, stop, working = tmp_path / "lock", threading.Event(), threading.Event()

    def work(_: threading.Event) -> None:
        working.set()

    with leadership(lock):
        thread = threading.Thread(target=run_elected, args=(work, lock, stop), kwargs={"retry_seconds": 0.01})
        thread.start()
        assert not working.wait(0.1)
    assert working.wait(5.0)
    thread.join()


def test_a_candidate_ends_when_it_is_told_to(tmp_path: Path) -> None:
    lock, stop = tmp_path / "lock", threading.Event()
    with leadership(lock):
        thread = threading.Thread(
            target=run_elected, args=(lambda _: None, lock, stop), kwargs={"retry_seconds": 60.0}
        )
        thread.start()
        stop.set()
        thread.join(5.0)
    assert not thread.is_alive()
