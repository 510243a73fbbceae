"""The rules are generated, parse, and are the ones that are committed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from asahi_analytics.errors import UserInputError
from asahi_analytics.recording import rule_files, totals_group
from asahi_analytics.tiles import (
    MINUTE_FAMILIES,
    RuleParameters,
    state_expression,
    terms_at_query_time,
)
from asahi_exporter.conventions import FAMILIES

RULES = Path(__file__).parents[3] / "prometheus" / "rules"


def test_every_family_has_a_group_with_its_state_and_its_running_total():
    groups = {group["name"]: group for group in yaml.safe_load(rule_files()["asahi_totals.yml"])["groups"]}
    for family in FAMILIES.values():
        records = [rule["record"] for rule in groups[f"asahi_{family.name}"]["rules"]]
        total = "steps" if family.name in MINUTE_FAMILIES else "running"
        assert records == [f"asahi:{family.name}:state", f"asahi:{family.name}:{total}"]


def test_the_committed_rules_are_those_that_are_generated():
    assert (RULES / "asahi_totals.yml").read_text() == rule_files()["asahi_totals.yml"]


def test_state_is_carried_at_its_own_interval():
    rules = RuleParameters(state_interval=timedelta(minutes=10), lookback=timedelta(minutes=20))
    assert {totals_group(family, rules)["interval"] for family in FAMILIES.values()} == {"600s"}
    assert set(FAMILIES) > MINUTE_FAMILIES


def test_each_counter_is_read_twice_an_evaluation_once_to_be_counted_and_once_to_be_remembered():
    text = state_expression(FAMILIES["cost_dollars"], RuleParameters())
    assert text.count('asahi_cost_dollars_total{store!=""}') == 2


def test_the_state_is_one_expression_so_that_it_is_committed_at_once():
    text = state_expression(FAMILIES["cost_dollars"], RuleParameters())
    for part in ("running", "seen", "memory", "adopted", "since", "snapshot"):
        assert f'"part", "{part}"' in text


def test_increase_is_never_used():
    assert "increase(" not in rule_files()["asahi_totals.yml"]


def test_terms_at_query_time_obey_the_filter():
    terms = terms_at_query_time(
        FAMILIES["cost_dollars"],
        RuleParameters(),
        "asahi:cost_dollars:state",
        timedelta(seconds=40),
        'model="a"',
    )
    text = terms.total(("model",))
    assert text.count('model="a"') == text.count("asahi_cost_dollars_total{") + text.count('part="seen"') + 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": timedelta(0)},
        {"settle": timedelta(milliseconds=10)},
        {"lookback": timedelta(seconds=30)},
        {"scrape_interval": timedelta(0)},
        {"scrape_interval": timedelta(minutes=5)},
        {"state_lookback": timedelta(minutes=6)},
    ],
)
def test_parameters_that_would_not_be_exact_are_refused(wrong):
    with pytest.raises(UserInputError):
        RuleParameters(**wrong)
