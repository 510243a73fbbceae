"""The time for a whole answer: what it bounds, who keeps to it, what is said when it is spent."""

from __future__ import annotations

import threading
import time

import pytest

from asahi_analytics import deadline
from asahi_analytics.cache import SingleFlight
from asahi_analytics.deadline import Deadline
from asahi_analytics.errors import AnswerTooLate, PrometheusTimeout
from asahi_analytics.threads import Threads


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_left_shrinks_to_nothing_and_counts_from_the_arrival_of_the_question() -> None:
    clock = Clock()
    made = Deadline(10.0, since=97.0, clock=clock)
    assert made.left() == 7.0
    clock.now = 106.9
    assert made.left() == pytest.approx(0.1)
    clock.now = 200.0
    assert made.left() == 0.0


def test_an_arrival_that_lies_ahead_gives_no_time_as_a_present() -> None:
    assert Deadline(10.0, since=105.0, clock=Clock()).left() == 10.0


def test_without_a_deadline_nothing_is_bounded() -> None:
    assert deadline.left() is None
    assert deadline.bounded(30.0) == 30.0
    deadline.check()
    deadline.asking()
    deadline.answered(1.0)


def test_within_a_deadline_waits_are_cut_to_what_is_left() -> None:
    with deadline.within(20.0):
        assert 19 < deadline.bounded(30.0) <= 20
        assert deadline.bounded(5.0) == 5.0
        deadline.check()
    assert deadline.left() is None


def test_inside_of_another_one_the_first_stays_in_force() -> None:
    with deadline.within(20.0) as outer, deadline.within(1.0) as inner:
        assert inner is outer


def test_a_deadline_that_is_spent_says_what_the_time_went_into_and_what_to_do() -> None:
    with deadline.within(45.0) as own, deadline.arrived(0.0):
        for _ in range(3):
            deadline.asking()
        deadline.answered(12.04)
        deadline.answered(3.0)
    assert str(own.error()) == (
        "the answer was not ready within 45 s (answer_deadline_seconds): Prometheus answered 2 of 3 queries, the "
        "slowest of them in 12.0 s; ask again later or for a shorter window, give Prometheus less to do, or raise "
        "answer_deadline_seconds"
    )
    assert isinstance(own.error(), PrometheusTimeout)


def test_where_nothing_is_unanswered_the_time_went_into_waiting_for_others() -> None:
    made = Deadline(45.0)
    made.asking()
    assert "waiting for the queries of other answers" not in str(made.error())
    made.answered(12.0)
    assert "in 12.0 s, and the rest of the time went into waiting for the queries of other answers" in str(
        made.error()
    )


@pytest.mark.parametrize(("waited", "told"), [(0.9, False), (44.0, True)])
def test_waiting_for_a_thread_of_the_service_is_told_when_it_was_long(waited, told) -> None:
    words = str(Deadline(45.0, since=100.0 - waited, clock=Clock()).error())
    assert ("after 44.0 s of waiting for a thread of the service" in words) is told
    assert "Prometheus answered 0 of 0 queries" in words


def test_the_arrival_is_that_of_the_surrounding_request() -> None:
    with deadline.arrived(time.monotonic() - 50.0), deadline.within(45.0), pytest.raises(AnswerTooLate):
        deadline.check()
    with deadline.within(45.0):
        deadline.check()


def test_threads_work_under_the_deadline_of_their_caller_and_keep_the_order() -> None:
    threads = Threads(2, "test")
    with deadline.within(20.0):
        found = threads.map(lambda number: (number, deadline.left()), range(5))
    assert [number for number, _ in found] == [0, 1, 2, 3, 4]
    assert all(0 < left <= 20 for _, left in found)
    assert threads.map(lambda _: deadline.left(), [0]) == [None]


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    def fail(_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Threads(2, "test").map(fail, [1, 2])


def test_work_that_waits_for_a_thread_beyond_the_deadline_never_begins() -> None:
    threads, busy, go_on, begun = Threads(1, "test"), threading.Event(), threading.Event(), []

    def hold(_: int) -> None:
        busy.set()
        assert go_on.wait(10)

    holder = threading.Thread(target=threads.map, args=(hold, [0]))
    holder.start()
    assert busy.wait(5)
    with deadline.within(0.05), pytest.raises(AnswerTooLate):
        threads.map(begun.append, [1])
    go_on.set()
    holder.join()
    assert threads.map(str, [2]) == ["2"]
    assert begun == []


def test_threads_are_made_anew_after_a_fork(monkeypatch) -> None:
    threads = Threads(1, "test")
    first = threads.map(lambda _: threading.get_ident(), [0, 0])
    monkeypatch.setattr("os.getpid", lambda: -1)
    second = threads.map(lambda _: threading.get_ident(), [0])
    assert len(set(first)) == 1
    assert first[0] != second[0]


class Held:
    """A flight under way in a thread of its own, until ``go_on``."""

    def __init__(self, flights: SingleFlight[str, int], outcome: int | Exception) -> None:
        self.go_on, self.flying, self.outcome = threading.Event(), threading.Event(), outcome
        self.raised: list[Exception] = []
        self.thread = threading.Thread(target=self._fly, args=(flights,))
        self.thread.start()
        assert self.flying.wait(5)

    def _fly(self, flights: SingleFlight[str, int]) -> None:
        try:
            flights.do("a", self._work)
        except AnswerTooLate as error:
            self.raised.append(error)

    def _work(self) -> int:
        self.flying.set()
        assert self.go_on.wait(10)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def land(self) -> None:
        self.go_on.set()
        self.thread.join()


def test_nobody_waits_for_the_flight_of_another_longer_than_the_own_deadline() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    held = Held(flights, 1)
    with deadline.within(0.05), pytest.raises(AnswerTooLate):
        flights.do("a", lambda: 2)
    held.land()
    assert flights.do("a", lambda: 3) == 3


def test_where_only_the_deadline_of_the_first_has_ended_one_who_has_time_left_goes_on() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    held = Held(flights, AnswerTooLate("the first one's"))
    threading.Timer(0.05, held.go_on.set).start()
    with deadline.within(20.0):
        assert flights.do("a", lambda: 2) == 2
    held.land()
    assert len(held.raised) == 1
