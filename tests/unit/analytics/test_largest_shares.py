"""The largest share of a day that a user had: what is recorded, and which days are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from asahi_analytics.composer import Composer
from asahi_analytics.largest_shares import DAY, METRIC, after, rule_files
from asahi_analytics.replies import Matrix, Series, Vector
from asahi_analytics.tiles import RuleParameters
from asahi_analytics.windows import Window

RULES = Path(__file__).parents[3] / "prometheus" / "rules"
END = datetime(2026, 3, 10, 12, tzinfo=UTC)
WEEK = Window(END - 7 * DAY, END)


class Backend:
    """Has recorded ``shares`` of seven days; the parts of day 3 may be changed."""

    def __init__(self, shares=(0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07), **changed: float) -> None:
        self.shares, self.changed, self.asked = shares, changed, 0

    def query_all(self, promql, _at):
        return [Vector(()) for _ in promql]

    def query_range(self, promql, start, end, step):
        assert promql == f"last_over_time({METRIC}[3600s])"
        assert (end - start, step) == (6 * DAY, DAY)
        self.asked += 1
        times = start.timestamp() + 86_400.0 * np.arange(7)
        ends = times - after(RuleParameters()).total_seconds()
        parts = {"share": np.array(self.shares), "snapshot": ends, "before": ends - 86_400, "since": 0 * ends}
        for name, amount in self.changed.items():
            parts[name][3] += amount
        return Matrix(tuple(Series({"part": name}, times, values) for name, values in parts.items()))


def shares(backend: Backend, window: Window = WEEK, rules: RuleParameters | None = None) -> list[float]:
    return Composer(backend, rules).series_and_largest_shares([], window)[1].tolist()


def test_the_committed_rule_is_the_one_that_is_generated():
    text = rule_files()["asahi_shares.yml"]
    assert (RULES / "asahi_shares.yml").read_text() == text
    (group,) = yaml.safe_load(text)["groups"]
    assert (group["interval"], [rule["record"] for rule in group["rules"]]) == ("3600s", [METRIC])


def test_rules_whose_snapshots_miss_full_hours_record_and_ask_for_nothing():
    rules, backend = (
        RuleParameters(state_interval=timedelta(minutes=7), lookback=timedelta(minutes=7)),
        Backend(),
    )
    assert yaml.safe_load(rule_files(rules)["asahi_shares.yml"])["groups"] == []
    assert np.isnan(shares(backend, rules=rules)).all()
    assert backend.asked == 0


def test_each_day_has_the_share_that_was_recorded_of_it():
    assert shares(Backend()) == [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07]


@pytest.mark.parametrize("changed", [{"snapshot": -3600}, {"before": -3600}, {"since": 2e9}])
def test_a_day_of_other_moments_or_of_two_runs_is_not_known(changed):
    assert np.flatnonzero(np.isnan(shares(Backend(**changed)))).tolist() == [3]


@pytest.mark.parametrize(
    "window", [Window(WEEK.start, END - timedelta(hours=1)), Window(WEEK.start - timedelta(seconds=5), END)]
)
def test_windows_that_are_no_days_from_a_full_hour_on_are_not_asked_for(window):
    backend = Backend()
    assert np.isnan(shares(backend, window)).all()
    assert backend.asked == 0
