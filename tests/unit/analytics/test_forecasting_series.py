"""``forecast_series``: what it promises for any history, and what it says about the awkward ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asahi_analytics.errors import NotEnoughData, UserInputError
from asahi_analytics.forecasting import METHODS, BadInput, SeriesForecast, TooShort, forecast_series
from support.daily_spend import WEEK, series, weekly


def assert_promises(forecast: SeriesForecast, horizon: int) -> None:
    for path in (forecast.mean, forecast.low, forecast.high):
        assert path.shape == (horizon,)
        assert np.isfinite(path).all()
    assert (forecast.low >= 0).all()
    assert (forecast.low <= forecast.mean).all()
    assert (forecast.mean <= forecast.high).all()
    assert 0 <= forecast.total_low <= forecast.total <= forecast.total_high < np.inf
    assert forecast.mean.sum() == pytest.approx(forecast.total, rel=0.02)
    assert forecast.method


spend = st.one_of(
    st.floats(0.0, 1e6),
    st.just(0.0),
    st.just(float("nan")),
    st.floats(1e-9, 1e-3),
    st.floats(1e9, 1e12),
)


@settings(max_examples=60)
@given(
    values=st.lists(spend, min_size=2, max_size=40),
    horizon=st.sampled_from([1, 7, 30]),
    method=st.sampled_from(METHODS),
    freq=st.sampled_from(["D", "h"]),
)
def test_any_history_keeps_the_promises_or_says_why_not(values, horizon, method, freq) -> None:
    history = series(values, freq)
    before = history.copy(deep=True)
    if np.isfinite(values).sum() < 2:
        with pytest.raises(TooShort, match="at least 2 finite values"):
            forecast_series(history, horizon, method=method)
        return
    wide, narrow = (forecast_series(history, horizon, confidence, method) for confidence in (0.95, 0.5))
    assert_promises(wide, horizon)
    assert_promises(narrow, horizon)
    assert wide.total_low <= narrow.total_low
    assert narrow.total_high <= wide.total_high
    assert (wide.low <= narrow.low).all()
    assert (narrow.high <= wide.high).all()
    pd.testing.assert_series_equal(history, before)


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([1.0, 2.0, 3.0], "pandas Series"),
        (pd.Series([1.0, 2.0, 3.0]), "DatetimeIndex in UTC"),
        (pd.Series([1.0, 2.0], index=pd.date_range("2026-01-01", periods=2)), "time zone None"),
        (pd.Series([1.0, 2.0], index=pd.date_range("2026-01-01", periods=2, tz="Asia/Tokyo")), "Asia/Tokyo"),
        (pd.Series(["a", "b"], index=pd.date_range("2026-01-01", periods=2, tz="UTC")), "numbers"),
        (
            pd.Series([1.0, None], index=pd.date_range("2026-01-01", periods=2, tz="UTC"), dtype=object),
            "object",
        ),
        (
            pd.Series([1.0, 2j], index=pd.date_range("2026-01-01", periods=2, tz="UTC")),
            "got dtype complex128",
        ),
        (series([1.0, 1e300, 2.0]), r"within 1e\+150, got 1e\+300"),
        (series([1.0, np.inf, 2.0]), "1 infinite"),
        (series([1.0, -2.0, 2.0]), "negative values, the first -2"),
        (series([1.0, 2.0, 3.0, 4.0]).iloc[[0, 1, 3]], "regular index"),
        (series([1.0, 2.0, 3.0]).iloc[::-1], "in order"),
        (series([1.0, 2.0, 3.0], "7D"), "7 days"),
        (series([1.0, 2.0, 3.0], "15min"), "0 days 00:15:00"),
        (series([1.0, 2.0]).iloc[[0, 0]], "apart"),
    ],
)
def test_what_cannot_be_forecast_is_refused_with_a_reason(history, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        forecast_series(history, 7)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, UserInputError)


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, 1.0, np.nan]])
def test_fewer_than_two_values_are_too_few(values) -> None:
    with pytest.raises(TooShort, match=f"has {int(np.isfinite(values).sum())}") as caught:
        forecast_series(series(values), 7)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, NotEnoughData)


@pytest.mark.parametrize("horizon", [0, -1, 751, 1.5, "30", True, None])
def test_a_horizon_that_is_no_number_of_steps_is_refused(horizon) -> None:
    with pytest.raises(BadInput, match="horizon must be"):
        forecast_series(series(weekly(30)), horizon)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.1, 95, "0.9", True, float("nan")])
def test_a_confidence_outside_0_and_1_is_refused(confidence) -> None:
    with pytest.raises(BadInput, match="confidence must"):
        forecast_series(series(weekly(30)), 7, confidence)


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="auto, ema, linear"):
        forecast_series(series(weekly(30)), 7, method="prophet")


@pytest.mark.parametrize("dtype", ["int64", "float32", "Int64", "Float64"])
def test_any_numeric_dtype_will_do(dtype: str) -> None:
    values = series(np.round(weekly(30))).astype(dtype)
    assert forecast_series(values, 7).total == pytest.approx(
        forecast_series(values.astype(float), 7).total, rel=1e-6
    )


def test_the_steps_ahead_follow_the_history() -> None:
    assert forecast_series(series(weekly(30)), 3).index[0] == pd.Timestamp("2026-01-31", tz="UTC")
    hours = forecast_series(series(weekly(30), "h"), 3).index
    assert hours[0] == pd.Timestamp("2026-01-02 06:00", tz="UTC")


def test_weekdays_are_learnt() -> None:
    forecast = forecast_series(series(weekly(84)), 28)
    expected = 100.0 * WEEK[np.arange(84, 112) % 7]
    assert forecast.mean == pytest.approx(expected, rel=0.12)
    assert forecast.total == pytest.approx(expected.sum(), rel=0.04)


@pytest.mark.parametrize("growth", [0.04, -0.04])
def test_growth_and_decline_go_on(growth: float) -> None:
    history = weekly(90, growth=growth)
    expected = (100.0 * WEEK[np.arange(90, 120) % 7] * np.exp(growth * np.arange(90, 120) / 7)).sum()
    forecast = forecast_series(series(history), 30)
    assert forecast.total == pytest.approx(expected, rel=0.1)
    assert forecast.total_low < expected < forecast.total_high


def test_intervals_of_totals_hold_as_often_as_they_say() -> None:
    held_95 = held_80 = 0
    for seed in range(60):
        path = weekly(120, seed=seed, noise=0.25) * np.exp(
            np.cumsum(0.02 * np.random.default_rng(1000 + seed).normal(size=120))
        )
        actual = path[90:].sum()
        wide, narrow = (forecast_series(series(path[:90]), 30, confidence) for confidence in (0.95, 0.8))
        held_95 += wide.total_low <= actual <= wide.total_high
        held_80 += narrow.total_low <= actual <= narrow.total_high
    assert 53 <= held_95 <= 60
    assert 40 <= held_80 <= 57


def test_a_level_shift_is_followed() -> None:
    shifted = weekly(90)
    shifted[60:] *= 3.0
    forecast = forecast_series(series(shifted), 30)
    assert forecast.total == pytest.approx(3.0 * weekly(90)[60:].sum(), rel=0.1)


def test_closed_weekends_are_forecast_as_nothing_and_widen_nothing() -> None:
    whole = weekly(90, noise=0.05)
    closed = np.where(np.arange(90) % 7 >= 5, 0.0, whole)
    forecast = forecast_series(series(closed), 14)
    assert_promises(forecast, 14)
    weekend = np.arange(90, 104) % 7 >= 5
    assert (forecast.high[weekend] == 0.0).all()
    assert forecast.mean[~weekend] == pytest.approx(100.0 * WEEK[np.arange(90, 104) % 7][~weekend], rel=0.1)
    open_days = series(np.where(np.arange(90) % 7 >= 5, np.nan, whole))
    shares = list((~weekend).astype(float))
    low, high = forecast_series(open_days, 14).outlook.total([0.025, 0.975], shares)
    assert forecast.total_high - forecast.total_low == pytest.approx(high - low, rel=0.05)


def test_what_falls_on_closed_days_only_is_nothing() -> None:
    closed = np.where(np.arange(90) % 7 >= 5, 0.0, weekly(90))
    outlook = forecast_series(series(closed), 7).outlook
    weekend = [1.0 if (90 + step) % 7 >= 5 else 0.0 for step in range(7)]
    assert outlook.total([0.1, 0.9], weekend).tolist() == [0.0, 0.0]
    assert outlook.exceeds(0.0, weekend) == 0.0
    assert outlook.exceeds(-1.0, weekend) == 1.0
    assert outlook.exceeds(0.0) == 1.0


def test_missing_days_are_not_zeros() -> None:
    gap = weekly(90)
    gap[40:50] = np.nan
    lull = np.where(np.isnan(gap), 0.0, gap)
    whole, missing, zeros = (forecast_series(series(v), 30) for v in (weekly(90), gap, lull))
    assert missing.total == pytest.approx(whole.total, rel=0.03)
    assert (zeros.total_high - zeros.total_low) > 1.5 * (missing.total_high - missing.total_low)


def test_a_history_that_ends_in_a_gap_is_carried_over_it() -> None:
    gap = weekly(90)
    gap[-5:] = np.nan
    forecast = forecast_series(series(gap), 7)
    assert forecast.index[0] == pd.Timestamp("2026-04-01", tz="UTC")
    assert forecast.mean == pytest.approx(100.0 * WEEK[np.arange(90, 97) % 7], rel=0.15)


@pytest.mark.parametrize("day", [50, 89])
def test_one_huge_outlier_hardly_moves_the_forecast(day: int) -> None:
    odd = weekly(90)
    odd[day] = 1e6
    plain, forecast = forecast_series(series(weekly(90)), 30), forecast_series(series(odd), 30)
    assert forecast.total == pytest.approx(plain.total, rel=0.1)
    assert forecast.total_high > plain.total_high


def test_a_constant_history_goes_on_with_a_narrow_interval() -> None:
    forecast = forecast_series(series([5.0] * 40), 10)
    assert forecast.total == pytest.approx(50.0, rel=2e-3)
    assert 0.0 < forecast.total_high - forecast.total_low < 8.0


def test_scale_changes_nothing_but_the_scale() -> None:
    one, tiny = (forecast_series(series(weekly(60) * factor), 14) for factor in (1.0, 1e-9))
    assert tiny.total / 1e-9 == pytest.approx(one.total, rel=1e-9)
    assert tiny.high / 1e-9 == pytest.approx(one.high, rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 5, 7, 9])
def test_few_values_give_a_flat_level_a_wide_interval_and_say_so(count: int) -> None:
    forecast = forecast_series(series(weekly(count)), 30)
    assert f"only {count} values" in forecast.method
    assert forecast.mean == pytest.approx(np.full(30, forecast.mean[0]))
    assert forecast.total == pytest.approx(30 * weekly(count).mean(), rel=0.1)
    assert forecast.total_high / forecast.total_low > 2.5


@pytest.mark.parametrize(
    ("count", "freq", "method"),
    [(9, "D", "flat"), (10, "D", "structural"), (23, "h", "flat"), (24, "h", "structural")],
)
def test_both_sides_of_too_few_values(count: int, freq: str, method: str) -> None:
    assert forecast_series(series(weekly(count), freq), 7).method.startswith(method)


def test_intervals_narrow_as_values_come_in() -> None:
    ratios = [
        (forecast := forecast_series(series(weekly(count)), 30)).total_high / forecast.total_low
        for count in (3, 7, 28, 90)
    ]
    assert ratios == sorted(ratios, reverse=True)


def test_nothing_spent_means_nothing_to_come() -> None:
    forecast = forecast_series(series([0.0] * 40), 30)
    assert (forecast.total, forecast.total_low, forecast.total_high) == (0.0, 0.0, 0.0)
    assert forecast.method == "zero: nothing was ever spent"
    assert forecast.outlook.exceeds(0.0) == 0.0
    assert forecast.outlook.exceeds(-1.0) == 1.0


def test_zeros_before_the_first_spend_do_not_count() -> None:
    young = np.concatenate([np.zeros(80), weekly(12)])
    assert forecast_series(series(young), 7).total == pytest.approx(
        forecast_series(series(weekly(12), start="2026-03-22"), 7).total
    )
    assert "only 4 values" in forecast_series(series([0.0] * 30 + [9.0, 8.0, 9.0, 10.0]), 7).method


def test_a_series_that_stopped_is_expected_to_stay_so_yet_may_resume() -> None:
    ended = weekly(90)
    ended[76:] = 0.0
    forecast = forecast_series(series(ended), 30)
    assert forecast.total == 0.0
    assert 0.0 < forecast.total_high < 1.5 * weekly(90)[60:].sum()
    assert "stopped: the last 14 values are zero" in forecast.method
    assert forecast.outlook.exceeds(100.0) == pytest.approx(1.0 - forecast.silence.ended, rel=0.01)
    assert forecast_series(series(ended), 30, 0.7).total_high == 0.0


def test_a_series_that_fades_away_is_not_taken_back_to_its_old_level() -> None:
    fading = np.zeros(90)
    fading[:30] = weekly(30, noise=0.8)
    fading[[41, 43, 48, 54, 70]] = 5.0
    for days in (71, 76, 90):
        forecast = forecast_series(series(fading[:days]), 30)
        assert forecast.total < 0.25 * fading[:30].sum()
        assert forecast.total_high > 5.0 * forecast.total_low


def test_pauses_as_long_as_earlier_ones_are_no_end() -> None:
    now_and_then = np.tile(np.concatenate([np.full(3, 10.0), np.zeros(9)]), 7)
    forecast = forecast_series(series(now_and_then), 12)
    assert not forecast.method.startswith("stopped")
    assert forecast.total > 0.0
    assert forecast.total_high > 0.0


@pytest.mark.parametrize(
    ("values", "freq", "behind"),
    [
        ([5.0] * 10 + [np.nan] * 389, "D", "the last 180 days"),
        ([5.0] * 10 + [np.nan] * 389 + [0.0] * 3, "D", "the last 180 days"),
        ([0.0] * 100 + [5.0] * 3 + [0.0] * 717 + [5.0] * 3 + [0.0] * 340, "h", "the last 336 hours"),
    ],
)
def test_spend_that_lies_further_back_than_the_models_look_gives_a_flat_level(
    values: list[float], freq: str, behind: str
) -> None:
    forecast = forecast_series(series(values, freq), 30)
    assert forecast.method.startswith(f"flat: no spend is known of {behind}")
    assert_promises(forecast, 30)
    assert forecast.total_high > 1.5 * forecast.total
    assert forecast.total_high > 0


def test_hours_are_forecast_with_their_daily_pattern() -> None:
    hour = np.arange(24 * 10)
    shape = 1.0 + 0.8 * np.sin(2 * np.pi * hour / 24)
    values = 50.0 * shape * np.exp(0.05 * np.random.default_rng(2).normal(size=len(hour)))
    forecast = forecast_series(series(values[: 24 * 7], "h"), 72)
    assert_promises(forecast, 72)
    assert forecast.total == pytest.approx(values[24 * 7 :].sum(), rel=0.05)
    assert np.corrcoef(forecast.mean, shape[24 * 7 :])[0, 1] > 0.98


def test_hours_after_a_weekend_are_not_those_of_the_weekend() -> None:
    rng = np.random.default_rng(4)
    hour = np.arange(24 * 10)
    weekday = np.where((hour // 24) % 7 >= 5, 0.4, 1.0)
    values = (
        50.0 * weekday * (1.0 + 0.8 * np.sin(2 * np.pi * hour / 24)) * np.exp(0.05 * rng.normal(size=240))
    )
    forecast = forecast_series(series(values[:168], "h"), 72)
    actual = values[168:].sum()
    as_the_last_day = 3 * values[144:168].sum()
    assert forecast.total > 1.5 * as_the_last_day
    assert forecast.total_low < actual < forecast.total_high


def test_christmas_and_new_year_are_quieter_and_open_downwards_only() -> None:
    history = weekly(90)
    plain, december = (
        forecast_series(series(history, start=start), 21) for start in ("2026-01-01", "2026-09-16")
    )
    assert str(december.index[0].date()) == "2026-12-15"
    festive = np.isin(december.index.strftime("%m-%d"), ["12-24", "12-25", "12-26", "01-01"])
    assert festive.sum() == 4
    quietest = plain.mean[:7].min()
    assert december.mean[~festive] == pytest.approx(plain.mean[~festive], rel=0.02)
    assert (december.mean[festive] < 0.5 * (plain.mean[festive] + 1.02 * quietest)).all()
    assert (december.mean[festive] > 0.8 * quietest).all()
    assert (december.high[festive] < 1.02 * plain.high[festive]).all()
    assert (december.low[festive] < 0.7 * plain.low[festive]).all()
    assert december.total < plain.total
    assert december.total_high / december.total_low > plain.total_high / plain.total_low


def test_festive_days_of_a_shop_with_closed_days_are_quieter_than_its_open_days() -> None:
    open_days = np.where(np.arange(90) % 7 == 6, 0.0, weekly(90, noise=0.05))
    january, december = (
        forecast_series(series(open_days, start=start), 14) for start in ("2026-01-01", "2026-09-22")
    )
    christmas = int(np.flatnonzero(december.index.strftime("%m-%d") == "12-25")[0])
    assert december.mean[christmas] < 0.75 * january.mean[christmas]
    assert (december.mean[np.arange(90, 104) % 7 == 6] == 0.0).all()


def test_hours_know_no_christmas() -> None:
    january, christmas = (
        forecast_series(series(weekly(240), "h", start), 48) for start in ("2026-01-01", "2026-12-15")
    )
    assert str(christmas.index[0].date()) == "2026-12-25"
    assert christmas.mean == pytest.approx(january.mean)


def test_a_year_ahead_agrees_with_a_month_ahead_where_they_overlap() -> None:
    month, year = (forecast_series(series(weekly(90)), horizon).outlook for horizon in (30, 365))
    assert year.total([0.1, 0.5, 0.9], [1.0] * 30) == pytest.approx(month.total([0.1, 0.5, 0.9]), rel=1e-6)


def test_totals_of_shares_of_the_steps() -> None:
    outlook = forecast_series(series(weekly(90)), 10).outlook
    whole = outlook.total([0.1, 0.5, 0.9])
    assert outlook.total([0.1, 0.5, 0.9], [1.0] * 10) == pytest.approx(whole)
    assert outlook.total([0.5], [0.0] * 3 + [0.5])[0] == pytest.approx(50.0 * WEEK[93 % 7], rel=0.1)
    for probability, dollars in zip([0.1, 0.5, 0.9], whole, strict=True):
        assert outlook.exceeds(float(dollars)) == pytest.approx(1.0 - probability, abs=0.01)
    assert outlook.exceeds(0.0) == 1.0


@pytest.mark.parametrize("count", [18, 23, 60])
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_a_few_steps_after_values_now_and_then_are_not_thousands_of_times_what_was_ever_spent(
    count: int, horizon: int
) -> None:
    values = np.zeros(count)
    values[::7] = 100.0
    hours = pd.date_range("2026-03-02", periods=count, freq="h", tz="UTC")
    forecast = forecast_series(pd.Series(values, hours), horizon)
    assert forecast.total_high < 10.0 * 100.0 * horizon
