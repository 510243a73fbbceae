"""Cost spikes: what is caught, what is left alone, and what becomes the new normal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.anomaly import AnomalyConfig, score_series
from asahi_analytics.anomaly.bins import (
    NARROW,
    bins_of,
    highest,
    nanquantile,
    past,
    persistent,
    share_of,
    summed,
    windowed,
)
from asahi_analytics.anomaly.usual import Days, previous_days, smoothed, usual, weekly_factor
from support.anomaly_series import PER_DAY, groups, raised, seasonal, times

CONFIG = AnomalyConfig()
QUIET = 10 * PER_DAY + 6  # one o'clock at night, where the season is at its low
BUSY = 10 * PER_DAY + 72


def flags(values: pd.Series) -> pd.Series:
    return score_series(values, CONFIG)["is_anomaly"]


@pytest.mark.parametrize("seed", range(8))
def test_normal_traffic_raises_no_alarm(seed):
    assert not flags(seasonal(seed, noise=0.15)).any()


def test_weekends_trends_and_hourly_bins_raise_no_alarm():
    values = seasonal(1, days=28)
    weekend = pd.Series(np.where(values.index.day_of_week >= 5, 0.4, 1.0)).rolling(
        24, center=True, min_periods=1
    )
    growing = values * weekend.mean().to_numpy() * np.linspace(1, 2, len(values))
    assert not flags(growing).any()
    assert not flags(growing.resample("1h").sum()).any()


@pytest.mark.parametrize("start", [QUIET, BUSY])
@pytest.mark.parametrize("length", [2, 6, 18])
def test_a_spike_is_told_at_its_second_bin(start, length):
    found = flags(raised(seasonal(3), start, length, 3.0))
    assert found.iloc[start + 1]
    assert not found.iloc[:start].any()
    assert not found.iloc[start + length :].any()


def test_a_single_bin_is_not_enough_and_two_of_three_are():
    values = seasonal(3)
    assert not flags(raised(values, BUSY, 1, 5.0)).any()
    twice = raised(raised(values, BUSY, 1, 5.0), BUSY + 2, 1, 5.0)
    assert list(np.flatnonzero(flags(twice))) == [BUSY + 2]


def test_a_spike_hidden_below_twice_the_daily_mean_is_caught():
    values = raised(seasonal(4), QUIET, 6, 3.0)
    mean = values.rolling(PER_DAY).mean().iloc[QUIET]
    assert values.iloc[QUIET : QUIET + 6].max() < 2 * mean
    assert flags(values).iloc[QUIET : QUIET + 6].any()


def test_a_spike_of_no_money_is_left_alone():
    values = seasonal(5, swing=0.97, noise=0.02)
    night = 10 * PER_DAY
    tiny = raised(values, night, 3, 4.0)
    assert tiny.iloc[night : night + 3].max() < 0.2 * values.mean()
    assert not flags(tiny).any()
    assert score_series(tiny, AnomalyConfig(min_excess_share=0.0))["is_anomaly"].any()


@pytest.mark.parametrize("day", [1, 2, 3, 6])
@pytest.mark.parametrize("length", [6, 18, 36])
def test_the_same_spike_is_caught_again_the_next_day(day, length):
    start = day * PER_DAY + 60
    values = raised(raised(seasonal(6), start, length, 3.5), start + PER_DAY, length, 3.5)
    found = flags(values)
    assert found.iloc[start : start + length].any()
    assert found.iloc[start + PER_DAY : start + PER_DAY + length].any()


def test_a_burst_at_the_same_time_every_day_becomes_a_habit():
    values = seasonal(7)
    for day in range(2, 14):
        values = raised(values, day * PER_DAY + 60, 6, 4.0)
    found = flags(values)
    assert found.iloc[2 * PER_DAY : 3 * PER_DAY].any()
    assert not found.iloc[9 * PER_DAY :].any()


@pytest.mark.parametrize("factor", [2.5, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_lasting_step_is_one_incident_and_then_the_new_normal(factor, seed):
    start = 8 * PER_DAY + 50
    values = raised(seasonal(seed), start, len(times(14)), factor)
    found = groups(flags(values))
    assert len(found) == 1
    assert found[0][0] == start + 1
    again = raised(values, start + 2 * PER_DAY, 6, 3.0)
    assert flags(again).iloc[start + 2 * PER_DAY : start + 2 * PER_DAY + 6].any()


def test_traffic_that_drops_for_good_is_judged_by_its_new_level():
    start = 4 * PER_DAY
    values = raised(seasonal(8), start, len(times(14)), 0.3)
    assert not flags(values).any()
    late = raised(values, 13 * PER_DAY + 40, 6, 3.0)
    assert flags(late).iloc[13 * PER_DAY + 40 : 13 * PER_DAY + 46].any()


def test_coming_back_from_a_lull_is_no_spike():
    values = raised(seasonal(9), BUSY, 18, 0.3)
    assert not flags(values).any()


def test_while_history_is_short_the_rolling_mean_is_the_fallback():
    values = seasonal(10, days=0.75, swing=0.1)
    scores = score_series(raised(values, 90, 4, 4.0), CONFIG)
    assert scores["is_anomaly"].iloc[91]
    assert scores["expected"].iloc[90] == pytest.approx(values.iloc[:90].mean(), rel=0.1)
    assert scores["expected"].iloc[:30].isna().all()
    early = raised(values, 20, 4, 4.0)
    assert not flags(early).iloc[:36].any()


def test_bursts_of_an_erratic_client_are_measured_against_its_own_peaks():
    rng = np.random.default_rng(11)
    values = pd.Series(np.exp(rng.normal(0, 1.5, 14 * PER_DAY)), index=times(14))
    smooth = pd.Series(np.convolve(values, np.ones(4) / 4, "same"), index=values.index)
    assert len(groups(flags(smooth).iloc[2 * PER_DAY :])) <= 4
    peak = smooth.iloc[8 * PER_DAY : 13 * PER_DAY].max()
    burst = smooth.copy()
    burst.iloc[13 * PER_DAY : 13 * PER_DAY + 6] = 3 * peak
    assert flags(burst).iloc[13 * PER_DAY : 13 * PER_DAY + 6].any()


def bursty(quiet_share: float) -> pd.Series:
    """Bursts to 2.4 times the level several times a day, and a share of the bins of each day near nothing."""
    rng = np.random.default_rng(21)
    values = 100 * np.exp(rng.normal(0, 0.05, 14 * PER_DAY))
    for start in rng.integers(0, len(values) - 9, 110):
        values[start : start + int(rng.integers(2, 9))] = 240.0
    for day in range(14):
        starts = day * PER_DAY + rng.permutation(PER_DAY // 6)[: round(quiet_share * PER_DAY / 6)] * 6
        for start in starts:
            values[start : start + 6] = 15 + rng.random(6)
    calm = slice(13 * PER_DAY + 40, 13 * PER_DAY + 70)
    values[calm] = 100.0
    return pd.Series(values, index=times(14))


@pytest.mark.parametrize(("quiet_share", "told"), [(0.0, True), (0.05, True), (0.2, False)])
def test_a_doubling_of_bursty_traffic_is_told_and_one_of_a_client_that_is_often_quiet_is_not(
    quiet_share, told
):
    start = 13 * PER_DAY + 60
    values = raised(bursty(quiet_share), start, 6, 3.0)
    assert values.iloc[start : start + 6].max() < 2 * values.iloc[6 * PER_DAY : 13 * PER_DAY].max()
    assert flags(values).iloc[start : start + 6].any() == told


def test_an_incident_after_one_busy_day_is_held_against_today_as_well():
    values = seasonal(13, swing=0.2, noise=0.05)
    values.iloc[PER_DAY : 2 * PER_DAY] *= 3.0
    start = 2 * PER_DAY + 72
    found = flags(raised(values, start, 6, 2.6))
    assert found.iloc[start : start + 6].any()
    assert not flags(values).iloc[2 * PER_DAY :].any()


def test_today_counts_as_one_more_day_of_the_usual():
    rng = np.random.default_rng(4)
    values, today = rng.random(6 * 24), rng.random(6 * 24)
    values[rng.random(6 * 24) < 0.2] = np.nan
    today[rng.random(6 * 24) < 0.2] = np.nan
    bins = bins_of(pd.Series(values, index=times(6, per_day=24)))
    found = Days.of(previous_days(values, bins, 14), bins).median_with(today)
    for t in range(len(values)):
        days = [values[t - 24 * day] for day in range(1, t // 24 + 1)]
        if np.isnan(days).all():
            assert np.isnan(found[t])
        else:
            assert found[t] == pytest.approx(np.nanmedian([*days, today[t]]))


def test_an_hour_is_stood_for_by_its_mean_or_its_median():
    values = np.zeros(3 * PER_DAY)
    values[PER_DAY + 72] = 7.0
    bins = bins_of(pd.Series(values, index=times(3)))
    mean = previous_days(smoothed(values, bins, "mean"), bins, 1)[:, 0]
    assert mean[2 * PER_DAY + 70] == pytest.approx(1.0)
    assert mean[2 * PER_DAY + 72 : 2 * PER_DAY + 78] == pytest.approx(7 / 6)
    assert mean[2 * PER_DAY + 78] == 0.0
    assert usual(values, np.zeros(len(values), dtype=bool), bins, 1)[2 * PER_DAY + 72] == 0.0


def test_the_weekday_is_known_from_two_weeks_on():
    values = seasonal(12, days=22, noise=0.02)
    quiet = values.where(values.index.day_of_week < 5, values * 0.4)
    bins = bins_of(quiet)
    profile = usual(bins.values, np.zeros(len(bins), dtype=bool), bins, 14)
    factor = weekly_factor(bins, profile)
    saturday = 19 * PER_DAY + 72
    assert quiet.index[saturday].day_of_week == 5
    assert factor[saturday] == pytest.approx(0.4, rel=0.1)
    assert (factor[: 14 * PER_DAY] == 1.0).all()
    hidden = raised(quiet, saturday, 6, 2.6)
    assert flags(hidden).iloc[saturday : saturday + 6].any()


@pytest.mark.parametrize("bins", [1, 7, NARROW, NARROW + 1])
@pytest.mark.parametrize("at_least", [1, 5])
def test_past_is_the_naive_window_before_each_bin(bins, at_least):
    rows = np.random.default_rng(0).normal(0, 1, (3, 90))
    rows[0, [5, 17]], rows[1, 30:80], rows[2, 40] = np.nan, np.nan, np.inf
    for how in ("mean", "median", ("quantile", 0.88)):
        found = past(rows, bins, how, at_least)
        for row, values in zip(np.where(np.isinf(rows), np.nan, rows), found, strict=True):
            windows = [row[max(0, t - bins) : t] for t in range(90)]
            naive = [_of(window[~np.isnan(window)], how, min(bins, at_least)) for window in windows]
            np.testing.assert_allclose(values, naive)
        np.testing.assert_array_equal(found[1], past(rows[1], bins, how, at_least))


def _of(known, how, at_least):
    if len(known) < at_least:
        return np.nan
    return np.quantile(known, how[1]) if isinstance(how, tuple) else getattr(np, how)(known)


@pytest.mark.parametrize("bins", [1, 2, 7, 36, 90, 200])
def test_the_highest_is_that_of_what_is_known_of_so_many_bins(bins):
    rows = np.random.default_rng(0).normal(0, 1, (3, 90))
    rows[np.random.default_rng(1).random((3, 90)) < 0.5] = np.nan
    rows[1, :50] = np.nan
    for row, found in zip(rows, highest(rows, bins), strict=True):
        windows = [row[max(0, t + 1 - bins) : t + 1] for t in range(90)]
        naive = [np.max(window[~np.isnan(window)], initial=-np.inf) for window in windows]
        np.testing.assert_array_equal(np.nan_to_num(found, nan=-np.inf), naive)


def test_a_window_may_reach_ahead():
    assert list(windowed(np.array([1.0, 2.0, np.nan, 8.0]), 3, "mean", ahead=1)) == [1.5, 1.5, 5.0, 8.0]


@pytest.mark.parametrize("how", ["mean", "median", ("quantile", 0.88)])
@pytest.mark.parametrize("bins", [3, NARROW - 1, NARROW + 1, 61])
def test_a_window_reaches_as_far_ahead_however_wide_it_is(bins, how):
    rows = np.random.default_rng(0).normal(0, 1, (2, 90))
    rows[0, 20:60] = np.nan
    for row, values in zip(rows, windowed(rows, bins, how, ahead=bins // 2), strict=True):
        windows = [row[max(0, t - bins // 2) : t + bins // 2 + 1] for t in range(90)]
        np.testing.assert_allclose(values, [_of(window[~np.isnan(window)], how, 1) for window in windows])


def test_the_quantiles_of_what_is_known_are_numpys():
    rows = np.random.default_rng(1).normal(0, 1, (200, 6))
    rows[np.random.default_rng(2).random((200, 6)) < 0.4] = np.nan
    known = ~np.isnan(rows).all(axis=1)
    for quantile in (0.0, 0.35, 0.5, 1.0):
        found = nanquantile(rows, quantile)
        np.testing.assert_allclose(found[known], np.nanquantile(rows[known], quantile, axis=1))
        assert np.isnan(found[~known]).all()


def test_a_share_is_that_of_a_full_window_before_each_bin():
    flags_ = np.array([[1, 0, 1, 1], [0, 0, 0, 0]], dtype=bool)
    assert summed(flags_.astype(np.int64), 2).tolist() == [[1, 1, 1, 2], [0, 0, 0, 0]]
    np.testing.assert_array_equal(share_of(flags_, 2)[0], [np.nan, 0.5, 0.5, 0.5])


def test_persistent_is_two_of_three():
    assert list(persistent(np.array([1, 0, 1, 1, 0, 0, 1], dtype=bool))) == [0, 0, 1, 1, 0, 0, 0]
