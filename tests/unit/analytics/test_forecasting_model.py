"""``ForecastingModel`` on ledgers: what it reads, what it leaves out and how it says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.composer import SEE_GAPS, Gap, Trust
from asahi_analytics.errors import NAMES_SHOWN, UnknownName, UserInputError
from asahi_analytics.forecasting import BadInput, ForecastingModel, forecast_series
from asahi_analytics.forecasting.backtest import LEAST_TRAINING, MAX_FOLDS, backtest
from asahi_analytics.forecasting.gaps import without_gaps
from asahi_analytics.forecasting.model import HISTORY_DAYS, MAX_GROUPS
from asahi_analytics.forecasting.ratio import forecast_ratio
from asahi_analytics.forecasting.risk import Plan
from asahi_analytics.forecasting.trend import trend_of
from support.daily_composer import DailyComposer, LedgerEngine, hourly

NOW = datetime(2026, 3, 5, 13, 40, tzinfo=UTC)
TODAY = datetime(2026, 3, 5, tzinfo=UTC)
DAY = timedelta(days=1)


def daily(days: int, level: float = 100.0, growth: float = 0.0, seed: int = 0) -> np.ndarray:
    day = np.arange(days)
    noise = np.random.default_rng(seed).normal(0.0, 0.1, days)
    return level * np.where(day % 7 < 5, 1.0, 0.6) * np.exp(growth * day / 7 + noise)


def model(
    columns: dict[str, np.ndarray], days: int = 90, trust: Trust | None = None, family: str = "cost_dollars"
):
    """A model whose ledger holds ``columns`` for the ``days`` up to yesterday, and half of today's."""
    frame = hourly(TODAY - days * DAY, columns)
    return ForecastingModel(LedgerEngine(DailyComposer({family: frame}, trust or Trust()), NOW))


def test_the_forecast_has_the_fields_of_its_contract_and_adds_up() -> None:
    answer = model({"m": daily(90)}).predict_cost(30, 0.95)
    assert answer.start == TODAY
    assert answer.end == TODAY + 30 * DAY
    assert answer.period == "30 days, today the first"
    assert answer.confidence_low < answer.predicted_cost < answer.confidence_high
    assert len(answer.days) == 30
    assert answer.days[0].timestamp == TODAY
    assert sum(day.mean for day in answer.days) == pytest.approx(answer.predicted_cost, rel=0.02)
    assert (answer.history_days, answer.history_coverage) == (90, 1.0)
    assert answer.method == "structural average"
    assert answer.trend == "stable"
    assert answer.warning is None
    assert answer.breakdown == {}


def test_the_forecast_is_that_of_the_daily_series() -> None:
    values = daily(90)
    series = pd.Series(values, index=pd.date_range(TODAY - 90 * DAY, periods=90, freq="D"))
    assert model({"m": values}).predict_cost(14).predicted_cost == pytest.approx(
        forecast_series(series, 14).total
    )


def test_todays_partial_day_is_no_lull() -> None:
    values = daily(91)
    values[-1] *= 0.02
    with_today, without = model({"m": values}), model({"m": values[:-1]})
    assert with_today.predict_cost().predicted_cost == pytest.approx(without.predict_cost().predicted_cost)


def test_the_whole_is_the_sum_of_the_parts() -> None:
    parts = {"a": daily(90, 100.0, seed=1), "b": daily(90, 20.0, seed=2)}
    total = model({"m": parts["a"] + parts["b"]}).predict_cost()
    grouped = model(parts).predict_cost(group_by="model")
    assert grouped.predicted_cost == pytest.approx(total.predicted_cost)
    assert list(grouped.breakdown) == ["a", "b"]
    assert sum(part.predicted_cost for part in grouped.breakdown.values()) == pytest.approx(
        grouped.predicted_cost, rel=0.1
    )


