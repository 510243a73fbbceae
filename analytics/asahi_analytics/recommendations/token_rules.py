"""Advice on the size of requests and of batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.recommendations.dollars import MONTH_DAYS
from asahi_analytics.recommendations.findings import Finding, window_sum
from asahi_analytics.recommendations.long_requests import Moments, moments, tokens_above
from asahi_analytics.recommendations.models import Evidence
from asahi_analytics.recommendations.observed import Observed
from asahi_analytics.recommendations.uncached import DIRECTIONS
from asahi_analytics.recommendations.unit_prices import UnitPrice
from asahi_exporter import conventions as names
from asahi_exporter.prose import named, percent

VARIATION_GOAL: Final = 0.50
"""Standard deviation over mean of the tokens of a request, above which token optimisation is advised."""
CAP_IN_MEANS: Final = 2.0
"""Requests are trimmed to this many times the mean."""
MIN_REQUESTS: Final = 1_000
MIN_SHARE_OF_COST: Final = 0.005
BATCH_GAIN_POINTS: Final = 5.0
MIN_BATCHES: Final = 30
NEARLY: Final = 0.95
"""Share of the best class's saving that is as good: larger batches only make requests wait."""


def token_rules(observed: Observed, prices: dict[str, UnitPrice]) -> list[Finding]:
    """Return what the rules about tokens and batches find."""
    return [*varying_tokens(observed, prices), *small_batches(observed)]


def varying_tokens(observed: Observed, prices: dict[str, UnitPrice]) -> list[Finding]:
    """The tokens of a task type vary by more than half of their mean: trim the long requests.

    Counterfactual: every request is trimmed to twice the mean. The share of the tokens above that (``long_requests``)
    is taken from what the tokens of that direction cost each day. Its error is that of chance, in the window and in the
    month to come: which requests are long does not show in daily values.
    """
    found = []
    for direction in (names.INPUT, names.OUTPUT):
        for task_type, each in moments(observed, direction).items():
            if each.requests < MIN_REQUESTS or each.variation <= VARIATION_GOAL:
                continue
            above = tokens_above(observed, direction, task_type, CAP_IN_MEANS * each.mean)
            paid = _paid_for_tokens(observed, prices, task_type, direction)
            daily = above / (each.requests * each.mean) * paid
            if daily.sum() > MIN_SHARE_OF_COST * observed.cost_dollars:
                both = math.sqrt(1 + observed.days / MONTH_DAYS)
                error = float(daily.mean()) * each.error(CAP_IN_MEANS * each.mean) * both
                found.append(_varying(task_type, direction, each, (daily, error)))
    return found


def small_batches(observed: Observed) -> list[Finding]:
    """Batches are smaller than what the savings curve rewards.

    The curve is the mean saving of each size class; the class advised is the smallest that saves nearly as much as the
    best. Counterfactual: every request is in a batch of that class; the dollars that batching saved each day grow in
    proportion to the mean saving over requests, each class counting with its batches times the middle of its sizes.
    """
    batches, points = (
        {key[0]: n for key, n in observed.sums(name).items()} for name in ("batches", "batch_savings_points")
    )
    means = {name: points[name] / count for name, count in batches.items() if count > 0 and name in points}
    curve = {name: mean for name, mean in means.items() if batches[name] >= MIN_BATCHES}
    if len(curve) < 2:
        return []
    in_batches = {name: count * middle_of(name) for name, count in batches.items()}
    mean = sum(each * in_batches[name] for name, each in means.items()) / sum(in_batches.values())
    error = _error_of_mean(means, batches, mean) / mean if mean > 0 else 0.0
    best = max(curve.values())
    advised = min((name for name in curve if curve[name] >= NEARLY * best), key=middle_of)
    if mean <= 0 or curve[advised] - mean < BATCH_GAIN_POINTS:
        return []
    return [_small_batches(observed, (mean, error), advised, curve[advised])]


def _error_of_mean(means: Mapping[str, float], batches: Mapping[str, float], mean: float) -> float:
    """Return the standard error of ``mean``, in points, as the batches of a class may lie anywhere in it on average."""
    requests = sum(batches[name] * middle_of(name) for name in means)
    moved = [(each - mean) * batches[name] / requests * deviation_of(name) for name, each in means.items()]
    return math.hypot(*moved)


