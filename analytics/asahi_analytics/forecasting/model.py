"""``ForecastingModel``: asks the engine for daily history, forecasts it, and says how far that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import pandas as pd

from asahi_analytics.composer import Ask, Trust
from asahi_analytics.engine import GROUPS, AnalyticsEngine
from asahi_analytics.errors import UnknownName, UserInputError
from asahi_analytics.forecasting.answers import (
    Backtest,
    Forecast,
    ForecastDay,
    GroupForecast,
    HitRateForecast,
)
from asahi_analytics.forecasting.backtest import backtest
from asahi_analytics.forecasting.daily import DAY, DailyHistory, midnight, read_daily, with_today
from asahi_analytics.forecasting.history import FEWEST, BadInput, check_confidence, festive
from asahi_analytics.forecasting.months import (
    NO_HISTORY,
    NO_SPEND,
    MonthReader,
    missing_days,
    own_unpriced,
    requests_by_model,
    silent_days,
    unpriced,
)
from asahi_analytics.forecasting.ratio import RatioForecast, forecast_ratio
from asahi_analytics.forecasting.risk import BudgetRisk, Plan, check_budget
from asahi_analytics.forecasting.series import AVERAGE, METHODS, Method, SeriesForecast, forecast_series
from asahi_analytics.forecasting.trend import STABLE, TrendEstimate, trend_of
from asahi_analytics.forecasting.unspent import Unspent
from asahi_analytics.models import GroupBy
from asahi_analytics.trusts import merged, within
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names
from asahi_exporter.prose import spoken

HISTORY_DAYS: Final = 120
"""Days asked for: enough for weekly seasons and slopes, few enough for one quick query."""
MAX_HORIZON_DAYS: Final = 365
MAX_GROUPS: Final = 10
"""How many names of a breakdown are forecast, the largest first."""
SHORT_DAYS: Final = 14
NO_BACKTEST: Final = Backtest(
    folds=0, horizon_days=0, mape_pct=None, coverage=None, other_methods_mape_pct={}
)


@dataclass(frozen=True)
class Question:
    """What is asked: ``name`` is one of the names of ``group_by``; raises ``UserInputError`` for what cannot be."""

    horizon_days: int = 30
    confidence: float = 0.95
    group_by: GroupBy | None = None
    name: str | None = None
    method: Method = "auto"

    def __post_init__(self) -> None:
        """Check everything that a caller may get wrong."""
        days = self.horizon_days
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MAX_HORIZON_DAYS:
            raise BadInput(
                f"horizon_days must be a whole number from 1 to {MAX_HORIZON_DAYS}, got {days!r:.80}"
            )
        check_confidence(self.confidence)
        if self.method not in METHODS:
            raise BadInput(f"method must be one of {', '.join(METHODS)}, got {self.method!r:.80}")
        if self.group_by is not None and self.group_by not in GROUPS:
            raise UserInputError(
                f"group_by must be one of {', '.join(GROUPS)}; got {self.group_by!r:.80}", "group_by"
            )
        if self.name is not None and self.group_by is None:
            raise UserInputError(
                f"name needs group_by, one of {', '.join(GROUPS)}, to say what {self.name!r:.80} is", "name"
            )

    def of(self, series: pd.Series, *, resumed: bool = False) -> SeriesForecast:
        """Return the forecast of ``series`` that is asked for; ``resumed``: it has spent since."""
        return forecast_series(series, self.horizon_days, self.confidence, self.method, resumed=resumed)

    def trend(self, series: pd.Series, forecast: SeriesForecast) -> TrendEstimate:
        """Return the trend in ``series``, of which ``forecast`` is; it is judged as ``auto`` does by every method."""
        if self.method == "auto":
            return trend_of(forecast.outlook)
        return trend_of(forecast_series(series, self.horizon_days, self.confidence).outlook)


class ForecastingModel:
    """Forecasts from the engine's history; every method raises a ``PrometheusError`` when there is no answer.

    ``history_days`` whole UTC days up to yesterday are read; today's partial day is never taken for a low one.
    """

    def __init__(self, engine: AnalyticsEngine, *, history_days: int = HISTORY_DAYS) -> None:
        """Ask nothing yet."""
        self.engine = engine
        self.history_days = history_days

    def predict_cost(
        self,
        horizon_days: int = 30,
        confidence: float = 0.95,
        group_by: GroupBy | None = None,
        name: str | None = None,
        method: Method = "auto",
    ) -> Forecast:
        """Forecast the dollars of the next ``horizon_days`` UTC days, today being the first.

        With ``name`` the forecast is of that one model, task type, tier or user of ``group_by``; with ``group_by``
        alone it is of the whole, with a breakdown of the ten largest. Too little history gives nulls and a warning,
        a name that nothing was counted under an ``UnknownName``.
        """
        question = Question(horizon_days, confidence, group_by, name, method)
        history = self.daily_cost(group_by, name)
        used = history.active()
        why = self._why_unspent(group_by, name) if used.empty else None
        if used.count() < FEWEST:
            answer = _nothing(question, history, used)
            return answer.model_copy(update={"warning": why, "method": NO_SPEND}) if why else answer
        answer = _cost_answer(question, history, used)
        if group_by is None or name is not None:
            return answer
        return answer.model_copy(update={"breakdown": _groups(question, history)})

    def predict_cache_hit_rate(
        self, horizon_days: int = 30, confidence: float = 0.95, tier: str | None = None
    ) -> HitRateForecast:
        """Forecast the share of cache look-ups that hit over the next ``horizon_days``, of all tiers or of ``tier``.

        Days without a look-up say nothing. Too little history gives nulls and a warning.
        """
        question = Question(horizon_days, confidence)
        where = None if tier is None else {names.TIER: [tier]}
        hits, misses = (
            read_daily(self.engine, family, (), self.history_days, where)
            for family in ("cache_hits", "cache_misses")
        )
        ratio = forecast_ratio(hits.total, misses.total, horizon_days, confidence)
        return _ratio_answer(question, hits, misses, ratio, tier)

    def detect_budget_risk(
        self,
        monthly_budget: float,
        confidence: float = 0.95,
        group_by: GroupBy | None = None,
        name: str | None = None,
    ) -> BudgetRisk:
        """Say whether ``monthly_budget`` dollars last the running calendar month of the configured time zone.

        With ``group_by`` and ``name`` the budget is that of one model, task type, tier or user; a name that nothing
        was counted under is an ``UnknownName``.
        """
        Question(confidence=confidence, group_by=group_by, name=name)
        if group_by is not None and name is None:
            raise UserInputError(f"a budget by {group_by} needs the name of the one that it is for")
        plan = Plan(name or names.WHOLE_BUDGET, check_budget(monthly_budget), group_by, name)
        risk = self.budget_risks([plan], confidence)[0]
        if risk.spent == 0:
            self._dollars_of(group_by, name)
        return risk

    def budget_risks(self, plans: Sequence[Plan], confidence: float = 0.95) -> list[BudgetRisk]:
        """Return where each budget stands in the running calendar month, in the order of ``plans``."""
        histories = {
            group_by: self.daily_cost(group_by) for group_by in {plan.group_by: None for plan in plans}
        }
        why = Unspent(self.engine, self.history_days).why
        return MonthReader(self.engine, histories, why).risks(plans, confidence) if plans else []

    def daily_cost(self, group_by: GroupBy | None = None, name: str | None = None) -> DailyHistory:
        """Return the dollars of each whole day that a forecast learns from, by ``group_by`` if given."""
        if group_by is None:
            return self._daily("cost_dollars", ())
        group = GROUPS[group_by]
        found = self._daily(group.cost, (group.label,), None if name is None else {group.label: [name]})
        if name is None or group_by != names.MODEL or not found.trust.unpriced_ratio:
            return found
        window = Window(found.today - self.history_days * DAY, found.today)
        return replace(found, own_unpriced=own_unpriced(requests_by_model(self.engine, window), name))

    def _daily(
        self, family: str, by: Sequence[str], where: dict[str, list[str]] | None = None
    ) -> DailyHistory:
        history = read_daily(self.engine, family, by, self.history_days, where)
        return with_today(self.engine, history, family, by, where)

    def _why_unspent(self, group_by: GroupBy | None, name: str | None) -> str | None:
        """Return why ``name`` has come to no dollars, today included; None where it has, or nothing is known of it."""
        if group_by is None or name is None or self._dollars_of(group_by, name) > 0:
            return None
        return Unspent(self.engine, self.history_days).why(group_by, name)

    def _dollars_of(self, group_by: GroupBy | None, name: str | None) -> float:
        """Return what was spent, today included; refuse a ``name`` that nothing was counted under, if others were."""
        if group_by is None or name is None:
            return 0.0
        now, group = self.engine.clock(), GROUPS[group_by]
        window = Window(midnight(now) - self.history_days * DAY, now)
        (cost,) = self.engine.composer.totals([Ask(group.cost, (group.label,), window)])
        known = [str(each) for each in cost.values.sort_values(ascending=False, kind="stable").index]
        if known and name not in known:
            raise UnknownName(
                "name",
                name,
                known,
                f"{spoken(group_by)}s counted in the last {self.history_days} days",
            )
        return float(cost.values.get(name, 0.0))


def _groups(question: Question, history: DailyHistory) -> dict[str, GroupForecast]:
    recent = history.frame.iloc[-question.horizon_days :].sum().sort_values(ascending=False, kind="stable")
    found = {}
    for name in map(str, recent.index[:MAX_GROUPS]):
        series = history.active(name)
        if series.count() >= FEWEST:
            found[name] = _group(question, series, resumed=history.resumed(name))
    return dict(sorted(found.items(), key=lambda item: -item[1].predicted_cost))


def _group(question: Question, series: pd.Series, *, resumed: bool) -> GroupForecast:
    forecast = question.of(series, resumed=resumed)
    return GroupForecast(
        predicted_cost=forecast.total,
        confidence_low=forecast.total_low,
        confidence_high=forecast.total_high,
        trend=question.trend(series, forecast).direction,
        method=forecast.method,
    )


def _cost_answer(question: Question, history: DailyHistory, used: pd.Series) -> Forecast:
    forecast = question.of(used, resumed=history.resumed())
    trend = question.trend(used, forecast)
    return Forecast(
        **_common(question, history, used, trend, forecast.method, limits=silent_days(forecast.silence)),
        predicted_cost=forecast.total,
        confidence_low=forecast.total_low,
        confidence_high=forecast.total_high,
        group_by=question.group_by,
        name=question.name,
        backtest=backtest(used, question.horizon_days, question.confidence, question.method),
        days=_days(forecast),
        breakdown={},
    )


def _days(forecast: SeriesForecast) -> list[ForecastDay]:
    columns = (forecast.mean.tolist(), forecast.low.tolist(), forecast.high.tolist())
    return [
        ForecastDay(timestamp=moment.to_pydatetime(), mean=mean, low=low, high=high)
        for moment, mean, low, high in zip(forecast.index, *columns, strict=True)
    ]


def _nothing(question: Question, history: DailyHistory, used: pd.Series) -> Forecast:
    return Forecast(
        **_common(question, history, used, STABLE, NO_HISTORY),
        predicted_cost=None,
        confidence_low=None,
        confidence_high=None,
        group_by=question.group_by,
        name=question.name,
        backtest=NO_BACKTEST,
        days=[],
        breakdown={},
    )


def _ratio_answer(
    question: Question, hits: DailyHistory, misses: DailyHistory, ratio: RatioForecast, tier: str | None
) -> HitRateForecast:
    both = replace(
        hits, frame=(hits.total + misses.total).to_frame(), trust=merged([hits.trust, misses.trust])
    )
    lookups = both.active()
    return HitRateForecast(
        **_common(question, both, lookups.where(lookups > 0), ratio.trend, ratio.method),
        predicted_hit_rate=ratio.mean,
        confidence_low=ratio.low,
        confidence_high=ratio.high,
        tier=tier,
    )


def _common(
    question: Question,
    history: DailyHistory,
    used: pd.Series,
    trend: TrendEstimate,
    method: str,
    *,
    limits: Sequence[str] = (),
) -> dict[str, Any]:
    """The fields of every forecast; ``used`` are the days that count, NaN the missing ones.

    ``limits`` are sentences on what limits this one beside what limits all.
    """
    coverage = float(used.notna().mean()) if len(used) else None
    days = question.horizon_days
    since = used.index[0].to_pydatetime() if len(used) else None
    trust = within(history.trust, Window(since, history.today)) if since else history.trust
    return {
        "period": "today" if days == 1 else f"{days} days, today the first",
        "start": history.today,
        "end": history.today + days * DAY,
        "horizon_days": days,
        "confidence": question.confidence,
        "trend": trend.direction,
        "trend_pct_per_week": trend.pct_per_week,
        "warning": " ".join(
            [
                *limits,
                *_limits(used, trust, question, history.own_unpriced),
                *_festive(history.today, days, method),
            ]
        )
        or None,
        "method": method,
        "history_days": len(used),
        "history_coverage": coverage,
        "trust": trust,
    }


def _festive(today: datetime, horizon: int, method: str) -> list[str]:
    """What is said of a forecast that holds days unlike others."""
    ahead = pd.date_range(today, periods=horizon)
    days = ahead[festive(ahead)]
    if not method.startswith(AVERAGE) or days.empty:
        return []
    said = []
    for month in days.month_name().unique():
        numbers = days.day[days.month_name() == month]
        first, last = numbers.min(), numbers.max()
        said.append(f"{first} {month}" if first == last else f"{first} to {last} {month}")
    return [f"Taken to be quieter, and less sure: {' and '.join(said)}."]


def _limits(used: pd.Series, trust: Trust, question: Question, own: float | None) -> list[str]:
    """Everything that limits the forecast, as sentences."""
    count, horizon = int(used.count()), question.horizon_days
    without_price = unpriced(trust.unpriced_ratio, own, question.group_by, question.name)
    if count < FEWEST:
        words = [f"Too little history: whole days with data: {count}; a forecast needs {FEWEST}."]
        return [*words, *without_price]
    words = []
    if count < SHORT_DAYS:
        words.append(f"Only {count} whole days of history: weekdays and trends cannot be told apart yet.")
    elif horizon > 2 * count:
        words.append(f"The horizon of {horizon} days is far beyond the {count} days of history.")
    return [*words, *missing_days(used), *without_price]
