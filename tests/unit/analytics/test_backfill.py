"""Recorded history adds up, begins at zero, and lets the rules go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asahi_analytics.backfill import (
    CounterSamples,
    recorded_copies,
    recorded_history,
    recorded_scrapes,
    snapshot_grid,
)
from asahi_analytics.errors import NotEnoughData, UserInputError
from asahi_analytics.levels import levels_of
from asahi_analytics.tiles import RuleParameters
from asahi_exporter.conventions import FAMILIES

SAVINGS = FAMILIES["savings_dollars"]
GRID = np.arange(1, 6, dtype=np.int64) * 300_000


def counter(values, store="s", phase="routing", times=None):
    times = np.asarray(times or [300_000 * (1 + number) for number in range(len(values))], dtype=np.int64)
    labels = {"phase": phase, "job": "j", "instance": "i", **({"store": store} if store else {})}
    return CounterSamples(labels, times, np.asarray(values, dtype=float), 1.5)


def recorded(*counters):
    found = recorded_history(SAVINGS, counters, GRID, RuleParameters())
    return {(series.name, *sorted(series.labels.items())): series.values.tolist() for series in found}


RUNNING = ("asahi:savings_dollars:running", ("phase", "routing"))


def test_a_birth_counts_from_zero_and_stores_are_summed():
    assert recorded(counter([1, 2, 4, 4, 9]), counter([5], store="t", times=[750_000]))[RUNNING] == [
        1,
        2,
        9,
        9,
        14,
    ]


def test_a_restart_of_a_plain_counter_counts_in_full_and_a_smaller_stored_one_counts_nothing():
    assert recorded(counter([3, 5, 2, 3, 3], store=""))[RUNNING] == [3, 5, 7, 8, 8]
    assert recorded(counter([3, 5, 2, 3, 3]))[RUNNING] == [3, 5, 5, 6, 6]


def test_the_last_snapshot_holds_what_the_rules_need_to_go_on():
    found = recorded(counter([1, 2, 3, 4, 5]))
    name = "asahi:savings_dollars:state"
    assert found[(name, ("part", "seen"), ("phase", "routing"), ("store", "s"))] == [5]
    assert found[(name, ("part", "memory"), ("store", "s"))] == [1.5]
    assert found[(name, ("part", "since"))] == [300.0] * 5
    assert (
        found[(name, ("part", "snapshot"))]
        == found[(name, ("part", "backfilled"))]
        == [300, 600, 900, 1200, 1500]
    )


def test_the_copies_are_of_the_snapshots_on_their_grid_and_add_up():
    grid = np.array([3300, 3600, 6900, 7200], dtype=np.int64) * 1000
    counters = [counter([1, 2, 4, 8], times=grid.tolist()), counter([5], phase="cache_1", times=[3_300_000])]
    found = {
        (series.name, *sorted(series.labels.items())): series
        for series in recorded_history(SAVINGS, counters, grid, RuleParameters())
    }
    hour = found[("asahi:savings_dollars:hour", ("part", "running"), ("phase", "routing"))]
    assert hour.values.tolist() == [2]
    assert (hour.times_ms - grid[1]).tolist() == [330_000]
    assert found[("asahi:savings_dollars:hour", ("part", "snapshot"))].values.tolist() == [3600]


def test_nothing_is_recorded_later_than_the_last_evaluation():
    grid = np.array([3300, 3600, 6900, 7200], dtype=np.int64) * 1000
    found = recorded_history(SAVINGS, [counter([1, 2, 4, 8], times=grid.tolist())], grid, RuleParameters())
    assert max(series.times_ms[-1] for series in found if series.times_ms.size) == 7_215_000


def test_a_plain_counter_is_known_by_its_life():
    found = recorded(counter([1, 2], store=""))
    seen = [key for key in found if ("part", "seen") in key]
    assert seen == [
        (
            "asahi:savings_dollars:state",
            ("instance", "i"),
            ("job", "j"),
            ("life", "1.5"),
            ("part", "seen"),
            ("phase", "routing"),
        )
    ]


@pytest.mark.parametrize("wrong", [GRID[:1], GRID + 1, GRID[::-1]])
def test_a_grid_that_the_rules_could_not_have_is_refused(wrong):
    with pytest.raises(UserInputError):
        list(recorded_history(SAVINGS, [], wrong, RuleParameters()))


def test_the_grid_holds_whole_steps_inside_the_time_asked_for():
    start = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    grid = snapshot_grid(start, start + timedelta(hours=3), 3600)
    assert [datetime.fromtimestamp(at / 1000, UTC).hour for at in grid] == [1, 2, 3]
    with pytest.raises(NotEnoughData):
        snapshot_grid(start, start + timedelta(minutes=40), 3600)


def scrapes(*times_s):
    found = recorded_scrapes([np.array(times, dtype=np.int64) * 1000 for times in times_s], RuleParameters())
    return {series.labels["part"]: series for series in found}


def test_the_time_that_any_exporter_was_scraped_is_counted_and_an_outage_is_not():
    found = scrapes([60, 90, 390, 780], [480, 810])
    assert found["snapshot"].values.tolist() == [60.0 * minute for minute in range(1, 14)]
    scraped = [0, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 660, 720]
    assert found["scraped"].values.tolist() == scraped
    interrupted = scrapes([60, 90, 390, 720, 780])["scraped"].values.tolist()
    assert interrupted == [0, 60, 120, 180, 240, 300, 330, 330, 330, 330, 330, 330, 390]
    assert found["since"].values.tolist() == [60] * 13
    assert found["restarts"].values.tolist() == [0] * 13
    assert found["scraped"].times_ms[0] == 75_000


@pytest.mark.parametrize("times_s", [[], [[]], [[61, 90]]])
def test_too_few_scrapes_record_nothing(times_s):
    assert scrapes(*times_s) == {}


def test_copies_by_the_minute_are_of_moments_between_snapshots():
    whole = levels_of(SAVINGS, RuleParameters())[0]
    moments = np.arange(1, 6, dtype=np.int64) * 60_000
    counters = [counter([1, 2, 4, 8, 16], times=moments.tolist())]
    found = {one.labels["part"]: one for one in recorded_copies(whole, counters, moments)}
    assert found["running"].values.tolist() == [1, 2, 4, 8, 16]
    assert found["snapshot"].values.tolist() == [60, 120, 180, 240, 300]
    assert (found["running"].times_ms - moments).tolist() == [15_000] * 5
