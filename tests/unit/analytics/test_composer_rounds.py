"""Sums side by side ask in rounds: what belongs to one moment together, nothing twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from asahi_analytics.composer.rounds import run, together, value, values, work
from asahi_analytics.errors import PrometheusTimeout
from asahi_analytics.replies import Matrix, Sample, Vector
from asahi_analytics.threads import Threads

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


class Client:
    """Answers each query with its own length, and notes what was asked together."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime, list[str]]] = []

    def query_all(self, promql, at):
        self.asked.append((at, list(promql)))
        return [Vector((Sample({}, float(len(each))),)) for each in promql]

    def query_range(self, promql, start, _end, _step):
        self.asked.append((start, [promql]))
        return Matrix(())


def length(promql: str, at: datetime = NOON):
    answer = yield from value(promql, at)
    return answer.samples[0].value


def chain(*queries: str):
    total = 0.0
    for query in queries:
        total += yield from length(query)
    return total


def test_a_task_that_asks_nothing_returns_at_once():
    client = Client()
    assert run(chain(), client) == 0.0
    assert client.asked == []


def test_results_come_in_order_and_each_round_asks_a_moment_once():
    client = Client()
    assert run(together([chain("a", "bb"), chain("ccc"), chain(), chain("d", "ee", "f")]), client) == [
        3,
        3,
        0,
        4,
    ]
    assert [sorted(queries) for _, queries in client.asked] == [["a", "ccc", "d"], ["bb", "ee"], ["f"]]


def test_nothing_is_asked_twice_whether_in_one_round_or_later():
    client = Client()
    assert run(together([chain("a", "bb"), chain("a", "a")]), client) == [3, 2]
    assert [queries for _, queries in client.asked] == [["a"], ["bb"]]


def test_moments_are_asked_apart_and_so_is_each_range():
    client = Client()
    ranges = [values(promql, NOON, LATER, timedelta(minutes=1)) for promql in ("c", "d", "d")]
    run(together([length("a"), length("b", LATER), *ranges]), client, Threads(4, "test"))
    assert sorted(queries for _, queries in client.asked) == [["a"], ["b"], ["c"], ["d"]]


def test_other_work_gets_the_client_and_its_result_is_handed_back():
    client = Client()
    assert run(together([work(lambda given: given is client), chain("a")]), client) == [True, 1]


def test_an_error_of_the_backend_reaches_the_caller():
    class Slow(Client):
        def query_all(self, _promql, _at):
            raise PrometheusTimeout("too slow")

    with pytest.raises(PrometheusTimeout, match="too slow"):
        run(together([chain("a"), chain("b")]), Slow())
