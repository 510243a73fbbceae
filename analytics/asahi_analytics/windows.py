"""Windows of time: trailing periods, calendar windows in a time zone, and explicit pairs.

Values only: nothing here reads the clock. Every ``datetime`` is aware; a ``Window`` is kept in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from asahi_analytics.errors import UserInputError

Period = Literal["hour", "day", "week", "month"]
WindowName = Literal["today", "yesterday", "month-to-date", "last-month"]

PERIODS: Final[tuple[Period, ...]] = get_args(Period)
WINDOW_NAMES: Final[tuple[WindowName, ...]] = get_args(WindowName)
PERIOD_LENGTHS: Final[Mapping[Period, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
MAX_WINDOW: Final = timedelta(days=3660)
SHORTEST: Final = timedelta(seconds=1)
_LOST_PLUS: Final = re.compile(r" (\d\d:\d\d)$")


@dataclass(frozen=True)
class Window:
    """The time from ``start`` up to ``end``; both aware, kept in UTC, ``start < end``."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Bring both ends to UTC; raise ``UserInputError`` for naive times or an empty window."""
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise UserInputError(f"a window needs aware times, got {self.start} and {self.end}")
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))
        if self.start >= self.end:
            raise UserInputError(
                f"a window must start before it ends, got {self.start.isoformat()} to {self.end.isoformat()}"
            )

    @property
    def length(self) -> timedelta:
        """End minus start."""
        return self.end - self.start

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.length.total_seconds()

    @property
    def previous(self) -> Window:
        """The window of the same length that ends where this one starts."""
        return Window(self.start - self.length, self.start)


def trailing(period: Period, now: datetime) -> Window:
    """Return the last hour, day, week (7 days) or month (30 days) up to ``now``."""
    if period not in PERIOD_LENGTHS:
        raise UserInputError(f"period must be one of {', '.join(PERIODS)}; got {period!r}", "period")
    return Window(now - PERIOD_LENGTHS[period], now)


def day_bounds(day: date, tz: ZoneInfo) -> Window:
    """Return the calendar day in ``tz``: 23, 24 or 25 hours long, as its clocks have it."""
    return Window(_midnight(day, tz), _midnight(day + timedelta(days=1), tz))


def month_bounds(day: date, tz: ZoneInfo) -> Window:
    """Return the calendar month in ``tz`` that holds ``day``."""
    first = day.replace(day=1)
    return Window(_midnight(first, tz), _midnight(next_month(first), tz))


def next_month(day: date) -> date:
    """Return the first day of the month after the one that holds ``day``."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def local_date(now: datetime, tz: ZoneInfo) -> date:
    """Return the calendar day of ``now`` in ``tz``."""
    return now.astimezone(tz).date()


def today(now: datetime, tz: ZoneInfo) -> Window:
    """Return the running day in ``tz``, from its midnight to ``now``."""
    return _until_now(day_bounds(local_date(now, tz), tz).start, now)


def yesterday(now: datetime, tz: ZoneInfo) -> Window:
    """Return the whole day before the running one in ``tz``."""
    return day_bounds(local_date(now, tz) - timedelta(days=1), tz)


def month_to_date(now: datetime, tz: ZoneInfo) -> Window:
    """Return the running month in ``tz``, from its first midnight to ``now``."""
    return _until_now(month_bounds(local_date(now, tz), tz).start, now)


def last_month(now: datetime, tz: ZoneInfo) -> Window:
    """Return the whole month before the running one in ``tz``."""
    return month_bounds(local_date(now, tz).replace(day=1) - timedelta(days=1), tz)


_NAMED: Final[Mapping[str, Callable[[datetime, ZoneInfo], Window]]] = {
    "today": today,
    "yesterday": yesterday,
    "month-to-date": month_to_date,
    "last-month": last_month,
}


def named(name: str, now: datetime, tz: ZoneInfo) -> Window:
    """Return a calendar window in ``tz`` by name.

    Raises ``UserInputError`` that lists the names for any other.
    """
    if name not in _NAMED:
        raise UserInputError(
            f"window must be one of {', '.join(WINDOW_NAMES)}, or two RFC 3339 times "
            f"with a comma between them; got {name[:80]!r}"
        )
    return _NAMED[name](now, tz)


def explicit(start: str, end: str, now: datetime) -> Window:
    """Return the window between two RFC 3339 times; an end beyond ``now`` is cut to ``now``.

    Raises ``UserInputError`` when a time cannot be read or has no offset, when the window is empty, starts in
    the future, or is longer than ``MAX_WINDOW``.
    """
    first, last = rfc3339(start, "start"), rfc3339(end, "end")
    if first >= last:
        raise UserInputError(f"start must be before end; got {start} and {end}")
    if first >= now:
        raise UserInputError(
            f"start must be in the past; got {start}, and now is {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        )
    if last - first > MAX_WINDOW:
        raise UserInputError(
            f"a window may be at most {MAX_WINDOW.days} days long; got {(last - first).days} days"
        )
    return Window(first, min(last, now))


def parse(text: str, now: datetime, tz: ZoneInfo) -> Window:
    """Return the window that ``text`` names: one of ``WINDOW_NAMES``, or ``START,END`` in RFC 3339."""
    start, comma, end = text.partition(",")
    return explicit(start, end, now) if comma else named(text, now, tz)


def rfc3339(text: str, name: str) -> datetime:
    """Return the time that ``text`` holds, in UTC; ``name`` is how an error calls it.

    A space before the offset is read as the ``+`` that a URL turned into it.
    """
    written = _LOST_PLUS.sub(r"+\1", text.strip().upper())
    try:
        moment = datetime.fromisoformat(written)
        if moment.tzinfo is not None and "T" in written.replace(" ", "T"):
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UserInputError(
        f"{name} must be an RFC 3339 time with its offset, such as 2026-01-31T00:00:00Z; got {text[:80]!r}"
    )


def time_zone(name: str) -> ZoneInfo:
    """Return the time zone called ``name``; raise ``UserInputError`` when there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UserInputError(
            f"there is no time zone {name[:80]!r}; pass a name of the IANA database, such as Europe/Berlin"
        ) from error


def _midnight(day: date, tz: ZoneInfo) -> datetime:
    """The first instant of ``day`` in ``tz``; where clocks skip midnight it is the instant of the skip."""
    return datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC)


def _until_now(start: datetime, now: datetime) -> Window:
    """From ``start`` to ``now``, and at least a second, so that midnight itself has a window."""
    return Window(start, max(now, start + SHORTEST))