@pytest.mark.parametrize(
    ("group_by", "family"),
    [
        ("model", "cost_dollars"),
        ("task_type", "cost_dollars"),
        ("tier", "cost_dollars"),
        ("user", "user_cost_dollars"),
    ],
)
def test_one_name_is_forecast_alone(group_by: str, family: str) -> None:
    parts = {"a": daily(90, 100.0, seed=1), "b": daily(90, 20.0, seed=2)}
    answer = model(parts, family=family).predict_cost(30, 0.95, group_by, "b")
    alone = model({"b": parts["b"]}).predict_cost(30, 0.95)
    assert answer.predicted_cost == pytest.approx(alone.predicted_cost)
    assert (answer.group_by, answer.name, answer.breakdown) == (group_by, "b", {})


def test_a_name_that_nothing_was_counted_under_is_refused_with_the_names_there_are() -> None:
    made = model({"a": daily(90, 1.0), "b": daily(90, 5.0)})
    words = r"^name must be one of b, a \(models counted in the last 120 days\); got 'ghost'$"
    for ask in (
        lambda: made.predict_cost(group_by="model", name="ghost"),
        lambda: made.detect_budget_risk(100.0, group_by="model", name="ghost"),
    ):
        with pytest.raises(UnknownName, match=words) as refused:
            ask()
        assert (refused.value.parameter, refused.value.known) == ("name", ("b", "a"))


def test_a_name_that_was_counted_today_only_is_known_and_has_too_little_history() -> None:
    made = model({"a": daily(91), "b": np.concatenate([np.zeros(90), [7.0]])}, 90)
    answer = made.predict_cost(group_by="model", name="b")
    assert answer.predicted_cost is None
    assert "Too little history" in answer.warning


def test_where_nothing_at_all_was_counted_no_name_is_wrong() -> None:
    made = model({"a": np.zeros(90)})
    made.engine.composer.ledgers["cost_dollars"] = made.engine.composer.ledgers["cost_dollars"].drop(
        columns="a"
    )
    assert made.predict_cost(group_by="model", name="a").predicted_cost is None


def test_of_very_many_names_the_dearest_are_told() -> None:
    made = model({f"m{number:02}": daily(3, 1.0 + number) for number in range(NAMES_SHOWN + 2)}, 3)
    with pytest.raises(UnknownName, match=r"^name must be one of m31, m30, .*, m02 and 2 more \(") as refused:
        made.predict_cost(group_by="model", name="ghost")
    assert len(refused.value.known) == NAMES_SHOWN


def test_the_names_of_a_label_of_two_words_are_told_as_words() -> None:
    made = model({"chat": daily(3)}, 3)
    with pytest.raises(UnknownName, match=r"\(task types counted in the last 120 days\)"):
        made.predict_cost(group_by="task_type", name="ghost")


def test_of_a_name_under_which_nothing_was_counted_no_request_is_said_to_lack_a_price() -> None:
    made = model({"a": daily(90)}, trust=Trust(unpriced_ratio=0.2))
    (ghost,) = made.budget_risks([Plan("ghost", 5.0, "task_type", "ghost")])
    assert ghost.warning == "No cost of task type ghost was counted in 120 days: is its name right?"
    assert ghost.method == "none: nothing was spent"


def test_a_budget_of_the_file_for_a_name_that_was_never_counted_asks_whether_it_is_right() -> None:
    made = model({"a": daily(90)})
    ghost, known = made.budget_risks([Plan("ghost", 5.0, "model", "ghost"), Plan("a", 5.0, "model", "a")])
    assert ghost.warning == "No cost of model ghost was counted in 120 days: is its name right?"
    assert known.warning is None


def test_only_the_largest_groups_are_forecast() -> None:
    parts = {f"m{number:02}": daily(30, 10.0 + number) for number in range(MAX_GROUPS + 3)}
    breakdown = model(parts, 30).predict_cost(7, group_by="model").breakdown
    assert list(breakdown) == [f"m{number:02}" for number in range(MAX_GROUPS + 2, 2, -1)]


@pytest.mark.parametrize("days", [0, 1])
def test_no_history_is_no_forecast_and_no_made_up_number(days: int) -> None:
    answer = model({"m": np.concatenate([np.zeros(40 - days), daily(days)])}, 40).predict_cost()
    assert (answer.predicted_cost, answer.confidence_low, answer.confidence_high) == (None, None, None)
    assert answer.days == []
    assert answer.backtest.folds == 0
    assert answer.warning == f"Too little history: whole days with data: {days}; a forecast needs 2."


