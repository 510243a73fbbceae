"""Between any two moments the composer finds what was counted, whatever came, went, moved or fell silent since."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from asahi_analytics.tiles import RuleParameters
from support.random_lives import Lives
from support.simulated_rules import simulation

pytestmark = pytest.mark.integration

END = 5400
WINDOWS = 40
SLOW = RuleParameters(state_interval=timedelta(minutes=10), lookback=timedelta(minutes=10))


@pytest.mark.parametrize(
    ("seed", "family", "rules", "external"),
    [
        (1, "savings_dollars", RuleParameters(state_interval=timedelta(minutes=1)), {}),
        (2, "savings_dollars", RuleParameters(lookback=timedelta(minutes=10)), {}),
        (3, "user_cost_dollars", RuleParameters(state_interval=timedelta(minutes=2)), {}),
        (4, "corrections_dollars", RuleParameters(), {}),
        (5, "corrections_dollars", SLOW, {}),
        (6, "savings_dollars", RuleParameters(), {"cluster": "x", "replica": "a"}),
    ],
    ids=[
        "a minute",
        "a longer lookback",
        "two minutes",
        "five minutes",
        "ten minutes",
        "a store where all carries external labels",
    ],
)
def test_a_window_between_any_moments_holds_what_was_counted(tmp_path, seed, family, rules, external):
    chance = Random(seed)
    interval = rules.state_interval.total_seconds()
    with simulation(
        tmp_path,
        family=family,
        phase=round(chance.uniform(0, interval), 3),
        rules=rules,
        external=external,
    ) as made:
        lives = Lives(made, chance, END)
        for name in "ab":
            lives.remembered(name)
        for number in range(6):
            lives.brief(f"brief-{number}", stored=number % 2 == 0)
        made.run(END, begin=interval + 75)
        for _ in range(WINDOWS):
            start, end = sorted(lives.near_an_event(first=2 * interval + 95) for _ in range(2))
            if end > start:
                assert made.total(start, end) == pytest.approx(lives.counted(start, end), abs=1e-5), (
                    start,
                    end,
                )
