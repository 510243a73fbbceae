"""Windows whose edges lie in, beside and soon after interruptions equal the samples, to the last dollar."""

from __future__ import annotations

from datetime import timedelta

import pytest

from asahi_analytics.backfill import snapshot_grid, totals_before
from asahi_analytics.tiles import RuleParameters
from support.simulated_rules import RULES, simulation

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("store", ["memory", ""])
def test_windows_that_end_soon_after_an_outage_hold_all_of_it(tmp_path, store):
    down, back = 1800, 3000
    with simulation(tmp_path, phase=50.0) as made:
        for at in [*range(5, down, 15), *range(back + 5, back + 400, 15)]:
            made.scrape(at, "a", {"x": 1000 + at}, store=store)
        made.run(back + 400, down=(down, back))
        for end in range(back + 15, back + 300, 15):
            assert made.total(900, end) == made.raw(900, end), end


@pytest.mark.parametrize("store", ["memory", ""])
@pytest.mark.parametrize("away", [240, 300, 600])
def test_what_comes_back_between_two_evaluations_is_counted_at_once(tmp_path, store, away):
    with simulation(tmp_path) as made:
        for at in range(5, 2400, 15):
            made.scrape(at, "a", {"x": at}, store="other")
            if not 1500 <= at < 1500 + away:
                made.scrape(at + 1, "b", {"y": 500 + at}, store=store)
        made.run(2400)
        for end in range(1500 + away, 1500 + away + 180, 9):
            assert made.total(900, end) == made.raw(900, end), end


@pytest.mark.parametrize("stopped", [1560, 1800], ids=["rules stop before", "rules stop with it"])
@pytest.mark.parametrize("step", [60, 300])
def test_bins_around_an_outage_add_up_to_the_total(tmp_path, stopped, step):
    down, back = 1800, 2400
    with simulation(tmp_path, phase=3.0) as made:
        for at in [*range(5, down, 15), *range(back + 5, 4000, 15)]:
            made.scrape(at, "a", {"x": at}, store="memory")
        made.run(4000, down=(stopped, back))
        assert made.total(600, 3600) == made.raw(600, 3600)
        assert made.bins(600, 3600, step)["x"].sum() == pytest.approx(made.total(600, 3600)["x"])


def test_while_the_rules_do_not_run_bins_are_those_of_the_samples(tmp_path):
    """So the detector goes on, and Alertmanager need not hold back what it finds (AsahiTotalsMissing)."""
    with simulation(tmp_path, family="cost_dollars") as made:
        for at in range(5, 7200, 15):
            made.scrape(at, "a", {"x": at if at < 5400 else 5400 + 9 * (at - 5400)}, store="memory")
        made.run(7200, down=(1800, 7200))
        found = made.bins(600, 6600, 600)["x"].to_list()
        assert found == pytest.approx([600.0] * 8 + [9 * 600] * 2, rel=0.02)
        assert sum(found) == pytest.approx(made.raw(600, 6600)["x"])


@pytest.mark.parametrize("step", [300, 3600])
def test_totals_that_were_filled_in_lead_on_where_a_memory_has_moved(tmp_path, step):
    with simulation(tmp_path) as made:
        for at in range(5, 10_800, 30):
            made.scrape(at, "pod-1" if at < 2400 else "pod-2", {"y": 5000 + at}, store="memory")
        made.run(10_800, begin=7200)
        grid = snapshot_grid(made.at(0), made.at(7200), step)
        made.writer.write(list(totals_before(made.client, made.family, grid, RULES)))
        for end in (2390, 2455, 2700.5, 3601, 4500, 6900, 7200):
            assert made.total(1200, end) == made.raw(1200, end), end


def test_a_memory_that_moves_in_the_first_bin_it_is_seen_in_loses_nothing(tmp_path):
    with simulation(tmp_path) as made:
        for at in range(605, 3600, 15):
            made.scrape(at, "pod-1" if at < 3000 else "pod-2", {"y": 5000 + at}, store="memory")
        made.run(3600, begin=3600)
        assert made.raw(0, 3590) == {"y": 3590 - 605}


def test_a_label_set_that_is_born_in_the_bin_its_old_memory_is_first_scraped_in_loses_nothing(tmp_path):
    with simulation(tmp_path) as made:
        for at in range(605, 3600, 15):
            counters = {"x": 5000 + at} if at < 1500 else {"x": 5000 + at, "y": 70 + at - 1500}
            made.scrape(at, "pod-1" if at < 2000 else "pod-2", counters, store="memory")
        made.run(3600, begin=3600)
        assert made.raw(0, 3595) == {"x": 3590 - 605, "y": 70 + 3590 - 1500}


