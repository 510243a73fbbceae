"""Where requests were counted and no dollars, a forecast and a budget say why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asahi_analytics.composer import Trust
from asahi_analytics.forecasting import ForecastingModel
from asahi_analytics.forecasting.risk import Plan
from support.daily_composer import DailyComposer, LedgerEngine, hourly

NOW = datetime(2026, 3, 5, 13, 40, tzinfo=UTC)
DAYS = 90
START = datetime(2026, 3, 5, tzinfo=UTC) - timedelta(days=DAYS)
SPENT, NOTHING = np.full(DAYS + 1, 100.0), np.zeros(DAYS + 1)


def model(columns: dict[str, np.ndarray], family: str = "cost_dollars", trust: Trust | None = None):
    """A model whose ledger holds ``columns`` for the days up to today."""
    composer = DailyComposer({family: hourly(START, columns)}, trust or Trust())
    return ForecastingModel(LedgerEngine(composer, NOW))


UNSPENT = "Requests of {} idle were counted in the last 120 days, but they {}."


@pytest.mark.parametrize(
    ("group_by", "cost", "requests", "unpriced", "words"),
    [
        ("model", "cost_dollars", "requests", {"idle": 9.0}, "have no price"),
        ("model", "cost_dollars", "requests", {"idle": 2.0}, "have no price or cost nothing"),
        ("model", "cost_dollars", "requests", {"a": 9.0}, "cost nothing"),
        ("tier", "cost_dollars", "requests", {"a": 0.0}, "cost nothing"),
        ("tier", "cost_dollars", "requests", {"a": 9.0}, "have no price or cost nothing"),
        ("user", "user_cost_dollars", "user_requests", {"a": 0.0}, "cost nothing"),
    ],
)
def test_a_name_whose_requests_came_to_no_dollars_is_told_why(
    group_by: str, cost: str, requests: str, unpriced: dict[str, float], words: str
) -> None:
    made = model({"a": SPENT, "idle": NOTHING}, cost)
    ledgers = {"unpriced_requests": unpriced, requests: {"a": 50.0, "idle": 9.0}}
    for family, each in ledgers.items():
        columns = {name: np.full(DAYS + 1, count) for name, count in each.items()}
        made.engine.composer.ledgers[family] = hourly(START, columns)
    (risk,) = made.budget_risks([Plan("b", 5.0, group_by, "idle")])
    answer = made.predict_cost(group_by=group_by, name="idle")
    assert answer.warning == risk.warning == UNSPENT.format(group_by, words)
    assert answer.method == risk.method == "none: nothing was spent"
    assert (risk.spent, risk.forecast_total, risk.status) == (0.0, None, "unknown")


def test_nobody_looks_at_the_requests_of_names_that_spend() -> None:
    made = model({"a": SPENT})
    made.budget_risks([Plan("a", 5.0, "model", "a")])
    made.predict_cost(group_by="model", name="a")
    assert set(made.engine.composer.asked) == {"cost_dollars"}


def test_where_no_request_had_a_price_a_forecast_of_everything_says_so() -> None:
    answer = model({"m": NOTHING}, trust=Trust(unpriced_ratio=1.0)).predict_cost()
    assert answer.warning.endswith("100 % of requests had no price and are not in these dollars.")
