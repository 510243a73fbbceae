"""Why nothing was spent under a name: its requests have no price, or cost nothing, or there were none."""

from __future__ import annotations

from typing import Final

import pandas as pd

from asahi_analytics.composer import Ask
from asahi_analytics.engine import GROUPS, AnalyticsEngine
from asahi_analytics.forecasting.daily import DAY, midnight
from asahi_analytics.models import GroupBy
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names
from asahi_exporter.prose import named

ALL: Final = 0.999
"""Share of a model's requests without a price from which it is said of all of them."""


class Unspent:
    """Looks at the requests of the last ``days`` days and of today: once for each label, and only when asked why."""

    def __init__(self, engine: AnalyticsEngine, days: int) -> None:
        """Ask nothing yet."""
        self._engine = engine
        self._days = days
        self._found: dict[GroupBy, tuple[pd.Series, pd.Series]] = {}

    def why(self, group_by: GroupBy, name: str) -> str | None:
        """Return in a sentence why the requests of ``name`` came to no dollars; None where there were none.

        What has no price is counted by model alone: of another label it is known only when nothing lacks one.
        """
        requests, unpriced = self._counted(group_by)
        count = float(requests.get(name, 0.0))
        if count <= 0:
            return None
        lacking = float(unpriced.get(name, 0.0) if group_by == "model" else unpriced.sum())
        if lacking <= 0:
            words = "cost nothing"
        elif group_by == "model" and lacking >= ALL * count:
            words = "have no price"
        else:
            words = "have no price or cost nothing"
        return f"Requests of {named(group_by, name)} were counted in the last {self._days} days, but they {words}."

    def _counted(self, group_by: GroupBy) -> tuple[pd.Series, pd.Series]:
        """Return the requests by ``group_by``, and those without a price by model."""
        if group_by not in self._found:
            now, group = self._engine.clock(), GROUPS[group_by]
            window = Window(midnight(now) - self._days * DAY, now)
            requests, unpriced = self._engine.composer.totals(
                [
                    Ask(group.requests, (group.label,), window, trusted=False),
                    Ask("unpriced_requests", (names.MODEL,), window, trusted=False),
                ]
            )
            self._found[group_by] = requests.values, unpriced.values
        return self._found[group_by]
