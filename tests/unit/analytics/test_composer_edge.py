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
    """Answers what an edge asks: since when the base stands (``None``: it does not), and whether anything moved."""

    def __init__(self, stands: float | None = LONG_AGO, *, doubted: bool = False) -> None:
        self.stands, self.doubted = stands, doubted
        self.asked: list[str] = []

    def query_all(self, promql, _at):
        self.asked += promql
        return [Vector(tuple(self._answer(each))) for each in promql]

    def _answer(self, promql: str):
        if promql.startswith("max by ()"):
            return [] if self.stands is None else [Sample({}, self.stands)]
        if promql.startswith("count("):
            return [Sample({}, 1.0)] if self.doubted else []
        found = FOLLOWED if "clamp_min" in promql else FILLED if "offset" in promql else BASED
        return [Sample({"model": "a"}, found)]


def total(backend: Backend, backfilled: bool = False):
    recorded = Run("m:state", LONG_AGO, NOON.timestamp() - 40, backfilled)
    edge = Edge(COST, RuleParameters(), "")

    def asking():
        based = yield from edge.based(["model"], NOON)
        return (yield from edge.total(["model"], NOON, recorded, based))

    return run(asking(), backend)


def test_where_the_base_stands_one_look_is_enough():
    backend = Backend()
    assert total(backend) == {("a",): BASED}
    assert not [each for each in backend.asked if "clamp_min" in each]


@pytest.mark.parametrize("stands", [None, LONG_AGO - 60], ids=["it does not stand", "another run"])
def test_counters_are_followed_one_by_one_where(stands):
    assert total(Backend(stands)) == {("a",): FOLLOWED}


def test_totals_that_were_filled_in_are_led_on_by_samples_or_not_at_all():
    assert total(Backend(), backfilled=True) == {("a",): FILLED}
    assert total(Backend(doubted=True), backfilled=True) is None


def test_filters_reach_every_term():
    backend, where = Backend(), 'model="a"'
    edge = Edge(COST, RuleParameters(), where)
    based = run(edge.based([], NOON), backend)
    assert [each.count(where) for each in backend.asked] == [0, 1]
    for filled, stands, terms in ((True, LONG_AGO, 3), (False, LONG_AGO - 60, 4)):
        recorded = Run("m:state", stands, NOON.timestamp() - 40, filled)
        backend.asked.clear()
        run(edge.total([], NOON, recorded, based), backend)
        assert backend.asked[0].count(where) >= terms
