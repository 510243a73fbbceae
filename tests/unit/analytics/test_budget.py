"""Budgets in the calendar month: what is left, how likely it lasts and on which day it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asahi_analytics.composer import Gap, SumSeries, Trust
from asahi_analytics.errors import UserInputError
from asahi_analytics.forecasting import ForecastingModel
from asahi_analytics.forecasting.outlook import GaussianOutlook
from asahi_analytics.forecasting.risk import UNKNOWN, Month, rest_of_month, status_of
from asahi_analytics.settings import Settings
from support.budgets import forecasting
from support.daily_composer import DailyComposer, LedgerEngine, hourly

UTC_ZONE = ZoneInfo("UTC")


def test_half_way_through_a_month_on_plan() -> None:
    risk = forecasting(datetime(2026, 6, 16, tzinfo=UTC)).detect_budget_risk(3300)
    assert (risk.name, risk.month, risk.timezone) == ("total", "2026-06", "UTC")
    assert risk.spent == pytest.approx(1500, rel=0.05)
    assert risk.planned == pytest.approx(1650)
    assert risk.pace_ratio == pytest.approx(1500 / 1650, rel=0.05)
    assert risk.forecast_low < risk.forecast_total < risk.forecast_high
    assert risk.forecast_total == pytest.approx(3000, rel=0.04)
    assert risk.overrun_probability < 0.05
    assert risk.status == "on_track"
    assert (risk.exhaustion_at, risk.exhaustion_earliest, risk.exhaustion_latest) == (None, None, None)
    assert risk.levels_reached == []
    assert risk.warning is None


def test_a_budget_that_will_not_last_names_the_day() -> None:
    risk = forecasting(datetime(2026, 6, 16, tzinfo=UTC)).detect_budget_risk(2250)
    assert risk.overrun_probability > 0.99
    assert risk.status == "at_risk"
    assert risk.levels_reached == [0.5]
    assert date(2026, 6, 22) <= risk.exhaustion_day <= date(2026, 6, 24)
    assert risk.exhaustion_earliest <= risk.exhaustion_day <= risk.exhaustion_latest


def test_the_probability_falls_as_the_budget_grows() -> None:
    model = forecasting(datetime(2026, 6, 16, tzinfo=UTC))
    chances = [model.detect_budget_risk(dollars).overrun_probability for dollars in range(2600, 3500, 100)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.95
    assert chances[-1] < 0.05


def test_a_wider_interval_is_wider() -> None:
    model = forecasting(datetime(2026, 6, 16, tzinfo=UTC))
    wide, narrow = model.detect_budget_risk(3000, 0.95), model.detect_budget_risk(3000, 0.5)
    assert wide.forecast_low < narrow.forecast_low < narrow.forecast_high < wide.forecast_high


def test_a_budget_already_spent_says_since_when() -> None:
    risk = forecasting(datetime(2026, 6, 16, 9, tzinfo=UTC)).detect_budget_risk(1000)
    assert risk.status == "exhausted"
    assert risk.overrun_probability == 1.0
    assert date(2026, 6, 9) <= risk.exhaustion_day <= date(2026, 6, 12)
    assert risk.exhaustion_earliest == risk.exhaustion_latest == risk.exhaustion_day
    assert risk.levels_reached == [0.5, 0.8, 1.0]
    assert risk.spent_ratio > 1.0


def test_a_budget_spent_today_says_today() -> None:
    risk = forecasting(datetime(2026, 6, 1, 12, tzinfo=UTC)).detect_budget_risk(30)
    assert (risk.status, risk.exhaustion_day) == ("exhausted", date(2026, 6, 1))
    assert risk.exhaustion_at == datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "zone", "month", "start", "end"),
    [
        ("2028-02-29T12:00", "UTC", "2028-02", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("2026-02-28T12:00", "UTC", "2026-02", "2026-02-01T00:00", "2026-03-01T00:00"),
        ("2026-12-31T23:59", "UTC", "2026-12", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("2026-03-01T03:00", "America/New_York", "2026-02", "2026-02-01T05:00", "2026-03-01T05:00"),
        ("2026-02-28T20:00", "Asia/Tokyo", "2026-03", "2026-02-28T15:00", "2026-03-31T15:00"),
        ("2026-03-29T12:00", "Europe/Berlin", "2026-03", "2026-02-28T23:00", "2026-03-31T22:00"),
        ("2026-10-25T12:00", "Europe/Berlin", "2026-10", "2026-09-30T22:00", "2026-10-31T23:00"),
        ("2026-11-01T12:00", "America/New_York", "2026-11", "2026-11-01T04:00", "2026-12-01T05:00"),
        ("2026-11-01T03:59", "America/New_York", "2026-10", "2026-10-01T04:00", "2026-11-01T04:00"),
        ("2028-02-29T10:00", "Pacific/Kiritimati", "2028-03", "2028-02-29T10:00", "2028-03-31T10:00"),
        ("2028-02-29T09:59", "Pacific/Kiritimati", "2028-02", "2028-01-31T10:00", "2028-02-29T10:00"),
        ("2027-01-01T11:00", "Pacific/Pago_Pago", "2027-01", "2027-01-01T11:00", "2027-02-01T11:00"),
        ("2026-06-15T00:00", "Asia/Kathmandu", "2026-06", "2026-05-31T18:15", "2026-06-30T18:15"),
    ],
)
def test_the_month_is_that_of_the_time_zone(now, zone, month, start, end) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    risk = forecasting(moment, zone).detect_budget_risk(3100)
    assert risk.month == month
    assert (risk.start, risk.end) == tuple(
        datetime.fromisoformat(t).replace(tzinfo=UTC) for t in (start, end)
    )
    assert risk.spent == pytest.approx(100 * (moment - risk.start) / timedelta(days=1), rel=0.06, abs=0.01)
    assert risk.forecast_total == pytest.approx(100 * (risk.end - risk.start) / timedelta(days=1), rel=0.06)


def test_the_last_second_of_a_month_leaves_nothing_to_forecast() -> None:
    risk = forecasting(datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)).detect_budget_risk(3500)
    assert risk.forecast_total - risk.spent < 0.01
    assert risk.forecast_high - risk.forecast_low < 0.01
    assert risk.overrun_probability < 1e-6


def test_the_day_of_the_clock_change_counts_as_long_as_it_is() -> None:
    """Berlin's October 2026 has 745 hours: its even plan spends a 745th of the budget an hour."""
    for now, hours in (("2026-10-24T22:00", 24), ("2026-10-25T23:00", 24 + 25)):
        moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
        risk = forecasting(moment, "Europe/Berlin").detect_budget_risk(745.0)
        assert risk.planned == pytest.approx(23 * 24 + hours)


