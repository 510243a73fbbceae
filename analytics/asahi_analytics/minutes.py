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

    @property
    def step(self) -> dict[str, Any]:
        """The recording rule of these, to be evaluated after the state."""
        stands = at_grid(self._base.certified, self.rules.interval, self.rules.settle)
        total = recorded_total(self.family, self.rules, f" unless on () {stands}")
        return {"record": self.steps, "expr": total, "labels": {LEVEL: "steps"}}

    @property
    def running(self) -> dict[str, Any]:
        """The recording rule of the totals."""
        labels, interval = by_clause(self.family.labels), self.rules.state_interval
        stands = f'label_replace({self._base.certified} * 0 + 1, "{LEVEL}", "now", "", "")'
        total = f"{self._base.total(self.family.labels)} * on () group_left ({LEVEL}) {stands}"
        now = at_grid(total, self.rules.interval, self.rules.settle)
        before = f"last_over_time({self.family.running}[{duration(HELD * interval)}])"
        steps = f"last_over_time({self.steps}[{duration(interval)}])"
        highest = f"max {labels} ({now} or on ({LEVEL}) {before} or on ({LEVEL}) {steps})"
        return {"record": self.family.running, "expr": highest}

    @property
    def _base(self) -> Base:
        return Base(self.family, self.rules)


def rule_files(
    rules: RuleParameters | None = None, families: Mapping[str, Family] = FAMILIES
) -> dict[str, str]:
    """Return the text of each rule file by its name."""
    rules = rules or RuleParameters()
    kept = (Minutes(family, rules) for family in families.values() if family.name in MINUTE_FAMILIES)
    groups = (
        {
            "name": f"asahi_minutes_{each.family.name}",
            "interval": duration(rules.interval),
            "rules": [each.running],
        }
        for each in kept
    )
    return {"asahi_minutes.yml": rules_text(groups)}
