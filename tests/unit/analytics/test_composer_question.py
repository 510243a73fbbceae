"""What is asked of recorded totals: summed only where a label that is not asked for tells series apart."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from asahi_analytics.composer import Ask
from asahi_analytics.composer.context import looks_at_prices
from asahi_analytics.composer.question import Question
from asahi_analytics.composer.raw_questions import cut
from asahi_analytics.composer.rounds import Named, Over, run, together
from asahi_analytics.recommendations.observed import ASKED
from asahi_analytics.replies import Matrix, Vector
from asahi_analytics.tiles import RUNNING, RuleParameters, state_metric
from asahi_analytics.windows import Window
from asahi_exporter.conventions import FAMILIES

DAY = Window(datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC))
LEAF = ("model", "task_type", "cache_tier")
UNCACHED = {"cache_tier": ("none",)}


def totals(family: str, by: tuple[str, ...], level: str, where=None) -> str:
    question = Question.of(Ask(family, by, DAY, where), RuleParameters())
    return question.totals(f"asahi:{family}:{level}", 600.0)


@pytest.mark.parametrize(
    ("family", "by", "level"),
    [
        ("cost_dollars", (), "whole"),
        ("cost_dollars", ("model",), "model"),
        ("cost_dollars", LEAF, "hour"),
        ("cost_dollars", LEAF[::-1], "state"),
        ("cache_hits", ("tier",), "state"),
    ],
)
def test_what_has_the_labels_asked_for_is_read_as_it_stands(family, by, level):
    assert totals(family, by, level) == (
        f'last_over_time(asahi:{family}:{level}{{part=~"running|snapshot"}}[600s])'
    )


@pytest.mark.parametrize(
    ("by", "level"), [((), "model"), (("model",), "hour"), (("model",), "state"), (LEAF[:2], "state")]
)
def test_what_has_more_labels_is_summed(by, level):
    assert totals("cost_dollars", by, level) == (
        f"sum by ({', '.join(('part', *by))}) "
        f'(last_over_time(asahi:cost_dollars:{level}{{part=~"running|snapshot"}}[600s]))'
    )


def test_a_label_that_a_filter_leaves_one_value_of_tells_nothing_apart():
    mark = 'max by (part) (last_over_time(asahi:cost_dollars:hour{part="snapshot"}[600s]))'
    one = 'last_over_time(asahi:cost_dollars:hour{part="running",cache_tier="none"}[600s])'
    two = 'last_over_time(asahi:cost_dollars:hour{part="running",cache_tier=~"1|none"}[600s])'
    both = {"cache_tier": ("1", "none")}
    assert totals("cost_dollars", LEAF[:2], "hour", UNCACHED) == f"{one} or {mark}"
    assert totals("cost_dollars", LEAF[:1], "hour", UNCACHED) == f"sum by (model) ({one}) or {mark}"
    assert totals("cost_dollars", LEAF[:2], "hour", both) == f"sum by (model, task_type) ({two}) or {mark}"


@pytest.mark.parametrize(("family", "looked"), [("cost_dollars", True), ("requests", False)])
def test_prices_are_looked_at_for_dollars_alone_and_not_where_nobody_wants_to_know(family, looked):
    rules = RuleParameters()
    assert looks_at_prices(Question.of(Ask(family, (), DAY), rules)) == looked
    assert not looks_at_prices(Question.of(Ask(family, (), DAY, priced=False), rules))


def test_advice_does_not_ask_which_requests_had_no_price():
    assert not any(asked.over(DAY).priced for asked in ASKED.values())


class Silent:
    """Answers nothing, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def query_all(self, promql, _at):
        self.asked += promql
        return [Vector(()) for _ in promql]

    def query_range(self, promql, *_times):
        self.asked.append(promql)
        return Matrix(())


def test_what_raw_samples_of_many_days_are_summed_from_is_asked_in_one_round_and_once():
    question = Question.of(Ask("cost_dollars", LEAF, DAY), RuleParameters())
    edges = cut(DAY.start.timestamp() - 9.5 * 86_400, DAY.end.timestamp(), 86_400.0)
    before, first_bin, later_bins = 3, 3, 3
    (requests, more) = (next(question.from_samples(edges)), Silent())
    assert len(requests) == before + first_bin + later_bins
    assert [type(each) for each in requests[-later_bins:]] == [Over] * later_bins
    assert run(question.from_samples(edges), more) == [{}] * 11
    assert len(more.asked) == len(requests)


def test_what_is_read_as_it_stands_of_several_families_at_a_snapshot_is_asked_for_at_once():
    families = ("cache_hits", "cache_misses", "batches")
    questions = [
        Question.of(Ask(family, FAMILIES[family].labels, DAY), RuleParameters()) for family in families
    ]
    asked = next(together([each.edge_ahead(DAY.end.timestamp()) for each in questions]))
    read = [each for each in asked if isinstance(each, Named) and RUNNING in each.template]
    assert {each.name for each in read} == {state_metric(FAMILIES[family]) for family in families}
    assert len({(each.template, each.moment) for each in read}) == 1
