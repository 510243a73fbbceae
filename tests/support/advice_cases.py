"""Traffic that each rule of advice fires on, and what a replay with the advice taken costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from asahi_analytics.recommendations.dollars import MONTH_DAYS
from asahi_analytics.recommendations.unit_prices import UnitPrice
from asahi_exporter.conventions import batch_size_class
from support.advice_traffic import (
    DAYS,
    PRICES,
    RECENT,
    Traffic,
    advise,
    batched,
    discount,
    healthy,
    last_week,
    make_requests,
    priced,
)


@dataclass(frozen=True)
class Case:
    """Traffic that the rule ``id`` fires on, and the dollars a month that a replay with its advice taken saves.

    ``make`` takes a seed; ``list_prices`` are prices of models that may be proposed. ``days``: how many days, the last
    ones, the replay is about.
    """

    id: str
    make: Callable[[int], Traffic]
    replay: Callable[[Traffic], float]
    list_prices: Mapping[str, UnitPrice] = field(default_factory=dict)
    days: int = DAYS


def changed(change: Callable[[pd.DataFrame], pd.DataFrame], days: int = DAYS) -> Callable[[Traffic], float]:
    """Return a replay: how much less the requests cost after ``change``, which gets a copy, scaled to a month."""

    def replay(traffic: Traffic) -> float:
        after = change(traffic.requests.copy())
        return (traffic.cost() - float(after["cost"].sum())) / days * MONTH_DAYS

    return replay


def _cached_more(count: Callable[[pd.DataFrame], int]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Let ``count(requests)`` of the uncached requests, drawn at random, be answered by a cache for nothing."""

    def change(data: pd.DataFrame) -> pd.DataFrame:
        uncached = data.index[data["cache_tier"] == "none"]
        chosen = np.random.default_rng(9).choice(len(uncached), count(data), replace=False)
        data.loc[uncached[chosen], "cost"] = 0.0
        return data

    return change


def _to_half(data: pd.DataFrame) -> int:
    return round(0.5 * len(data)) - int((data["cache_tier"] != "none").sum())


