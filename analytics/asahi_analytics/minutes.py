"""Running totals by the minute, for dashboards and alerts: between two evaluations that carry state, from bases.

``asahi:<family>:running`` is the base and what the counters say, at each full minute for which the base stands. Where
it does not, because a memory or a process came, went or began anew within the last half hour, it moves with the state,
which is kept as ``asahi:<family>:steps`` just then. It never falls: what was recorded before holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from asahi_analytics.bases import Base
from asahi_analytics.promql import at_grid, by_clause, duration
from asahi_analytics.rule_text import rules_text
from asahi_analytics.tiles import MINUTE_FAMILIES, RuleParameters, recorded_total
from asahi_exporter.conventions import FAMILIES, Family

LEVEL: Final = "level"
"""Tells totals of different origin apart until the highest is taken; no recorded total has it."""
HELD: Final = 2
"""For how many intervals of the state a total holds while evaluations are missed."""


@dataclass(frozen=True)
class Minutes:
    """The totals of ``family`` by the minute."""

    family: Family
    rules: RuleParameters

    @property
    def steps(self) -> str:
        """The name of the totals of the state, while no base stands."""
        return f"asahi:{self.family.name}:steps"

    def running(self) -> str:
        """Return the recording rule of the totals."""
        labels, base = by_clause(self.family.labels), Base(self.family, self.rules)
        held, interval = duration(HELD * self.rules.state_interval), duration(self.rules.state_interval)
        stands = f'label_replace({base.certified} * 0 + 1, "{LEVEL}", "now", "", "")'
        now = f"{base.total(self.family.labels)} * on () group_left ({LEVEL}) {stands}"
        before = f"last_over_time({self.family.running}[{held}] offset -{duration(self.rules.settle)})"
        steps = f"last_over_time({self.steps}[{interval}])"
        highest = f"max {labels} ({now} or {before} or {steps})"
        return at_grid(highest, self.rules.interval, self.rules.settle)

    def state(self) -> str:
        """Return the recording rule of the totals of the state."""
        stands = at_grid(Base(self.family, self.rules).certified, self.rules.interval, self.rules.settle)
        return f"{recorded_total(self.family, self.rules)} unless on () {stands}"


def rule_groups(family: Family, rules: RuleParameters) -> list[dict[str, Any]]:
    """Return the groups of rules of ``family``, if it is kept by the minute."""
    if family.name not in MINUTE_FAMILIES:
        return []
    minutes = Minutes(family, rules)
    steps = {"record": minutes.steps, "expr": minutes.state(), "labels": {LEVEL: "steps"}}
    return [
        {
            "name": f"asahi_minutes_{family.name}",
            "interval": duration(rules.interval),
            "rules": [{"record": family.running, "expr": minutes.running()}],
        },
        {
            "name": f"asahi_steps_{family.name}",
            "interval": duration(rules.state_interval),
            "rules": [steps],
        },
    ]


def rule_files(
    rules: RuleParameters | None = None, families: Mapping[str, Family] = FAMILIES
) -> dict[str, str]:
    """Return the text of each rule file by its name."""
    groups = [
        group for family in families.values() for group in rule_groups(family, rules or RuleParameters())
    ]
    return {"asahi_minutes.yml": rules_text(groups)}
