"""Whether the cause that a cost anomaly names is the true one: seeded incidents whose cause is known.

    python benchmarks/attribution.py [--incidents 200] [--seed 1]

Each incident has its own service: two to six models with their own prices, two to five task types with their own
sizes, three cache tiers, five users. The reference holds three hours of traffic, the incident half an hour to three
hours at another volume (the time of day), both with Poisson noise in requests and noise in sizes and hit rates. Then
one thing changes, for everything, for one model, or for one user, so that spend rises by half at least: requests
(volume), tokens of a request (token_size), the share of dear models (model_mix), the price (unit_price), or the hit
rates (hit_rate). Named is the first cause that the detector gives; its labels are right when a change of one model or
user names it.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from asahi_analytics.anomaly import split_cost_change
from asahi_analytics.anomaly.attribution import FACTORS, LEAF
from asahi_analytics.anomaly.explain import cost_causes

TIERS = ("1", "2", "3", "none")
COLUMNS = ["requests", "input_tokens", "output_tokens", "cost"]
LEAST_RISE = 1.5


@dataclass(frozen=True)
class Service:
    """What traffic is made of: ``volume`` by model (rows) and task type, sizes, prices and hit shares."""

    volume: np.ndarray
    sizes: np.ndarray
    prices: np.ndarray
    tiers: np.ndarray
    users: np.ndarray


def service(rng: np.random.Generator) -> Service:
    models, tasks = int(rng.integers(2, 7)), int(rng.integers(2, 6))
    volume = rng.dirichlet(np.full(models, 2.0))[:, None] * rng.dirichlet(np.full(tasks, 2.0))[None, :]
    sizes = np.stack([np.exp(rng.uniform(5.5, 8.5, tasks)), np.exp(rng.uniform(4, 7, tasks))], axis=1)
    dear = np.sort(np.exp(rng.uniform(-2.5, 2.0, models)))
    prices = np.stack([dear, dear * rng.uniform(2.5, 6, models)], axis=1) * 1e-6
    hits = rng.dirichlet([2, 1, 0.5]) * rng.uniform(0.3, 0.7)
    tiers = np.append(hits, 1 - hits.sum())
    return Service(volume * rng.uniform(2_000, 60_000), sizes, prices, tiers, rng.dirichlet(np.full(5, 3.0)))


def table(of: Service, hours: float, rng: np.random.Generator) -> pd.DataFrame:
    """Traffic of ``hours``: counts are Poisson, sizes and hit rates are noisy."""
    rows = {}
    tiers = of.tiers * np.exp(rng.normal(0, 0.03, len(TIERS)))
    tiers = tiers / tiers.sum()
    for model in range(len(of.prices)):
        for task in range(len(of.sizes)):
            sizes = of.sizes[task] * np.exp(rng.normal(0, 0.03, 2))
            for tier, share in zip(TIERS, tiers, strict=True):
                count = float(rng.poisson(of.volume[model, task] * hours * share))
                cost = float(count * sizes @ of.prices[model]) if tier == "none" else 0.0
                rows[f"model-{model}", f"task-{task}", tier] = [count, *(count * sizes), cost]
    index = pd.MultiIndex.from_tuples(rows, names=LEAF)
    frame = pd.DataFrame(list(rows.values()), index=index, columns=COLUMNS)
    return frame[frame["requests"] > 0]


def change_of(cause: str, of: Service, rng: np.random.Generator) -> tuple[Service, dict[str, str]]:
    """Return the service with one thing changed, and the labels that the change belongs to."""
    size = rng.uniform(1.8, 8)
    spend = (of.volume @ of.sizes) * of.prices
    dearest = int(spend.sum(axis=1).argmax())
    one_model = np.where(np.arange(len(of.prices)) == dearest, size, 1.0)
    if cause == "volume" and rng.random() < 0.5:
        return replace(of, volume=of.volume * one_model[:, None]), {"model": f"model-{dearest}"}
    if cause == "volume":
        user = int(rng.integers(len(of.users)))
        extra = of.users[user] * (size**2 - 1)
        users = of.users.copy()
        users[user] += extra
        return replace(of, volume=of.volume * (1 + extra), users=users), {"user": f"user-{user}"}
    if cause == "token_size":
        return replace(of, sizes=of.sizes * np.where(rng.random(2) < 0.5, size, 1.0)), {}
    if cause == "unit_price":
        model = rng.random() < 0.5
        return replace(of, prices=of.prices * (one_model[:, None] if model else size)), (
            {"model": f"model-{dearest}"} if model else {}
        )
    if cause == "model_mix":
        moved = of.volume[:-1] * rng.uniform(0.5, 1.0)
        volume = np.vstack([of.volume[:-1] - moved, of.volume[-1:] + moved.sum(axis=0)])
        return replace(of, volume=volume), {"model": f"model-{len(of.prices) - 1}"}
    kept = of.tiers[:-1] * rng.uniform(0.0, 0.3)
    return replace(of, tiers=np.append(kept, 1 - kept.sum())), {}


@dataclass(frozen=True)
class Outcome:
    cause: str
    named: str
    labels_right: bool
    rest_dollars: float


def incident(cause: str, rng: np.random.Generator) -> Outcome | None:
    """Return what was named; ``None`` when the change is too small to be an incident."""
    before = service(rng)
    after, labels = change_of(cause, before, rng)
    hours, season = float(rng.uniform(0.5, 3.0)), float(rng.uniform(0.7, 1.4))
    reference = table(before, 3.0, rng)
    during = table(replace(after, volume=after.volume * season), hours, rng)
    expected = float(reference["cost"].sum()) / 3 * hours * season * float(np.exp(rng.normal(0, 0.05)))
    if during["cost"].sum() < LEAST_RISE * expected:
        return None
    change = split_cost_change(reference, during, expected)
    spent = after.users / after.users.sum() * change.after - before.users / before.users.sum() * change.before
    causes = cost_causes(change, pd.Series(spent, index=[f"user-{user}" for user in range(len(spent))]))
    first = causes[0]
    right = all(first.labels.get(name) == value for name, value in labels.items())
    return Outcome(cause, first.factor, right, abs(math.fsum(change.parts.values()) - change.change))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--incidents", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    outcomes: list[Outcome] = []
    while len(outcomes) < arguments.incidents:
        made = incident(FACTORS[len(outcomes) % len(FACTORS)], rng)
        if made is not None:
            outcomes.append(made)
    print(f"{'cause':14}{'incidents':>10}{'named right':>13}{'labels right':>14}   named instead")
    for cause in (*FACTORS, "all"):
        rows = [each for each in outcomes if cause in ("all", each.cause)]
        wrong = Counter(each.named for each in rows if each.named != each.cause)
        named = 100 * (1 - sum(wrong.values()) / len(rows))
        labels = 100 * np.mean([each.labels_right for each in rows])
        print(f"{cause:14}{len(rows):10}{named:12.1f}%{labels:13.1f}%   {dict(wrong) or ''}")
    print(f"\nParts against the whole: off by ${max(each.rest_dollars for each in outcomes):.2g} at most")


if __name__ == "__main__":
    main()