def deviation_of(size_class: str) -> float:
    """Return the deviation of what may be any size of a class; of the open one, any up to twice its lower end."""
    first, _, last = size_class.rstrip("+").partition("-")
    high = 2 * float(first) if size_class.endswith("+") else float(last or first)
    return (high - float(first)) / math.sqrt(12)


def middle_of(size_class: str) -> float:
    """Return the middle of the sizes of a class such as ``5-8``; of the open one, ``65+``, its lower end."""
    first, _, last = size_class.rstrip("+").partition("-")
    return (float(first) + float(last or first)) / 2


def _small_batches(observed: Observed, average: tuple[float, float], advised: str, saving: float) -> Finding:
    """``average``: the mean saving over requests in points, and its relative error."""
    of_class, (mean, error) = {names.SIZE_CLASS: advised}, average
    batching, best, usual = _batching_savings(observed), percent(saving / 100), percent(mean / 100)
    return Finding(
        id="batch-size",
        category="routing",
        title=f"Batches of {advised} requests save {best}, the average request {usual}",
        seen=f"Batching saved {usual} on the average request; batches of {advised} requests saved {best}.",
        computed="Had all been batched so, the dollars saved by batching would have grown in that proportion.",
        action=f"Let the batcher wait until {advised} requests are together, where latency allows it.",
        daily_dollars=batching * (saving / mean - 1),
        error_dollars=float(batching.mean()) * saving / mean * error,
        evidence=(
            Evidence(
                statement=f"Mean saving of batches of {advised} requests, in percentage points.",
                value=saving,
                promql=f"{window_sum('batch_savings_points', of_class)} / {window_sum('batches', of_class)}",
            ),
            Evidence(
                statement=f"Share of batches that are of {advised} requests, 0-1.",
                value=float(
                    observed.frames["batches"][advised].sum() / observed.frames["batches"].to_numpy().sum()
                ),
                promql=f"{window_sum('batches', of_class)} / {window_sum('batches')}",
            ),
        ),
    )


def _batching_savings(observed: Observed) -> pd.Series:
    savings = observed.frames["savings_dollars"]
    phases = [phase for phase in savings.columns if str(phase).startswith("batch")]
    return savings[phases].sum(axis=1)


def _paid_for_tokens(
    observed: Observed, prices: dict[str, UnitPrice], task_type: str, direction: str
) -> pd.Series:
    """Return what the uncached tokens of ``task_type`` in ``direction`` cost each day, at observed unit prices."""
    uncached, place = observed.uncached, DIRECTIONS[direction]
    paid = np.zeros(len(uncached.days))
    for model, price in prices.items():
        paid += uncached.tokens_of((model, task_type))[:, place] * price.of(direction)
    return pd.Series(paid, index=uncached.days)


def _varying(task_type: str, direction: str, size: Moments, saved: tuple[pd.Series, float]) -> Finding:
    mean, variation, cap = size.mean, size.variation, CAP_IN_MEANS * size.mean
    what = named(names.TASK_TYPE, task_type)
    means = {
        names.INPUT: f"Trim the prompts of {what} (history, retrieved passages) to about {cap:,.0f} tokens.",
        names.OUTPUT: f"Limit the answers of {what} to about {cap:,.0f} tokens, or ask for shorter ones.",
    }
    where = {names.TASK_TYPE: task_type}
    requests = window_sum("requests", where)
    tokens, squares = (
        window_sum(family, {**where, names.DIRECTION: direction}) for family in ("tokens", "tokens_squared")
    )
    return Finding(
        id=f"token-variation:{task_type}:{direction}",
        category="token",
        title=f"{direction.capitalize()} tokens of {what} vary by {percent(variation)} of their mean",
        seen=f"A request of {what} has {mean:,.0f} {direction} tokens, give or take {percent(variation)}.",
        computed=f"Trimming each to {CAP_IN_MEANS:.0f} times the mean would have saved the price of the tokens above.",
        action=means[direction],
        daily_dollars=saved[0],
        error_dollars=saved[1],
        evidence=(
            Evidence(
                statement=f"Standard deviation over mean of the {direction} tokens of a request of {what}.",
                value=variation,
                promql=f"sqrt({squares} / {requests} - ({tokens} / {requests}) ^ 2) / ({tokens} / {requests})",
            ),
            Evidence(
                statement=f"Mean {direction} tokens of a request of {what}.",
                value=mean,
                promql=f"{tokens} / {requests}",
            ),
        ),
    )
