"""Zeros at the end of a series: has it ended, or is that one of its gaps?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asahi_analytics.composer import Gap, Trust
from asahi_analytics.forecasting import ForecastingModel, forecast_series
from asahi_analytics.forecasting.ended import (
    LASTING_DAYS,
    NO_SILENCE,
    PARTS,
    TAIL,
    UNSEEN,
    Silence,
    silence_of,
)
from support.daily_composer import DailyComposer, LedgerEngine, hourly
from support.daily_spend import series, weekly


def silence(values, festive=()) -> Silence:
    values = np.asarray(values, dtype=float)
    quiet = np.zeros(len(values), dtype=bool)
    quiet[list(festive)] = True
    return silence_of(values, quiet, quiet, 7)


def of_gaps(gaps, silent: int) -> np.ndarray:
    """Spend on days so many apart, then ``silent`` zeros."""
    values = np.zeros(sum(gaps) + 1 + silent)
    values[np.cumsum([0, *gaps])] = 10.0
    return values


def naive_ended(gaps, silent: int) -> float:
    """The posterior by the sums as they are written down."""
    median = float(np.median(gaps)) if len(gaps) else 1.0

    def believed(length: int) -> float:
        return (1.0 + (2.0 ** (1.0 / TAIL) - 1.0) * length / median) ** -TAIL

    longer = [
        (sum(gap > length for gap in gaps) + UNSEEN * believed(length)) / (len(gaps) + UNSEEN)
        for length in range(silent + 1)
    ]
    hazard = 1.0 / (LASTING_DAYS + PARTS * (sum(gaps) + 1))
    ended = sum(hazard * longer[step - 1] for step in range(1, silent + 1))
    return ended / (ended + longer[-1])


@pytest.mark.parametrize("gaps", [[], [1] * 80, [7] * 12, [30, 31, 30], [1, 4, 2, 9, 1, 1, 3, 2]])
@pytest.mark.parametrize("silent", [0, 1, 6, 7, 13, 40])
def test_the_posterior_is_that_of_a_naive_twin(gaps, silent: int) -> None:
    found = silence(of_gaps(gaps, silent))
    assert found.ended == pytest.approx(naive_ended(gaps, silent))
    assert found.count == silent
    assert found.new == (silent > max(gaps, default=1) - 1)


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(0, 60))
def test_the_longer_the_silence_the_likelier_an_end(gaps, silent: int) -> None:
    shorter, longer = (silence(of_gaps(gaps, count)).ended for count in (silent, silent + 1))
    assert 0.0 <= shorter < longer < 1.0


def test_a_series_that_spent_on_the_last_day_has_not_ended() -> None:
    assert silence(of_gaps([1, 5, 9], 0)) == NO_SILENCE


@pytest.mark.parametrize(
    ("gaps", "silent", "low", "high"),
    [
        ([1] * 90, 1, 0.1, 0.25),  # every day until yesterday: an outage, a holiday, or the end
        ([1] * 90, 4, 0.35, 0.5),  # Easter
        ([1] * 90, 7, 0.6, 0.75),
        ([1] * 90, 13, 0.8, 0.95),
        ([7] * 13, 6, 0.0, 0.1),  # a weekly job, on the eve of its next run, and after it did not come
        ([7] * 13, 8, 0.15, 0.35),
        ([30, 31, 30], 28, 0.0, 0.35),  # a monthly one
        ([3, 1, 1, 5, 2, 4, 1, 6, 2, 3, 1, 8, 2], 5, 0.0, 0.25),  # now and then
        ([], 10, 0.7, 0.9),  # tried on a single day
    ],
)
def test_a_silence_says_as_much_as_it_is_unlike_the_gaps_before(gaps, silent, low, high) -> None:
    assert low < silence(of_gaps(gaps, silent)).ended < high


def test_closed_weekends_and_festive_days_are_no_silence() -> None:
    office = np.tile([10.0] * 5 + [0.0] * 2, 12)
    assert silence(office).ended == 0.0
    assert silence(np.append(office, 0.0)).ended > 0.1
    assert silence(np.append(office, 0.0), festive=[len(office)]).ended == 0.0


@pytest.mark.parametrize("pause", range(1, 5))
def test_the_first_pause_of_a_long_week_end_is_not_taken_for_the_end(pause: int) -> None:
    values = weekly(90)
    values[-pause:] = 0.0
    forecast, before = forecast_series(series(values), 30), weekly(90)[:30].sum()
    assert forecast.total > 0.75 * before
    assert forecast.total_high < 1.5 * before


@pytest.mark.parametrize("days", [3, 6, 10])
def test_a_pause_over_christmas_and_new_year_is_not_taken_for_the_end(days: int) -> None:
    values = weekly(90)
    values[-days:] = 0.0
    end = pd.Timestamp("2026-12-24", tz="UTC") + (days - 1) * pd.Timedelta(days=1)
    forecast = forecast_series(pd.Series(values, pd.date_range(end=end, periods=90)), 30)
    assert forecast.silence.ended < 0.25
    assert forecast.total > 0.6 * weekly(90)[:30].sum()


def test_a_festive_day_at_the_end_is_no_pause_that_is_left_out() -> None:
    """Its zero is held like any outlier's; with one of the working days that follow it is a pause."""
    values = weekly(90)
    values[-2:] = 0.0
    assert not silence(np.append(weekly(89), 0.0), [89]).new
    assert silence(values, [88]).new


