"""Advice on models: dear models for a task type, and one model that takes nearly everything.

A cheaper model is advised only where its quality score on the same task type is known and not lower; where it is
unknown the advice is to measure first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from asahi_analytics.figures import Key
from asahi_analytics.recommendations.findings import Finding, money, part_of_id, window_sum
from asahi_analytics.recommendations.models import Category, Evidence
from asahi_analytics.recommendations.observed import Observed
from asahi_analytics.recommendations.unit_prices import UnitPrice
from asahi_exporter import conventions as names
from asahi_exporter.prose import named, percent, shown

MOST: Final = 0.50
DOMINANT: Final = 0.80
CHEAPER: Final = 0.70
"""An alternative must cost less than this share of what was paid, or it is not worth the change."""
QUALITY_TOLERANCE: Final = 0.05
"""Points by which an alternative's mean score may be lower and still count as equal."""
MIN_QUALITY_SAMPLES: Final = 30


@dataclass(frozen=True)
class Alternative:
    """A cheaper model for a task type: what each day would have cost less, and what is known of its quality."""

    model: str
    daily_dollars: pd.Series
    quality_known: bool
    guard: str


def routing_rules(
    observed: Observed, prices: Mapping[str, UnitPrice], list_prices: Mapping[str, UnitPrice]
) -> list[Finding]:
    """Return what the two rules about models find.

    ``prices`` are dollars per token of the models in use, ``list_prices`` those of models that may be proposed too.
    """
    return [*dear_models(observed, prices), *dominant_model(observed, prices, list_prices)]


def dear_models(observed: Observed, prices: Mapping[str, UnitPrice]) -> list[Finding]:
    """Most requests of a task type go to a dear model although a cheaper one is in use.

    Counterfactual: the same tokens of that task type, uncached, at the cheaper model's unit prices.
    """
    found = []
    for task_type in observed.uncached.task_types:
        by_model = observed.uncached.requests_by_model(task_type)
        model = max(by_model, key=lambda name: by_model[name])
        share = by_model[model] / max(sum(by_model.values()), 1.0)
        if share <= MOST:
            continue
        best = best_alternative(observed, prices, model, [task_type])
        if best is not None:
            found.append(_dear_model(task_type, model, share, best))
    return found


def dominant_model(
    observed: Observed, prices: Mapping[str, UnitPrice], list_prices: Mapping[str, UnitPrice]
) -> list[Finding]:
    """One model answers more than 80 % of the uncached requests: cheaper alternatives.

    Counterfactual: for each task type of that model, its tokens at the prices of the best alternative: of the models in
    use the one that saves most; where none will do, of the listed ones the one that is nearest in price.
    """
    by_model = observed.uncached.requests_by_model()
    total = sum(by_model.values())
    model = max(sorted(by_model), key=lambda name: by_model[name], default="")
    if total <= 0 or by_model[model] / total <= DOMINANT:
        return []
    share = by_model[model] / total
    tasks = [task_type for name, task_type in observed.uncached.requests if name == model]
    best = best_alternative(observed, prices, model, tasks)
    if best is None:
        listed = {name: price for name, price in list_prices.items() if name not in prices}
        best = min(alternatives(observed, listed, model, tasks), key=_saved, default=None)
    if best is None:
        return []
    return [
        _finding(
            stable_id=f"model-dominant:{model}",
            category="model",
            title=f"{percent(share)} of requests go to {shown(model)}",
            seen=f"{shown(model)} answered {percent(share)} of the uncached requests.",
            advice=f"Route part of the traffic from {shown(model)} to {shown(best.model)}",
            best=best,
            evidence=Evidence(
                statement=f"Share of uncached requests that {shown(model)} answered, 0-1.",
                value=share,
                promql=_share_of_uncached({names.MODEL: model}),
            ),
        )
    ]


def best_alternative(
    observed: Observed, prices: Mapping[str, UnitPrice], model: str, task_types: list[str]
) -> Alternative | None:
    """Return the alternative to ``model`` that saves most, one of known quality first; None where none qualifies."""
    found = alternatives(observed, prices, model, task_types)
    return max(found, key=lambda one: (one.quality_known, _saved(one)), default=None)