def test_a_budget_spent_around_the_clock_change_names_the_local_day() -> None:
    """A hundred dollars an hour in New York's March 2026, whose eighth day has 23 hours."""
    for dollars, day in ((7 * 24 * 100 + 2250, 8), (7 * 24 * 100 + 2350, 9)):
        risk = steady(datetime(2026, 3, 12, 12, tzinfo=UTC), "America/New_York").detect_budget_risk(dollars)
        assert (risk.status, risk.exhaustion_day) == ("exhausted", date(2026, 3, day))


def steady(now: datetime, zone: str) -> ForecastingModel:
    """A hundred dollars each hour, without any noise."""
    start = now.replace(hour=0, minute=0) - timedelta(days=60)
    ledger = {"cost_dollars": hourly(start, {"m": [2400.0] * 62})}
    return ForecastingModel(LedgerEngine(DailyComposer(ledger), now, Settings(timezone=zone)))


@pytest.mark.parametrize(
    ("month", "days"), [("2026-01", 31), ("2026-02", 28), ("2028-02", 29), ("2026-04", 30), ("2026-12", 31)]
)
def test_on_the_last_morning_one_day_is_left_whatever_the_month(month: str, days: int) -> None:
    now = datetime.fromisoformat(f"{month}-{days}").replace(tzinfo=UTC)
    risk = steady(now, "UTC").detect_budget_risk(2400.0 * days + 100)
    assert risk.spent == pytest.approx(2400.0 * (days - 1))
    assert risk.forecast_total == pytest.approx(2400.0 * days, rel=1e-3)
    assert risk.planned == pytest.approx(risk.budget * (days - 1) / days)


def test_a_budget_spent_to_the_cent_is_exhausted_and_a_cent_more_is_not() -> None:
    model = steady(datetime(2026, 6, 16, tzinfo=UTC), "UTC")
    spent = model.detect_budget_risk(1e9).spent
    exact, more = model.detect_budget_risk(spent), model.detect_budget_risk(spent + 0.01)
    assert (exact.status, exact.overrun_probability, exact.exhaustion_day) == (
        "exhausted",
        1.0,
        date(2026, 6, 15),
    )
    assert (more.status, more.exhaustion_day) == ("at_risk", date(2026, 6, 16))


