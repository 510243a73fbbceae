"""The pieces of a forecast: the plain methods against textbooks, patterns, and what makes a total uncertain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.forecasting import forecast_series
from asahi_analytics.forecasting.festive import FURTHER, LIKELY, festive_effects
from asahi_analytics.forecasting.outlook import GaussianOutlook
from asahi_analytics.forecasting.pattern import (
    Pattern,
    believed,
    closed_phases,
    lost,
    pattern_of,
    spikes,
    swings,
)
from asahi_analytics.forecasting.posterior import joined
from asahi_analytics.forecasting.simple import EMA_SPAN, ema, linear
from asahi_analytics.forecasting.sparse import EndedOutlook
from asahi_analytics.forecasting.structural import DAILY, LogOutlook, Options, structural
from asahi_analytics.forecasting.trend import trend_of
from support.daily_spend import series, weekly


# The plain methods ------------------------------------------------------------------------------------------
def test_ema_is_the_textbook_average() -> None:
    values = weekly(40)
    expected = pd.Series(values).ewm(span=EMA_SPAN, adjust=False).mean()
    outlook = ema(values, 7)
    assert outlook.centre == pytest.approx(np.full(7, expected.iloc[-1]))
    errors = values[1:] - expected.to_numpy()[:-1]
    alpha = 2 / (EMA_SPAN + 1)
    assert np.diag(outlook.covariance) == pytest.approx(
        np.full(7, np.mean(errors**2) * (1 + alpha / (2 - alpha)))
    )
    assert ema(np.insert(values, 10, np.nan), 7).centre == pytest.approx(outlook.centre)


def test_linear_is_the_textbook_prediction_interval() -> None:
    days, values = np.arange(40.0), weekly(40)
    slope, start = np.polyfit(days, values, 1)
    outlook = linear(values, 5)
    ahead = np.arange(40.0, 45.0)
    assert outlook.centre == pytest.approx(start + slope * ahead)
    variance = np.sum((values - start - slope * days) ** 2) / 38
    leverage = 1 + 1 / 40 + (ahead - days.mean()) ** 2 / np.sum((days - days.mean()) ** 2)
    assert np.diag(outlook.covariance) == pytest.approx(variance * leverage)


def test_a_line_through_missing_days_keeps_their_place() -> None:
    values = np.array([1.0, np.nan, 3.0, 4.0, np.nan])
    assert linear(values, 2).centre == pytest.approx([6.0, 7.0])


def test_normal_totals_are_cut_off_at_zero() -> None:
    outlook = GaussianOutlook(np.array([1.0, -1.0]), np.eye(2))
    assert outlook.total([0.001])[0] == 0.0
    assert outlook.total([0.5])[0] == pytest.approx(1.0)
    assert outlook.exceeds(1.0) == pytest.approx(0.5)
    assert GaussianOutlook(np.array([2.0]), np.zeros((1, 1))).exceeds(1.0) == 1.0


# Pieces -----------------------------------------------------------------------------------------------------
def test_a_stopped_series_asks_the_active_one_only_beyond_its_chance() -> None:
    active = GaussianOutlook(np.array([10.0]), np.eye(1))
    ended = EndedOutlook(1, active, resumes=0.1)
    assert ended.total([0.5, 0.95])[1] == pytest.approx(active.total([0.5])[0])
    assert ended.steps([0.5, 0.95])[:, 0] == pytest.approx([0.0, 10.0])
    assert ended.exceeds(10.0) == pytest.approx(0.05)


def test_single_values_are_held_within_reach_of_their_pattern() -> None:
    values = weekly(60)
    values[[20, 40]] = [1e9, 0.0]
    held = np.exp(pattern_of(values, np.arange(60), 7, DAILY.floor, DAILY.clip).held)
    assert held[20] < 500.0
    assert held[40] > 10.0
    others = np.delete(np.arange(60), [20, 40])
    assert held[others] == pytest.approx(values[others], rel=0.35)
    assert lost(values, np.log(held), np.inf) == pytest.approx(
        np.log((values[others].sum() + np.e * held[20]) / held.sum()), abs=0.01
    )
    assert spikes(values, np.log(held)) == pytest.approx((3.0**2 + 1.0) / 60, rel=0.2)


def test_a_quiet_weekday_keeps_its_own_pattern() -> None:
    quiet = np.tile([100.0, 101.0, 99.0, 100.0, 102.0, 60.0, 35.0], 9)
    pattern = pattern_of(quiet, np.arange(63), 7, DAILY.floor, DAILY.clip)
    assert np.exp(pattern.held) == pytest.approx(quiet, rel=0.01)
    assert np.exp(pattern.season[6] - pattern.season[0]) == pytest.approx(0.35, rel=0.02)
    assert pattern.usual(56) == pytest.approx(np.log(100.0), abs=0.02)


@pytest.mark.parametrize(
    ("sundays", "others", "expected"),
    [
        ([0.0] * 8, 100.0, True),
        ([100.0, 100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 100.0, True),
        ([100.0, 100.0, 100.0, 0.0, 0.0, 0.0, 0.0, 0.0], 100.0, False),
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0, 0.0], 100.0, False),
        ([1.0] * 8, 100.0, True),
        ([1.1] * 8, 100.0, False),
        ([np.nan] * 5 + [0.0] * 3, 100.0, True),
        ([np.nan] * 6 + [0.0] * 2, 100.0, False),
    ],
)
def test_both_sides_of_a_closed_weekday(sundays: list[float], others: float, expected: bool) -> None:
    values = np.full(56, others)
    values[6::7] = sundays
    assert closed_phases(values, 7).tolist() == [False] * 6 + [expected]


@pytest.mark.parametrize(("pauses", "expected"), [(21, True), (22, False)])
def test_a_series_that_spends_now_and_then_has_no_closed_days(pauses: int, expected: bool) -> None:
    values = np.full((8, 7), 100.0)
    values[:, 6] = 0.0
    values[:, :6][np.unravel_index(np.linspace(0, 46, pauses).astype(int), (8, 6))] = 0.0
    assert closed_phases(values.ravel(), 7).any() == expected


def test_days_of_the_last_week_lie_apart_by_their_means() -> None:
    levels = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 2)
    pattern = Pattern(levels + np.tile([0.3, -0.3], 7), np.array([0.3, -0.3]), np.arange(14) % 2)
    times = np.arange(-14, 0)
    assert pattern.days_apart(times, 5) == pytest.approx([-3.0, -3.0, -2.0, -2.0, -1.0])
    assert pattern.days_apart(times, 16)[14:] == pytest.approx([-3.0, -3.0])


def test_days_of_a_week_that_was_not_seen_do_not_lie_apart() -> None:
    young = Pattern(np.arange(6.0), np.zeros(2), np.arange(6) % 2)
    assert young.days_apart(np.arange(-6, 0), 3).tolist() == [0.0] * 3
    assert young.days_apart(np.arange(-30, -24), 3).tolist() == [0.0] * 3
    gap = young.days_apart(np.array([-14, -13, -12, -11, -2, -1]), 14)
    assert gap == pytest.approx([-2.0, -2.0, 0.0, 0.0] + [0.0] * 8 + [2.0, 2.0])


def test_values_are_believed_up_to_what_nine_in_ten_stay_below() -> None:
    held = np.zeros(20)
    regular = np.concatenate([np.ones(19), [1e6]])
    assert believed(regular, held).tolist() == pytest.approx([1.0] * 19 + [np.e])
    now_and_then = np.concatenate([np.zeros(16), [50.0, 60.0, 50.0, 60.0]])
    assert believed(now_and_then, held).tolist() == now_and_then.tolist()


def total_after(values: np.ndarray, options: Options) -> float:
    return float(structural(values, options, np.zeros(30, dtype=bool)).total([0.5])[0])


def test_a_level_that_left_is_drawn_back_to_that_of_the_last_weeks() -> None:
    lately_low = weekly(90) * np.where(np.arange(90) >= 83, 0.6, 1.0)
    free, drawn, limited = (
        total_after(lately_low, replace(DAILY, pull=pull, reach=reach))
        for pull, reach in ((0.0, 1.0), (0.5, 1.0), (0.5, 0.01))
    )
    mean_of_four_weeks = 30 * lately_low[-28:].mean()
    assert 1.02 * free < drawn < mean_of_four_weeks
    assert free < limited < 1.006 * free


def test_a_series_that_surely_grows_is_not_drawn_back() -> None:
    growing = weekly(90, growth=0.04, noise=0.03)
    free, drawn = (total_after(growing, replace(DAILY, pull=pull)) for pull in (0.0, 0.5))
    assert drawn == pytest.approx(free, rel=1e-3)


def test_leaving_the_usual_level_and_few_values_widen_the_total() -> None:
    outlook = forecast_series(series(weekly(90)), 30).outlook
    assert isinstance(outlook, LogOutlook)
    location = outlook.mixture.weight @ outlook.mixture.location
    at_home = replace(outlook, usual=location).total([0.1, 0.5, 0.9])
    away = replace(outlook, usual=location - 0.5).total([0.1, 0.5, 0.9])
    scarce = replace(outlook, usual=location, scarce=2.0).total([0.1, 0.5, 0.9])
    assert away[1] == pytest.approx(at_home[1], rel=0.03)
    assert np.log(away[2] / away[0]) > 1.2 * np.log(at_home[2] / at_home[0])
    assert np.log(scarce[2] / scarce[0]) > 1.2 * np.log(at_home[2] / at_home[0])


def test_what_is_rare_lowers_a_total_more_often_than_it_raises_it() -> None:
    outlook = structural(weekly(90), replace(DAILY, shifts_before=None), np.zeros(30, dtype=bool))
    low, middle, high = outlook.total([0.005, 0.5, 0.995])
    assert np.log(middle / low) > 1.1 * np.log(high / middle)


def test_what_holding_changed_long_ago_counts_less() -> None:
    held = np.zeros(40)
    early, late = np.ones(40), np.ones(40)
    early[:10] = late[-10:] = 0.0
    assert lost(early, held, np.inf) == pytest.approx(lost(late, held, np.inf))
    assert lost(early, held, 10.0) == pytest.approx(np.log(1.0 - 1.0 / 15.0), abs=0.005)
    assert lost(late, held, 10.0) < -0.7


def tail_weight(quantiles: np.ndarray) -> np.ndarray:
    """How much wider the middle 95 % are than the middle half: 2.9 for a normal distribution."""
    low, first, third, high = np.log(quantiles)
    return np.asarray((high - low) / (third - first))


def test_a_forecast_that_may_be_more_and_less_uncertain_has_heavier_tails() -> None:
    plain = forecast_series(series(weekly(90)), 30).outlook
    assert isinstance(plain, LogOutlook)
    outlook = replace(plain, options=replace(DAILY, vary=2.0))
    asked = [0.025, 0.25, 0.75, 0.975]
    assert tail_weight(outlook.total(asked)) > 1.05 * tail_weight(plain.total(asked))
    assert (tail_weight(outlook.steps(asked)) > 1.05 * tail_weight(plain.steps(asked))).all()


# How much seasons swing --------------------------------------------------------------------------------------
def naive_swings(sums: list[float]) -> float:
    """The same from the sums of whole weeks."""
    logs = np.log(np.array(sums) + 0.05 * np.mean(sums))
    missed = [logs[i] - np.mean(logs[max(0, i - 3) : i]) for i in range(2, len(logs))]
    return float(np.sqrt(np.var(missed) + 0.5 * np.mean(missed) ** 2))


def test_weeks_swing_by_what_they_lie_from_those_before() -> None:
    sums = [100.0, 80.0, 150.0, 90.0, 200.0, 70.0, 110.0]
    values = np.concatenate([[1e6] * 3, np.repeat(sums, 7) / 7])
    assert swings(values, 7) == pytest.approx(naive_swings(sums))
    values[[5, 20]] = np.nan
    assert swings(values, 7) == pytest.approx(naive_swings(sums))
    assert swings(np.tile(weekly(7), 8), 7) == pytest.approx(0.0, abs=1e-9)


def test_a_steady_change_counts_half() -> None:
    growing = 100.0 * np.repeat(np.exp(0.1 * np.arange(40)), 7)
    lately = swings(growing[-7 * 12 :], 7)
    assert lately is not None
    assert lately == pytest.approx(0.2 / np.sqrt(2.0), rel=0.1)


@pytest.mark.parametrize(
    ("values", "known"),
    [
        (weekly(42), True),
        (weekly(41), False),
        (np.concatenate([[np.nan] * 7, weekly(35)]), False),
        (np.concatenate([[np.nan] * 7, weekly(42)]), True),
        (np.concatenate([[5.0], np.zeros(42)]), False),
    ],
)
def test_both_sides_of_too_few_seasons(values: np.ndarray, known: bool) -> None:
    assert (swings(values, 7) is not None) == known


def relative_width(values: np.ndarray, trust: float) -> float:
    """How wide the total's middle 80 % are, in logs."""
    options = replace(DAILY, trust_swings=trust)
    low, high = structural(values, options, np.zeros(30, dtype=bool)).total([0.1, 0.9])
    return float(np.log(high / low))