@pytest.mark.parametrize("silent", [1, 2, 3, 4, 7, 10])
def test_hours_have_ended_as_likely_as_days(silent: int) -> None:
    """They know as little of holidays and outages, though they hold 24 times as many values."""
    days, hours = np.full(61, 10.0), np.full(61 * 24, 10.0)
    days[-silent:] = hours[-silent * 24 :] = 0.0
    none = np.zeros(len(hours), dtype=bool)
    of_hours = silence_of(hours, none, none, 168, 24)
    assert of_hours.ended == pytest.approx(silence(days).ended, abs=0.05)


def test_a_gap_in_the_data_is_neither_silence_nor_spend() -> None:
    values = of_gaps([1] * 60, 5)
    assert silence(np.append(values, [np.nan] * 9)) == silence(values)
    assert silence(np.append(of_gaps([1] * 60, 0), [np.nan] * 9)) == NO_SILENCE


@pytest.mark.parametrize(("silent", "stopped"), [(3, False), (4, False), (5, True), (13, True)])
def test_a_model_that_is_switched_off_is_forecast_as_nothing_within_days(silent: int, stopped: bool) -> None:
    values = weekly(90)
    values[-silent:] = 0.0
    forecast = forecast_series(series(values), 30)
    assert forecast.method.startswith("stopped") == stopped
    assert (forecast.total == 0.0) == stopped
    assert forecast.total_low == 0.0
    assert 0.5 < forecast.total_high / weekly(90)[:30].sum() < 1.5
    assert forecast.silence.ended == pytest.approx(silence(values).ended)


def test_days_after_a_silence_keep_their_weekday() -> None:
    """Weekends are a tenth: with the two days off left out of the calendar, Saturday's forecast would be Thursday's."""
    days = pd.date_range("2026-01-05", periods=91, tz="UTC")
    values = np.where(days.day_of_week > 4, 10.0, 100.0)
    values[-2:] = 0.0  # it last spent on a Friday
    values[-2 - 7] = values[-1 - 7] = 10.0
    forecast = forecast_series(pd.Series(values, days), 7)
    weekend = forecast.index.day_of_week > 4
    assert forecast.mean[weekend].max() < 0.5 * forecast.mean[~weekend].min()


def test_an_end_that_is_unlikely_leaves_the_method_its_name_and_a_possible_one_is_named() -> None:
    values = np.zeros(85)
    values[::7] = 10.0
    assert forecast_series(series(values[:82]), 30).method == "structural average"
    assert (
        "structural average, or stopped: the last 10 values are zero"
        in forecast_series(series(np.append(values, np.zeros(10))), 30).method
    )