def test_money_that_lasts_to_the_end_of_a_day_runs_out_on_that_day_and_not_on_the_next() -> None:
    month = Month(datetime(2026, 6, 30, 12, tzinfo=UTC), UTC_ZONE)
    even = GaussianOutlook(np.full(month.steps, 10.0), np.eye(month.steps))
    left = float(even.total((0.5,), month.shares(month.window.end))[0])
    found = rest_of_month(month, left, even, 0.9).exhaustion.at
    assert found is not None
    assert found < month.window.end


def test_the_first_instant_of_a_month_has_no_pace_yet() -> None:
    risk = forecasting(datetime(2026, 3, 1, tzinfo=UTC)).detect_budget_risk(3100)
    assert risk.spent == pytest.approx(0.0, abs=0.01)
    assert (risk.planned, risk.pace_ratio) == (0.0, None)
    assert risk.month == "2026-03"
    assert 0.1 < risk.overrun_probability < 0.9


def test_too_little_history_gives_what_is_known_and_a_warning() -> None:
    risk = forecasting(datetime(2026, 6, 16, tzinfo=UTC), days=1).detect_budget_risk(90)
    assert (risk.forecast_total, risk.overrun_probability) == (None, 1.0)
    assert risk.status == "exhausted"
    exact = forecasting(datetime(2026, 6, 16, tzinfo=UTC), days=1).detect_budget_risk(risk.spent)
    assert (exact.status, exact.overrun_probability) == ("exhausted", 1.0)
    calm = forecasting(datetime(2026, 6, 16, tzinfo=UTC), days=1).detect_budget_risk(900)
    assert (calm.forecast_total, calm.overrun_probability, calm.status) == (None, None, "unknown")
    assert "whole days with data: 1" in calm.warning
    assert calm.method == "none: too little history"


def test_unpriced_requests_are_mentioned() -> None:
    model = forecasting(datetime(2026, 6, 16, tzinfo=UTC), trust=Trust(unpriced_ratio=0.2))
    assert "20 % of requests had no price" in model.detect_budget_risk(3000).warning


@pytest.mark.parametrize(
    ("group_by", "name", "words"),
    [
        ("model", "big", None),
        ("model", "small", "50 % of requests had no price and are not in these dollars."),
        (
            "tier",
            "small",
            "20 % of all requests had no price; those of tier small among them are not in these dollars.",
        ),
    ],
)
def test_a_budget_and_a_forecast_of_one_name_mention_its_own_unpriced_requests_where_they_are_known(
    group_by: str, name: str, words: str | None
) -> None:
    now = datetime(2026, 6, 16, tzinfo=UTC)
    model = forecasting(now, trust=Trust(unpriced_ratio=0.2), big=100.0, small=5.0)
    start = now - timedelta(days=30)
    for family, small in (("requests", 40.0), ("unpriced_requests", 20.0)):
        counts = {"big": np.full(32, 60.0 * (family == "requests")), "small": np.full(32, small)}
        model.engine.composer.ledgers[family] = hourly(start, counts)
    assert model.detect_budget_risk(9000, group_by=group_by, name=name).warning == words
    assert model.predict_cost(group_by=group_by, name=name).warning == words


def test_a_budget_of_one_label_is_measured_by_that_label() -> None:
    model = forecasting(datetime(2026, 6, 16, tzinfo=UTC), big=100.0, small=5.0)
    risk = model.detect_budget_risk(200, group_by="model", name="small")
    assert (risk.name, risk.group_by, risk.value) == ("small", "model", "small")
    assert risk.spent == pytest.approx(75, rel=0.06)
    assert risk.forecast_total == pytest.approx(150, rel=0.06)


@pytest.mark.parametrize("dollars", [0, -5, 1e-320, 1e300, float("nan"), float("inf"), "100", True])
def test_a_budget_that_is_no_amount_is_refused(dollars) -> None:
    with pytest.raises(UserInputError, match="monthly_budget"):
        forecasting(datetime(2026, 6, 16, tzinfo=UTC)).detect_budget_risk(dollars)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"group_by": "model"}, "needs the name"),
        ({"name": "x"}, "name needs group_by"),
        ({"confidence": 2.0}, "between 0 and 1"),
    ],
)
def test_half_a_label_is_refused(arguments, words) -> None:
    with pytest.raises(UserInputError, match=words):
        forecasting(datetime(2026, 6, 16, tzinfo=UTC)).detect_budget_risk(100, **arguments)