def test_a_history_whose_weeks_swing_has_wider_totals_and_a_calm_one_narrower() -> None:
    calm = weekly(90, noise=0.1)
    restless = calm * np.exp(np.repeat(np.tile([0.6, -0.6], 7), 7)[:90])
    assert relative_width(calm, 0.3) < 0.99 * relative_width(calm, 0.0)
    assert relative_width(restless, 0.3) > 1.05 * relative_width(restless, 0.0)


def test_one_huge_day_does_not_make_weeks_swing() -> None:
    values = weekly(90)
    values[60] *= 1e6
    assert relative_width(values, 0.3) < 1.2 * relative_width(values, 0.0)


# The last weeks ---------------------------------------------------------------------------------------------
def changed_weekdays(days: int) -> np.ndarray:
    """Dollars that come on other weekdays in the last six weeks than before."""
    before, after = weekly(days, noise=0.05), np.roll(weekly(days + 3, noise=0.05), 3)[:days]
    return np.where(np.arange(days) >= days - 42, after, before)


def test_what_the_last_weeks_say_alone_counts_as_much_as_it_is_trusted() -> None:
    values = changed_weekdays(130)
    expected = np.roll(weekly(163), 3)[130:160]
    errors = []
    for trust in (0.0, 0.5, 1.0):
        outlook = structural(values, replace(DAILY, trust_lately=trust), np.zeros(30, dtype=bool))
        errors.append(np.abs(np.log(outlook.steps([0.5])[0] / expected)).mean())
    assert errors[0] > 1.02 * errors[1]
    assert errors[1] > 1.02 * errors[2]


