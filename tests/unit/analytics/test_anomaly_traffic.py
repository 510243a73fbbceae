"""Cost spikes in traffic of other kinds: office hours, weekends, bursts, steps, gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.anomaly import AnomalyConfig, score_series
from asahi_analytics.anomaly.bins import bins_of
from asahi_analytics.anomaly.habits import BURST_FACTOR, MORE_FACTOR, habitual_bursts
from asahi_analytics.anomaly.jumps import COURSE_LIMIT, moved
from asahi_analytics.anomaly.spikes import SpikeRule, _alone, _past
from asahi_analytics.anomaly.steps import KEEP_FACTOR
from asahi_analytics.anomaly.usual import (
    FIRST_WORKING,
    FOLLOWED,
    SATURDAY_FOLLOWED,
    Days,
    previous_days,
    rose_yesterday,
    smoothed,
)
from support.anomaly_series import PER_DAY, flat, groups, raised, seasonal, times

CONFIG = AnomalyConfig()
TUESDAY = 8 * PER_DAY
RULE = SpikeRule(2.0, 0.1, 24, AnomalyConfig().min_history_hours, AnomalyConfig().profile_days)


def flags(values: pd.Series) -> pd.Series:
    return score_series(values, CONFIG)["is_anomaly"]


def office(seed: int, weekend: float, night: float = 0.05) -> pd.Series:
    """Return two weeks from a Monday on that are busy from eight to six, quieter at weekends and at night."""
    index = times(14)
    hour = index.hour + index.minute / 60
    busy = night + 1 / (1 + np.exp(-3 * (hour - 8.5))) / (1 + np.exp(2 * (hour - 17.5)))
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.08, len(index)))
    return pd.Series(100 * busy * np.where(index.day_of_week >= 5, weekend, 1.0) * noise, index=index)


@pytest.mark.parametrize("weekend", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_office_hours_raise_no_alarm_from_the_second_day_on(seed, weekend):
    assert not flags(office(seed, weekend)).iloc[PER_DAY:].any()


@pytest.mark.parametrize("weekend", [0.25, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_a_first_saturday_after_one_friday_raises_no_alarm(seed, weekend):
    assert not flags(office(seed, weekend).iloc[4 * PER_DAY :]).iloc[PER_DAY : 2 * PER_DAY].any()


@pytest.mark.parametrize(("share", "follows"), [(1.1, True), (0.9, False)])
@pytest.mark.parametrize(("day", "least"), [(4, SATURDAY_FOLLOWED), (0, FOLLOWED)])
def test_a_saturday_follows_a_working_day_from_afar(day, least, share, follows):
    days = np.repeat([1.0, share * least], PER_DAY)
    rise = np.where(np.arange(2 * PER_DAY) % PER_DAY < 50, 10.0, 100.0)
    values = pd.Series(days * rise, index=times(2) + pd.Timedelta(days=day))
    assert rose_yesterday(bins_of(values))[PER_DAY + 56] == follows


@pytest.mark.parametrize("seed", range(3))
def test_a_first_monday_after_a_weekend_may_be_twice_as_busy(seed):
    values = seasonal(seed, 3, swing=0.4)
    values.index += pd.Timedelta(days=5)
    assert not flags(raised(values, 2 * PER_DAY, PER_DAY, 2.2)).iloc[PER_DAY:].any()
    assert flags(raised(values, 2 * PER_DAY + 60, 6, 4.0)).iloc[2 * PER_DAY + 60 : 2 * PER_DAY + 66].any()


@pytest.mark.parametrize("weekend", [0.2, 1.0])
@pytest.mark.parametrize("hour", [2, 7, 11, 20])
def test_a_spike_of_office_traffic_is_told_at_any_hour(weekend, hour):
    start = TUESDAY + 6 * hour
    found = flags(raised(office(1, weekend), start, 6, 3.0))
    assert found.iloc[start : start + 6].any()


def test_a_working_day_is_compared_with_working_days():
    values = office(1, 0.2)
    monday = 7 * PER_DAY + 72
    expected = score_series(values, CONFIG)["expected"].iloc[monday]
    assert expected == pytest.approx(
        values.iloc[[monday - day * PER_DAY for day in (3, 4, 5)]].mean(), rel=0.2
    )


def lowest_by_day(values: pd.Series) -> np.ndarray:
    bins = bins_of(values)
    days = Days.of(previous_days(smoothed(bins.values, bins, "mean"), bins, 14), bins)
    return days.quantile(0.0)[PER_DAY // 2 :: PER_DAY]


def test_the_usual_of_a_working_day_leaves_weekends_out_unless_nothing_else_is_known():
    values = pd.Series(np.repeat(np.arange(1.0, 15.0), PER_DAY), index=times(14))
    by_day = lowest_by_day(values)
    assert list(by_day[1:9]) == [1.0] * 8
    weekend_first = pd.Series(values.to_numpy(), index=values.index + pd.Timedelta(days=5))
    by_day = lowest_by_day(weekend_first)
    assert list(by_day[1:10]) == [1.0, FIRST_WORKING, 3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 3.0]


@pytest.mark.parametrize("per_day", [4, 24, 144])
def test_weekdays_are_those_of_the_index(per_day):
    index = times(9, per_day) + pd.Timedelta(hours=31)
    assert list(bins_of(pd.Series(0.0, index=index)).weekdays) == list(index.day_of_week)


@pytest.mark.parametrize("noise", [0.3, 0.5, 0.7])
def test_what_doubles_the_usual_and_the_last_hours_is_told_however_noisy_the_series(noise):
    values = seasonal(5, swing=0.2, noise=noise)
    start = 10 * PER_DAY + 72
    spike = values.copy()
    spike.iloc[start : start + 6] = 2.4 * values.iloc[start - 18 : start].max()
    assert flags(spike).iloc[start : start + 6].any()


@pytest.mark.parametrize(("share", "goes_on"), [(1.1, True), (0.9, False)])
def test_an_anomaly_goes_on_until_it_has_come_down(share, goes_on):
    values = flat(2, 100.0, 1.0)
    start = 10 * PER_DAY + 40
    values = raised(raised(values, start, 3, 4.0), start + 3, 12, share * KEEP_FACTOR)
    assert flags(values).iloc[start + 4 : start + 14].all() == goes_on
    assert not flags(values).iloc[start + 15 :].any()


@pytest.mark.parametrize("start", [9 * PER_DAY + 9, 9 * PER_DAY + 50, 9 * PER_DAY + 120])
@pytest.mark.parametrize("factor", [2.5, 4.0])
def test_a_step_is_one_incident_in_two_days_and_a_spike_after_it_is_told(start, factor):
    step = raised(seasonal(6, swing=0.4), start, 14 * PER_DAY, factor)
    assert len(groups(flags(step).iloc[start : start + 2 * PER_DAY], 18)) == 1
    again = start + 2 * PER_DAY
    assert flags(raised(step, again, 6, 3.0)).iloc[again : again + 6].any()


def test_whether_an_anomaly_goes_on_depends_on_the_bins_up_to_it():
    rng = np.random.default_rng(4)
    values = seasonal(4, days=6, noise=0.3)
    for start in rng.integers(0, 820, 15):
        values = raised(values, int(start), int(rng.integers(1, 60)), 3.0)
    whole = score_series(values, CONFIG)
    for cut in range(5, len(values), 11):
        pd.testing.assert_frame_equal(score_series(values.iloc[:cut], CONFIG), whole.iloc[:cut])


def test_the_mean_around_a_bin_is_no_less_than_that_of_its_clock_hour():
    rng = np.random.default_rng(5)
    values = pd.Series(rng.exponential(1.0, 300), index=times(3)[7:307])
    values.iloc[rng.integers(0, 300, 60)] = np.nan
    found = smoothed(values.to_numpy(), bins_of(values), "mean")
    for place, time in enumerate(values.index):
        around = values.iloc[max(0, place - 3) : place + 4].mean()
        hour = values[values.index.floor("h") == time.floor("h")].mean()
        assert found[place] == pytest.approx(np.nanmax([around, hour]), nan_ok=True)


def test_a_morning_of_the_first_day_is_told_from_a_surge():
    start = 50
    low_then_high = np.where(np.arange(2 * PER_DAY) % PER_DAY < start, 10.0, 100.0)
    morning = pd.Series(low_then_high, index=times(2))
    surge = morning.copy()
    surge.iloc[start + 6 : PER_DAY] = 10.0
    late = morning.copy()
    late.iloc[PER_DAY : PER_DAY + start + 12] = 0.9 * FOLLOWED * 10.0
    at = PER_DAY + start
    assert rose_yesterday(bins_of(morning))[at : at + 6].all()
    assert not rose_yesterday(bins_of(surge))[at : at + 6].any()
    assert not rose_yesterday(bins_of(late))[at : at + 6].any()
    assert not rose_yesterday(bins_of(morning))[:PER_DAY].any()


def test_the_course_of_the_day_moves_a_level_within_limits():
    course = np.array([10.0, 5.0, np.nan, 20.0, 1.0, 100.0])
    assert list(moved(course)) == [1.0, 0.5, 1.0, 2.0, 1 / COURSE_LIMIT, COURSE_LIMIT]
    assert list(moved(np.full(3, np.nan))) == [1.0, 1.0, 1.0]


def bursting(seed: int, *, idles: bool, lasting: int = 6) -> pd.Series:
    """Return two weeks with a burst of an hour on each day at another time, idle at three o'clock or never.

    Their noise stays the same for so many bins.
    """
    rng, index = np.random.default_rng(seed), times(14)
    values = 100 * np.exp(np.repeat(rng.normal(0, 0.35, len(index) // lasting), lasting))
    for day in range(1, 14):
        at = day * PER_DAY + int(rng.integers(20, 120))
        values[at : at + 6] *= 8
    return pd.Series(np.where(idles & (index.hour == 3), 0.0, values), index=index)


WEEK_KNOWN = slice(5 * PER_DAY, None)


@pytest.mark.parametrize("seed", range(4))
def test_what_bursts_each_day_is_everyday_only_for_a_noisy_series_that_idles(seed):
    assert len(groups(flags(bursting(seed, idles=True)).iloc[WEEK_KNOWN])) <= 4
    assert len(groups(flags(bursting(seed, idles=False)).iloc[WEEK_KNOWN])) >= 9


@pytest.mark.parametrize("seed", range(4))
def test_an_hour_together_is_judged_where_its_bins_are_noisy_each_for_itself(seed):
    assert len(groups(flags(bursting(seed, idles=True, lasting=1)).iloc[WEEK_KNOWN])) >= 5


@pytest.mark.parametrize("seed", range(3))
def test_a_bin_judged_with_the_hour_tells_from_where_on_it_is_an_anomaly(seed):
    values = bursting(seed, idles=True, lasting=1)
    bins = bins_of(values)
    alone = _alone(bins, RULE, _past(bins, RULE))
    told = np.flatnonzero(flags(values).to_numpy() & ~alone.flagged)
    assert len(told) >= 6
    for place in map(int, told[::3]):
        threshold = score_series(values)["threshold"].iloc[place]
        assert threshold < alone.threshold[place]
        most = values.iloc[: place + 1].copy()
        most.iloc[place] = 0.99 * threshold
        assert not flags(most).iloc[-1]


def test_an_hour_together_looks_back_only_and_skips_what_is_unknown():
    values = bursting(0, idles=True, lasting=1)
    values = values.mask((values.index.hour % 5 == 1) & (values.index.minute == 20))
    whole = score_series(values)
    assert len(groups(whole["is_anomaly"].iloc[WEEK_KNOWN])) >= 4
    for end in range(8 * PER_DAY, 13 * PER_DAY, 101):
        pd.testing.assert_frame_equal(score_series(values.iloc[:end]), whole.iloc[:end])


@pytest.mark.parametrize("seed", range(3))
def test_gaps_at_no_set_time_do_not_make_a_series_erratic_that_has_not_spiked(seed):
    rng, whole = np.random.default_rng(seed), seasonal(seed)
    values = whole.copy()
    for hour in (24 * day + part for day in range(14) for part in rng.choice(24, 3, replace=False)):
        values = raised(values, 6 * hour, 6, 0.02)
    quiet = 12 * PER_DAY + 6
    values.iloc[quiet - 30 : quiet + 12] = whole.iloc[quiet - 30 : quiet + 12]
    assert not flags(values).iloc[5 * PER_DAY :].any()
    assert flags(raised(values, quiet, 6, 3.0)).iloc[quiet : quiet + 6].any()


def nightly(length: int, late: int, days: int = 14) -> pd.Series:
    """Return a calm total with a job of ``length`` bins at four o'clock, ``late`` bins later on each other day."""
    values = flat(3, 100.0, 3.0, days)
    for day in range(days):
        at = day * PER_DAY + 24 + late * (day % 2)
        values.iloc[at : at + length] += 300.0
    return values


