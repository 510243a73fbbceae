"""Tiles that people can add up: what each full hour came to, by label set, for dashboards that know no composer.

``asahi:<family>:sum1h`` has one sample for each hour, soon after its end: the running total at that full hour less the
one at the hour of the tile before. So the tiles add up to the running total, also when hours went by without a tile.

A tile is made by the first evaluation that finds none of its hour, so that there are several chances for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from asahi_analytics.levels import HOUR
from asahi_analytics.promql import MILLISECOND, duration
from asahi_analytics.rule_text import rules_text
from asahi_analytics.tiles import PART, RUNNING, SINCE, RuleParameters, state_metric
from asahi_exporter.conventions import FAMILIES, Family

HOUR_FAMILIES: Final = (
    "cost_dollars",
    "user_cost_dollars",
    "savings_dollars",
    "baseline_dollars",
    "requests",
)
"""Families with tiles: money, and what it was spent on."""
CHANCE: Final = timedelta(minutes=15)
"""How often a tile that lacks is looked for."""
REACH: Final = 3
"""How many hours back the tile before may be; a longer interruption begins the running total anew."""


@dataclass(frozen=True)
class Tiles:
    """The hourly tiles of ``family``."""

    family: Family
    rules: RuleParameters

    @property
    def metric(self) -> str:
        """The name of its series, which carry the family's labels."""
        return f"asahi:{self.family.name}:sum1h"

    @property
    def delay(self) -> timedelta:
        """How old a full hour is at least when its tile is made: its total is sure to be stored."""
        return self.rules.state_interval + 2 * self.rules.settle

    def _at_hour(self, expression: str, hours_before: int = 0, reach: int = 1) -> str:
        """``expression`` as it was at the last of the ``reach`` full hours that end ``hours_before`` the tile's."""
        offset = self.delay + hours_before * HOUR
        return f"last_over_time(({expression})[{duration(reach * HOUR)}:{duration(HOUR)}] offset {duration(offset)})"

    def _state(self, part: str) -> str:
        """What the state held of a full hour, seen from there, or of the last snapshot before it."""
        after = duration(self.delay - self.rules.settle - MILLISECOND)
        back = duration(self.rules.state_lookback)
        return f'last_over_time({state_metric(self.family)}{{{PART}="{part}"}}[{back}] offset -{after})'

    def _made(self) -> str:
        """Whether there is a tile of a full hour, seen from there."""
        return f"count(last_over_time({self.metric}[{duration(HOUR)}] offset -{duration(HOUR + self.delay)}))"

    def expression(self) -> str:
        """Return the recording rule.

        A label set that the tile before did not know counts from zero, as does a total that was begun anew. When
        there was no tile before, counting starts here, unless the totals themselves have just begun.
        """
        total = self._at_hour(self._state(RUNNING))
        before = self._at_hour(f"{self._state(RUNNING)} and on () {self._made()}", 1, REACH)
        known = self._at_hour(self._made(), 1, REACH)
        new = f"({self._at_hour(self._state(SINCE))} > time() - {(REACH * HOUR).total_seconds():g})"
        grown = f"({total} - {before}) >= 0 or {total} and on () ({known} or {new}) or {total} * 0"
        return f"max without ({PART}) ({grown}) unless on () {self._at_hour(self._made())}"


def tiles_of(rules: RuleParameters) -> list[Tiles]:
    """Return the tiles that are kept."""
    return [Tiles(FAMILIES[name], rules) for name in HOUR_FAMILIES]


def rule_files(rules: RuleParameters | None = None) -> Mapping[str, str]:
    """Return the text of each rule file by its name."""
    recorded: list[dict[str, Any]] = [
        {"record": tiles.metric, "expr": tiles.expression()} for tiles in tiles_of(rules or RuleParameters())
    ]
    group = {"name": "asahi_hours", "interval": duration(CHANCE), "rules": recorded}
    return {"asahi_hours.yml": rules_text([group])}