def test_last_words_of_a_process_that_died_in_an_outage_are_in_every_window_that_holds_them(tmp_path):
    with simulation(tmp_path, phase=3.0) as made:
        for at in range(5, 1800, 15):
            made.scrape(at, "a", {"x": 100 + at}, created=-500)
        for at in range(2405, 3000, 15):
            made.scrape(at, "a", {"x": at - 2000}, created=2000)
        made.run(3000, down=(1800, 2400))
        for end in (1790, 2340, 2341, 2399, 2400, 2401, 2460, 2520):
            assert made.total(900, end) == made.raw(900, end), end


def test_a_window_that_starts_before_the_first_evaluation_of_a_run_starts_where_it_says(tmp_path):
    with simulation(tmp_path, family="corrections_dollars", phase=50.0) as made:
        for at in range(5, 2400, 15):
            made.scrape(at, "a", {"x": at}, store="memory")
        made.run(2400, begin=310)
        for start in (290, 300, 320, 345, 360):
            assert made.total(start, 1500) == made.raw(start, 1500), start


@pytest.mark.parametrize("away", [7080, 7260, 7600])
def test_a_process_away_for_hours_is_never_counted_again(tmp_path, away):
    end = 1800 + away + 600
    with simulation(tmp_path) as made:
        for at in range(5, end, 60):
            made.scrape(at, "a", {"x": at}, store="memory")
            if not 1800 <= at < 1800 + away:
                made.scrape(at + 1, "b", {"y": 5000 + at})
        made.run(end)
        found, truth = made.total(900, end - 120), made.raw(900, end - 120)
        assert found["x"] == truth["x"]
        assert found["y"] <= truth["y"]


def test_a_total_is_its_base_and_the_living_counters_soon_after_a_memory_is_gone(tmp_path):
    asked = []
    with simulation(tmp_path) as made:
        for at in range(5, 4800, 15):
            made.scrape(at, "a", {"x": 0.1 * at, "y": 3.0 if at > 4000 else 2.0}, store="lives")
            if at < 1200:
                made.scrape(at + 1, "b", {"x": 7000 + 0.3 * at}, store="goes", created=-20)
        made.run(4800)
        ask = made.client.query_all
        made.client.query_all = lambda promql, at: asked.extend(promql) or ask(promql, at)
        for end in range(1201, 4740, 61):
            asked.clear()
            assert made.total(900, end) == made.raw(900, end), end
            followed = any("clamp_min" in each for each in asked)
            assert followed is (end < 2722), end  # from then on a base is sure not to know of it


def test_a_memory_that_was_taken_over_has_a_base_below_zero(tmp_path):
    with simulation(tmp_path) as made:
        for at in range(5, 12_000, 60):
            made.scrape(at, "a", {"x": at}, store="here")
            if at > 9000:
                made.scrape(at + 1, "b", {"x": 50_000 + at}, store="older")
        made.run(12_000)
        asked = made.client.query("last_over_time(asahi:savings_dollars:base[5m])", made.at(12_000)).samples
        assert [each.value < -50_000 for each in asked if "part" not in each.labels] == [True]
        assert made.total(10_000, 11_990) == made.raw(10_000, 11_990)


@pytest.mark.parametrize("store", ["brief", ""])
def test_what_lives_no_longer_than_a_base_stands_is_in_every_window(tmp_path, store):
    with simulation(tmp_path) as made:
        for at in range(5, 3400, 15):
            made.scrape(at, "a", {"x": at}, store="lives")
            if 2410 <= at < 2490:
                made.scrape(at + 1, "b", {"y": at}, store=store, created=2400)
        made.run(3400)
        for end in range(2395, 3300, 31):
            assert made.total(900, end) == made.raw(900, end), end


def test_a_memory_that_is_set_back_where_it_moves_to_takes_no_dollars_back(tmp_path):
    with simulation(tmp_path) as made:
        for at in range(5, 4800, 15):
            moved = at >= 2400
            made.scrape(at, "new" if moved else "old", {"x": 5000 + at - 3000 * moved}, store="memory")
        made.run(4800)
        counted = [made.total(900, end)["x"] for end in range(2395, 4700, 31)]
        assert counted == sorted(counted)
        assert made.total(900, 4700)["x"] >= made.raw(900, 4700)["x"]


def test_a_base_from_when_no_memory_was_seen_is_not_added_to_them(tmp_path):
    down, back = 1800, 2700
    rules = RuleParameters(lookback=timedelta(minutes=10))
    with simulation(tmp_path, rules=rules) as made:
        for at in [*range(65, down, 15), *range(back + 5, 5000, 15)]:
            made.scrape(at, "a", {"x": 1000 + at}, store="memory", created=61)
        made.run(5000, down=(down, back))
        for end in range(back + 15, 4900, 47):
            assert made.total(900, end) == made.raw(900, end), end