@pytest.mark.parametrize("values", [changed_weekdays(58), np.where(np.arange(90) % 2, np.nan, weekly(90))])
def test_the_last_weeks_are_not_looked_at_alone_where_they_are_all_or_few(values) -> None:
    ahead = np.zeros(30, dtype=bool)
    one, other = (structural(values, replace(DAILY, trust_lately=trust), ahead) for trust in (0.0, 1.0))
    assert one.total([0.1, 0.9]).tolist() == other.total([0.1, 0.9]).tolist()


def test_mixtures_are_joined_by_weight() -> None:
    first, second = (
        forecast_series(series(weekly(50, seed=seed)), 9).outlook.mixture  # type: ignore[attr-defined]  (a LogOutlook)
        for seed in (1, 2)
    )
    both = joined(first, second, 0.25)
    assert both.weight.sum() == pytest.approx(1.0)
    share = np.full(9, 1 / 9)
    for of in (
        lambda m: m.location,
        lambda m: m.own,
        lambda m: m.variance(share),
        lambda m: m.moving(0.0)[0],
        lambda m: m.step,
    ):
        expected = 0.75 * np.dot(first.weight, of(first)) if np.ndim(of(first)) else 0.75 * of(first)
        expected = expected + (
            0.25 * np.dot(second.weight, of(second)) if np.ndim(of(second)) else 0.25 * of(second)
        )
        found = np.dot(both.weight, of(both)) if np.ndim(of(both)) else of(both)
        assert found == pytest.approx(expected)


