"""The dashboard "Asahi budgets": the month against its budgets, and the forecast with its band.

The analytics service computes these series and serves them on its own ``/metrics``; each of its workers says the
same, so the largest is taken.
"""

from __future__ import annotations

from typing import Final

from asahi_analytics.dashboards.grafana import (
    DOLLARS,
    RATIO,
    Caption,
    Json,
    Place,
    bar_chart,
    dashboard,
    scraped,
    target,
    time_series,
)
from asahi_exporter import conventions as names

SOURCE: Final = "From the analytics service, which Prometheus must scrape."
LOW, MEAN, HIGH = names.FORECAST_BOUNDS
EXPECTED: Final = {HIGH: "expected at most", MEAN: "expected", LOW: "expected at least"}
"""What a bound of a forecast is called."""
LAST: Final = ("lastNotNull",)
"""Of figures that say how a month stands, only the last counts."""
WHOLE: Final = f'{names.BUDGET}="{names.WHOLE_BUDGET}"'


def _by_budget(metric: names.Metric) -> str:
    return f"max by ({names.BUDGET}) ({scraped(metric.name)})"


def _of_whole(metric: names.Metric) -> str:
    return f"max({scraped(metric.name, WHOLE)})"


def _bound(metric: names.Metric, bound: str, *matchers: str) -> str:
    chosen = ", ".join((*matchers, f'{names.BOUND}="{bound}"'))
    return f"max({scraped(metric.name, chosen)})"


def _forecast(metric: names.Metric, refs: str, *matchers: str) -> list[Json]:
    """Return the queries of a forecast's upper end, mean and lower end, each named by a letter of ``refs``."""
    return [
        target(ref, _bound(metric, bound, *matchers), EXPECTED[bound])
        for ref, bound in zip(refs, (HIGH, MEAN, LOW), strict=True)
    ]


def _banded() -> list[Json]:
    """Return what fills the space between the bounds of a forecast, and only that, and leaves the bounds undrawn."""
    unlined = {"id": "custom.lineWidth", "value": 0}
    band = [{"id": "custom.fillBelowTo", "value": EXPECTED[LOW]}, {"id": "custom.fillOpacity", "value": 20}]
    return [
        {"matcher": {"id": "byName", "options": EXPECTED[HIGH]}, "properties": [*band, unlined]},
        {"matcher": {"id": "byName", "options": EXPECTED[LOW]}, "properties": [unlined]},
    ]


def _month() -> Json:
    caption = Caption(
        "The month of the budget over everything",
        "Dollars spent this month, what an even pace would have spent, the budget, and what the whole month is "
        f"expected to come to, with its interval. {SOURCE}",
        DOLLARS,
    )
    lines = [
        target("A", _of_whole(names.BUDGET_SPENT), "spent"),
        target("B", _of_whole(names.BUDGET_PLANNED), "even pace"),
        target("C", _of_whole(names.BUDGET_DOLLARS), "budget"),
        *_forecast(names.BUDGET_FORECAST, "DEF", WHOLE),
    ]
    return time_series(caption, Place(0, 0, 24, 10), lines, overrides=_banded(), calcs=LAST)


def _used() -> Json:
    caption = Caption("Budget used", f"Dollars spent this month as a share of each budget. {SOURCE}", RATIO)
    used = f"sort_desc({_by_budget(names.BUDGET_SPENT)} / {_by_budget(names.BUDGET_DOLLARS)})"
    asked = target("A", used, f"{{{{{names.BUDGET}}}}}", instant=True, result_format="table")
    return bar_chart(caption, Place(0, 10, 12, 9), [asked], category=names.BUDGET)


def _overrun() -> Json:
    caption = Caption(
        "Probability of an overrun",
        f"How likely each budget is to be exceeded by the end of the month. {SOURCE}",
        RATIO,
    )
    likely = _by_budget(names.BUDGET_OVERRUN_PROBABILITY)
    lines = [target("A", likely, f"{{{{{names.BUDGET}}}}}")]
    return time_series(caption, Place(12, 10, 12, 9), lines, defaults={"max": 1, "decimals": 0}, calcs=LAST)


def _next_days() -> Json:
    caption = Caption(
        "Expected cost of the next 30 days",
        f"The forecast of spend with its interval, as it stood at each moment. {SOURCE}",
        DOLLARS,
    )
    lines = _forecast(names.FORECAST_COST, "ABC")
    return time_series(caption, Place(0, 19, 24, 8), lines, overrides=_banded(), calcs=LAST)


def budgets() -> Json:
    """Return the dashboard "Asahi budgets"."""
    return dashboard(
        "asahi-budgets",
        "Asahi budgets",
        "The running month against its budgets, and what the next 30 days will cost, each with its interval.",
        [_month(), _used(), _overrun(), _next_days()],
        since="now-7d",
        about=names.FORECAST_COST,
    )
