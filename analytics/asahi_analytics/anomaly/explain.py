"""Why, in words: causes of an incident and the sentence for the engineer on call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.anomaly.attribution import (
    FACTORS,
    HIT_RATE,
    LEAF,
    MODEL_MIX,
    TOKEN_SIZE,
    UNIT_PRICE,
    VOLUME,
    CostChange,
)
from asahi_analytics.anomaly.models import Cause
from asahi_exporter import conventions as names
from asahi_exporter.prose import named, shown

NOTABLE_SHARE: Final = 0.1
"""A part of the change below this share is not named."""
CARRIER_SHARE: Final = 0.6
"""A label value that carries at least this share of a part is named with it."""
WAS: Final = "was at its worst"
"""What is over is told by its peak: how it ended says little."""
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    VOLUME: ("more requests", "fewer requests"),
    TOKEN_SIZE: ("more tokens per request", "fewer tokens per request"),
    MODEL_MIX: ("requests moved to dearer models", "requests moved to cheaper models"),
    UNIT_PRICE: ("a higher price per token", "a lower price per token"),
    HIT_RATE: ("fewer cache hits", "more cache hits"),
}


@dataclass(frozen=True)
class Span:
    """From when to when an incident goes or went; what is over is told in the past tense."""

    start: datetime
    end: datetime
    ongoing: bool

    @property
    def when(self) -> str:
        """``since 11:10 UTC``, or ``from 11:10 to 12:40 UTC``; a start on another day than the end with its day."""
        day = "" if self.start.date() == self.end.date() else f"{self.start.day} {self.start:%b} "
        if self.ongoing:
            return f"since {day}{clock(self.start)}"
        return f"from {day}{self.start:%H:%M} to {clock(self.end)}"

    def tense(self, now: str, then: str) -> str:
        """Return the word for what goes on or that for what is over."""
        return now if self.ongoing else then


def dollars(amount: float) -> str:
    """Return ``amount`` as people write dollars: cents, or three digits where it is less than one."""
    size = abs(amount)
    text = f"{size:,.2f}" if size >= 1 or size == 0 else f"{size:.3g}"
    return f"-${text}" if amount < 0 else f"${text}"


def clock(moment: datetime) -> str:
    """Return the time of day in UTC, to the minute."""
    return f"{moment:%H:%M} UTC"


def span_words(step: timedelta) -> str:
    """Return the length of a bin in words that fit behind ``per`` or a slash."""
    minutes = round(step.total_seconds() / 60)
    return "h" if minutes == 60 else f"{minutes} min"


def cost_causes(change: CostChange, users: pd.Series | None = None) -> list[Cause]:
    """Return what moved, largest share first: parts that go the way of the change and are worth a word.

    ``users`` holds the change of spend in dollars by user; who carries most of it is named with the largest cause.
    """
    whole = change.change
    same_way = [factor for factor in FACTORS if change.parts[factor] * whole > 0]
    ranked = sorted(same_way, key=lambda factor: -abs(change.parts[factor]))
    told = [factor for factor in ranked if abs(change.parts[factor]) >= NOTABLE_SHARE * abs(whole)]
    return [
        _cost_cause(factor, change, users if position == 0 else None) for position, factor in enumerate(told)
    ]


def _cost_cause(factor: str, change: CostChange, users: pd.Series | None) -> Cause:
    part = change.parts[factor]
    labels = {
        name: carrier
        for name in LEAF
        if (carrier := _carrier(change.by_leaf[factor].groupby(level=name).sum(), part)) is not None
    }
    if users is not None and (user := _carrier(users, change.change)) is not None:
        labels[names.USER] = user
    words = WORDS[factor][0 if part > 0 else 1]
    text = f"{dollars(part)} from {words}{_mostly(labels)}"
    return Cause(factor=factor, change=part, labels=labels, text=text if part < 0 else f"+{text}")


def _carrier(parts: pd.Series, whole: float) -> str | None:
    """Return the name that carries most of ``whole``, if one does."""
    if parts.empty or whole == 0:
        return None
    shares = parts / whole
    return str(shares.idxmax()) if shares.max() >= CARRIER_SHARE else None


def _mostly(labels: Mapping[str, str]) -> str:
    """Return the label set in words, in brackets; nothing when there is none."""
    words: dict[str, Callable[[str, str], str]] = {
        names.USER: named,
        names.MODEL: lambda _, model: f"on {shown(model)}",
        names.TASK_TYPE: lambda label, task_type: f"for {named(label, task_type)}",
        names.CACHE_TIER: lambda label, tier: f"from {named(label, tier)}",
    }
    said = [
        say(name, labels[name])
        for name, say in words.items()
        if name in labels and not (name == names.CACHE_TIER and labels[name] == names.NO_CACHE)
    ]
    return f" (mostly {' '.join(said)})" if said else ""


def cost_message(
    current: float,
    usual: float,
    change: CostChange,
    causes: Sequence[Cause],
    *,
    span: Span,
    step: timedelta,
) -> str:
    """Return the sentence for a cost spike."""
    rate = f"{dollars(current)}/{span_words(step)}"
    head = (
        f"Cost at {rate} {span.tense('is', WAS)} {current / usual:.1f}x the usual {dollars(usual)} {span.when}"
        if usual > 0
        else f"Cost at {rate}{span.tense('', ' at its worst')}, where there usually is none, {span.when}"
    )
    more = f"{dollars(change.change)} more than usual {span.tense('so far', 'in all')}"
    return f"{head}; {more}{': ' if causes else ''}{', '.join(each.text for each in causes)}."


def latency_causes(before: pd.DataFrame, after: pd.DataFrame, span: Span) -> list[Cause]:
    """Return which model and tier got slower, and whether all of it did (queue) or its slowest part (tail).

    Both tables are indexed by model and cache tier and hold ``p50`` and ``p95`` in ms and ``requests``. A median
    that moved at least half as much as p95, in ratio, is a queue.
    """
    both = before.add_suffix("_before").join(after.add_suffix("_after"), how="inner")
    with np.errstate(divide="ignore", invalid="ignore"):
        slower = (both["p95_after"] - both["p95_before"]) * both["requests_after"]
    slower = slower[slower > 0].sort_values(ascending=False)
    notable = slower[slower >= NOTABLE_SHARE * slower.sum()]
    return [_latency_cause(both.loc[key], key, span) for key in notable.index]


def _latency_cause(row: pd.Series, key: tuple[str, str], span: Span) -> Cause:
    tail, middle = (np.log(row[f"{name}_after"] / row[f"{name}_before"]) for name in ("p95", "p50"))
    queue = bool(middle >= tail / 2)
    model, tier = key
    where = shown(model) + ("" if tier == names.NO_CACHE else f", cache tier {tier}")
    are = span.tense("are", "were")
    how = (
        f"all requests {are} slower: median {row['p50_before']:,.0f} → {row['p50_after']:,.0f} ms, "
        f"p95 {row['p95_before']:,.0f} → {row['p95_after']:,.0f} ms"
        if queue
        else f"only the slowest {are}: p95 {row['p95_before']:,.0f} → {row['p95_after']:,.0f} ms, median "
        f"{row['p50_after']:,.0f} ms"
    )
    return Cause(
        factor="queue" if queue else "tail",
        change=float(row["p95_after"] - row["p95_before"]),
        labels={names.MODEL: model, names.CACHE_TIER: tier},
        text=f"{where}: {how}",
    )


def share_causes(factor: str, before: pd.Series, after: pd.Series, unit: str) -> list[Cause]:
    """Return the label sets that carry most of the change between two series of amounts of the same length of time."""
    index = before.index.union(after.index)
    moved = after.reindex(index).fillna(0.0) - before.reindex(index).fillna(0.0)
    whole = float(moved.clip(lower=0.0).sum())
    if whole <= 0:
        return []
    largest = moved.sort_values(ascending=False)
    return [
        Cause(
            factor=factor,
            change=float(amount),
            labels=_labels_of(index.names, key),
            text=f"{amount:+,.0f} {unit} of {' / '.join(map(shown, _labels_of(index.names, key).values()))}",
        )
        for key, amount in largest.items()
        if amount >= NOTABLE_SHARE * whole
    ]


def _labels_of(label_names: Sequence[object], key: object) -> dict[str, str]:
    values = key if isinstance(key, tuple) else (key,)
    return {str(name): str(value) for name, value in zip(label_names, values, strict=True)}