def test_trust_is_about_the_month_and_a_gap_of_the_history_is_a_warning() -> None:
    now = datetime(2026, 6, 16, tzinfo=UTC)
    gap = Gap(start=now - timedelta(days=60), end=now - timedelta(days=30))
    month = Trust(scraped_ratio=1.0)
    model = forecasting(now)
    model.engine.composer = OfTwo(model.engine.composer.ledgers, month, Trust(scraped_ratio=0.5, gaps=[gap]))
    risk = model.detect_budget_risk(3000)
    assert risk.trust == month
    assert "25 % of the days are missing" in risk.warning


class OfTwo(DailyComposer):
    """Trusts its totals otherwise than its series."""

    def __init__(self, ledgers, of_totals: Trust, of_series: Trust) -> None:
        super().__init__(ledgers, of_totals)
        self.of_series = of_series

    def series(self, *asked) -> SumSeries:
        return replace(super().series(*asked), trust=self.of_series)


FIRST, LAST = datetime.fromisoformat("2025-01-01"), datetime.fromisoformat("2029-01-01")
MOMENTS = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Asia/Kathmandu"])


@given(MOMENTS, ZONES)
def test_the_rest_of_any_month_is_covered_to_the_second(now: datetime, zone: str) -> None:
    month = Month(now, ZoneInfo(zone))
    assert month.window.start <= now < month.window.end
    assert sum(month.shares(month.window.end)) == pytest.approx((month.window.end - now) / timedelta(days=1))
    assert month.days_left[0] == now.astimezone(month.tz).date()
    assert (month.days_left[-1] + timedelta(days=1)).day == 1
    assert len(month.days_left) <= 31


# The month and the rest of it -------------------------------------------------------------------------------
def test_shares_add_up_to_the_time_that_is_left() -> None:
    month = Month(datetime(2026, 3, 27, 18, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
    shares = month.shares(month.window.end)
    assert sum(shares) == pytest.approx((month.window.end - month.now) / timedelta(days=1))
    assert shares[0] == pytest.approx(0.25)
    assert shares[-1] == pytest.approx(22 / 24)
    assert month.days_left == [date(2026, 3, day) for day in range(27, 32)]
    assert month.steps == len(shares) == 5


@pytest.mark.parametrize(
    ("left", "hours"), [(1.0, 2.4), (4.0, 9.6), (5.1, 12.24), (50.0, 120.0), (94.0, 225.6)]
)
@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0])
def test_money_runs_out_when_that_much_will_have_been_spent(left: float, hours: float, spread: float) -> None:
    """Ten dollars a day: one dollar lasts 2.4 hours, not half of the day."""
    month = Month(datetime(2026, 6, 21, 12, tzinfo=UTC), UTC_ZONE)
    even = GaussianOutlook(np.full(month.steps, 10.0), spread * np.eye(month.steps))
    found = rest_of_month(month, left, even, 0.9).exhaustion.at
    assert found == pytest.approx(month.now + timedelta(hours=hours), abs=timedelta(seconds=2))


def test_the_rest_follows_the_distribution() -> None:
    """Ten dollars a day for sure: the chance is a step, and the money lasts to the hour."""
    month = Month(datetime(2026, 6, 21, 12, tzinfo=UTC), UTC_ZONE)
    sure = GaussianOutlook(np.full(month.steps, 10.0), np.zeros((month.steps, month.steps)))
    rest = rest_of_month(month, 50.0, sure, 0.9)
    assert (rest.total, rest.low, rest.high) == pytest.approx((95.0, 95.0, 95.0))
    assert rest.probability == 1.0
    assert rest.exhaustion.earliest == rest.exhaustion.latest == date(2026, 6, 26)
    assert month.now < rest.exhaustion.at <= datetime(2026, 6, 27, tzinfo=UTC)
    assert rest_of_month(month, 96.0, sure, 0.9).probability == 0.0
    assert rest_of_month(month, 0.0, sure, 0.9).probability == 1.0
    assert rest_of_month(month, 50.0, None, 0.9) == UNKNOWN


@pytest.mark.parametrize(
    ("spent", "probability", "status"),
    [
        (99.9, None, "unknown"),
        (10.0, 0.19, "on_track"),
        (10.0, 0.2, "watch"),
        (10.0, 0.49, "watch"),
        (10.0, 0.5, "at_risk"),
        (100.0, 0.0, "exhausted"),
    ],
)
def test_both_sides_of_each_status(spent, probability, status) -> None:
    assert status_of(spent, 100.0, probability) == status


# The file ---------------------------------------------------------------------------------------------------


# Gauges -----------------------------------------------------------------------------------------------------
