"""The bounded cache and the single flight."""

from __future__ import annotations

import pytest

from asahi_analytics.cache import SingleFlight, TtlCache


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
    assert cache.info().entries == 0


def test_the_entry_used_longest_ago_makes_room() -> None:
    cache: TtlCache[str, int] = TtlCache(8)
    for name in "abcd":
        cache.put(name, 1, 60, weight=2)
    assert cache.get("a") == 1
    cache.put("e", 1, 60, weight=2)
    assert [cache.get(name) for name in "abcde"] == [1, None, 1, 1, 1]
    assert cache.info().weight == 8


@pytest.mark.parametrize(("weight", "kept"), [(2, 1), (3, 0)])
def test_an_entry_heavier_than_a_quarter_is_not_kept(weight, kept) -> None:
    cache: TtlCache[str, int] = TtlCache(8)
    cache.put("a", 1, 60, weight=weight)
    assert cache.info().entries == kept


def test_an_entry_without_time_is_not_kept_and_a_new_value_replaces_the_old() -> None:
    cache: TtlCache[str, int] = TtlCache(8)
    cache.put("a", 1, 0)
    assert cache.info().entries == 0
    cache.put("a", 1, 60, weight=2)
    cache.put("a", 2, 60, weight=1)
    assert (cache.get("a"), cache.info().weight) == (2, 1)


def test_hits_and_misses_are_counted_and_survive_clearing() -> None:
    cache: TtlCache[str, int] = TtlCache(8)
    cache.get("a")
    cache.put("a", 1, 60)
    cache.get("a")
    cache.clear()
    info = cache.info()
    assert (info.hits, info.misses, info.entries, info.weight) == (1, 1, 0, 0)


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