def routed(model: str, to: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Let ``to`` answer what ``model`` answered."""

    def change(data: pd.DataFrame) -> pd.DataFrame:
        moved = (data["model"] == model) & (data["cache_tier"] == "none")
        data.loc[moved, "cost"] = priced(data[moved], to)
        return data

    return change


def dear_chat(seed: int = 1, cheap_quality: float | None = 4.5) -> Traffic:
    requests = pd.concat(
        [
            make_requests(model="gpt-4", task_type="chat", per_day=600, seed=seed, quality=4.5),
            make_requests(
                model="gpt-4o", task_type="chat", per_day=200, seed=seed + 1, quality=cheap_quality
            ),
        ],
        ignore_index=True,
    )
    return Traffic(requests, {"1": (800.0, 0.6)})


def _trimmed(data: pd.DataFrame) -> pd.DataFrame:
    data["input"] = data["input"].clip(upper=2 * data["input"].mean())
    paid = data["cache_tier"] == "none"
    data.loc[paid, "cost"] = priced(data[paid], "gpt-4o")
    return data


def _wasteful(seed: int) -> Traffic:
    traffic = healthy(seed)
    failed = np.random.default_rng(seed + 9).random(len(traffic.requests)) < 0.08
    traffic.requests.loc[failed, "outcome"] = "retry"
    return traffic


def _without_failures(data: pd.DataFrame) -> pd.DataFrame:
    return data[data["outcome"] == "ok"]


def _longer_prompts(seed: int) -> Traffic:
    traffic = healthy(seed)
    longer = last_week(traffic.requests) & (traffic.requests["task_type"] == "chat")
    traffic.requests.loc[longer, ["input", "output", "cost"]] *= 1.6
    return traffic


def _of_old_length(data: pd.DataFrame) -> pd.DataFrame:
    longer = last_week(data) & (data["task_type"] == "chat")
    data.loc[longer, "cost"] /= 1.6
    return data


def _busy_user(seed: int) -> Traffic:
    """User c asks five times as much in the last week; the others go on as before."""
    traffic = healthy(seed)
    extra = traffic.requests[last_week(traffic.requests) & (traffic.requests["user"] == "c")]
    traffic.requests = pd.concat([traffic.requests, *(extra.assign(added=True) for _ in range(4))])
    traffic.requests["added"] = traffic.requests["added"].notna()
    traffic.requests = traffic.requests.reset_index(drop=True)
    return traffic


def _without_added(data: pd.DataFrame) -> pd.DataFrame:
    return data[~data["added"]]


def _rerouted(seed: int) -> Traffic:
    """The router sends the cheap model's chats to the dear one in the last week."""
    traffic = healthy(seed)
    data = traffic.requests
    moved = last_week(data) & (data["task_type"] == "chat") & (data["model"] == "gpt-4o-mini")
    uncached = moved & (data["cache_tier"] == "none")
    data["before"] = data["cost"]
    data.loc[moved, "model"] = "gpt-4"
    data.loc[uncached, "cost"] = priced(data[uncached], "gpt-4")
    return traffic


def _as_before(data: pd.DataFrame) -> pd.DataFrame:
    return data.assign(cost=data["before"])


def _slow_tier(seed: int) -> Traffic:
    traffic = healthy(seed)
    traffic.lookups["3"], traffic.lookup_ms["3"] = (2000.0, 0.0), 40.0
    return traffic


def _small_batches(seed: int) -> Traffic:
    requests = pd.concat(
        [
            make_requests(model="gpt-4o", task_type="summary", per_day=1500, seed=seed),
            make_requests(model="gpt-4o-mini", task_type="chat", per_day=600, seed=seed + 1),
        ],
        ignore_index=True,
    )
    traffic = Traffic(requests, {"1": (2100.0, 0.6)})
    return batched(traffic, {1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2, 7: 0.1, 14: 0.05, 40: 0.05}, seed)


def _batched_well(traffic: Traffic) -> float:
    """Every batched request in a batch of the advised class, at the middle of its sizes in this traffic."""
    advised = advise(traffic)["batch-size"].action
    sizes = traffic.batches["size"]
    inside = sizes[[f"until {batch_size_class(size)} requests" in advised for size in sizes]]
    saved = (traffic.batches["dollars"] * (discount(inside.mean()) - sizes.map(discount))).sum()
    return float(saved) / DAYS * MONTH_DAYS


def _dearer(seed: int) -> Traffic:
    traffic = healthy(seed)
    data = traffic.requests
    data.loc[last_week(data) & (data["model"] == "gpt-4o"), "cost"] *= 1.3
    return traffic


def _at_the_old_price(data: pd.DataFrame) -> pd.DataFrame:
    data.loc[last_week(data) & (data["model"] == "gpt-4o"), "cost"] /= 1.3
    return data


def _rarely_cached(seed: int) -> Traffic:
    return Traffic(make_requests(cached_share=0.3, per_day=2000, seed=seed), {"1": (2000.0, 0.3)})


def _weak_tier_two(seed: int) -> Traffic:
    requests = make_requests(cached_share=0.5, per_day=2000, seed=seed)
    return Traffic(requests, {"1": (2000.0, 0.5), "2": (1000.0, 0.05)})


MINI = {"gpt-4o-mini": UnitPrice(*PRICES["gpt-4o-mini"])}
CASES: tuple[Case, ...] = (
    Case("cache-hit-rate", _rarely_cached, changed(_cached_more(_to_half))),
    Case("routing-dear-model:chat:gpt-4", dear_chat, changed(routed("gpt-4", "gpt-4o"))),
    Case(
        "cache-tier-2-hit-rate",
        _weak_tier_two,
        changed(_cached_more(lambda data: round(0.15 * len(data) / 2))),
    ),
    Case(
        "token-variation:chat:input",
        lambda seed: Traffic(make_requests(sigma=1.1, per_day=2500, seed=seed), {"1": (2500.0, 0.6)}),
        changed(_trimmed),
    ),
    Case(
        "model-dominant:gpt-4o",
        lambda seed: Traffic(make_requests(model="gpt-4o", per_day=900, seed=seed), {"1": (900.0, 0.6)}),
        changed(routed("gpt-4o", "gpt-4o-mini")),
        MINI,
    ),
    Case("cost-drift:chat", _longer_prompts, changed(_of_old_length, RECENT), days=RECENT),
    Case("share-jump:user:c", _busy_user, changed(_without_added, RECENT), days=RECENT),
    Case("share-jump:model:gpt-4", _rerouted, changed(_as_before, RECENT), days=RECENT),
    Case("wasted-cost", _wasteful, changed(_without_failures)),
    Case("cache-tier-3-latency", _slow_tier, changed(lambda data: data)),
    Case("batch-size", _small_batches, _batched_well),
    Case("price-change:gpt-4o", _dearer, changed(_at_the_old_price, RECENT), days=RECENT),
)
"""One for each rule: the specification's five first. Looking into a tier that never hits costs no dollars."""