def test_a_few_days_give_a_wide_interval_and_a_warning() -> None:
    answer = model({"m": daily(4)}, 4).predict_cost()
    assert answer.method.startswith("flat: only 4 values")
    assert answer.confidence_high > 2.5 * answer.confidence_low
    assert "Only 4 whole days" in answer.warning
    assert answer.backtest.mape_pct is None


def test_a_horizon_beyond_the_history_is_warned_about() -> None:
    assert "far beyond the 20 days" in model({"m": daily(20)}, 20).predict_cost(60).warning


def test_unpriced_requests_are_mentioned() -> None:
    answer = model({"m": daily(90)}, trust=Trust(unpriced_ratio=0.034)).predict_cost()
    assert "3.4 % of requests had no price" in answer.warning
    assert answer.trust.unpriced_ratio == 0.034
    users = model({"m": daily(90)}, trust=Trust(unpriced_ratio=0.034), family="user_cost_dollars")
    of_one = users.predict_cost(group_by="user", name="m")
    assert "3.4 % of all requests had no price; those of user m among them are" in of_one.warning


def test_days_that_were_not_scraped_are_missing_not_zero() -> None:
    values = daily(90)
    lost = values.copy()
    lost[60:75] = 0.0
    start = TODAY - 90 * DAY
    gap = Gap(start=start + 60 * DAY, end=start + 75 * DAY)
    answer = model({"m": lost}, trust=Trust(gaps=[gap])).predict_cost()
    whole = model({"m": values}).predict_cost()
    assert answer.predicted_cost == pytest.approx(whole.predicted_cost, rel=0.05)
    assert answer.history_coverage == pytest.approx(75 / 90)
    assert "17 % of the days are missing" in answer.warning


@pytest.mark.parametrize(
    ("growth", "direction"), [(0.0, "stable"), (0.04, "increasing"), (-0.04, "decreasing")]
)
def test_trends_are_named_where_they_are(growth: float, direction: str) -> None:
    answer = model({"m": daily(90, growth=growth)}).predict_cost()
    assert answer.trend == direction
    assert answer.trend_pct_per_week == pytest.approx(100 * growth, abs=1.5)


def test_chance_is_seldom_taken_for_a_trend() -> None:
    named = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        drift = np.cumsum(rng.normal(0, 0.02, 90))
        series = pd.Series(
            100 * np.exp(drift + rng.normal(0, 0.2, 90)), pd.date_range(TODAY, periods=90, freq="D")
        )
        named += trend_of(forecast_series(series, 7).outlook).direction != "stable"
    assert named <= 4


@pytest.mark.parametrize("method", ["ema", "linear"])
def test_the_trend_of_a_history_is_the_same_whatever_method_forecasts_it(method: str) -> None:
    made = model({"m": daily(90, growth=0.04)})
    plain, auto = (made.predict_cost(group_by="model", method=each) for each in (method, "auto"))
    assert (plain.method, plain.trend) == (method, "increasing")
    assert plain.trend_pct_per_week == auto.trend_pct_per_week
    assert plain.breakdown["m"].trend == auto.breakdown["m"].trend == "increasing"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"horizon_days": 0}, "from 1 to 365, got 0"),
        ({"horizon_days": 366}, "got 366"),
        ({"horizon_days": 2.5}, "got 2.5"),
        ({"confidence": 1.0}, "strictly between 0 and 1"),
        ({"method": "magic"}, "auto, ema, linear"),
        ({"group_by": "planet"}, "model, task_type, tier, user"),
        ({"name": "gpt-4o"}, "name needs group_by"),
    ],
)
def test_wrong_questions_are_refused_before_anything_is_asked(arguments, words: str) -> None:
    forecasting = model({"m": daily(30)})
    with pytest.raises(UserInputError, match=words):
        forecasting.predict_cost(**arguments)
    assert forecasting.engine.composer.asked == []


