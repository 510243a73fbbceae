"""What the burn rates say of a team that works five days of seven: months simulated by promtool, in half hours.

Time starts with a month of 31 days, and a budget of $744 is one dollar an hour.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from asahi_analytics.demo.servers import find_program

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RULES = Path(__file__).parents[2] / "prometheus" / "rules" / "asahi_alerts_money.yml"
BUDGET = 744.0
FIRED = 'group by (window) (max_over_time(ALERTS{alertname="AsahiBudgetBurn",alertstate="firing"}[31d]))'


def month(landing: float, first_weekday: int, night: float, weekend: float) -> str:
    """The running total of a month that lands at so much of the budget.

    Monday is 0; the pace of nights and week-ends is a share of that of a working hour.
    """
    hours = np.arange(31 * 48) / 2
    days_off = (hours // 24 + first_weekday) % 7 >= 5
    at_work = (hours % 24 >= 9) & (hours % 24 < 19)
    pace = np.where(at_work, 1.0, night) * np.where(days_off, weekend, 1.0)
    totals = np.concatenate([[0.0], np.cumsum(pace / pace.sum() * BUDGET * landing)])
    return " ".join(f"{total:.4f}" for total in totals)


def case(totals: str, windows: list[str]) -> dict[str, Any]:
    """The test of promtool that alerts of exactly these ``windows`` fired in the month."""
    samples = totals.count(" ")
    series = {
        'asahi_budget_dollars{budget="total"}': f"{BUDGET}x{samples}",
        "asahi_total:requests:running": f"0+10x{samples}",
        'asahi:cost_dollars:running{model="m"}': totals,
    }
    expected = [{"labels": f'{{window="{window}"}}', "value": 1} for window in windows]
    return {
        "interval": "30m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": FIRED, "eval_time": "31d", "exp_samples": expected}],
    }


@pytest.mark.parametrize(
    ("totals", "windows"),
    [
        # On a Saturday begins the month with the fewest working days: 21 of 31.
        pytest.param(month(1.0, 5, 0.05, 0.0), [], id="it lands on the budget, with nothing on week-ends"),
        pytest.param(
            month(1.0, 0, 0.3, 0.3), [], id="it lands on the budget, with quiet nights and week-ends"
        ),
        pytest.param(month(1.25, 5, 0.05, 0.0), ["7d"], id="it lands a quarter above the budget"),
        pytest.param(month(2.2, 0, 0.3, 0.0), ["3d", "7d"], id="it lands at twice the budget"),
    ],
)
def test_a_ticket_says_that_the_month_will_not_land_on_its_budget(
    tmp_path: Path, totals: str, windows: list[str]
) -> None:
    path = tmp_path / "month_test.yml"
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "30m",
        "tests": [case(totals, windows)],
    }
    path.write_text(yaml.safe_dump(tests, width=1_000_000))
    command = [find_program("promtool"), "test", "rules", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
