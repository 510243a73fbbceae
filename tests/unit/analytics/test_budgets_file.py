"""Budgets of a file: read, refused with the place, assessed in order, and shown as gauges."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from asahi_analytics.budget import BudgetCollector, BudgetReport, Budgets, load_plans
from asahi_analytics.errors import PrometheusUnreachable, UserInputError
from asahi_analytics.forecasting import Plan
from asahi_exporter import conventions as names
from support.budgets import forecasting

FILE = """
budgets:
  - monthly_dollars: 3300
  - {model: big, monthly_dollars: 2900, warn_at: [0.9, 0.25]}
  - {name: the rest, model: small, monthly_dollars: 200}
"""


def test_budgets_of_a_file_are_assessed_in_its_order(tmp_path) -> None:
    path = tmp_path / "budgets.yml"
    path.write_text(FILE, encoding="utf-8")
    model = forecasting(datetime(2026, 6, 16, tzinfo=UTC), big=100.0, small=5.0)
    report = Budgets(model, load_plans(path)).report()
    assert [risk.name for risk in report.budgets] == ["total", "big", "the rest"]
    assert [risk.budget for risk in report.budgets] == [3300, 2900, 200]
    assert report.budgets[1].levels_reached == [0.25]
    assert report.budgets[0].spent == pytest.approx(sum(risk.spent for risk in report.budgets[1:]))
    alone = model.detect_budget_risk(2900, group_by="model", name="big")
    assert report.budgets[1].overrun_probability == pytest.approx(alone.overrun_probability)


def test_no_file_and_an_empty_list_are_no_budgets(tmp_path) -> None:
    path = tmp_path / "budgets.yml"
    path.write_text("budgets: []\n", encoding="utf-8")
    assert load_plans(None) == load_plans(path) == ()
    assert Budgets(forecasting(datetime(2026, 6, 16, tzinfo=UTC))).report() == BudgetReport(budgets=[])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("budgets: [", "is not YAML"),
        ("- 1", "must hold 'budgets:'"),
        ("bugdets: []", "bugdets is not a key here; did you mean budgets"),
        ("budgets: [{model: a}]", "budgets.0.monthly_dollars is missing"),
        ("budgets: [{monthly_dollars: 0}]", "number of 0.01 or more; got 0"),
        ("budgets: [{monthly_dollars: 1.0e-320}]", "number of 0.01 or more; got 1e-320"),
        ("budgets: [{monthly_dollars: 1.0e+300}]", "number of 1000000000000 or less; got"),
        ("budgets: [{monthly_dollars: .inf}]", "finite"),
        ("budgets: [{monthly_dollars: 1, model: a, user: b}]", "at most one of model, task_type, user, tier"),
        ("budgets: [{monthly_dollars: 1, model: }]", "model is left empty; say which"),
        ("budgets: [{monthly_dollars: 1, warn_at: [0]}]", "warn_at"),
        (
            "budgets: [{monthly_dollars: 1, warn_at: [0.5, 1, 0.5]}]",
            "budgets.0.warn_at must name each share once",
        ),
        ("budgets: [{monthly_dollars: 1, planet: x}]", "planet"),
        ("budgets: [{monthly_dollars: 1}, {monthly_dollars: 2}]", "unique, got 'total'"),
        ("budgets: [{monthly_dollars: 1, model: a, name: total}]", "give that of model another"),
        ("budgets: [{monthly_dollars: 1, name: all}]", "is called 'total', got the name 'all'"),
        ("budgets: [{monthly_dollars: true}]", "a number; got true"),
        ("budgets: [{monthly_dollars: 1, warn_at: [true]}]", "warn_at.0 must be a number; got true"),
        ("budgets: [{monthly_dollars: 1, tier: '9'}]", "tier must be one of none, 1, 2, 3"),
        ("budgets: [{monthly_dollars: 1, monthly_dollars: 2}]", "'monthly_dollars' is given twice"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, text: str, words: str) -> None:
    path = tmp_path / "budgets.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserInputError, match=words) as caught:
        load_plans(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(UserInputError, match=r"missing\.yml cannot be read"):
        load_plans(tmp_path / "missing.yml")


def unreachable() -> BudgetReport:
    raise PrometheusUnreachable("no connection")


def test_gauges_hold_the_report_and_the_forecast() -> None:
    model = forecasting(datetime(2026, 6, 16, tzinfo=UTC))
    plan = Plan(names.WHOLE_BUDGET, 2250.0)
    report, forecast = Budgets(model, [plan]).report(), model.predict_cost()
    registry = CollectorRegistry()
    registry.register(BudgetCollector(lambda: report, lambda: forecast))
    risk, budget = report.budgets[0], {names.BUDGET: "total"}
    found = {
        metric.name: registry.get_sample_value(metric.name, budget)
        for metric in (
            names.BUDGET_DOLLARS,
            names.BUDGET_SPENT,
            names.BUDGET_OVERRUN_PROBABILITY,
            names.BUDGET_PLANNED,
            names.BUDGET_LEVEL,
        )
    }
    assert list(found.values()) == [2250.0, risk.spent, risk.overrun_probability, risk.planned, 0.5]
    exhaustion = registry.get_sample_value(names.BUDGET_EXHAUSTION.name, budget)
    assert exhaustion == pytest.approx(risk.exhaustion_at.timestamp())
    bands = [
        registry.get_sample_value(names.BUDGET_FORECAST.name, {**budget, names.BOUND: bound})
        for bound in names.FORECAST_BOUNDS
    ]
    assert bands == [risk.forecast_low, risk.forecast_total, risk.forecast_high]
    coming = [
        registry.get_sample_value(names.FORECAST_COST.name, {names.BOUND: bound})
        for bound in names.FORECAST_BOUNDS
    ]
    assert coming == [forecast.confidence_low, forecast.predicted_cost, forecast.confidence_high]


def test_what_cannot_be_answered_is_absent_never_zero() -> None:
    model = forecasting(datetime(2026, 6, 16, tzinfo=UTC), days=1)
    registry = CollectorRegistry()
    registry.register(BudgetCollector(unreachable, unreachable))
    assert list(registry.collect()) == []
    registry = CollectorRegistry()
    registry.register(BudgetCollector(Budgets(model, [Plan("total", 900.0)]).report, model.predict_cost))
    assert {family.name for family in registry.collect()} == {
        names.BUDGET_DOLLARS.name,
        names.BUDGET_SPENT.name,
        names.BUDGET_PLANNED.name,
        names.BUDGET_LEVEL.name,
    }
