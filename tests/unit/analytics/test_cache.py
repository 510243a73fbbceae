"""The bounded cache and the single flight."""

from __future__ import annotations

import threading

import pytest

from asahi_analytics.cache import Refreshed, SingleFlight, TtlCache
from asahi_analytics.errors import NotEnoughData, PrometheusUnreachable


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_entry_lives_for_its_time() -> None:
    clock = Clock()
    cache: TtlCache[str, int] = TtlCache(100, clock)
    cache.put("a", 1, ttl_seconds=10)
    clock.now = 9.99
    assert cache.get("a") == 1
    clock.now = 10.0
    assert cache.get("a") is None


def test_the_entry_used_longest_ago_makes_room() -> None:
    cache: TtlCache[str, int] = TtlCache(8)
    for name in "abcd":
        cache.put(name, 1, 60, weight=2)
    assert cache.get("a") == 1
    cache.put("e", 1, 60, weight=2)
    assert [cache.get(name) for name in "abcde"] == [1, None, 1, 1, 1]


@pytest.mark.parametrize(("weight", "kept"), [(2, 1), (3, None)])
def test_an_entry_heavier_than_a_quarter_is_not_kept(weight, kept) -> None:
    cache: TtlCache[str, int] = TtlCache(8)
    cache.put("a", 1, 60, weight=weight)
    assert cache.get("a") == kept


def test_an_entry_without_time_is_not_kept_and_a_new_value_replaces_the_old() -> None:
    cache: TtlCache[str, int] = TtlCache(8)
    cache.put("a", 1, 0)
    assert cache.get("a") is None
    cache.put("a", 1, 60, weight=2)
    cache.put("a", 2, 60, weight=1)
    for name, weight in {"b": 2, "c": 2, "d": 2, "e": 1}.items():
        cache.put(name, 1, 60, weight=weight)
    assert [cache.get(name) for name in "abcde"] == [2, 1, 1, 1, 1]


def test_after_landing_the_next_flight_starts_anew() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    answers = iter([1, 2])
    assert [flights.do("a", lambda: next(answers)) for _ in range(2)] == [1, 2]


def test_an_error_ends_the_flight() -> None:
    flights: SingleFlight[str, int] = SingleFlight()

    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        flights.do("a", fail)
    assert flights.do("a", lambda: 3) == 3


def refreshed(work, clock: Clock, queue: list) -> Refreshed:
    return Refreshed(work, 60.0, first_wait_seconds=0.0, clock=clock, start=queue.append)


def test_a_refreshed_value_never_makes_a_reader_wait() -> None:
    clock, queue, values = Clock(), [], iter([1, 2])
    made = refreshed(lambda: next(values), clock, queue)
    with pytest.raises(NotEnoughData, match="ask again in a moment"):
        made.get()
    with pytest.raises(NotEnoughData):
        made.get()
    assert len(queue) == 1
    queue.pop()()
    assert made.get() == 1
    clock.now = 59.9
    assert (made.get(), queue) == (1, [])
    clock.now = 60.0
    assert made.get() == 1
    queue.pop()()
    assert made.get() == 2


def test_an_error_of_the_work_reaches_the_readers_until_it_is_over() -> None:
    clock, queue, outcomes = Clock(), [], iter([PrometheusUnreachable("down"), None])

    def work() -> int:
        if error := next(outcomes):
            raise error
        return 7

    made = refreshed(work, clock, queue)
    with pytest.raises(NotEnoughData):
        made.get()
    queue.pop()()
    with pytest.raises(PrometheusUnreachable):
        made.get()
    clock.now = 60.0
    with pytest.raises(PrometheusUnreachable):
        made.get()
    queue.pop()()
    assert made.get() == 7


def test_without_a_replacement_the_work_is_done_by_a_thread() -> None:
    go_on, done = threading.Event(), threading.Event()

    def work() -> None:
        assert go_on.wait(5)
        done.set()

    made = Refreshed(work, 60.0, first_wait_seconds=0.0)
    with pytest.raises(NotEnoughData):
        made.get()
    go_on.set()
    assert done.wait(5)


def test_an_error_that_nobody_foresaw_leaves_no_old_value() -> None:
    clock, queue, values = Clock(), [], iter([1])
    made = refreshed(lambda: 1 / next(values, 0), clock, queue)
    with pytest.raises(NotEnoughData):
        made.get()
    queue.pop()()
    assert made.get() == 1
    clock.now = 60.0
    made.get()
    with pytest.raises(ZeroDivisionError):
        queue.pop()()
    with pytest.raises(NotEnoughData, match="the log of the service says more"):
        made.get()


def test_the_first_reading_waits_for_the_first_outcome() -> None:
    made = Refreshed(lambda: 7, 60.0, first_wait_seconds=30.0)
    assert made.get() == 7


def test_the_first_reading_waits_no_longer_than_it_may() -> None:
    held = threading.Event()
    made = Refreshed(held.wait, 60.0, first_wait_seconds=0.01)
    with pytest.raises(NotEnoughData):
        made.get()
    held.set()
