"""Rules about money: the budget, unusual spend, savings and requests without a price."""

from __future__ import annotations

from itertools import chain
from typing import Final

from asahi_alerts.expressions import (
    DATE,
    DOLLARS,
    NUMBER,
    PERCENT,
    aggregated,
    asked,
    asked_about,
    asked_label,
    both,
    either,
    exporters,
    grown_total,
    growth,
    indented,
    label,
    one_line,
    said_where,
    total_running,
    value,
)
from asahi_alerts.rule import Alert, Group, Record, total_record, usual_record
from asahi_alerts.thresholds import BurnWindow, Severity, Thresholds, seconds
from asahi_exporter.conventions import (
    BOUND,
    BUDGET,
    BUDGET_DOLLARS,
    BUDGET_FORECAST,
    BUDGET_LEVEL,
    BUDGET_OVERRUN_PROBABILITY,
    BUDGET_PLANNED,
    BUDGET_SPENT,
    LEVEL,
    MODEL,
    WHOLE_BUDGET,
    Metric,
)

COST: Final = "asahi_total:cost_dollars"
SAVINGS: Final = "asahi_total:savings_dollars"
ALLOWED: Final = "asahi_total:budget:dollars"
CATCHING_UP: Final = "asahi_total:exporters:catching_up_ratio"
CAUGHT_UP: Final = 0.8
"""An exporter whose scrapes of the last 20 minutes or so succeeded less often may still be catching up."""
MOST_CATCHING_UP: Final = 0.05
"""While more of the exporters catch up, the time in which the money was spent is not known."""
MONTH_TO_DATE: Final = f"{COST}:month_to_date"
DAY_SECONDS: Final = 86_400


def groups(thresholds: Thresholds) -> tuple[Group, ...]:
    """Return the groups of rules about money."""
    return (
        Group(
            "asahi_alerts_spend",
            (
                *_spend_records(thresholds),
                *_budget_records(thresholds),
                *_budget_alerts(thresholds),
                *_spike_alerts(thresholds),
            ),
        ),
        Group(
            "asahi_alerts_savings",
            (*_savings_records(thresholds), _savings_zero_alert(thresholds), _unpriced_alert(thresholds)),
            thresholds.slow_evaluation_interval,
        ),
    )


def _spend_records(thresholds: Thresholds) -> tuple[Record, ...]:
    windows = dict.fromkeys((thresholds.cost_spike.window, *_burn_windows(thresholds)))
    sums = (Record(_sum(window), grown_total("cost_dollars", window)) for window in windows)
    return (total_record("cost_dollars"), *sums)


def _burn_windows(thresholds: Thresholds) -> tuple[str, ...]:
    pairs = ((window.short, window.long) for window in thresholds.budget.burn_windows)
    return tuple(dict.fromkeys(chain.from_iterable(pairs)))


def _sum(window: str) -> str:
    return f"{COST}:sum{window}"


# The budget ---------------------------------------------------------------------------------------------------
def _budget_records(thresholds: Thresholds) -> tuple[Record, ...]:
    return (
        Record(ALLOWED, _allowed(thresholds.budget.monthly_dollars)),
        Record(MONTH_TO_DATE, _month_to_date()),
        *(Record(_burn_rate(window), _burn_rate_of(window)) for window in _burn_windows(thresholds)),
    )


def _allowed(monthly_dollars: float | None) -> str:
    """Return the dollars of the month: what the service says, else the thresholds' own."""
    said = _said(BUDGET_DOLLARS)
    return said if monthly_dollars is None else f"{said}\nor vector({monthly_dollars:g})"


def _said(metric: Metric) -> str:
    """Return what the service says of the whole budget, remembered for a day."""
    return f'max(last_over_time({metric.name}{{{BUDGET}="{WHOLE_BUDGET}"}}[1d]))'


def _month_to_date() -> str:
    """Return the spend of this calendar month (UTC): the larger of what was recorded here and what the service says.

    Neither is too much. The service knows what was counted before these rules were there; the rules go on without it.
    """
    return aggregated("max", (), either([_recorded_this_month(), _said_of_this_month()], "counted"))


def _recorded_this_month() -> str:
    """Return the running total less the first of it that the month has.

    Each of the last 31 days (UTC: subqueries step at whole multiples of their step) has its least total, which is its
    first, and the label of its month; that of this month is taken. So where Prometheus was down as the month began,
    counting begins with the first total after that: too little rather than too much. Where the total fell it was begun
    anew, and the count starts there. A day is looked at from a millisecond before it, so that its first moment belongs
    to it on Prometheus 3, too.
    """
    total = total_running("cost_dollars")
    month = 'count_values("month", month())'
    first_of_day = f"min_over_time({total}[1d] offset -{DAY_SECONDS * 1000 - 1}ms)"
    first_of_months = f"min_over_time(({first_of_day} * on () group_left (month) {month})[31d:1d])"
    return f"{total}\n- min without (month) (\n  {first_of_months}\n  and on (month) {month}\n)"


