"""What totals hold beyond the living counters: the rules, their grid and how old what they record may be."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from asahi_analytics.bases import Base, rule_files
from asahi_analytics.tiles import RuleParameters
from asahi_exporter.conventions import FAMILIES

RULES = Path(__file__).parents[3] / "prometheus" / "rules"
COST, WASTE = FAMILIES["cost_dollars"], FAMILIES["corrections_dollars"]


def test_the_committed_rules_are_those_that_are_generated():
    assert (RULES / "asahi_bases.yml").read_text() == rule_files()["asahi_bases.yml"]


@pytest.mark.parametrize(
    ("interval", "grid"),
    [(60, 300), (120, 360), (300, 300)],
    ids=["a multiple", "the next multiple", "the interval itself"],
)
def test_a_base_is_of_a_snapshot_that_the_family_has(interval, grid):
    rules = RuleParameters(state_interval=timedelta(seconds=interval))
    assert Base(COST, rules).grid == timedelta(seconds=grid)
    groups = yaml.safe_load(rule_files(rules, {"cost_dollars": COST})["asahi_bases.yml"])["groups"]
    assert [group["interval"] for group in groups] == [f"{grid}s"]


def test_no_two_bases_lie_within_the_reach_of_counters():
    assert Base(COST, RuleParameters(lookback=timedelta(minutes=11))).grid == timedelta(minutes=15)


def test_a_base_is_at_most_two_grids_the_delay_and_a_missed_evaluation_old():
    base = Base(COST, RuleParameters())
    assert base.rules.stored == timedelta(seconds=330)
    assert base.age == timedelta(seconds=1230)


def test_what_floating_point_leaves_is_in_no_base():
    assert "1e-7) != 0" in Base(WASTE, RuleParameters()).expression()


def test_a_filter_reaches_the_base_and_the_counters_at_once():
    total = Base(COST, RuleParameters()).amounts('model="a"')
    assert total.count('model="a"') == 1
    assert "asahi:cost_dollars:base|asahi_cost_dollars_total" in total
