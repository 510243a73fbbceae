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


SAME = {"scraped": 2, "known": 2, "known_scraped": 2, "begun": 1, "lives": 1, "lives_begun": 1}


def sign(part: str, value: float) -> Sample:
    return Sample({"__name__": "asahi:cost_dollars:base", "part": part.replace("_", " ")}, value)


class Backend:
    """Answers what an edge asks: since when the base stands (``None``: it does not), and whether anything moved."""

    def __init__(
        self,
        stands: float | None = LONG_AGO,
        *,
        doubted: bool = False,
        stray: bool = False,
        bases: float = 1.0,
        **counts,
    ) -> None:
        self.stands, self.doubted, self.stray, self.bases = stands, doubted, stray, bases
        counts = {**SAME, **counts}
        self.scraped = [sign(name, counts[name]) for name in ("scraped", "begun")]
        self.known = [sign(name, count) for name, count in counts.items() if name not in ("scraped", "begun")]
        self.asked: list[str] = []

    def query_all(self, promql, _at):
        self.asked += promql
        return [Vector(tuple(self._answer(each))) for each in promql]

    def _answer(self, promql: str):
        if '"known"' in promql:
            return [] if self.stands is None else [sign("since", self.stands), *self.known]
        if '"moved"' in promql:
            moved = [sign("moved", 1.0)] if self.doubted else []
            return [*moved, *self.scraped]
        if promql.startswith("count("):
            return [Sample({}, 1.0)] if self.doubted else []
        if promql.startswith("count by"):
            return [Sample({"__name__": COST.source}, 2.0)] if self.stray else []
        if promql.startswith("count_over_time"):
            return [Sample({}, self.bases)]
        found = FOLLOWED if "clamp_min" in promql else FILLED if "offset" in promql else BASED
        return [Sample({"model": "a"}, found)]


def total(backend: Backend, backfilled: bool = False):
    recorded = Run("m:state", LONG_AGO, NOON.timestamp() - 40, backfilled)
    edge = Edge(COST, RuleParameters())

    def asking():
        based = yield from edge.based(["model"], NOON)
        return (yield from edge.total(["model"], NOON, recorded, based))

    return run(asking(), backend)


def test_where_the_base_stands_one_look_is_enough():
    backend = Backend()
    assert total(backend) == {("a",): BASED}
    assert not [each for each in backend.asked if "clamp_min" in each]


@pytest.mark.parametrize(
    "backend",
    [
        Backend(None),
        Backend(LONG_AGO - 60),
        Backend((NOON - timedelta(seconds=1529)).timestamp()),
        Backend(doubted=True),
        Backend(stray=True),
        Backend(bases=2.0),
        Backend(scraped=3),
        Backend(known=3),
        Backend(known_scraped=1),
        Backend(scraped=0, known_scraped=0),
        Backend(begun=2),
        Backend(lives=0),
        Backend(lives_begun=0),
    ],
    ids=[
        "there is none",
        "another run",
        "a run that has just begun",
        "something moved",
        "a counter has no memory",
        "two bases are within reach",
        "a memory is new",
        "a memory is gone",
        "one memory went and another came",
        "no memory is scraped",
        "a process is new",
        "no life is known",
        "a process began anew",
    ],
)
def test_counters_are_followed_one_by_one_where(backend):
    assert total(backend) == {("a",): FOLLOWED}


def test_totals_that_were_filled_in_are_led_on_by_samples_or_not_at_all():
    assert total(Backend(), backfilled=True) == {("a",): FILLED}
    assert total(Backend(doubted=True), backfilled=True) is None


def test_filters_reach_every_term():
    backend, where = Backend(), 'model="a"'
    edge = Edge(COST, RuleParameters(), {"model": ["a"]})
    based = run(edge.based([], NOON), backend)
    assert sorted(each.count(where) for each in backend.asked) == [0, 0, 0, 0, 1]
    for filled, stands, terms in ((True, LONG_AGO, 3), (False, LONG_AGO - 60, 4)):
        recorded = Run("m:state", stands, NOON.timestamp() - 40, filled)
        backend.asked.clear()
        run(edge.total([], NOON, recorded, based), backend)
        assert backend.asked[0].count(where) >= terms
