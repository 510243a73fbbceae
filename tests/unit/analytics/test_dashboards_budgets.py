"""What a person sees of the budgets dashboard: bands that stand out, probabilities that read as such."""

from __future__ import annotations

import pytest

from asahi_analytics.dashboards.budgets import budgets
from asahi_analytics.dashboards.grafana import MIN_STEP_SECONDS
from asahi_analytics.dashboards.money import money

PANELS = {panel["title"]: panel for panel in (*budgets()["panels"], *money()["panels"])}
BANDED = ["The month of the budget over everything", "Expected cost of the next 30 days"]


@pytest.mark.parametrize("title", BANDED)
def test_only_the_space_between_the_bounds_of_the_forecast_is_filled(title):
    panel = PANELS[title]
    legends = {target["legendFormat"] for target in panel["targets"]}
    filled = {
        override["matcher"]["options"]: {each["id"]: each["value"] for each in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    assert panel["fieldConfig"]["defaults"]["custom"]["fillOpacity"] == 0
    assert filled["expected at most"]["custom.fillBelowTo"] == "expected at least"
    assert filled["expected at most"]["custom.fillOpacity"] > 0
    assert filled.keys() == {"expected at most", "expected at least"} <= legends


def test_probabilities_are_drawn_from_nothing_to_one_in_whole_percent():
    defaults = PANELS["Probability of an overrun"]["fieldConfig"]["defaults"]
    assert (defaults["unit"], defaults["min"], defaults["max"], defaults["decimals"]) == (
        "percentunit",
        0,
        1,
        0,
    )


def test_spend_over_time_is_bars_that_end_where_their_value_stands_no_shorter_than_history_is_stored():
    panel = PANELS["Spend over time"]
    custom = panel["fieldConfig"]["defaults"]["custom"]
    assert (custom["drawStyle"], custom["barAlignment"], custom["lineWidth"]) == ("bars", -1, 0)
    [target] = panel["targets"]
    assert int(target["interval"].removesuffix("s")) == 5 * MIN_STEP_SECONDS
