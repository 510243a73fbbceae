"""Jumps that stay: held against what was before them, for three hours, on series that rarely jump."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.anomaly import AnomalyConfig, score_series
from asahi_analytics.anomaly.bins import bins_of
from asahi_analytics.anomaly.jumps import (
    JUMP_FACTOR,
    JUMP_QUANTILE,
    STAY_BINS,
    STAY_FACTOR,
    Jumps,
    as_it_began,
    find_jumps,
    rare_steps,
)
from support.anomaly_series import PER_DAY, flat, groups, raised, seasonal, times

START = 10 * PER_DAY + 40
WIDTH = 18


def jumps(values: pd.Series) -> Jumps:
    return find_jumps(bins_of(values), WIDTH, np.full(len(values), np.nan))


def level(days: float = 14) -> pd.Series:
    return pd.Series(100.0, index=times(days))


def flags(values: pd.Series) -> pd.Series:
    return score_series(values, AnomalyConfig())["is_anomaly"]


@pytest.mark.parametrize(("factor", "found"), [(JUMP_FACTOR + 0.01, True), (JUMP_FACTOR - 0.01, False)])
def test_a_jump_is_so_many_times_the_level_right_before_it(factor, found):
    assert jumps(raised(level(), START, 6, factor)).raised[START : START + 6].all() == found


@pytest.mark.parametrize("noise", [0.1, 0.3, 0.9])
def test_a_jump_is_higher_than_the_rolling_quantile_of_the_week_before(noise):
    rng = np.random.default_rng(7)
    values = level().mul(np.exp(rng.normal(0, noise, 14 * PER_DAY)))
    values[rng.random(values.size) < 0.02] = np.nan
    local = values.rolling(3, min_periods=1).median().shift()
    step = np.log(values / local)
    calm = pd.Series(np.concatenate([np.zeros(7 * PER_DAY), step.fillna(0.0)]))
    usual = calm.rolling(7 * PER_DAY).quantile(JUMP_QUANTILE).shift()[7 * PER_DAY :].to_numpy()
    rare = step.to_numpy() > np.maximum(np.log(JUMP_FACTOR), usual)
    assert rare_steps(bins_of(values), local.to_numpy()).tolist() == rare.tolist()
    assert rare.any() == (noise > 0.2)


@pytest.mark.parametrize(("factor", "stays"), [(STAY_FACTOR + 0.01, True), (STAY_FACTOR - 0.01, False)])
def test_it_stays_while_it_is_above_so_many_times_that_level(factor, stays):
    values = raised(raised(level(), START, 2, 3.0), START + 2, 10, factor)
    assert jumps(values).raised[START + 2 : START + 12].all() == stays
    assert not jumps(values).raised[START + 12 :].any()


def test_one_bin_below_does_not_end_it_and_two_do():
    once, twice = (raised(level(), START, 16, 2.0) for _ in range(2))
    once.iloc[START + 5] = 100.0
    twice.iloc[START + 5 : START + 7] = 100.0
    assert jumps(once).raised[START + 6 : START + 16].all()
    again = jumps(twice).raised
    assert again[START : START + 5].all()
    assert not again[START + 5 : START + 7].any()


def test_missing_bins_neither_make_nor_end_it():
    values = raised(level(), START, 16, 2.0)
    values.iloc[START + 5 : START + 9] = np.nan
    found = jumps(values).raised
    assert list(np.flatnonzero(found)) == [*range(START, START + 5), *range(START + 9, START + 16)]


@pytest.mark.parametrize(("per_day", "bins"), [(PER_DAY, 18), (24, STAY_BINS)])
def test_what_lasts_longer_than_three_hours_or_six_bins_is_the_new_level(per_day, bins):
    start = 10 * per_day
    found = jumps(raised(pd.Series(100.0, index=times(14, per_day)), start, 500, 2.0)).raised
    assert list(np.flatnonzero(found)) == list(range(start, start + bins))


def test_a_series_that_jumps_every_day_has_none_that_are_rare():
    values = level()
    for day in range(14):
        values = raised(values, day * PER_DAY + 50, 6, 2.5)
    assert not jumps(values).raised[7 * PER_DAY :].any()
    assert jumps(raised(values, START + 60, 6, 3.0)).raised[START + 60 : START + 66].all()


def test_it_is_held_against_the_level_right_before_it_after_half_an_hour():
    values = level()
    values.iloc[START - 4 : START] = 40.0
    values.iloc[START : START + 12] = 110.0
    found = jumps(values)
    assert found.before[START + 2] == 100.0
    assert (found.before[START + 3 : START + 12] == 40.0).all()


def test_whether_a_bin_belongs_to_a_jump_depends_on_the_bins_up_to_it():
    rng = np.random.default_rng(3)
    values = pd.Series(np.exp(rng.normal(0, 0.5, 900)), index=times(14)[:900])
    for start in rng.integers(0, 860, 12):
        values.iloc[start : start + int(rng.integers(1, 40))] *= 4
    values.iloc[rng.integers(0, 900, 30)] = np.nan
    whole = jumps(values).raised
    assert whole.any()
    for cut in range(3, 900, 7):
        assert (jumps(values.iloc[:cut]).raised == whole[:cut]).all()


@pytest.mark.parametrize("length", [12, 18, 36])
@pytest.mark.parametrize("seed", range(4))
def test_an_incident_that_starts_while_the_traffic_falls_is_caught(length, seed):
    values = flat(seed, 100.0, 4.0)
    values.iloc[START - 4 : START + 60] *= 0.5
    late = values.copy()
    late.iloc[START - 40 : START - 4] *= 1.6
    incident = raised(late, START, length, 4.4)
    assert not flags(late).any()
    assert flags(incident).iloc[START : START + length].any()


def test_coming_back_from_a_lull_stays_no_spike():
    values = raised(seasonal(3), START - 6, 6, 0.4)
    assert not flags(values).any()


@pytest.mark.parametrize(("reached", "told"), [(1.6, True), (1.3, False)])
@pytest.mark.parametrize("seed", range(4))
def test_a_rare_jump_from_a_lull_is_held_against_the_lull_but_coming_back_is_none(reached, told, seed):
    noise = np.random.default_rng(seed).normal(0, 0.18, 14 * PER_DAY)
    values = level().mul(np.exp(noise))
    values.iloc[START - 40 :] *= 0.6
    values.iloc[START : START + 6] = reached * 100.0
    assert flags(values).iloc[START : START + 6].any() == told


def test_a_client_that_comes_and_goes_at_no_set_time_must_beat_its_peaks():
    rng = np.random.default_rng(8)
    active = np.repeat(rng.random(14 * 36) < 0.5, 4)
    client = pd.Series(np.where(active, 100 * np.exp(rng.normal(0, 0.05, len(active))), 0.0), times(14))
    assert len(groups(flags(client))) <= 2
    for height, told in ((150.0, False), (300.0, True)):
        burst = client.copy()
        burst.iloc[13 * PER_DAY : 13 * PER_DAY + 6] = height
        assert flags(burst).iloc[13 * PER_DAY : 13 * PER_DAY + 6].any() == told


def test_office_hours_and_an_outage_do_not_make_a_series_erratic():
    values = seasonal(2, swing=0.2)
    office = values.where((values.index.hour >= 7) & (values.index.hour < 19), 0.0)
    outage = values.copy()
    outage.iloc[8 * PER_DAY : 8 * PER_DAY + 24] = 0.0
    spike = 10 * PER_DAY + 72
    for each in (office, outage):
        assert not flags(each).iloc[2 * PER_DAY :].any()
        assert flags(raised(each, spike, 6, 2.6)).iloc[spike : spike + 6].any()


@pytest.mark.parametrize("seed", range(4))
def test_what_jumps_from_a_lull_is_held_against_the_lull_while_it_stays(seed):
    values = raised(flat(seed, 100.0, 10.0), START - 40, 60, 0.5)
    values.iloc[START : START + 18] = np.linspace(90, 210, 18) + np.random.default_rng(seed).normal(0, 3, 18)
    assert flags(values).iloc[START : START + 14].any()


def test_where_a_jump_stays_a_value_is_no_more_than_when_it_began():
    values = np.array([[1.0, 2, 3, 4, 5, 6, 7, 8], [8.0, 7, 6, 5, 4, 3, 2, 1]])
    stays = np.array([[0, 1, 1, 0, 1, 0, 0, 1], [1, 1, 0, 0, 0, 1, 1, 1]], dtype=bool)
    assert as_it_began(values, stays).tolist() == [[1, 2, 2, 4, 2, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1]]
