"""Between two evaluations: base and counters in one sum while the same memories are scraped, else each counter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from asahi_analytics.composer.edge import Edge
from asahi_analytics.composer.rounds import run
from asahi_analytics.composer.runs import Run
from asahi_analytics.replies import Sample, Vector
from asahi_analytics.tiles import RuleParameters
from asahi_exporter.conventions import FAMILIES

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
BASED, FILLED, FOLLOWED = 5.0, 6.0, 7.0
LONG_AGO = (NOON - timedelta(days=3)).timestamp()
COST = FAMILIES["cost_dollars"]


class Backend:
    """Answers what an edge asks: the memories scraped now, their processes, those that were known, plain counters."""

    def __init__(
        self, now: dict[str, int], then: dict[str, int], plain: int = 0, since: float = LONG_AGO
    ) -> None:
        self.now, self.then, self.plain, self.since = now, then, plain, since
        self.asked: list[str] = []

    def query_all(self, promql, _at):
        self.asked += promql
        return [Vector(tuple(self._answer(each))) for each in promql]

    def _answer(self, promql: str):
        if promql.startswith("max by (part, store)"):
            known = [Sample({"part": "memory", "store": store}, 1.0) for store in self.then]
            return [*known, Sample({"part": "since"}, self.since)]
        if promql.startswith("count by (store)"):
            memories = self.then if "offset" in promql else self.now
            return [Sample({"store": store}, count) for store, count in memories.items()]
        if promql.startswith("count("):
            return [Sample({}, self.plain)] if self.plain else []
        found = FOLLOWED if "clamp_min" in promql else FILLED if "offset" in promql else BASED
        return [Sample({"model": "a"}, found)]


def total(backend: Backend, backfilled: bool = False, since: float = LONG_AGO):
    recorded = Run("m:state", since, NOON.timestamp() - 40, backfilled)
    edge = Edge(COST, RuleParameters(), "")

    def asking():
        signs = yield from edge.signs(NOON)
        return (yield from edge.total(["model"], NOON, recorded, signs))

    return run(asking(), backend)


def test_the_same_memories_are_summed_with_the_base_at_once():
    assert total(Backend({"s": 1, "t": 1}, {"s": 1, "t": 1})) == {("a",): BASED}
    assert total(Backend({}, {})) == {("a",): BASED}


@pytest.mark.parametrize(
    "backend",
    [
        Backend({"s": 1, "new": 1}, {"s": 1}),
        Backend({"s": 1}, {"s": 1, "gone": 1}),
        Backend({"s": 2}, {"s": 1}),
        Backend({"s": 1}, {"s": 1}, plain=3),
        Backend({"s": 1}, {"s": 1}, since=LONG_AGO - 60),
    ],
    ids=[
        "a memory came",
        "a memory went",
        "a memory moved",
        "a counter dies with its process",
        "another run",
    ],
)
def test_counters_are_followed_one_by_one_when(backend):
    assert total(backend) == {("a",): FOLLOWED}


def test_a_base_counts_once_all_that_is_within_reach_is_of_its_run():
    for ago, found in ((300 + 690, BASED), (300 + 689, FOLLOWED)):
        begun = NOON.timestamp() - ago
        assert total(Backend({}, {}, since=begun), since=begun) == {("a",): found}


def test_totals_that_were_filled_in_are_led_on_by_samples_or_not_at_all():
    assert total(Backend({"s": 1}, {"s": 1}), backfilled=True) == {("a",): FILLED}
    for now, then, plain in (({"s": 1}, {}, 0), ({"s": 1}, {"s": 2}, 0), ({"s": 1}, {"s": 1}, 1)):
        assert total(Backend(now, then, plain), backfilled=True) is None


def test_filters_reach_every_term():
    backend, where = Backend({}, {}), 'model="a"'
    edge = Edge(COST, RuleParameters(), where)
    signs = run(edge.signs(NOON), backend)
    for filled, terms in ((False, 1), (True, 3)):
        recorded = Run("m:state", LONG_AGO, NOON.timestamp() - 40, filled)
        backend.asked.clear()
        run(edge.total([], NOON, recorded, signs), backend)
        assert backend.asked[0].count(where) == terms
