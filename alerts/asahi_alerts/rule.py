"""What a Prometheus rule is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asahi_alerts.expressions import Pick, running, total_running, usual
from asahi_alerts.thresholds import Severity, Thresholds


@dataclass(frozen=True)
class Record:
    """A recording rule."""

    name: str
    expr: str


@dataclass(frozen=True)
class Alert:
    """An alerting rule.

    ``summary`` is one static sentence; ``description`` is a Prometheus template that carries the numbers.
    ``incident`` names what kind of thing happened: alerts of one incident are notified together.
    ``hold`` is the rule's ``for``, ``keep`` its ``keep_firing_for``.
    """

    name: str
    incident: str
    expr: str
    hold: str
    severity: Severity
    summary: str
    description: str
    keep: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated one after the other, so that an alert reads what was recorded just before it."""

    name: str
    rules: tuple[Record | Alert, ...]
    interval: str | None = None  # that of the thresholds when None


def usual_record(
    name: str,
    record: str,
    by: Sequence[str],
    window: str,
    *,
    pick: Pick,
    thresholds: Thresholds,
    daily: bool = False,
    off_days: bool = False,
) -> Record:
    """Return the rule that records as ``name`` what ``record`` usually is; see ``expressions.usual``."""
    return Record(
        name,
        usual(
            record,
            by,
            window,
            pick=pick,
            days=thresholds.usual.days,
            weeks=thresholds.usual.weeks,
            rolling=thresholds.rolling_window,
            history=thresholds.usual.min_history,
            daily=daily,
            off_days=off_days,
        ),
    )


def total_record(family: str) -> Record:
    """Return the rule that records the running total over the whole of ``family``: windows then read one series."""
    return Record(total_running(family), f"sum({running(family)})")
