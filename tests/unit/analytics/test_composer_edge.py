"""Between two evaluations: one sum while the same memories are scraped, every counter by itself otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from asahi_analytics.composer.edge import Edge
from asahi_analytics.composer.rounds import run
from asahi_analytics.replies import Sample, Vector
from asahi_analytics.tiles import RuleParameters
from asahi_exporter.conventions import FAMILIES

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SUMMED, FOLLOWED = 5.0, 7.0


class Backend:
    """Answers what an edge asks: the memories scraped now and then with their processes, and plain counters."""

    def __init__(self, now: dict[str, int], then: dict[str, int], plain: int = 0) -> None:
        self.now, self.then, self.plain = now, then, plain
        self.asked: list[str] = []

    def query_all(self, promql, _at):
        self.asked += promql
        return [Vector(tuple(self._answer(each))) for each in promql]

    def _answer(self, promql: str):
        if promql.startswith("count by (store)"):
            then = "offset" in promql or ":state" in promql
            return [
                Sample({"store": store}, count) for store, count in (self.then if then else self.now).items()
            ]
        if promql.startswith("count("):
            return [Sample({}, self.plain)] if self.plain else []
        return [Sample({"model": "a"}, FOLLOWED if "clamp_min" in promql else SUMMED)]


def total(backend: Backend, **more):
    edge = Edge(FAMILIES["cost_dollars"], RuleParameters(), "m:state", timedelta(seconds=40), "", **more)
    return run(edge.total(["model"], NOON), backend)


def test_the_same_memories_are_summed_at_once():
    assert total(Backend({"s": 1, "t": 1}, {"s": 1, "t": 1})) == {("a",): SUMMED}
    assert total(Backend({}, {})) == {("a",): SUMMED}


@pytest.mark.parametrize(
    "backend",
    [
        Backend({"s": 1, "new": 1}, {"s": 1}),
        Backend({"s": 1}, {"s": 1, "gone": 1}),
        Backend({"s": 2}, {"s": 1}),
        Backend({"s": 1}, {"s": 1}, plain=3),
    ],
    ids=["a memory came", "a memory went", "a memory moved", "a counter dies with its process"],
)
def test_counters_are_followed_one_by_one_when(backend):
    assert total(backend) == {("a",): FOLLOWED}


def test_totals_that_were_filled_in_are_led_on_by_samples_or_not_at_all():
    assert total(Backend({"s": 1}, {"s": 1}), filled=True) == {("a",): SUMMED}
    assert total(Backend({"s": 1}, {}), filled=True) is None


def test_a_filled_total_reads_what_was_seen_from_samples_and_a_live_one_from_the_state():
    for filled in (True, False):
        backend = Backend({}, {})
        total(backend, filled=filled)
        assert ("offset 40s" in backend.asked[0]) is filled
        assert ('part="seen"' in backend.asked[0]) is not filled


def test_filters_reach_every_term():
    where = 'model="a"'
    edge = Edge(FAMILIES["cost_dollars"], RuleParameters(), "m:state", timedelta(seconds=40), where)
    assert edge._summed([]).count(where) == 3