def test_history_is_as_long_as_said() -> None:
    forecasting = model({"m": daily(200)}, 200)
    assert forecasting.predict_cost().history_days == HISTORY_DAYS
    forecasting = ForecastingModel(forecasting.engine, history_days=28)
    assert forecasting.predict_cost().history_days == 28


# Cache hit rate ---------------------------------------------------------------------------------------------
def cache_model(hits: np.ndarray, misses: np.ndarray) -> ForecastingModel:
    start = TODAY - len(hits) * DAY
    tier = {"1": 0.75, "2": 0.25}
    ledgers = {
        name: hourly(start, {key: values * share for key, share in tier.items()})
        for name, values in (("cache_hits", hits), ("cache_misses", misses))
    }
    return ForecastingModel(LedgerEngine(DailyComposer(ledgers), NOW))


def test_the_hit_rate_lies_where_it_was_with_an_interval() -> None:
    rng = np.random.default_rng(5)
    rate = 0.62 + rng.normal(0, 0.02, 60)
    answer = cache_model(1000 * rate, 1000 * (1 - rate)).predict_cache_hit_rate(14)
    assert answer.predicted_hit_rate == pytest.approx(0.62, abs=0.02)
    assert 0 < answer.confidence_low < answer.predicted_hit_rate < answer.confidence_high < 1
    assert answer.confidence_high - answer.confidence_low < 0.12
    assert (answer.history_days, answer.trend) == (60, "stable")
    narrow = cache_model(1000 * rate, 1000 * (1 - rate)).predict_cache_hit_rate(14, 0.5)
    assert answer.confidence_low < narrow.confidence_low < narrow.confidence_high < answer.confidence_high


def test_the_hit_rate_of_one_tier_is_asked_for_by_name() -> None:
    hits = np.full(30, 300.0)
    answer = cache_model(hits, np.full(30, 100.0)).predict_cache_hit_rate(7, tier="2")
    assert answer.tier == "2"
    assert answer.predicted_hit_rate == pytest.approx(0.75, abs=0.01)


def test_a_falling_hit_rate_is_called_so() -> None:
    rate = np.linspace(0.9, 0.4, 60)
    assert cache_model(1000 * rate, 1000 * (1 - rate)).predict_cache_hit_rate(7).trend == "decreasing"


@pytest.mark.parametrize("days", [0, 1])
def test_no_lookups_are_no_hit_rate(days: int) -> None:
    lookups = np.concatenate([np.zeros(30 - days), np.full(days, 50.0)])
    answer = cache_model(lookups, lookups).predict_cache_hit_rate()
    assert answer.predicted_hit_rate is None
    assert "Too little history" in answer.warning


def test_a_few_days_of_lookups_give_a_wide_interval() -> None:
    answer = cache_model(np.full(4, 60.0), np.full(4, 40.0)).predict_cache_hit_rate()
    assert answer.predicted_hit_rate == pytest.approx(0.6, abs=0.02)
    assert answer.method == "flat: only 4 days with look-ups"
    assert answer.confidence_high - answer.confidence_low > 0.2


def test_nothing_but_hits_stays_below_one() -> None:
    index = pd.date_range(TODAY, periods=30, freq="D")
    ratio = forecast_ratio(pd.Series(500.0, index), pd.Series(0.0, index), 7, 0.95)
    assert 0.99 < ratio.mean < 1.0
    assert ratio.high <= 1.0


# Back-test --------------------------------------------------------------------------------------------------
def test_the_back_test_makes_the_forecasts_that_would_have_been_made() -> None:
    values = daily(90)
    series = pd.Series(values, index=pd.date_range(TODAY - 90 * DAY, periods=90, freq="D"))
    found = backtest(series, 30, 0.95)
    assert (found.folds, found.horizon_days) == (MAX_FOLDS, 30)
    assert 0 < found.mape_pct < 15
    assert found.coverage >= 0.8
    assert set(found.other_methods_mape_pct) == {"ema", "linear"}