@pytest.mark.parametrize("left", [0.05, 0.01, 0.001])
def test_a_level_that_has_fallen_far_for_a_week_is_seen(left: float) -> None:
    """Stragglers after a migration: they are not taken for a third of what was spent before."""
    values = weekly(90)
    values[-10:] *= left
    forecast = forecast_series(series(values), 30)
    before = weekly(90)[:30].sum()
    assert 0.5 * left * before < forecast.total < (left + 0.03) * before
    assert forecast.total_high < 0.5 * before  # it may come back, as it went


# What the owner of a budget is told --------------------------------------------------------------------------
NOW = datetime(2026, 6, 20, 9, tzinfo=UTC)


def migrated(ago: int, trust: Trust | None = None) -> ForecastingModel:
    """A hundred dollars a day that moved from the old model to the new one ``ago`` whole days ago, and 40 beside."""
    days = np.arange(122)
    spend = weekly(122, noise=0.05)
    moved = days >= 120 - ago
    columns = {"old": spend * ~moved, "new": spend * moved, "beside": 0.4 * weekly(122, seed=1, noise=0.05)}
    start = NOW.replace(hour=0) - timedelta(days=120)
    composer = DailyComposer({"cost_dollars": hourly(start, columns)}, trust or Trust())
    return ForecastingModel(LedgerEngine(composer, NOW))


def test_the_budget_of_a_model_that_was_switched_off_is_no_risk_for_long() -> None:
    risk = migrated(6).detect_budget_risk(1600, group_by="model", name="old")
    assert risk.spent < 1600 < risk.spent + 0.8 * 100 * 11
    assert risk.forecast_total == risk.forecast_low == risk.spent
    assert 0.0 < risk.overrun_probability < 0.45
    assert "Nothing was spent on the last 6 days; that it has ended is 60 % likely." in risk.warning
    assert risk.method == "stopped: the last 6 values are zero (60 % likely)"
    risk = migrated(13).detect_budget_risk(1600, group_by="model", name="old")
    assert (risk.overrun_probability < 0.1, risk.status) == (True, "on_track")


def test_the_forecast_of_a_model_that_was_switched_off_says_what_it_rests_on() -> None:
    answer = migrated(1).predict_cost(30, group_by="model", name="old")
    assert answer.warning == "Nothing was spent on the last day; that it has ended is 19 % likely."
    assert answer.predicted_cost > answer.confidence_low == 0.0
    assert migrated(1).predict_cost(30, group_by="model", name="beside").warning is None


@pytest.mark.parametrize(("today", "back"), [(0.0, False), (0.5, False), (100.0, True)])
def test_what_spends_again_today_has_not_ended_and_a_stray_request_changes_nothing(today, back) -> None:
    spend = np.concatenate([weekly(114), np.zeros(6), [today] * 2])
    columns = {"old": spend, "beside": weekly(122, seed=1)}
    start = NOW.replace(hour=0) - timedelta(days=120)
    model = ForecastingModel(LedgerEngine(DailyComposer({"cost_dollars": hourly(start, columns)}), NOW))
    answer, whole = (
        model.predict_cost(30, group_by="model", name="old"),
        model.predict_cost(30, group_by="model"),
    )
    risk = model.detect_budget_risk(1600, group_by="model", name="old")
    for method in (answer.method, whole.breakdown["old"].method, risk.method):
        assert method.startswith("structural" if back else "stopped")
    assert (answer.warning is None) == (risk.warning is None) == back
    assert (answer.predicted_cost > 1500) == (risk.overrun_probability > 0.9) == back


@pytest.mark.parametrize("ago", [5, 8, 13, 25])
def test_what_moved_from_model_to_model_is_forecast_once(ago: int) -> None:
    answer = migrated(ago).predict_cost(30, group_by="model")
    models = sum(each.predicted_cost for each in answer.breakdown.values())
    assert models == pytest.approx(answer.predicted_cost, rel=0.1)


def test_days_that_were_not_scraped_are_no_end() -> None:
    gap = Gap(start=NOW - timedelta(days=6), end=NOW.replace(hour=0))
    answer = migrated(3, Trust(gaps=[gap])).predict_cost(30, group_by="model", name="old")
    assert answer.method == "structural average"
    assert answer.predicted_cost > 1500
