"""What the rules on money find usual of a week: weeks simulated by promtool, in quarters of an hour."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from asahi_analytics.demo.servers import find_program

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RULES = Path(__file__).parents[2] / "prometheus" / "rules" / "asahi_alerts_money.yml"
DAY = 96  # quarters of an hour
WEEK = 7 * DAY
JOB = 6 * DAY + 8  # 02:00 of the seventh day
JOB_LENGTH = 8
BOTH = ["critical", "warning"]
CHAT = '{model="m", task_type="chat", cache_tier="none"}'
BATCH = '{model="b", task_type="batch", cache_tier="none"}'
Pace = npt.NDArray[np.float64]


def steady(weeks: int, pace: float) -> Pace:
    return np.full(weeks * WEEK, pace)


def jobs(sizes: Sequence[float], late: Sequence[int]) -> Pace:
    """A job of each week, at 02:00 of its seventh day and so many quarters of an hour later."""
    pace = steady(len(sizes), 0.0)
    for week, (size, delay) in enumerate(zip(sizes, late, strict=True)):
        begin = week * WEEK + JOB + delay
        pace[begin : begin + JOB_LENGTH] = size
    return pace


def working_weeks(paces: Sequence[float]) -> Pace:
    """Weeks of five working days, each at its pace, and of two days off."""
    return np.concatenate([np.repeat([pace, 0.1], [5 * DAY, 2 * DAY]) for pace in paces])


def rules_behind(alert: str, folder: Path) -> Path:
    """Write ``alert`` and what it reads, which takes a fraction of the time of all rules."""
    kept: list[dict[str, Any]] = []
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in reversed(group["rules"]):
            is_read = any(rule.get("record", alert) in other["expr"] for other in kept)
            if rule.get("alert") == alert or is_read:
                kept.insert(0, rule)
    path = folder / RULES.name
    path.write_text(yaml.safe_dump({"groups": [{"name": "behind", "rules": kept}]}))
    return path


def check(folder: Path, alert: str, paces: Mapping[str, Pace], weeks: Sequence[Sequence[str]]) -> None:
    """Let promtool check which severities of ``alert`` fired in each week; ``paces`` are for a quarter of an hour."""
    samples = len(weeks) * WEEK
    paces = {"asahi_total:requests:running": np.full(samples, 300.0), **paces}
    series: list[dict[str, Any]] = []
    for name, pace in paces.items():
        totals = np.concatenate([[0.0], np.cumsum(pace)])
        series.append({"series": name, "values": " ".join(f"{total:.4f}" for total in totals)})
    query = f'group by (severity) (max_over_time(ALERTS{{alertname="{alert}",alertstate="firing"}}[10079m]))'
    expected = [
        {
            "expr": query,
            "eval_time": f"{7 * number}d",
            "exp_samples": [{"labels": f'{{severity="{severity}"}}', "value": 1} for severity in severities],
        }
        for number, severities in enumerate(weeks, 1)
    ]
    test = {"interval": "15m", "input_series": series, "promql_expr_test": expected}
    path = folder / "weeks_test.yml"
    path.write_text(
        yaml.safe_dump(
            {"rule_files": [str(rules_behind(alert, folder))], "evaluation_interval": "15m", "tests": [test]},
            width=1_000_000,
        )
    )
    command = [find_program("promtool"), "test", "rules", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_a_job_of_each_week_is_news_twice_then_custom_though_it_starts_later_and_news_again_where_it_grows(
    tmp_path: Path,
) -> None:
    paces = {
        f"asahi:cost_dollars:running{CHAT}": steady(5, 1.0),
        f"asahi:cost_dollars:running{BATCH}": jobs([0, 11, 11, 11, 33], late=[0, 0, 0, 3, 0]),
    }
    check(tmp_path, "AsahiCostSpike", paces, [[], BOTH, BOTH, [], ["warning"]])


def test_one_odd_week_of_spend_is_no_custom(tmp_path: Path) -> None:
    paces = {
        f"asahi:cost_dollars:running{CHAT}": steady(4, 1.0),
        f"asahi:cost_dollars:running{BATCH}": jobs([0, 11, 0, 11], late=[0, 0, 0, 0]),
    }
    check(tmp_path, "AsahiCostSpike", paces, [[], BOTH, [], BOTH])


def test_work_that_begins_after_a_week_of_holidays_is_no_spike_and_three_times_as_much_is(
    tmp_path: Path,
) -> None:
    weeks = [4.0, 4.0, 0.1, 4.0, 12.0]
    paces = {f"asahi:cost_dollars:running{CHAT}": working_weeks(weeks)}
    check(tmp_path, "AsahiCostSpike", paces, [[], [], [], [], ["warning"]])


def test_a_job_of_each_week_that_saves_nothing_is_news_twice_then_custom(tmp_path: Path) -> None:
    paces = {
        f"asahi:baseline_dollars:running{CHAT}": steady(4, 2.0),
        f"asahi:baseline_dollars:running{BATCH}": jobs([0, 100, 100, 100], late=[0, 0, 0, 3]),
        'asahi:savings_dollars:running{phase="cache"}': steady(4, 1.0),
    }
    check(tmp_path, "AsahiSavingsZero", paces, [[], ["warning"], ["warning"], []])
