"""The dashboard "Asahi money": dollars that equal the ledger's, from the running totals that the rules record.

What was counted in a range is the running total at its end minus the one at its start. A label set that was born
within the range had counted nothing at its start. Totals carry no job or instance: they are sums over all of them.
"""

from __future__ import annotations

from typing import Final

from asahi_analytics.dashboards.grafana import (
    COUNT,
    DOLLARS,
    RATIO,
    Caption,
    Json,
    Place,
    bar_chart,
    dashboard,
    pie,
    stat,
    target,
    time_series,
)
from asahi_analytics.promql import by_clause
from asahi_analytics.tiles import BACKFILLED, PART, SCRAPED, SCRAPES_STATE, state_metric
from asahi_exporter import conventions as names

RECENT: Final = "15m"
"""How old a running total may be to be the present one: older means that the rules have stopped."""
FILLED_IN: Final = "65m"
"""The same where totals were filled in afterwards (`asahi-obs rules backfill`): by the hour."""
CARRIED: Final = "1d"
"""How far before the start of a range its running total is looked for."""
SCRAPED_SECONDS: Final = f'{SCRAPES_STATE}{{{PART}="{SCRAPED}"}}'
MOST_BARS: Final = 15
BAR_SECONDS: Final = 300
"""The shortest step of spend over time: that of a demo's or replay's history, which shorter steps would show as nothing
and, every few, all at once."""
EXACT: Final = "From recorded running totals of all jobs and instances: exact, up to the last full minute."


def _summed(by: tuple[str, ...], totals: str) -> str:
    clause = f" {by_clause(by)} " if by else ""
    return f"sum{clause}({totals})"


def _now(family: str, by: tuple[str, ...]) -> str:
    """The running total of ``family`` by labels; where it was filled in afterwards, the one of the last full hour."""
    recorded, state = names.FAMILIES[family].running, state_metric(names.FAMILIES[family])
    filled_in = f'last_over_time({state}{{{PART}="{BACKFILLED}"}}[{FILLED_IN}])'
    hourly = f"last_over_time({recorded}[{FILLED_IN}]) and on () {filled_in}"
    return _summed(by, f"last_over_time({recorded}[{RECENT}]) or {hourly}")


def counted(family: str, by: tuple[str, ...] = (), over: str = "$__range") -> str:
    """PromQL of what ``family`` counted by labels within ``over``; nothing where the totals began anew in it.

    Totals that were filled in end at zero: of a label set that no counter had any more when the rules were installed,
    the total has been zero since.
    """
    now = _now(family, by)
    then = _summed(by, f"last_over_time({names.FAMILIES[family].running}[{CARRIED}] offset {over})")
    present = f"({now} or {then} * 0 and on () {now})" if by else now
    return f"({present} - ({then} or {now} * 0)) >= 0 unless on () {_began_anew(over)}"


def _began_anew(over: str) -> str:
    """Whether the rules forgot their totals in ``over`` or since the ones of its start, which new ones may outgrow.

    The seconds scraped, the one total of a single series, fall then: within ``over``, or below what they were before.
    """
    before = f"last_over_time({SCRAPED_SECONDS}[{CARRIED}] offset {over})"
    return f"(resets({SCRAPED_SECONDS}[{over}]) > 0 or min_over_time({SCRAPED_SECONDS}[{over}]) < {before})"


def _one(caption: Caption, place: Place, expression: str, **extra: object) -> Json:
    return stat(caption, place, [target("A", expression, "total", instant=True)], **extra)


def _figures() -> list[Json]:
    baseline = f"({counted('cost_dollars')}) + ({counted('savings_dollars')})"
    return [
        _one(
            Caption("Spent today", f"Dollars since midnight of the dashboard's time zone. {EXACT}", DOLLARS),
            Place(0, 0, 6, 5),
            counted("cost_dollars"),
            timeFrom="now/d",
        ),
        _one(
            Caption("Spent this month", f"Dollars since the first of the month. {EXACT}", DOLLARS),
            Place(6, 0, 6, 5),
            counted("cost_dollars"),
            timeFrom="now/M",
        ),
        _one(
            Caption("Saved", f"Dollars saved over the chosen time range. {EXACT}", DOLLARS),
            Place(12, 0, 6, 5),
            counted("savings_dollars"),
        ),
        _one(
            Caption("Saved, of the baseline", f"Savings as a share of cost plus savings. {EXACT}", RATIO),
            Place(18, 0, 6, 5),
            f"({counted('savings_dollars')}) / ({baseline} > 0)",
        ),
    ]


def _bars(title: str, family: str, label: str, place: Place) -> Json:
    ranked = f"sort_desc(topk({MOST_BARS}, {counted(family, (label,))}))"
    asked = target("A", ranked, f"{{{{{label}}}}}", instant=True, result_format="table")
    said = f"Dollars over the chosen time range, the {MOST_BARS} largest. {EXACT}"
    return bar_chart(Caption(title, said, DOLLARS), place, [asked], category=label)


def _over_time() -> Json:
    said = f"Dollars in each five minutes, or longer step of the chart, stacked by model. {EXACT}"
    spent = counted("cost_dollars", (names.MODEL,), over="$__interval")
    return time_series(
        Caption("Spend over time", said, DOLLARS),
        Place(0, 5, 24, 9),
        [target("A", spent, f"{{{{{names.MODEL}}}}}", min_step_seconds=BAR_SECONDS)],
        stacked=True,
        bars=True,
    )


def _savings_by_phase() -> Json:
    said = f"Dollars saved over the chosen time range, by optimisation phase. {EXACT}"
    saved = counted("savings_dollars", (names.PHASE,))
    return pie(
        Caption("Savings by phase", said, DOLLARS),
        Place(12, 22, 6, 10),
        [target("A", saved, f"{{{{{names.PHASE}}}}}", instant=True)],
    )


def _unpriced() -> Json:
    said = f"Requests over the chosen time range whose cost was not known and counts as nothing. {EXACT}"
    unpriced = f"({counted('unpriced_requests')}) or ({counted('requests')}) * 0"
    return _one(Caption("Requests without a price", said, COUNT), Place(18, 22, 6, 10), unpriced)


def money() -> Json:
    """Return the dashboard "Asahi money"."""
    return dashboard(
        "asahi-money",
        "Asahi money",
        "Exact dollars: what was spent and saved, by model, task type, user and optimisation phase.",
        [
            *_figures(),
            _over_time(),
            _bars("Spend by model", "cost_dollars", names.MODEL, Place(0, 14, 12, 8)),
            _bars("Spend by task type", "cost_dollars", names.TASK_TYPE, Place(12, 14, 12, 8)),
            _bars("Spend by user", "user_cost_dollars", names.USER, Place(0, 22, 12, 10)),
            _savings_by_phase(),
            _unpriced(),
        ],
        since="now-7d",
    )