def _said_of_this_month() -> str:
    """Return the service's spend where its month, in a time zone of its own, is the one that runs in UTC.

    Its plan tells how much of its month is over. The same month in another zone is a day apart at most; another month
    is almost a whole one apart.
    """
    over = (
        f"((day_of_month() - 1) * {DAY_SECONDS} + time() % {DAY_SECONDS}) / (days_in_month() * {DAY_SECONDS})"
    )
    return f"{_said(BUDGET_SPENT)}\nand abs({_said(BUDGET_PLANNED)} / {_said(BUDGET_DOLLARS)} - {over}) < 0.5"


def _burn_rate(window: str) -> str:
    return f"asahi_total:budget:burn_rate{window}"


def _burn_rate_of(window: str) -> str:
    """Return spend against the budget's share of the window: 1 spends exactly the budget in the month."""
    return f"{_sum(window)}\n/ ({ALLOWED} * {seconds(window)} / (days_in_month() * {DAY_SECONDS}))"


def _budget_alerts(thresholds: Thresholds) -> tuple[Alert, ...]:
    return (
        *(_burn_alert(window) for window in thresholds.budget.burn_windows),
        *_spent_alerts(thresholds),
        _forecast_alert(thresholds),
    )


def _burn_alert(window: BurnWindow) -> Alert:
    return Alert(
        name="AsahiBudgetBurn",
        incident="budget",
        expr=both(
            f"{_burn_rate(window.long)} > {window.burn_rate:g}",
            f"{_burn_rate(window.short)} > {window.burn_rate:g}",
        ),
        hold=window.hold,
        severity=window.severity,
        labels={"window": window.long},
        summary="Money is spent faster than the monthly budget allows.",
        description=(
            f"{value('printf `%.1f`')} times the pace that lasts the month, over {window.long}: "
            f"${asked(_sum(window.long), DOLLARS)} spent in that time, "
            f"${asked(MONTH_TO_DATE, DOLLARS)} this month of a budget of ${asked(ALLOWED, DOLLARS)}."
            f"{_exhaustion(window.long)}"
        ),
    )


def _exhaustion(window: str) -> str:
    """Return a template of when the rest of the budget is spent at the pace of ``window``.

    A budget that is spent runs out no more, and one that outlasts the month (UTC) begins anew before it runs out.
    """
    left = f"({ALLOWED} - {MONTH_TO_DATE})"
    lasts = f"{left} / {_sum(window)} * {seconds(window)}"
    of_month = f"((days_in_month() - day_of_month() + 1) * {DAY_SECONDS} - time() % {DAY_SECONDS})"
    runs_out = f"round(time() + ({lasts} > 0 < on () {of_month}), 60)"
    return (
        said_where(runs_out, f" At this pace the budget runs out on {{{{ . | first | value | {DATE} }}}}.")
        + said_where(f"{left} <= 0", " The budget is spent.")
        + said_where(f"{lasts} >= on () {of_month}", " At this pace what is left of it outlasts the month.")
    )


def _spent_alerts(thresholds: Thresholds) -> tuple[Alert, ...]:
    """Return the alerts on the levels of each budget; the label ``level`` makes each of them news of its own."""
    level = f"max by ({BUDGET}) ({BUDGET_LEVEL.name})"
    spent, allowed = (f"max by ({BUDGET}) ({metric.name})" for metric in (BUDGET_SPENT, BUDGET_DOLLARS))
    reached: tuple[tuple[str, Severity], ...] = (
        (f"{level} > 0 < 1", "warning"),
        # all of a budget is a level even of one that does not name it
        (f"{level} >= 1\nor ({spent} / {allowed} >= 1) * 0 + 1", "critical"),
    )
    ratio = f"{BUDGET_SPENT.name}{{{BUDGET}=%q}} / {BUDGET_DOLLARS.name}{{{BUDGET}=%q}}"
    return tuple(
        Alert(
            name="AsahiBudgetSpent",
            incident="budget",
            expr=aggregated("count_values", (BUDGET,), f'"{LEVEL}"', levels),
            hold=thresholds.budget.hold,
            severity=severity,
            summary="A monthly budget has reached one of its levels.",
            description=(
                f"{asked_about(ratio, (BUDGET, BUDGET), PERCENT)} of the budget {label(BUDGET)} is spent, so that its "
                f"level of {label(LEVEL, PERCENT)} is reached: "
                f"${_of_budget(BUDGET_SPENT.name, DOLLARS)} of ${_of_budget(BUDGET_DOLLARS.name, DOLLARS)} this month."
            ),
        )
        for levels, severity in reached
    )


def _forecast_alert(thresholds: Thresholds) -> Alert:
    return Alert(
        name="AsahiForecastOverBudget",
        incident="budget",
        expr=(
            f"max by ({BUDGET}) ({BUDGET_OVERRUN_PROBABILITY.name}) "
            f">= {thresholds.budget.overrun_probability:g}"
        ),
        hold=thresholds.budget.hold,
        severity="warning",
        summary="The month is forecast to cost more than its budget.",
        description=(
            f"The budget {label(BUDGET)} will be overrun with a probability of {value(PERCENT)}: "
            f"${_of_budget(BUDGET_FORECAST.name, DOLLARS, mean_only=True)} expected by the end of the month, "
            f"${_of_budget(BUDGET_DOLLARS.name, DOLLARS)} allowed."
        ),
    )


