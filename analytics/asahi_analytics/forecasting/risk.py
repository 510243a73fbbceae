"""Will the month's budget last? Spent so far, the distribution of the rest, and when the money runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from asahi_analytics.composer import Trust
from asahi_analytics.forecasting.daily import DAY, midnight
from asahi_analytics.forecasting.history import BadInput
from asahi_analytics.forecasting.outlook import Outlook
from asahi_analytics.models import GroupBy
from asahi_analytics.windows import Window, day_bounds, local_date, month_bounds

Status = Literal["on_track", "watch", "at_risk", "exhausted", "unknown"]
WARN_AT: Final = (0.5, 0.8, 1.0)
"""Shares of the budget whose spending is worth a word."""
WATCH: Final = 0.2
LIKELY: Final = 0.5
"""Probabilities of an overrun from which a budget is to be watched, and is at risk."""
LEAST_DOLLARS: Final = 0.01
MOST_DOLLARS: Final = 10**12
"""What a budget may be: a cent and more, so that every share of it is a number."""
INSTANT: Final = timedelta(seconds=1)


class BudgetRisk(BaseModel):
    """One budget in the running calendar month; dollars, days of the budget's time zone.

    ``null`` forecasts mean that there is too little history for one; ``null`` days that the budget lasts the month.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str = Field(description="Name of the budget; total: everything.")
    group_by: str | None = Field(description="The label that it is limited to; null: everything.")
    value: str | None = Field(description="The value of that label.")
    timezone: str = Field(description="IANA time zone of the calendar month.")
    month: str = Field(description="The month, such as 2026-02.")
    start: datetime = Field(description="Start of the month.")
    end: datetime = Field(description="End of the month.")
    as_of: datetime = Field(description="The moment up to which spend is counted.")
    budget: float = Field(description="Dollars allowed in the month.")
    spent: float = Field(description="Dollars spent so far.")
    spent_ratio: float = Field(description="spent divided by budget.")
    planned: float = Field(description="Dollars that an even pace would have spent by now.")
    pace_ratio: float | None = Field(description="spent divided by planned: above 1 is faster than the plan.")
    forecast_total: float | None = Field(
        description="Dollars by the end of the month: as likely more as less."
    )
    forecast_low: float | None = Field(description="Lower end of the interval of forecast_total.")
    forecast_high: float | None = Field(description="Upper end of the interval of forecast_total.")
    confidence: float = Field(description="Probability that the interval is meant to hold, 0-1.")
    overrun_probability: float | None = Field(
        description="Probability of spending more than the budget, 0-1."
    )
    exhaustion_at: datetime | None = Field(description="When the budget is expected to run out, or did.")
    exhaustion_day: date | None = Field(description="The calendar day of exhaustion_at.")
    exhaustion_earliest: date | None = Field(
        description="First day by which it may run out, at the confidence."
    )
    exhaustion_latest: date | None = Field(
        description="Day by which it surely has; null: it may last the month."
    )
    status: Status = Field(
        description="on_track, watch, at_risk (overrun likelier than not), exhausted, or unknown: no forecast."
    )
    levels_reached: list[float] = Field(description="Early-warning shares of the budget that are spent.")
    warning: str | None = Field(description="What limits this answer; null when nothing does.")
    method: str = Field(description="How the rest of the month was forecast.")
    trust: Trust = Field(description="How far spent can be trusted; warning tells what limits the forecast.")


@dataclass(frozen=True)
class Plan:
    """A budget: dollars a calendar month for everything, or for the ``value`` of the label ``group_by``."""

    name: str
    dollars: float
    group_by: GroupBy | None = None
    value: str | None = None
    warn_at: tuple[float, ...] = WARN_AT