def test_growth_is_judged_from_the_whole_history() -> None:
    trends = []
    for trust in (0.0, 1.0):
        options = replace(DAILY, trust_lately=trust)
        outlook = structural(weekly(120, growth=0.01, noise=0.03), options, np.zeros(30, dtype=bool))
        trends.append(trend_of(outlook))
    assert trends[0] == trends[1]
    assert trends[0].direction == "increasing"


# Festive days -----------------------------------------------------------------------------------------------
def test_a_festive_day_is_as_any_other_as_the_quietest_or_less_and_ordinary_days_stay() -> None:
    effects = festive_effects(np.array([False, True]), np.array([-0.3, -0.3]))
    assert effects.effects[:, 0].tolist() == [0.0, 0.0, 0.0]
    assert effects.effects[:, 1].tolist() == pytest.approx([0.0, -0.3, -0.3 + FURTHER[2]])
    assert effects.spread[0] == 0.0
    draws = np.random.default_rng(0).choice(effects.effects[:, 1], 20_000, p=LIKELY)
    assert effects.mean[1] == pytest.approx(draws.mean(), abs=0.01)
    assert effects.spread[1] == pytest.approx(draws.std(), abs=0.01)


# Days of nothing --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("history", [8, 90])
def test_days_of_a_series_that_often_spends_nothing_may_be_zero(history: int) -> None:
    held = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = np.where(rng.random(history + 28) < 0.5, rng.lognormal(3.0, 0.8, history + 28), 0.0)
        forecast = forecast_series(series(values[:history]), 28)
        held.append(np.mean((forecast.low <= values[history:]) & (values[history:] <= forecast.high)))
    assert np.mean(held) > 0.92


