"""The largest share of a day's dollars that one user had, as a rule records it every hour: few users have a large one.

``asahi:user_cost_dollars:largest`` holds, of the 24 hours that end at a full hour, by the label ``part``:

``share``      what the user who spent most spent of all dollars, 0-1; NaN where nothing was spent
``snapshot``   their end, ``before``: their start, ``since``: the beginning of the run that both belong to

A day is known when its start and end are those asked for and lie in one run; what is not recorded is found by asking
for every user.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from asahi_analytics.levels import HOUR
from asahi_analytics.promql import MILLISECOND, at_grid, by_clause, duration
from asahi_analytics.rule_text import grids_text
from asahi_analytics.tiles import PART, RUNNING, SINCE, SNAPSHOT, RuleParameters, part, state_metric
from asahi_exporter.conventions import FAMILIES, USER

FAMILY: Final = FAMILIES["user_cost_dollars"]
METRIC: Final = f"asahi:{FAMILY.name}:largest"
GRID: Final = HOUR
DAY: Final = timedelta(days=1)
SHARE, BEFORE = "share", "before"
READ: Final = f"last_over_time({METRIC}[{duration(GRID)}])"
"""What was recorded last."""


def kept(rules: RuleParameters) -> bool:
    """Tell whether ``rules`` record it: snapshots must lie on full hours."""
    return not GRID % rules.state_interval


def after(rules: RuleParameters) -> timedelta:
    """Return how long after the end of a day it is sure to be there, and no later one."""
    return rules.stored + GRID - MILLISECOND


def expression(rules: RuleParameters) -> str:
    """Return the recording rule; a user who was not there at the start counts from zero."""
    reach = rules.kept - MILLISECOND

    def held(matching: str, ago: timedelta = timedelta(0)) -> str:
        """What the state held of the snapshot that was taken so long ago."""
        offset = duration(ago - reach) if ago > reach else f"-{duration(reach - ago)}"
        return f"last_over_time({state_metric(FAMILY)}{{{matching}}}[{duration(reach)}] offset {offset})"

    totals, moment = (f'{PART}="{name}"' for name in (RUNNING, SNAPSHOT))
    certificate = f'{PART}=~"{SINCE}|{SNAPSHOT}"'
    now, then = (f"sum {by_clause((USER,))} ({held(totals, ago)})" for ago in (0 * DAY, DAY))
    spent = f"({now} - ({then} or 0 * {now}))"
    terms = (
        part(SHARE, f"max {by_clause(())} ({spent}) / sum {by_clause(())} ({spent})"),
        f"max {by_clause((PART,))} ({held(certificate)})",
        part(BEFORE, f"max {by_clause(())} ({held(moment, DAY)})"),
    )
    return at_grid(" or ".join(terms), GRID, rules.stored)


def rule_files(rules: RuleParameters | None = None) -> dict[str, str]:
    """Return the text of each rule file by its name."""
    rules = rules or RuleParameters()
    recorded = [(GRID, METRIC, expression(rules))] if kept(rules) else []
    return {"asahi_shares.yml": grids_text("asahi_shares", recorded)}
