"""How often budgets are overrun that are said to be with 10, 30, 50, 70 and 90 %, on real and on made-up spend.

``python benchmarks/budgets.py [--packages .bench/packages] [--months 2] [--by-day]``

Daily series are those that the forecasts were tuned on, shops left out (``forecast_data.py``), and spend that is made
up (``budgets_world.py``): growth, office hours, jobs, days that were not scraped, and, in a table of their own, models
that are launched, migrated, cut in price or switched off and holidays, which no history can foresee. Each is asked on
the mornings of days 3, 8, 15, 22 and 28 of its last ``--months`` calendar months, from the 120 days before, for budgets
of 0.8 to 1.3 times what the month

before   came to, by its days: as an owner may set them. What is predicted can be held against what happened.
itself   comes to. These know the future, so that even a perfect forecast seems too sure of what is likely and not sure
         enough of what is not, the more the earlier in the month.

Budgets that are spent already are left out: they are certain. The reference is the run rate: an overrun is
certain if spending goes on as on average since the first, else impossible.

said       mean probability of those in the bin
happened   share of them that were overrun
Brier      mean squared error of the probability; a coin has 0.25
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from budgets_world import world
from forecast import with_one_thread
from forecast_data import daily_series

from asahi_analytics.forecasting import forecast_series
from asahi_analytics.forecasting.daily import from_first_spend
from asahi_analytics.forecasting.model import HISTORY_DAYS
from asahi_analytics.forecasting.risk import Month

DAYS = (3, 8, 15, 22, 28)
FACTORS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
EDGES = (0.0, 0.02, 0.2, 0.4, 0.6, 0.8, 0.98, 1.0)
MADE_UP = ("made up", "made up, something happens")
LEAST_DAYS = 60
"""Days of history that a case has at least."""
UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class Case:
    """One budget on one morning: ``against`` the month before or itself, what was said, and what happened."""

    kind: str
    against: str
    day: int
    said: float
    run_rate: float
    overrun: bool


def cases(kind: str, seen: pd.Series, true: pd.Series, months: int) -> Iterator[Case]:
    """Yield the budgets of the last whole ``months`` of a daily series; ``seen`` (NaN: missing) is what is known."""
    firsts = [day for day in true.index if day.day == 1 and day - timedelta(days=LEAST_DAYS) >= true.index[0]]
    whole = [day for day in firsts if day + pd.offsets.MonthEnd(1) <= true.index[-1]]
    for first in whole[-months:]:
        last = first + pd.offsets.MonthEnd(1)
        total = float(true[first:last].sum())
        before = float(true[first - pd.offsets.MonthBegin() : first - timedelta(days=1)].mean()) * last.day
        if total > 0 and before > 0:
            for day in DAYS:
                known = from_first_spend(seen[: first + timedelta(days=day - 2)].iloc[-HISTORY_DAYS:])
                spent = float(true[first : first + timedelta(days=day - 2)].sum())
                now = (first + timedelta(days=day - 1)).to_pydatetime()
                if known.count() >= LEAST_DAYS / 2:
                    yield from _on(kind, known, Spending(now, spent, total, before))


@dataclass(frozen=True)
class Spending:
    """What was ``spent`` by ``now``, is in ``total`` by the end of the month, and was in the month ``before``."""

    now: datetime
    spent: float
    total: float
    before: float


def _on(kind: str, known: pd.Series, spending: Spending) -> Iterator[Case]:
    month = Month(spending.now, UTC)
    outlook = forecast_series(known, month.steps).outlook
    over = (month.now - month.window.start) / month.window.length
    # From a midnight UTC on every day left counts whole: this is what `overrun_probability` is by the last of them.
    for against, amount in (("before", spending.before), ("itself", spending.total)):
        for factor in FACTORS:
            left = factor * amount - spending.spent
            if left > 0:
                yield Case(
                    kind,
                    against,
                    month.now.day,
                    outlook.exceeds(left),
                    float(spending.spent / over > factor * amount),
                    spending.total > factor * amount,
                )


def table(title: str, chosen: Sequence[Case]) -> None:
    """Print how often what was said happened."""
    said, rate, happened = np.array([(case.said, case.run_rate, case.overrun) for case in chosen]).T
    print(
        f"\n{title}: {len(chosen)} budgets, {100 * happened.mean():.0f} % overrun; Brier "
        f"{np.mean((said - happened) ** 2):.3f}, run rate {np.mean((rate - happened) ** 2):.3f}"
    )
    print(f"{'':12}{'budgets':>9}{'said':>8}{'happened':>10}")
    for low, high in pairwise(EDGES):
        inside = (said >= low) & ((said < high) | (high == 1.0))
        if inside.any():
            row = f"{inside.sum():9}{100 * said[inside].mean():7.1f} {100 * happened[inside].mean():9.1f} "
            print(f"{100 * low:3.0f}-{100 * high:3.0f} %   {row}", flush=True)


def main() -> None:
    with_one_thread()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--packages", type=Path, default=Path(".bench/packages"), help="where downloads are kept"
    )
    parser.add_argument("--months", type=int, default=2, help="months of each series")
    parser.add_argument("--by-day", action="store_true", help="a table for each day of the month, too")
    arguments = parser.parse_args()
    found: list[Case] = []
    for one in daily_series(arguments.packages):
        if one.part.startswith("tuned on") and not one.part.endswith("shops"):
            found += cases("real", one.values, one.values, arguments.months)
    for one in world():
        found += cases(MADE_UP[one.eventful], one.seen, one.true, arguments.months)
    for kind in ("real", *MADE_UP):
        for against in ("before", "itself"):
            mine = [case for case in found if (case.kind, case.against) == (kind, against)]
            table(f"{kind}, of the month {against}", mine)
            for day in DAYS if arguments.by_day else ():
                table(
                    f"{kind}, of the month {against}, day {day}", [case for case in mine if case.day == day]
                )


if __name__ == "__main__":
    main()
