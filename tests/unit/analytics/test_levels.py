"""The copies of running totals: which there are, by what labels, and that the committed rules are those generated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import yaml

from asahi_analytics.anomaly import AnomalyConfig
from asahi_analytics.anomaly.sources import sources
from asahi_analytics.levels import MODEL_FAMILIES, WHOLE_FAMILIES, levels_of, quarters_of, rule_files
from asahi_analytics.tiles import MINUTE_FAMILIES, RuleParameters
from asahi_analytics.trends import METRICS
from asahi_exporter.conventions import FAMILIES, MODEL

RULES = Path(__file__).parents[3] / "prometheus" / "rules"
COST, BUCKETS, USERS = (FAMILIES[name] for name in ("cost_dollars", "latency_ms_bucket", "user_cost_dollars"))


def test_the_committed_rules_are_those_that_are_generated():
    assert (RULES / "asahi_levels.yml").read_text() == rule_files()["asahi_levels.yml"]


def test_every_family_has_an_hour_level_what_charts_show_a_whole_and_what_is_judged_its_models():
    assert [level.metric for level in levels_of(COST, RuleParameters())] == [
        "asahi:cost_dollars:whole",
        "asahi:cost_dollars:model",
        "asahi:cost_dollars:hour",
    ]
    assert [level.name for level in levels_of(USERS, RuleParameters())] == ["hour"]
    charted = {family for metric in METRICS.values() for family, _ in metric.sources}
    assert charted - WHOLE_FAMILIES == {"cache_hits", "cache_misses"}
    judged = {source.family for source in sources(AnomalyConfig()).values() if MODEL in source.by}
    assert judged <= MODEL_FAMILIES
    assert set(FAMILIES) >= WHOLE_FAMILIES | MODEL_FAMILIES


def test_a_whole_keeps_the_bounds_of_a_histogram_and_the_hour_keeps_every_label():
    whole, model, hour = levels_of(BUCKETS, RuleParameters())
    assert (whole.labels, model.labels, hour.labels) == (("le",), ("model", "le"), BUCKETS.labels)
    assert whole.holds(("le",))
    assert whole.holds(())
    assert not whole.holds(("model",))
    assert hour.holds(("model", "le"))


def test_groups_run_at_the_grid_of_their_copies():
    rules = RuleParameters(
        interval=timedelta(seconds=30),
        state_interval=timedelta(minutes=10),
        lookback=timedelta(minutes=20),
    )
    groups = yaml.safe_load(rule_files(rules)["asahi_levels.yml"])["groups"]
    assert [(group["name"], group["interval"]) for group in groups] == [
        ("asahi_levels_30s", "30s"),
        ("asahi_levels_600s", "600s"),
        ("asahi_levels_3600s", "3600s"),
    ]


def test_a_copy_is_read_when_it_is_sure_to_be_there_and_the_next_is_not():
    whole, model, _ = levels_of(COST, RuleParameters())
    assert (whole.delay, model.delay) == (timedelta(seconds=15), timedelta(seconds=330))
    assert whole.after == timedelta(seconds=74, milliseconds=999)
    assert model.after == timedelta(seconds=929, milliseconds=999)


def test_a_grid_that_is_no_multiple_of_the_interval_is_not_kept():
    rules = RuleParameters(state_interval=timedelta(minutes=4))
    assert [level.name for level in levels_of(COST, rules)] == ["whole", "hour"]


def test_a_whole_is_of_every_minute_where_the_family_is_kept_by_the_minute_and_the_state_is_not():
    by_minute, by_state = timedelta(minutes=1), timedelta(minutes=5)
    grids = {name: levels_of(FAMILIES[name], RuleParameters())[0].grid for name in WHOLE_FAMILIES}
    assert grids == {name: by_minute if name in MINUTE_FAMILIES else by_state for name in WHOLE_FAMILIES}
    often = RuleParameters(state_interval=by_minute)
    assert "state{" in levels_of(COST, often)[0].held


def test_only_what_is_kept_by_the_minute_is_kept_by_quarters_of_the_day():
    levels = [level for family in FAMILIES.values() for level in levels_of(family, RuleParameters())]
    assert {level.grid for level in levels if level.quartered} == {timedelta(minutes=1)}
    assert not any(level.quartered for level in levels if level.grid > timedelta(minutes=1))


def test_quarters_are_of_the_day_in_utc():
    midnight = datetime(2026, 3, 10, tzinfo=UTC).timestamp()
    hours = np.array([0, 5.99, 6, 12, 18, 23.99, 24])
    assert quarters_of(midnight + 3600 * hours).tolist() == [0, 0, 1, 2, 3, 3, 0]
