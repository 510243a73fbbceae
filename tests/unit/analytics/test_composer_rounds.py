"""Sums side by side ask in rounds: what belongs to one moment together, nothing twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asahi_analytics.composer.rounds import (
    Answered,
    At,
    Over,
    is_wide,
    of_name,
    run,
    summed,
    together,
    value,
    values,
    work,
)
from asahi_analytics.errors import PrometheusTimeout
from asahi_analytics.replies import Matrix, Sample, Series, Vector
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


def test_who_asks_what_is_known_falls_no_round_behind():
    client = Client()
    assert run(together([chain("a", "a", "bb"), chain("a", "ccc")]), client) == [4, 4]
    assert [sorted(queries) for _, queries in client.asked] == [["a"], ["bb", "ccc"]]


class Minutes(Client):
    """Answers a range with the minute of each point; ``late`` is a series that begins after eleven minutes."""

    def query_range(self, promql, start, end, step):
        self.asked.append((start, [promql]))
        times = np.arange(start.timestamp(), end.timestamp() + 1, step.total_seconds())
        minutes = (times - NOON.timestamp()) / 60
        late = minutes > 11
        return Matrix(
            (Series({}, times, minutes), Series({"late": ""}, times[late], minutes[late])), ("slow",)
        )


def minutes_of(first: float, last: float, step: float, promql: str = "x"):
    span = (NOON + timedelta(minutes=each) for each in (first, last))
    answer = yield from values(promql, *span, timedelta(minutes=step))
    return [series.values.tolist() for series in answer.series], answer.warnings


def test_a_range_within_a_longer_one_is_cut_from_its_answer():
    client = Minutes()
    longer, shorter = run(together([minutes_of(0, 20, 2), minutes_of(4, 10, 2)]), client, Threads(4, "test"))
    assert len(client.asked) == 1
    assert longer == ([[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20], [12, 14, 16, 18, 20]], ("slow",))
    assert shorter == ([[4, 6, 8, 10]], ("slow",))


def test_a_range_is_cut_from_what_was_answered_before_too():
    client = Minutes()

    def twice():
        yield from minutes_of(0, 20, 2)
        return (yield from minutes_of(18, 20, 2))

    assert run(twice(), client) == ([[18, 20], [18, 20]], ("slow",))
    assert len(client.asked) == 1


@pytest.mark.parametrize(
    "other", [(1, 9, 2), (4, 22, 2), (-2, 10, 2), (4, 10, 1), (4, 10, 4), (4, 10, 2, "y")]
)
def test_a_range_that_is_on_no_longer_ones_grid_is_asked(other):
    client = Minutes()
    run(together([minutes_of(0, 20, 2), minutes_of(*other)]), client)
    assert len(client.asked) == 2


def test_moments_are_asked_apart_and_so_is_each_range():
    client = Client()
    ranges = [values(promql, NOON, LATER, timedelta(minutes=1)) for promql in ("c", "d", "d")]
    run(together([length("a"), length("b", LATER), *ranges]), client, Threads(4, "test"))
    assert sorted(queries for _, queries in client.asked) == [["a"], ["b"], ["c"], ["d"]]


class ByName(Client):
    """Has one series of each of two metrics."""

    def query_all(self, promql, at):
        self.asked.append((at, list(promql)))
        series = [
            Sample({"__name__": name, "part": "x"}, amount) for name, amount in (("a:b", 1.0), ("c", 2.0))
        ]
        return [
            Vector(tuple(one for one in series if one.labels["__name__"] in each), ("slow",))
            for each in promql
        ]


def test_what_several_metrics_are_asked_alike_is_asked_as_one():
    client = ByName()
    asked = [of_name("f({$names,p=1})", name, NOON) for name in ("c", "a:b", "d", "c")]
    found = run(together(asked), client)
    assert client.asked == [(NOON, ['f({__name__=~"a:b|c|d",p=1})'])]
    assert [[(one.labels, one.value) for one in answer.samples] for answer in found] == [
        [({"part": "x"}, 2.0)],
        [({"part": "x"}, 1.0)],
        [],
        [({"part": "x"}, 2.0)],
    ]
    assert {answer.warnings for answer in found} == {("slow",)}


def test_another_template_or_moment_is_asked_by_itself():
    client = ByName()
    asked = [("f({$names})", NOON), ("g({$names})", NOON), ("f({$names})", LATER)]
    run(together([of_name(template, "c", at) for template, at in asked]), client)
    assert sorted(client.asked) == [
        (NOON, ['f({__name__="c"})', 'g({__name__="c"})']),
        (LATER, ['f({__name__="c"})']),
    ]


class ByLabels(Client):
    """Has four series of one in all, and answers sums of them by whatever labels."""

    SERIES = (("a", "x", 1.0), ("a", "y", 2.0), ("b", "x", 4.0), ("b", "", 8.0))

    def query_all(self, promql, at):
        self.asked.append((at, list(promql)))
        return [Vector(tuple(self._sum(each)), ("slow",)) for each in promql]

    def _sum(self, promql):
        by = promql[len("sum by (") : promql.index(")")].split(", ")
        found = {}
        for model, tier, amount in self.SERIES:
            labels = {"model": model, "tier": tier, "user": "ann"}
            key = tuple((name, labels[name]) for name in by if name and labels[name])
            found[key] = found.get(key, 0.0) + amount
        return [Sample(dict(key), amount) for key, amount in found.items()]


def sums(*by: str, read: str = "m", at: datetime = NOON):
    answer = yield from summed(read, by, at, is_wide(by))
    assert answer.warnings == ("slow",)
    return {tuple(one.labels.get(name, "") for name in by): one.value for one in answer.samples}


def test_sums_by_fewer_labels_are_made_from_those_by_more():
    client = ByLabels()
    fine, by_tier, total = run(together([sums("tier"), sums("model", "tier"), sums()]), client)
    assert client.asked == [(NOON, ["sum by (model, tier) (m)"])]
    assert fine == {("x",): 5.0, ("y",): 2.0, ("",): 8.0}
    assert by_tier == {("a", "x"): 1.0, ("a", "y"): 2.0, ("b", "x"): 4.0, ("b", ""): 8.0}
    assert total == {(): 15.0}


def test_sums_are_made_from_what_was_answered_before_too():
    client = ByLabels()

    def twice():
        yield from sums("model", "tier")
        return (yield from sums("model"))

    assert run(twice(), client) == {("a",): 3.0, ("b",): 12.0}
    assert len(client.asked) == 1


@pytest.mark.parametrize("other", [{"read": "n"}, {"at": LATER}])
def test_sums_of_something_else_are_asked(other):
    client = ByLabels()
    run(together([sums("model", "tier"), sums("model", **other)]), client)
    assert sum(len(queries) for _, queries in client.asked) == 2


def test_sums_by_more_labels_come_last_and_wide_ones_alone():
    client = ByLabels()
    asked = [sums("model", "tier", read="a"), sums("model", read="b"), sums("model", "tier", read="c")]
    wide = summed("e", ("model", "user"), NOON, is_wide(("model", "user")))
    run(together([*asked, wide]), client)
    texts = ["sum by (model) (b)", "sum by (model, tier) (a)", "sum by (model, tier) (c)"]
    assert sorted(queries for _, queries in client.asked) == [texts, ["sum by (model, user) (e)"]]


def test_sums_by_users_are_wide_unless_few_are_named():
    assert is_wide(("model", "user"))
    assert is_wide(("user",), {"user": [str(number) for number in range(11)]})
    assert is_wide(("user",), {"model": ["a"]})
    assert not is_wide(("user",), {"user": ["ann", "bob"]})
    assert not is_wide(("model",))


def test_other_work_gets_the_client_and_its_result_is_handed_back():
    client = Client()
    assert run(together([work(lambda given: given is client), chain("a")]), client) == [True, 1]


def test_an_error_of_the_backend_reaches_the_caller():
    class Slow(Client):
        def query_all(self, _promql, _at):
            raise PrometheusTimeout("too slow")

    with pytest.raises(PrometheusTimeout, match="too slow"):
        run(together([chain("a"), chain("b")]), Slow())


def test_a_client_with_answers_asks_only_what_is_not_among_them():
    backend = Client()
    known = {
        At("a", NOON): Vector((Sample({}, 7.0),)),
        Over("r", NOON, LATER, timedelta(hours=1)): Matrix(()),
    }
    client = Answered(backend, known)
    assert client.query("a", NOON).samples[0].value == 7.0
    assert client.query_range("r", NOON, LATER, timedelta(hours=1)) == Matrix(())
    assert backend.asked == []
    assert client.query("bb", NOON).samples[0].value == 2.0
    assert [answer.samples[0].value for answer in client.query_all(["a", "ccc"], NOON)] == [1.0, 3.0]
    client.query_range("r", NOON, LATER, timedelta(minutes=30))
    assert backend.asked == [(NOON, ["bb"]), (NOON, ["a", "ccc"]), (NOON, ["r"])]


def test_raw_samples_are_never_among_known_answers():
    class Raw(Client):
        def query_raw(self, selector, at):
            self.asked.append((at, [selector]))
            return Matrix(())

    backend = Raw()
    assert Answered(backend, {}).query_raw("x[1h]", NOON) == Matrix(())
    assert backend.asked == [(NOON, ["x[1h]"])]
