"""Budgets in the running month: reads what was spent, forecasts the rest, and puts both against the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import pandas as pd

from asahi_analytics.composer import Ask, Sums, Trust, unpriced_ratio
from asahi_analytics.engine import GROUPS, AnalyticsEngine
from asahi_analytics.forecasting.daily import DailyHistory
from asahi_analytics.forecasting.ended import Silence
from asahi_analytics.forecasting.history import FEWEST
from asahi_analytics.forecasting.risk import (
    BudgetRisk,
    Exhaustion,
    Month,
    Plan,
    Rest,
    rest_of_month,
    status_of,
)
from asahi_analytics.forecasting.series import SeriesForecast, forecast_series
from asahi_analytics.models import GroupBy
from asahi_analytics.windows import Window, day_bounds, local_date, month_to_date
from asahi_exporter import conventions as names
from asahi_exporter.prose import named, percent

NO_HISTORY: Final = "none: too little history"
NO_SPEND: Final = "none: nothing was spent"
"""What ``method`` is where nothing is forecast; the second of a name that has come to no dollars, today included."""
LITTLE_COVERAGE: Final = 0.9


@dataclass(frozen=True)
class Spending:
    """What one budget has seen: dollars so far, the daily history and the day on which it was spent, if it is.

    ``unspent`` is why requests that were counted have come to no dollars, as a sentence; ``own_unpriced`` the share of
    the budget's own requests that had no price, None where only that of all requests is known.
    """

    so_far: float
    history: DailyHistory
    spent_by: datetime | None
    trust: Trust
    unspent: str | None = None
    own_unpriced: float | None = None


def assess(plan: Plan, spending: Spending, month: Month, confidence: float) -> BudgetRisk:
    """Return where ``plan`` stands in ``month``; too little history gives null forecasts and a warning."""
    forecast = _forecast(spending.history, plan.value, month.steps)
    outlook = None if forecast is None else forecast.outlook
    rest = rest_of_month(month, plan.dollars - spending.so_far, outlook, confidence)
    exhaustion = rest.exhaustion if spending.spent_by is None else _spent_on(spending.spent_by, month)
    window = month.window
    planned = plan.dollars * ((month.now - window.start) / window.length)
    return BudgetRisk(
        name=plan.name,
        group_by=plan.group_by,
        value=plan.value,
        timezone=month.tz.key,
        month=f"{local_date(month.now, month.tz):%Y-%m}",
        start=window.start,
        end=window.end,
        as_of=month.now,
        budget=plan.dollars,
        spent=spending.so_far,
        spent_ratio=spending.so_far / plan.dollars,
        planned=planned,
        pace_ratio=spending.so_far / planned if planned > 0 else None,
        forecast_total=_plus(spending.so_far, rest.total),
        forecast_low=_plus(spending.so_far, rest.low),
        forecast_high=_plus(spending.so_far, rest.high),
        confidence=confidence,
        overrun_probability=_probability(plan, spending, rest),
        exhaustion_at=exhaustion.at,
        exhaustion_day=None if exhaustion.at is None else local_date(exhaustion.at, month.tz),
        exhaustion_earliest=exhaustion.earliest,
        exhaustion_latest=exhaustion.latest,
        status=status_of(spending.so_far, plan.dollars, rest.probability),
        levels_reached=[level for level in plan.warn_at if spending.so_far >= level * plan.dollars],
        warning=_warning(spending, forecast, plan),
        method=_method(spending, forecast, plan),
        trust=spending.trust,
    )


def _forecast(history: DailyHistory, value: str | None, steps: int) -> SeriesForecast | None:
    used = history.active(value)
    if used.count() < FEWEST:
        return None
    return forecast_series(used, steps, resumed=history.resumed(value))


def _plus(so_far: float, rest: float | None) -> float | None:
    return None if rest is None else so_far + rest


def _probability(plan: Plan, spending: Spending, rest: Rest) -> float | None:
    return 1.0 if spending.so_far >= plan.dollars else rest.probability


def _spent_on(moment: datetime, month: Month) -> Exhaustion:
    day = local_date(moment, month.tz)
    return Exhaustion(moment, day, day)


def missing_days(used: pd.Series) -> list[str]:
    """Return a sentence when more than a tenth of the days that a forecast learns from are missing, else none."""
    coverage = float(used.notna().mean()) if len(used) else 1.0
    if coverage >= LITTLE_COVERAGE:
        return []
    return [f"{percent(1 - coverage, 0)} of the days are missing: nothing reliable was scraped."]


def silent_days(silence: Silence) -> list[str]:
    """Return a sentence when the last days spent nothing and the series may have ended, else none."""
    if not silence.counts:
        return []
    days = "day" if silence.count == 1 else f"{silence.count} days"
    return [f"Nothing was spent on the last {days}; that it has ended is {percent(silence.ended, 0)} likely."]


def unpriced(
    of_all: float | None, own: float | None, group_by: GroupBy | None, value: str | None
) -> list[str]:
    """Return a sentence when requests had no price, else none.

    With ``value`` the dollars are those of one name of ``group_by``: ``own`` is the share of its own requests, None
    where only that ``of_all`` is known.
    """
    whole = group_by is None or value is None
    ratio = of_all if whole or own is None else own
    if not ratio:
        return []
    share = percent(ratio)
    if group_by is None or value is None or own is not None:
        return [f"{share} of requests had no price and are not in these dollars."]
    return [
        f"{share} of all requests had no price; those of {named(group_by, value)} among them are not in these dollars."
    ]


def requests_by_model(engine: AnalyticsEngine, window: Window) -> list[Sums]:
    """Return the requests in ``window``, and those of them without a price; of another label that is not counted."""
    families = ("requests", "unpriced_requests")
    return engine.composer.totals([Ask(family, (names.MODEL,), window, trusted=False) for family in families])


def own_unpriced(found: Sequence[Sums], model: str) -> float:
    """Return the share of the requests of ``model`` that had no price, of what ``requests_by_model`` has found."""
    requests, lacking = (_of(sums, model) for sums in found)
    return unpriced_ratio(lacking, requests) or 0.0


def _never_spent(spending: Spending, plan: Plan) -> bool:
    return plan.value is not None and spending.so_far == 0 and spending.history.active(plan.value).empty


def _method(spending: Spending, forecast: SeriesForecast | None, plan: Plan) -> str:
    if forecast is not None:
        return forecast.method
    return NO_SPEND if _never_spent(spending, plan) else NO_HISTORY


def _warning(spending: Spending, forecast: SeriesForecast | None, plan: Plan) -> str | None:
    if spending.unspent is not None:
        return spending.unspent
    if plan.group_by is not None and plan.value is not None and _never_spent(spending, plan):
        who, days = named(plan.group_by, plan.value), len(spending.history.frame)
        return f"No cost of {who} was counted in {days} days: is its name right?"
    used = spending.history.active(plan.value)
    words = missing_days(used)
    if forecast is None:
        count = int(used.count())
        words = [f"Too little history for a forecast: whole days with data: {count}, it takes {FEWEST}."]
    else:
        words = [*silent_days(forecast.silence), *words]
    lacking = unpriced(spending.trust.unpriced_ratio, spending.own_unpriced, plan.group_by, plan.value)
    return " ".join([*words, *lacking]) or None


class MonthReader:
    """Reads the running month of each budget; budgets of one label share their queries."""

    def __init__(
        self,
        engine: AnalyticsEngine,
        histories: dict[GroupBy | None, DailyHistory],
        why_unspent: Callable[[GroupBy, str], str | None],
    ) -> None:
        """Take the daily ``histories`` by label, one for each that a budget is limited to.

        ``why_unspent`` is asked about a name under which nothing was spent, in the history and in the month.
        """
        self.engine = engine
        self.histories = histories
        self._why_unspent = why_unspent
        self.month = Month(engine.clock(), engine.settings.zone)

    def risks(self, plans: Sequence[Plan], confidence: float) -> list[BudgetRisk]:
        """Return where each of ``plans`` stands, in their order."""
        window = month_to_date(self.month.now, self.month.tz)
        asks = [_ask(group_by, window) for group_by in self.histories]
        sums = dict(zip(self.histories, self.engine.composer.totals(asks), strict=True))
        return [
            assess(plan, self._spending(plan, sums[plan.group_by]), self.month, confidence) for plan in plans
        ]

    def _spending(self, plan: Plan, sums: Sums) -> Spending:
        history = self.histories[plan.group_by]
        so_far = _of(sums, plan.value)
        spent_by = self._spent_by(plan) if so_far >= plan.dollars else None
        own = self._own_unpriced(plan) if sums.trust.unpriced_ratio else None
        return Spending(so_far, history, spent_by, sums.trust, self._unspent(plan, so_far), own)

    def _own_unpriced(self, plan: Plan) -> float | None:
        if plan.group_by != names.MODEL or plan.value is None:
            return None
        return own_unpriced(self._requests_by_model, plan.value)

    @cached_property
    def _requests_by_model(self) -> list[Sums]:
        return requests_by_model(self.engine, month_to_date(self.month.now, self.month.tz))

    def _unspent(self, plan: Plan, so_far: float) -> str | None:
        if plan.group_by is None or plan.value is None or so_far > 0:
            return None
        if not self.histories[plan.group_by].active(plan.value).empty:
            return None
        return self._why_unspent(plan.group_by, plan.value)

    def _spent_by(self, plan: Plan) -> datetime:
        """The last moment of the calendar day on which the budget was used up, or now when that is today."""
        today = local_date(self.month.now, self.month.tz)
        days = [today.replace(day=number) for number in range(1, today.day + 1)]
        ends = [
            min(day_bounds(day, self.month.tz).end - timedelta(seconds=1), self.month.now) for day in days
        ]
        asks = [_ask(plan.group_by, day_bounds(day, self.month.tz)) for day in days[:-1]]
        total = 0.0
        for end, sums in zip(ends, self.engine.composer.totals(asks) if asks else [], strict=False):
            total += _of(sums, plan.value)
            if total >= plan.dollars:
                return end
        return ends[-1]


def _ask(group_by: GroupBy | None, window: Window) -> Ask:
    if group_by is None:
        return Ask("cost_dollars", (), window)
    group = GROUPS[group_by]
    return Ask(group.cost, (group.label,), window)


def _of(sums: Sums, value: str | None) -> float:
    return float(sums.values.sum() if value is None else sums.values.get(value, 0.0))