def test_only_the_lower_ends_of_days_that_may_be_nothing_are_zero() -> None:
    outlook = structural(weekly(60), DAILY, np.zeros(7, dtype=bool))
    steady, halting = (replace(outlook, idle=idle).steps([0.1, 0.4, 0.5]) for idle in (0.0, 0.2))
    assert (steady[0] > 0.0).all()
    assert (halting[0] == 0.0).all()
    assert halting[1:] == pytest.approx(steady[1:])
    mostly_nothing = replace(outlook, idle=0.9).steps([0.4, 0.5])
    assert (mostly_nothing[0] == 0.0).all()
    assert mostly_nothing[1] == pytest.approx(steady[2])


def test_a_total_is_nothing_as_likely_as_all_of_its_days_are() -> None:
    steady = structural(weekly(60), DAILY, np.zeros(7, dtype=bool))
    halting = replace(steady, idle=0.6)
    assert halting.total([0.59, 0.61], [1.0]) == pytest.approx(steady.total([0.59, 0.61], [1.0]))
    assert halting.total([0.49, 0.5], [1.0]) == pytest.approx([0.0, steady.total([0.5], [1.0])[0]])
    assert halting.exceeds(1e-9, [1.0]) == pytest.approx(0.5)
    week = halting.total([0.027, 0.029])
    assert week == pytest.approx([0.0, steady.total([0.029])[0]])
    assert halting.exceeds(1e-9) == pytest.approx(1.0 - 0.6**7)
    assert halting.exceeds(float(week[1])) == pytest.approx(1.0 - 0.029, abs=0.001)
