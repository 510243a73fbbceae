"""What every rule returns, and how it becomes advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from asahi_analytics.levels import BY_HOUR, copy_metric
from asahi_analytics.promql import matchers
from asahi_analytics.recommendations import dollars
from asahi_analytics.recommendations.models import Category, Evidence, Recommendation
from asahi_analytics.recommendations.observed import WINDOW_DAYS, Observed
from asahi_analytics.tiles import PART, RUNNING
from asahi_exporter.conventions import FAMILIES


@dataclass(frozen=True)
class Finding:
    """What a rule saw, and the dollars that the change would have saved on each day that was seen.

    ``error_dollars`` is the standard error, a day, of what the rule worked out once for all of them.
    """

    id: str
    category: Category
    title: str
    seen: str
    computed: str
    action: str
    daily_dollars: pd.Series
    evidence: tuple[Evidence, ...]
    quality_guard: str | None = None
    premise_known: bool = True
    error_dollars: float = 0.0


def window_sum(family: str, where: Mapping[str, str] | None = None, days: int = WINDOW_DAYS) -> str:
    """Return PromQL for the exact sum of ``family`` over the last ``days``, of the label values in ``where``.

    The total at the last full hour that was copied, less the one at the window's start, where a label set born since
    then counts from zero. A copy that was missed is stood in for by the one before.
    """
    chosen = matchers({PART: [RUNNING], **{label: [value] for label, value in (where or {}).items()}})
    copied = f"{copy_metric(FAMILIES[family], BY_HOUR)}{chosen}[3h]"
    now, then = f"last_over_time({copied})", f"last_over_time({copied} offset {days}d)"
    return f"sum({now} - ({then} or {now} * 0))"


def earlier_sum(family: str, where: Mapping[str, str], days: int) -> str:
    """Return PromQL for the sum over the window without its last ``days``."""
    return f"({window_sum(family, where)} - {window_sum(family, where, days)})"


def part_of_id(name: str) -> str:
    """Return a name that is not the last part of an id, so that no other name and rest give the same id."""
    return name.replace("%", "%25").replace(":", "%3A")


def money(amount: float) -> str:
    """Return dollars as people write them: cents below a hundred dollars, none above."""
    return f"${amount:,.2f}" if abs(amount) < 100 else f"${amount:,.0f}"


def advice(finding: Finding, observed: Observed) -> Recommendation:
    """Turn ``finding``, which is of ``observed``, into a recommendation."""
    cost, saved = (
        observed.of_whole_days(daily) for daily in (observed.total("cost_dollars"), finding.daily_dollars)
    )
    monthly_cost = float(cost.mean()) * dollars.MONTH_DAYS
    traffic = observed.of_whole_days(observed.total("requests")[observed.before])  # the last week is no habit
    saving = dollars.monthly(saved, traffic, finding.error_dollars)
    level = dollars.confidence(saving, known=finding.premise_known)
    return Recommendation(
        id=finding.id,
        category=finding.category,
        title=finding.title,
        description=f"{finding.seen} {finding.computed}",
        estimated_savings=saving.mean,
        savings_low=saving.low,
        savings_high=saving.high,
        priority=dollars.priority(saving, level, monthly_cost),
        confidence=level,
        action=finding.action,
        evidence=list(finding.evidence),
        quality_guard=finding.quality_guard,
    )
