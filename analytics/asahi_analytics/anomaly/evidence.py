"""What explains one incident: asked for only when there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.anomaly.attribution import LEAF, split_cost_change
from asahi_analytics.anomaly.explain import (
    WAS,
    Span,
    cost_causes,
    cost_message,
    latency_causes,
    share_causes,
    span_words,
)
from asahi_analytics.anomaly.incidents import Incident
from asahi_analytics.anomaly.models import AnomalyType, Cause
from asahi_analytics.anomaly.sources import LE, Judged
from asahi_analytics.composer import Ask, Composer
from asahi_analytics.quantiles import histogram_quantiles
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names
from asahi_exporter.prose import named, percent, shown

REFERENCE: Final = timedelta(hours=3)
"""What came right before an incident tells what traffic looked like without it."""
LONG_REFERENCE: Final = timedelta(hours=24)
ENOUGH_REQUESTS: Final = 100.0
"""A shorter reference with fewer requests gives way to the longer one."""


@dataclass(frozen=True)
class Explanation:
    """The sentence, the causes, and for money the parts of the change."""

    message: str
    causes: Sequence[Cause] = ()
    parts: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Case:
    """An incident, its series, and the values that it is told by."""

    judged: Judged
    incident: Incident
    current: float
    expected: float

    @property
    def told(self) -> float:
        """Return the value that a sentence tells: the latest while it goes on, the peak of what is over."""
        return self.current if self.incident.ongoing else float(self.judged.numbers[self.incident.peak])

    @property
    def span(self) -> Span:
        """Return from when to when it goes or went."""
        return Span(self.incident.start, self.incident.end, self.incident.ongoing)

    @property
    def during(self) -> Window:
        """Return the window of the incident."""
        return Window(self.incident.start, self.incident.end)

    def before(self, length: timedelta) -> Window:
        """Return the window of this length that ends where the incident starts."""
        return Window(self.incident.start - length, self.incident.start)

    @property
    def where(self) -> Mapping[str, Sequence[str]] | None:
        """Return the label filter of the series."""
        return {name: (value,) for name, value in self.judged.labels.items()} or None


def explain(composer: Composer, case: Case) -> Explanation:
    """Return why: raises a ``PrometheusError`` when there is no answer."""
    return _EXPLAINERS[case.judged.anomaly_type](composer, case)


def _cost(composer: Composer, case: Case) -> Explanation:
    length, during = REFERENCE, _traffic(case, case.during)
    found = _asked(composer, [*_traffic(case, case.before(length)), *during, *_users(case, length)])
    before, after, users = _table(found[:3]), _table(found[3:6]), found[6:]
    if before["requests"].sum() < ENOUGH_REQUESTS:
        length = LONG_REFERENCE
        found = _asked(composer, [*_traffic(case, case.before(length)), *_users(case, length)])
        before, users = _table(found[:3]), found[3:]
    usual = case.expected * ((case.incident.end - case.incident.start) / case.judged.step)
    change = split_cost_change(before, after, usual)
    scale = usual / float(before["cost"].sum()) if before["cost"].sum() > 0 else 0.0
    causes = cost_causes(change, users[1].sub(users[0] * scale, fill_value=0.0) if users else None)
    message = cost_message(case.told, case.expected, change, causes, span=case.span, step=case.judged.step)
    if case.judged.labels:
        message = message.replace("Cost at", f"Cost of {shown(case.judged.labels[names.MODEL])} at", 1)
    return Explanation(message, causes, change.parts)


def _asked(composer: Composer, asks: Sequence[Ask]) -> list[pd.Series]:
    """Return the sums; how far they can be trusted is told of what was judged."""
    return [sums.values for sums in composer.totals([replace(ask, trusted=False) for ask in asks])]


def _traffic(case: Case, window: Window) -> list[Ask]:
    """Return what to ask for the requests, cost and tokens of the series by model, task type and cache tier."""
    return [
        Ask("requests", LEAF, window, case.where),
        Ask("cost_dollars", LEAF, window, case.where),
        Ask("tokens", (*LEAF, names.DIRECTION), window, case.where),
    ]


def _table(sums: Sequence[pd.Series]) -> pd.DataFrame:
    """Return the answers in one table."""
    requests, cost, tokens = sums
    table = pd.DataFrame({"requests": requests, "cost": cost})
    for direction in (names.INPUT, names.OUTPUT):
        table[f"{direction}_tokens"] = _at(tokens, direction, names.DIRECTION)
    return table


def _at(values: pd.Series, name: str, level: str) -> pd.Series:
    if values.empty or name not in values.index.get_level_values(level):
        return pd.Series(dtype=np.float64, index=pd.MultiIndex.from_arrays([[]] * len(LEAF), names=LEAF))
    return values.xs(name, level=level)


def _users(case: Case, length: timedelta) -> list[Ask]:
    """Return what to ask for the spend of users, before and during; nothing of a model, which they are not told by."""
    if case.judged.labels:
        return []
    by = (names.USER,)
    return [Ask("user_cost_dollars", by, window) for window in (case.before(length), case.during)]


def _latency(composer: Composer, case: Case) -> Explanation:
    by = (names.MODEL, names.CACHE_TIER, LE)
    windows = (case.before(REFERENCE), case.during)
    before, after = _asked(composer, [Ask("latency_ms_bucket", by, window, case.where) for window in windows])
    causes = latency_causes(_percentiles(before), _percentiles(after), case.span)
    what = f" of {shown(case.judged.labels[names.MODEL])}" if case.judged.labels else ""
    head = (
        f"Latency{what} (p95) at {case.told:,.0f} ms {case.span.tense('is', WAS)} {_times(case)} the usual "
        f"{case.expected:,.0f} ms {case.span.when}"
    )
    return Explanation(_with_causes(head, causes[:3]), causes)


def _percentiles(buckets: pd.Series) -> pd.DataFrame:
    if buckets.empty:
        return pd.DataFrame(columns=["p50", "p95", "requests"], dtype=np.float64)
    table = buckets.unstack(LE).fillna(0.0)
    found = histogram_quantiles(table, (0.5, 0.95))
    percentiles = pd.DataFrame(found, index=table.index, columns=["p50", "p95"])
    percentiles["requests"] = table.max(axis=1)
    return percentiles[percentiles["requests"] > 0]


def _errors(composer: Composer, case: Case) -> Explanation:
    by = (names.ERROR_TYPE, names.COMPONENT)
    windows = (case.before(REFERENCE), case.during)
    before, after = _asked(composer, [Ask("errors", by, window) for window in windows])
    scale = (case.incident.end - case.incident.start) / REFERENCE
    causes = share_causes("error_type", before * scale, after, "errors")
    fail = case.span.tense("fail", "failed at worst")
    head = (
        f"{percent(case.told, 2)} of requests {fail} (usually {percent(case.expected, 2)}) {case.span.when}"
    )
    return Explanation(_with_causes(head, causes[:3]), causes)


def _cache(composer: Composer, case: Case) -> Explanation:
    by = (names.TIER,)
    windows = (case.before(REFERENCE), case.during)
    families = ("cache_hits", "cache_misses")
    asks = [Ask(family, by, window, case.where) for window in windows for family in families]
    hits0, misses0, hits1, misses1 = (float(sums.sum()) for sums in _asked(composer, asks))
    bins0, bins1 = (window.length / case.judged.step for window in windows)
    per = span_words(case.judged.step)
    text = (
        f"hits went from {hits0 / bins0:,.0f} to {hits1 / bins1:,.0f}/{per}, look-ups from "
        f"{(hits0 + misses0) / bins0:,.0f} to {(hits1 + misses1) / bins1:,.0f}/{per}"
    )
    cause = Cause(factor="tier", change=case.told - case.expected, labels=dict(case.judged.labels), text=text)
    head = (
        f"Hit rate of cache tier {case.judged.labels[names.TIER]} at {percent(case.told)} "
        f"{case.span.tense('is', WAS)} down from the usual {percent(case.expected)} {case.span.when}"
    )
    return Explanation(_with_causes(head, [cause]), [cause])


def _quality(composer: Composer, case: Case) -> Explanation:
    by = (names.TASK_TYPE,)
    windows = (case.before(LONG_REFERENCE), case.during)
    families = ("quality_points", "quality_samples")
    asks = [Ask(family, by, window, case.where) for window in windows for family in families]
    found = _asked(composer, asks)
    before, after = _scores(*found[:2]), _scores(*found[2:])
    lost = ((before["score"] - after["score"]) * after["samples"]).dropna().sort_values(ascending=False)
    lost = lost[lost > 0]
    causes = [
        Cause(
            factor="task_type",
            change=float(after["score"][task] - before["score"][task]),
            labels={names.TASK_TYPE: str(task)},
            text=(
                f"{named(names.TASK_TYPE, str(task))} went from {before['score'][task]:.2f} to "
                f"{after['score'][task]:.2f}"
            ),
        )
        for task in lost.index
    ]
    head = (
        f"Quality of {shown(case.judged.labels[names.MODEL])} at {case.told:.2f} points {case.span.tense('is', WAS)} "
        f"{case.expected - case.told:.2f} below the usual {case.expected:.2f} {case.span.when}"
    )
    return Explanation(_with_causes(head, causes[:3]), causes)


def _scores(points: pd.Series, samples: pd.Series) -> pd.DataFrame:
    table = pd.DataFrame({"points": points, "samples": samples}, dtype=np.float64)
    table["score"] = table["points"] / table["samples"].where(table["samples"] > 0)
    return table


def _outage(composer: Composer, case: Case) -> Explanation:  # noqa: ARG001  (one signature)
    per = span_words(case.judged.step)
    state = "No requests" if case.told == 0 else f"Only {case.told:,.0f} requests/{per}"
    is_ = case.span.tense("is", "was")
    return Explanation(
        f"{state} {case.span.when}, where {case.expected:,.0f}/{per} are usual; the exporter {is_} scraped, so the "
        f"traffic itself {is_} gone."
    )


def _times(case: Case) -> str:
    return f"{case.told / case.expected:.1f}x" if case.expected > 0 else "above"


def _with_causes(head: str, causes: Sequence[Cause]) -> str:
    return f"{head}: {'; '.join(cause.text for cause in causes)}." if causes else f"{head}."


_EXPLAINERS: Final[Mapping[AnomalyType, Callable[[Composer, Case], Explanation]]] = {
    "cost_spike": _cost,
    "latency_spike": _latency,
    "error_rate": _errors,
    "cache_degradation": _cache,
    "quality_drop": _quality,
    "outage": _outage,
}