@dataclass(frozen=True)
class Month:
    """The running calendar month in a time zone, at ``now``."""

    now: datetime
    tz: ZoneInfo

    @property
    def window(self) -> Window:
        """The whole month."""
        return month_bounds(local_date(self.now, self.tz), self.tz)

    @property
    def days_left(self) -> list[date]:
        """The calendar days from today to the end of the month."""
        days = [local_date(self.now, self.tz)]
        while (after := days[-1] + timedelta(days=1)).month == days[0].month:
            days.append(after)
        return days

    @property
    def steps(self) -> int:
        """How many UTC days, today's the first, cover the rest of the month."""
        return max(1, math.ceil((self.window.end - midnight(self.now)) / DAY))

    def shares(self, until: datetime) -> list[float]:
        """Return how much of each of those UTC days lies between now and ``until``."""
        first = midnight(self.now)
        starts = [first + step * DAY for step in range(self.steps)]
        return [max(0.0, (min(start + DAY, until) - max(start, self.now)) / DAY) for start in starts]


@dataclass(frozen=True)
class Exhaustion:
    """When the budget runs out: as likely before as after, and the ends of the interval (None: it lasts)."""

    at: datetime | None
    earliest: date | None
    latest: date | None


@dataclass(frozen=True)
class Rest:
    """What the rest of the month brings: dollars and the risk; None where nothing can be forecast."""

    total: float | None
    low: float | None
    high: float | None
    probability: float | None
    exhaustion: Exhaustion


LASTS: Final = Exhaustion(None, None, None)
UNKNOWN: Final = Rest(None, None, None, None, LASTS)


def check_budget(dollars: float) -> float:
    """Return ``dollars``; raise ``BadInput`` unless it is an amount that a budget may be."""
    if isinstance(dollars, bool) or not isinstance(dollars, int | float | np.number):
        raise BadInput(f"monthly_budget must be a number of dollars, got {dollars!r:.80}")
    if not LEAST_DOLLARS <= dollars <= MOST_DOLLARS:
        raise BadInput(f"monthly_budget must be {LEAST_DOLLARS} to {MOST_DOLLARS} dollars, got {dollars}")
    return float(dollars)


def rest_of_month(month: Month, left: float, outlook: Outlook | None, confidence: float) -> Rest:
    """Return what the rest of ``month`` brings when ``left`` dollars of the budget are left (0 or less: none)."""
    if outlook is None or month.window.end <= month.now:
        return UNKNOWN
    tail = (1.0 - confidence) / 2.0
    shares = month.shares(month.window.end)
    low, total, high = (float(value) for value in outlook.total((tail, 0.5, 1.0 - tail), shares))
    if left <= 0:
        return Rest(total, low, high, 1.0, LASTS)
    ends = [min(day_bounds(day, month.tz).end, month.window.end) for day in month.days_left]
    chances = list(accumulate((outlook.exceeds(left, month.shares(end)) for end in ends), max))

    def median_by(end: datetime) -> float:
        return float(outlook.total((0.5,), month.shares(end))[0])

    runs_out = _crossing(month.now, left, ends, chances, median_by)
    return Rest(total, low, high, chances[-1], _exhaustion(month.days_left, runs_out, chances, tail))


def _exhaustion(
    days: Sequence[date], runs_out: datetime | None, chances: Sequence[float], tail: float
) -> Exhaustion:

    def day_of(chance: float) -> date | None:
        return next((day for day, reached in zip(days, chances, strict=True) if reached >= chance), None)

    return Exhaustion(runs_out, day_of(tail), day_of(1.0 - tail))


def _crossing(
    now: datetime,
    left: float,
    ends: Sequence[datetime],
    chances: Sequence[float],
    median_by: Callable[[datetime], float],
) -> datetime | None:
    """When the median of what is spent passes ``left``, on a straight line in dollars through its day.

    That is the day by whose end the chance is one half; never past that end.
    """
    for before, end, chance in zip((now, *ends), ends, chances, strict=False):
        if chance >= LIKELY:
            spent, by_end = 0.0 if before <= now else median_by(before), median_by(end)
            part = (left - spent) / (by_end - spent) if by_end > spent else 1.0
            return before + (max(before, end - INSTANT) - before) * min(1.0, max(0.0, part))
    return None


def status_of(spent: float, budget: float, probability: float | None) -> Status:
    """Return where a budget stands; without a forecast nobody knows, unless it is spent."""
    if spent >= budget:
        return "exhausted"
    if probability is None:
        return "unknown"
    if probability < WATCH:
        return "on_track"
    return "watch" if probability < LIKELY else "at_risk"