def alternatives(
    observed: Observed, prices: Mapping[str, UnitPrice], model: str, task_types: list[str]
) -> list[Alternative]:
    """Return the models of ``prices`` that are clearly cheaper than ``model`` and not known to be worse."""
    tasks = [task_type for task_type in task_types if (model, task_type) in observed.uncached.cost_dollars]
    use = observed.uncached.use(model, tasks)
    if use.cost_dollars.sum() <= 0:
        return []
    quality = Quality.of(observed)
    candidates = []
    for other in (name for name in prices if name != model):
        _, dearest = prices[other].bounds(use.tokens)
        would_pay = dearest.cost(use.tokens)
        if would_pay.sum() < CHEAPER * use.cost_dollars.sum():
            saved = pd.Series((use.cost_dollars - would_pay).sum(axis=0), index=observed.uncached.days)
            candidates.append(_alternative(quality, other, model, tasks, saved))
    return [candidate for candidate in candidates if candidate is not None]


def _saved(alternative: Alternative) -> float:
    return float(alternative.daily_dollars.sum())


def _alternative(
    quality: Quality, other: str, model: str, task_types: Sequence[str], saved: pd.Series
) -> Alternative | None:
    """Return ``other`` as an alternative, unless its quality is lower."""
    guards = [quality.compared(model, other, task_type) for task_type in task_types]
    if any(known and lower for known, lower, _ in guards):
        return None
    known = all(known for known, _, _ in guards)
    text = " ".join(text for was_known, _, text in guards if was_known == known)
    return Alternative(other, saved, known, text)


@dataclass(frozen=True)
class Quality:
    """Points given to each model and task type in the window, and how many scores they are the sum of."""

    points: Mapping[Key, float]
    samples: Mapping[Key, float]

    @classmethod
    def of(cls, observed: Observed) -> Quality:
        """Take what was observed."""
        return cls(*(observed.sums(name) for name in ("quality_points", "quality_samples")))

    def compared(self, model: str, other: str, task_type: str) -> tuple[bool, bool, str]:
        """Return whether both scores are known, whether the other's is lower, and that in words."""
        where = named(names.TASK_TYPE, task_type)
        counts = [self.samples.get((name, task_type), 0.0) for name in (model, other)]
        if min(counts) < MIN_QUALITY_SAMPLES:
            few = other if counts[1] < MIN_QUALITY_SAMPLES else model
            return (
                False,
                False,
                f"The quality of {shown(few)} on {where} is not known ({min(counts):.0f} scores).",
            )
        own, others = (
            self.points[(name, task_type)] / count for name, count in zip((model, other), counts, strict=True)
        )
        text = f"On {where} {shown(other)} scores {others:.2f} and {shown(model)} {own:.2f} points."
        return True, others < own - QUALITY_TOLERANCE, text


def _dear_model(task_type: str, model: str, share: float, best: Alternative) -> Finding:
    what = named(names.TASK_TYPE, task_type)
    return _finding(
        stable_id=f"routing-dear-model:{part_of_id(task_type)}:{model}",
        category="routing",
        title=f"{what[0].upper()}{what[1:]} goes to {shown(model)}, and {shown(best.model)} is cheaper",
        seen=f"{percent(share)} of the uncached requests of {what} went to {shown(model)}.",
        advice=f"Lower the quality threshold of {what} so that the router picks {shown(best.model)}",
        best=best,
        evidence=Evidence(
            statement=f"Share of uncached requests of {what} that went to {shown(model)}, 0-1.",
            value=share,
            promql=_share_of_uncached({names.MODEL: model}, {names.TASK_TYPE: task_type}),
        ),
    )


def _share_of_uncached(part: Mapping[str, str], whole: Mapping[str, str] | None = None) -> str:
    all_of = {names.CACHE_TIER: names.NO_CACHE, **(whole or {})}
    return f"{window_sum('requests', {**all_of, **part})} / {window_sum('requests', all_of)}"


def _finding(
    *,
    stable_id: str,
    category: Category,
    title: str,
    seen: str,
    advice: str,
    best: Alternative,
    evidence: Evidence,
) -> Finding:
    """Word the action by what is known of the alternative's quality."""
    measured = f"{advice}; its measured quality is not lower."
    unmeasured = (
        f"Measure first: score at least {MIN_QUALITY_SAMPLES} answers of each model on the same task types. "
        f"If {shown(best.model)} is not worse: {advice[0].lower()}{advice[1:]}."
    )
    return Finding(
        id=stable_id,
        category=category,
        title=title,
        seen=seen,
        computed=(
            f"The same tokens at the unit prices of {shown(best.model)} would have cost "
            f"{money(best.daily_dollars.mean())} less a day."
        ),
        action=measured if best.quality_known else unmeasured,
        daily_dollars=best.daily_dollars,
        evidence=(evidence,),
        quality_guard=best.guard,
        premise_known=best.quality_known,
    )