def test_the_back_test_does_not_look_ahead() -> None:
    """A jump on the last day can only change what the folds are judged by, not what they forecast."""
    values = daily(60)
    jump = values.copy()
    jump[-1] = 1e5
    index = pd.date_range(TODAY - 60 * DAY, periods=60, freq="D")
    plain, changed = (backtest(pd.Series(v, index), 7, 0.95) for v in (values, jump))
    ratio = 1 - changed.mape_pct / 100
    assert changed.mape_pct > plain.mape_pct
    assert changed.folds == plain.folds
    assert 0 < ratio < 1


@pytest.mark.parametrize(
    ("days", "folds"), [(LEAST_TRAINING + 6, 0), (LEAST_TRAINING + 7, 1), (40, MAX_FOLDS)]
)
def test_short_histories_have_fewer_folds_or_none(days: int, folds: int) -> None:
    series = pd.Series(daily(days), index=pd.date_range(TODAY, periods=days, freq="D"))
    found = backtest(series, 30, 0.95)
    assert found.folds == folds if folds in {0, MAX_FOLDS} else found.folds >= folds
    assert (found.mape_pct is None) == (found.folds == 0)
    assert found.horizon_days <= max(1, days // 3)


def test_folds_without_spend_or_with_little_data_do_not_count() -> None:
    index = pd.date_range(TODAY, periods=60, freq="D")
    values = daily(60)
    values[-12:] = np.nan
    assert backtest(pd.Series(values, index), 7, 0.95).folds < MAX_FOLDS
    values[-30:] = 0.0
    assert backtest(pd.Series(values, index), 7, 0.95).folds == 0


def test_an_empty_history_has_no_folds() -> None:
    assert backtest(pd.Series([], index=pd.DatetimeIndex([], tz="UTC"), dtype=float), 30, 0.95).folds == 0


# Gaps -------------------------------------------------------------------------------------------------------
def frame(days: int = 5) -> pd.DataFrame:
    return pd.DataFrame({"a": 1.0, "b": 2.0}, index=pd.date_range(TODAY, periods=days, freq="D"))


@pytest.mark.parametrize(
    ("start_hours", "end_hours", "missing"),
    [
        (24, 72, [1, 2]),
        (26, 40, []),
        (42, 50, []),
        (41, 50, [1, 2]),
        (90, 500, [4]),
        (89, 500, [3, 4]),
        (-50, 30, [0, 1]),
    ],
)
def test_bins_are_missing_where_a_gap_took_from_them_or_swelled_them(start_hours, end_hours, missing) -> None:
    gap = Gap(start=TODAY + timedelta(hours=start_hours), end=TODAY + timedelta(hours=end_hours))
    found = without_gaps(frame(), [gap], DAY)
    assert np.flatnonzero(found["a"].isna()).tolist() == missing
    assert found["a"].isna().equals(found["b"].isna())


def test_without_gaps_the_frame_is_copied_as_it_is() -> None:
    given = frame()
    found = without_gaps(given, [], DAY)
    pd.testing.assert_frame_equal(found, given)
    assert found is not given


def test_bad_input_is_a_user_error() -> None:
    assert issubclass(BadInput, UserInputError)


def test_days_that_are_taken_to_be_quieter_are_named() -> None:
    known, words = model({"m": daily(120)}, 120), "Taken to be quieter, and less sure: "
    assert words not in known.predict_cost(294).warning  # up to 23 December
    for horizon, named in {
        295: "24 December.",
        300: "24 to 26 December.",
        303: "24 to 26 December and 1 January.",
    }.items():
        assert words + named in known.predict_cost(horizon).warning
    assert words not in known.predict_cost(295, method="linear").warning


def test_trust_begins_with_the_history_that_is_used() -> None:
    before = Gap(start=TODAY - 120 * DAY, end=TODAY - 40 * DAY)
    trust = Trust(scraped_ratio=0.33, gaps=[before], warnings=[SEE_GAPS])
    answer = model({"m": daily(40)}, 40, trust).predict_cost(30)
    assert (answer.trust.scraped_ratio, answer.trust.gaps, answer.trust.warnings) == (1.0, [], [])
