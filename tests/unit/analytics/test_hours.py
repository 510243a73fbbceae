"""The tiles of full hours: of which families, when they are made, and that the committed rules are those generated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from asahi_analytics.backfill import CounterSamples, recorded_history, snapshot_grid
from asahi_analytics.hours import CHANCE, HOUR_FAMILIES, Tiles, rule_files, tiles_of
from asahi_analytics.tiles import RuleParameters
from asahi_exporter.conventions import FAMILIES

RULES = Path(__file__).parents[3] / "prometheus" / "rules"
START = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_committed_rules_are_those_that_are_generated():
    assert (RULES / "asahi_hours.yml").read_text() == rule_files()["asahi_hours.yml"]


def test_money_and_requests_have_tiles_and_each_hour_has_several_chances_for_its_own():
    groups = yaml.safe_load(rule_files()["asahi_hours.yml"])["groups"]
    assert [rule["record"] for rule in groups[0]["rules"]] == [
        f"asahi:{name}:sum1h" for name in HOUR_FAMILIES
    ]
    assert groups[0]["interval"] == "900s"
    assert timedelta(hours=1) / CHANCE == 4
    assert {"cost_dollars", "user_cost_dollars", "savings_dollars", "baseline_dollars"} < set(HOUR_FAMILIES)


def test_a_tile_waits_until_the_total_of_its_hour_is_sure_to_be_stored():
    rules = RuleParameters(state_interval=timedelta(seconds=30), settle=timedelta(seconds=20))
    assert {tiles.delay for tiles in tiles_of(rules)} == {timedelta(seconds=70)}


def test_what_is_filled_in_afterwards_has_tiles_too_which_live_ones_go_on_from():
    family, rules = FAMILIES["savings_dollars"], RuleParameters()
    times = np.arange(START.timestamp(), START.timestamp() + 4 * 3600 + 1, 600).astype(np.int64) * 1000
    counter = CounterSamples({"phase": "p"}, times, np.arange(times.size, dtype=float), None)
    grid = snapshot_grid(START, START + timedelta(hours=4), 300)
    tiles = Tiles(family, rules)
    written = [one for one in recorded_history(family, [counter], grid, rules) if one.name == tiles.metric]
    assert [one.labels for one in written] == [{"phase": "p"}]
    assert written[0].values.tolist() == [
        6.0,
        6.0,
        6.0,
    ]  # that of the hour just over is for the rules to make
    lag = written[0].times_ms / 1000 - [START.timestamp() + 3600 * hour for hour in range(1, 4)]
    assert lag.tolist() == pytest.approx([345.0] * 3)
    assert all(tiles.delay.total_seconds() < late < 3600 for late in lag)


def test_other_families_have_no_tiles():
    family = FAMILIES["errors"]
    counter = CounterSamples({"error_type": "t", "component": "c"}, np.array([0]), np.array([1.0]), None)
    grid = snapshot_grid(START, START + timedelta(hours=4), 300)
    names = {one.name for one in recorded_history(family, [counter], grid, RuleParameters())}
    assert not [name for name in names if name.endswith(":sum1h")]
