"""Windows: trailing, calendar ones through changes of the clock, explicit ones, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asahi_analytics import windows
from asahi_analytics.errors import UserInputError
from asahi_analytics.windows import Window, time_zone

BERLIN = time_zone("Europe/Berlin")
NOW = datetime(2026, 3, 30, 10, 30, tzinfo=UTC)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "length"),
    [
        ("hour", timedelta(hours=1)),
        ("day", timedelta(days=1)),
        ("week", timedelta(days=7)),
        ("month", timedelta(days=30)),
    ],
)
def test_a_trailing_window_ends_now(period, length) -> None:
    assert length in {timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30)}
    window = windows.trailing(period, NOW)
    assert (window.end, window.length) == (NOW, length)


def test_an_unknown_period_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserInputError, match="hour, day, week, month; got 'year'"):
        windows.trailing("year", NOW)


def test_a_window_is_kept_in_utc() -> None:
    window = Window(datetime(2026, 1, 1, tzinfo=BERLIN), datetime(2026, 1, 2, tzinfo=BERLIN))
    assert window.start == utc(2025, 12, 31, 23)
    assert window.start.tzinfo is UTC
    assert window.seconds == 86_400
    assert window.previous == Window(utc(2025, 12, 30, 23), utc(2025, 12, 31, 23))


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (datetime(2026, 1, 1), NOW, "aware"),  # noqa: DTZ001
        (NOW, NOW, "before it ends"),
        (NOW, NOW - timedelta(seconds=1), "before it ends"),
    ],
)
def test_naive_and_empty_windows_are_refused(start, end, words) -> None:
    with pytest.raises(UserInputError, match=words):
        Window(start, end)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("today", utc(2026, 3, 29, 22), NOW),
        ("yesterday", utc(2026, 3, 28, 23), utc(2026, 3, 29, 22)),
        ("month-to-date", utc(2026, 2, 28, 23), NOW),
        ("last-month", utc(2026, 1, 31, 23), utc(2026, 2, 28, 23)),
    ],
)
def test_calendar_windows_follow_the_clocks_of_their_zone(name, start, end) -> None:
    assert windows.named(name, NOW, BERLIN) == Window(start, end)


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 3, 30), 24), (date(2026, 10, 25), 25)]
)
def test_a_day_is_as_long_as_its_clocks_say(day, hours) -> None:
    assert windows.day_bounds(day, BERLIN).seconds == hours * 3600


def test_a_day_whose_midnight_is_skipped_starts_when_it_is_skipped() -> None:
    beirut = time_zone("Asia/Beirut")
    skipped = windows.day_bounds(date(2022, 3, 27), beirut)
    assert skipped.start == utc(2022, 3, 26, 22)
    assert skipped.seconds == 23 * 3600


@pytest.mark.parametrize(
    ("day", "days"), [(date(2024, 2, 29), 29), (date(2026, 2, 1), 28), (date(2026, 12, 31), 31)]
)
def test_a_month_has_its_days(day, days) -> None:
    assert windows.month_bounds(day, time_zone("UTC")).length == timedelta(days=days)


def test_at_midnight_itself_today_is_a_second_long() -> None:
    midnight = utc(2026, 3, 1)
    for name in ("today", "month-to-date"):
        assert windows.named(name, midnight, time_zone("UTC")) == Window(
            midnight, midnight + timedelta(seconds=1)
        )


@given(moment=st.datetimes(datetime(2000, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_calendar_windows_tile_time(moment) -> None:
    today, yesterday = windows.today(moment, BERLIN), windows.yesterday(moment, BERLIN)
    assert yesterday.end == today.start <= moment
    month, before = windows.month_to_date(moment, BERLIN), windows.last_month(moment, BERLIN)
    assert before.end == month.start <= today.start


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserInputError, match="today, yesterday, month-to-date, last-month, or two RFC 3339"):
        windows.parse("tomorrow", NOW, BERLIN)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T00:00:00Z,2026-03-02T00:00:00Z",
        "2026-03-01T01:00:00+01:00, 2026-03-01T19:00:00-05:00",
        "2026-03-01t00:00:00z,2026-03-02T00:00:00.000Z",
        "2026-03-01T01:00:00 01:00,2026-03-02 00:00:00Z",
    ],
)
def test_two_times_make_a_window(text) -> None:
    assert windows.parse(text, NOW, BERLIN) == Window(utc(2026, 3, 1), utc(2026, 3, 2))


def test_an_end_in_the_future_is_cut_to_now() -> None:
    assert windows.explicit("2026-03-30T00:00:00Z", "2026-04-30T00:00:00Z", NOW).end == NOW


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-03-02T00:00:00Z,2026-03-01T00:00:00Z", "start must be before end"),
        ("2026-03-30T10:30:00Z,2026-03-31T00:00:00Z", "start must be in the past"),
        ("2010-01-01T00:00:00Z,2026-03-01T00:00:00Z", "at most 3660 days long; got 5903 days"),
        ("2026-03-01T00:00:00,2026-03-02T00:00:00Z", "start must be an RFC 3339 time with its offset"),
        ("2026-03-01,2026-03-02T00:00:00Z", "start must be an RFC 3339"),
        ("2026-03-01T00:00:00Z,", "end must be an RFC 3339"),
        ("2026-13-01T00:00:00Z,x", "start must be an RFC 3339"),
        ("0001-01-01T00:00:00+14:00,x", "start must be an RFC 3339"),
        (",", "start must be an RFC 3339"),
    ],
)
def test_times_that_make_no_window_are_refused(text, words) -> None:
    with pytest.raises(UserInputError, match=words):
        windows.parse(text, NOW, BERLIN)


@pytest.mark.parametrize("name", ["Mars/Phobos", "", "../../etc/passwd", "a\0b"])
def test_an_unknown_zone_is_refused(name) -> None:
    with pytest.raises(UserInputError, match="IANA"):
        time_zone(name)


def test_any_offset_is_brought_to_utc() -> None:
    moment = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert windows.rfc3339(moment.isoformat(), "start") == utc(2025, 12, 31, 18, 15)
