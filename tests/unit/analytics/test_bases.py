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
    ("interval", "slow", "grid"),
    [(60, 300, 300), (120, 300, 360), (300, 60, 300)],
    ids=["a multiple", "the next multiple", "the longer of both"],
)
def test_a_base_is_of_a_snapshot_that_the_family_has(interval, slow, grid):
    rules = RuleParameters(interval=timedelta(seconds=interval), slow_interval=timedelta(seconds=slow))
    assert Base(COST, rules).grid == timedelta(seconds=grid)
    groups = yaml.safe_load(rule_files(rules, {"cost_dollars": COST})["asahi_bases.yml"])["groups"]
    assert [group["interval"] for group in groups] == [f"{grid}s"]


def test_a_base_is_at_most_two_grids_and_the_delay_old():
    base = Base(COST, RuleParameters())
    assert base.delay == timedelta(seconds=90)
    assert base.age == timedelta(seconds=690)


def test_plain_counters_and_what_floating_point_leaves_are_in_no_base():
    expression = Base(WASTE, RuleParameters()).expression()
    assert 'part="seen",store!=""' in expression
    assert "1e-7) != 0" in expression