def _of_budget(metric: str, shown: str, *, mean_only: bool = False) -> str:
    """Return a template of ``metric`` for the budget that the alert is about."""
    bound = f',{BOUND}="mean"' if mean_only else ""
    return asked_about(f"{metric}{{{BUDGET}=%q{bound}}}", (BUDGET,), shown)


# Unusual spend ------------------------------------------------------------------------------------------------
def _spike_alerts(thresholds: Thresholds) -> tuple[Record | Alert, ...]:
    warning = thresholds.cost_spike_threshold
    levels: tuple[tuple[float, Severity], ...] = (
        (warning, "warning"),
        (warning * thresholds.critical_factor, "critical"),
    )
    window = thresholds.cost_spike.window
    return (
        usual_record(
            f"{COST}:usual{window}", _sum(window), (), window, pick="max", thresholds=thresholds, daily=True
        ),
        Record(CATCHING_UP, _catching_up(thresholds)),
        *(_spike_alert(thresholds, ratio, severity) for ratio, severity in levels),
    )


def _catching_up(thresholds: Thresholds) -> str:
    """Return the share of exporters that came back after an outage, so that what they counted arrives at once."""
    up = exporters(thresholds)
    span = f"{seconds(thresholds.cost_spike.window) + 300}s"
    returned = f"count({up} == 1 and avg_over_time({up}[{span}]) < {CAUGHT_UP:g})"
    return f"({returned} or vector(0)) / count({up})"


def _spike_alert(thresholds: Thresholds, ratio: float, severity: Severity) -> Alert:
    spike = thresholds.cost_spike
    spent, usually = _sum(spike.window), f"{COST}:usual{spike.window}"
    return Alert(
        name="AsahiCostSpike",
        incident="spend",
        expr=both(f"{spent} > {ratio:g} * {usually}", f"{spent} - {usually} >= {spike.min_excess_dollars:g}")
        + f"\nunless {CATCHING_UP} > {MOST_CATCHING_UP:g}",
        hold=spike.hold,
        keep=spike.keep,
        severity=severity,
        summary="Spend is far above what is usual at this time.",
        description=(
            f"${value(DOLLARS)} spent in the last {spike.window}; "
            f"usually at most ${asked(usually, DOLLARS)} at this time. "
            f"Most of it by the model {asked_label(_largest(MODEL, spike.window), MODEL)}."
        ),
    )


def _largest(name: str, window: str) -> str:
    return f"topk(1, {one_line(growth('cost_dollars', (name,), window))})"


# Savings and prices -------------------------------------------------------------------------------------------
def _savings_records(thresholds: Thresholds) -> tuple[Record, ...]:
    window = thresholds.savings_zero.window
    ratio = f"{SAVINGS}:ratio{window}"
    return (
        total_record("baseline_dollars"),
        total_record("savings_dollars"),
        Record(f"asahi_total:baseline_dollars:sum{window}", grown_total("baseline_dollars", window)),
        Record(
            ratio,
            f"(\n{indented(grown_total('savings_dollars', window))}\n)\n"
            f"/ (asahi_total:baseline_dollars:sum{window} > 0)",
        ),
        usual_record(f"{SAVINGS}:usual_ratio{window}", ratio, (), window, pick="min", thresholds=thresholds),
    )


def _savings_zero_alert(thresholds: Thresholds) -> Alert:
    zero = thresholds.savings_zero
    ratio, usually = f"{SAVINGS}:ratio{zero.window}", f"{SAVINGS}:usual_ratio{zero.window}"
    baseline = f"asahi_total:baseline_dollars:sum{zero.window}"
    return Alert(
        name="AsahiSavingsZero",
        incident="savings",
        expr=both(
            f"{ratio} <= {zero.ratio:g} * {usually}", f"{usually} * {baseline} >= {zero.min_usual_dollars:g}"
        ),
        hold=zero.hold,
        keep=zero.keep,
        severity="warning",
        summary="The optimizer has stopped saving money.",
        description=(
            f"{value(PERCENT)} of the baseline saved in the last {zero.window}; usually at least "
            f"{asked(usually, PERCENT)}. The traffic of that time would have saved "
            f"${asked(f'{usually} * {baseline}', DOLLARS)}."
        ),
    )


def _unpriced_alert(thresholds: Thresholds) -> Alert:
    unpriced = thresholds.unpriced_requests
    return Alert(
        name="AsahiUnpricedRequests",
        incident="prices",
        expr=f"{growth('unpriced_requests', (MODEL,), unpriced.window)} >= {unpriced.min_requests}",
        hold=unpriced.hold,
        severity="warning",
        summary="Requests of a model have no price, so the spend shown is too low.",
        description=(
            f"{value(NUMBER)} requests of the model {label(MODEL)} in the last {unpriced.window} had no price; "
            f"their cost is missing from every sum."
        ),
    )