@pytest.mark.parametrize("length", [2, 6])
@pytest.mark.parametrize("late", [0, 3])
def test_a_nightly_job_is_usual_from_the_second_day_on(length, late):
    values = nightly(length, late)
    assert not flags(values).iloc[PER_DAY:].any()
    at = 9 * PER_DAY + 24 + late
    assert flags(raised(values, at, length, 2.5)).iloc[at : at + length].any()
    assert flags(raised(values, at + 60, 6, 2.5)).iloc[at + 60 : at + 66].any()


@pytest.mark.parametrize("level", [0.0, 100.0])
def test_a_weekly_job_is_usual_from_the_third_time_on(level):
    values = flat(3, 100.0, 3.0, 35) * (level / 100.0)
    starts = [7 * PER_DAY * week + 30 + late for week, late in enumerate([0, 2, 0, 1, 3])]
    for start in starts:
        values.iloc[start : start + 6] += 300.0
    found = flags(values)
    assert [bool(found.iloc[start : start + 6].any()) for start in starts[1:]] == [True, False, False, False]
    assert not found.iloc[starts[2] - 20 :].any()
    again = flags(raised(values, starts[3], 6, 2.5))
    assert again.iloc[starts[3] : starts[3] + 6].any()
    other_day = starts[3] + PER_DAY
    values.iloc[other_day : other_day + 6] += 300.0
    assert flags(values).iloc[other_day : other_day + 6].any()


@pytest.mark.parametrize(("factor", "known"), [(BURST_FACTOR + 0.05, True), (BURST_FACTOR - 0.05, False)])
def test_a_burst_is_so_many_times_what_is_around_it(factor, known):
    values = pd.Series(100.0, index=times(3))
    for day in range(3):
        values = raised(values, day * PER_DAY + 60, 3, factor)
    bursts = habitual_bursts(bins_of(values), 14)
    at = 2 * PER_DAY + 60
    assert bursts[at] == (pytest.approx(100 * factor * MORE_FACTOR) if known else 0.0)
    assert not bursts[:PER_DAY].any()
    assert bursts[at - 4 : at + 8].astype(bool).tolist() == [known and 1 <= n <= 9 for n in range(12)]


@pytest.mark.parametrize("per_day", [1, 2, 6, 24])
def test_habitual_bursts_look_back_only(per_day):
    rng = np.random.default_rng(6)
    values = pd.Series(rng.exponential(1.0, 12 * per_day), index=times(12, per_day))
    whole = habitual_bursts(bins_of(values), 14)
    for cut in range(1, len(values)):
        assert (habitual_bursts(bins_of(values.iloc[:cut]), 14) == whole[:cut]).all()
