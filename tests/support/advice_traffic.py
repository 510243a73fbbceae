"""Traffic for advice, request by request: healthy, and for each rule made so that it fires, with a replay of the
same requests with the advice taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from asahi_analytics.recommendations import Recommendation, recommend
from asahi_analytics.recommendations.observed import ASKED, USERS, Asked, Observed
from asahi_analytics.recommendations.unit_prices import UnitPrice
from asahi_exporter import conventions as names
from asahi_exporter.conventions import batch_size_class

DAYS = 28
RECENT = 7
PRICES = {"gpt-4": (30e-6, 60e-6), "gpt-4o": (2.5e-6, 10e-6), "gpt-4o-mini": (0.15e-6, 0.6e-6)}
LOOKUP_MS = {"1": 1.0, "2": 1.0, "3": 1.0}
NO_BATCHES = pd.DataFrame({"day": [], "size": [], "dollars": []})


@dataclass
class Traffic:
    """Single requests, from which the sums that the composer would return are made.

    ``lookups`` holds (look-ups a day, hit rate) by tier; ``batches`` one row a batch: day, size, dollars of its
    requests without the discount.
    """

    requests: pd.DataFrame
    lookups: dict[str, tuple[float, float]] = field(default_factory=dict)
    lookup_ms: dict[str, float] = field(default_factory=lambda: dict(LOOKUP_MS))
    busy: np.ndarray | None = None
    """What is left of each day's look-ups, 0-1; None: all."""
    batches: pd.DataFrame = field(default_factory=lambda: NO_BATCHES)

    def cost(self) -> float:
        return float(self.requests["cost"].sum())

    def observed(self) -> Observed:
        counted = self.counted()
        frames = {name: observed_of(asked, counted[asked.family]) for name, asked in ASKED.items()}
        frames[USERS.family] = counted[USERS.family]
        return Observed(frames)

    def counted(self) -> dict[str, pd.DataFrame]:
        """Sums of each day by family and every label that advice looks at."""
        data = self.requests
        keys = [names.MODEL, names.TASK_TYPE, names.CACHE_TIER]
        paid = data["cost"].fillna(0.0)
        frames = {
            "requests": pivot(data.assign(value=1.0), keys),
            "cost_dollars": pivot(data.assign(value=paid), keys),
            "unpriced_requests": pivot(data.assign(value=data["cost"].isna().astype(float)), [names.MODEL]),
            "quality_points": pivot(data.assign(value=data["quality"].fillna(0.0)), keys[:2]),
            "quality_samples": pivot(data.assign(value=data["quality"].notna().astype(float)), keys[:2]),
            "wasted_cost_dollars": pivot(
                data.assign(value=paid)[data["outcome"] != "ok"], [*keys[:2], names.OUTCOME]
            ),
            "user_cost_dollars": pivot(data.assign(value=paid), [names.USER]),
            "latency_ms_sum": pivot(data.assign(value=data["latency"]), [names.MODEL, names.CACHE_TIER]),
            "latency_ms_count": pivot(data.assign(value=1.0), [names.MODEL, names.CACHE_TIER]),
        }
        long = pd.concat([data.assign(direction=way, value=data[way]) for way in ("input", "output")])
        frames["tokens"] = pivot(long, [*keys, names.DIRECTION])
        frames["tokens_squared"] = pivot(
            long.assign(value=long["value"] ** 2), [names.TASK_TYPE, names.DIRECTION]
        )
        days = frames["requests"].index
        frames["token_count_bucket"] = histogram(long)
        frames |= self._counters(days) | self._batching(days)
        for family, labels in LABELS.items():
            frames[family].columns.names = list(labels)
        return {family: frame.reindex(days).fillna(0.0) for family, frame in frames.items()}

    def _counters(self, days: pd.Index) -> dict[str, pd.DataFrame]:
        def constant(values: dict[str, float]) -> pd.DataFrame:
            busy = np.ones(len(days)) if self.busy is None else self.busy
            return pd.DataFrame({key: value * busy for key, value in values.items()}, index=days)

        hits = {tier: count * rate for tier, (count, rate) in self.lookups.items()}
        return {
            "cache_hits": constant(hits),
            "cache_misses": constant({tier: self.lookups[tier][0] - hit for tier, hit in hits.items()}),
            "cache_lookup_latency_ms_sum": constant(
                {tier: count * self.lookup_ms[tier] for tier, (count, _) in self.lookups.items()}
            ),
            "cache_lookup_latency_ms_count": constant(
                {tier: count for tier, (count, _) in self.lookups.items()}
            ),
        }

    def _batching(self, days: pd.Index) -> dict[str, pd.DataFrame]:
        if self.batches.empty:
            nothing = pd.DataFrame(index=days)
            return {
                family: nothing.copy() for family in ("savings_dollars", "batches", "batch_savings_points")
            }
        made = self.batches.assign(size_class=self.batches["size"].map(batch_size_class))
        points = 100 * made["size"].map(discount)
        saved = (made["dollars"] * points / 100).groupby(made["day"]).sum()
        return {
            "savings_dollars": pd.DataFrame({"batching": saved}),
            "batches": pivot(made.assign(value=1.0), [names.SIZE_CLASS]),
            "batch_savings_points": pivot(made.assign(value=points), [names.SIZE_CLASS]),
        }


LABELS: Mapping[str, tuple[str, ...]] = {
    **{asked.family: asked.by for asked in (*ASKED.values(), USERS) if asked.by},
    "tokens": (names.MODEL, names.TASK_TYPE, names.CACHE_TIER, names.DIRECTION),
}
"""The labels by which each family is counted."""


def observed_of(asked: Asked, counted: pd.DataFrame) -> pd.DataFrame:
    """What the composer answers to ``asked`` when ``counted`` is what was counted."""
    for label, wanted in (asked.where or {}).items():
        counted = counted.loc[:, counted.columns.get_level_values(label).isin(wanted)]
    if not asked.by:
        counted = counted.sum(axis=1).to_frame("total")
    elif tuple(counted.columns.names) != asked.by:
        counted = counted.T.groupby(level=list(asked.by)).sum().T
    return counted if asked.daily else counted.sum().to_frame(counted.index[0]).T


def pivot(data: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    columns = keys[0] if len(keys) == 1 else keys
    return data.pivot_table(index="day", columns=columns, values="value", aggfunc="sum", fill_value=0.0)


def histogram(long: pd.DataFrame) -> pd.DataFrame:
    """Cumulative counts of the tokens of requests by direction and bound, each day."""
    bounds = [*(f"{bound:g}" for bound in names.TOKEN_BUCKETS), "+Inf"]
    place = np.searchsorted(names.TOKEN_BUCKETS, long["value"])
    keyed = long.assign(place=place, value=1.0)
    counts = pivot(keyed, ["direction", "place"])
    wanted = pd.MultiIndex.from_product([("input", "output"), range(len(bounds))])
    cumulative = counts.reindex(columns=wanted, fill_value=0.0).T.groupby(level=0).cumsum().T
    cumulative.columns = pd.MultiIndex.from_product([("input", "output"), bounds])
    return cumulative


def make_requests(
    *,
    model: str = "gpt-4o",
    task_type: str = "chat",
    per_day: int = 400,
    cached_share: float = 0.6,
    sigma: float = 0.3,
    quality: float | None = 4.5,
    days: int = DAYS,
    seed: int = 1,
    mean_tokens: float = 800.0,
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size = per_day * days
    inputs = rng.lognormal(np.log(mean_tokens), sigma, size).round()
    outputs = rng.lognormal(np.log(200.0), 0.2, size).round()
    cached = rng.random(size) < cached_share
    price_in, price_out = PRICES[model]
    return pd.DataFrame(
        {
            "day": np.repeat(pd.date_range("2026-03-01", periods=days, tz="UTC"), per_day),
            "model": model,
            "task_type": task_type,
            "cache_tier": np.where(cached, "1", "none"),
            "user": rng.choice(["a", "b", "c"], size),
            "input": inputs,
            "output": outputs,
            "cost": np.where(cached, 0.0, inputs * price_in + outputs * price_out),
            "latency": np.where(cached, 5.0, 900.0),
            "quality": np.nan if quality is None else rng.normal(quality, 0.2, size),
            "outcome": "ok",
        }
    )


def healthy(seed: int = 1) -> Traffic:
    """Well cached, on models of one price class, of narrow requests, batched as well as it pays.

    Half as many requests at weekends, and a third more at the end than at the beginning.
    """
    requests = pd.concat(
        [
            make_requests(model="gpt-4o", task_type="chat", seed=seed),
            make_requests(model="gpt-4o-mini", task_type="chat", seed=seed + 1, per_day=500),
            make_requests(model="gpt-4o-mini", task_type="summary", seed=seed + 2, per_day=300),
            make_requests(model="gpt-4o", task_type="code", seed=seed + 3, per_day=250, quality=4.8),
            make_requests(model="gpt-4o-mini", task_type="code", seed=seed + 4, per_day=40, quality=3.1),
        ],
        ignore_index=True,
    )
    rng = np.random.default_rng(seed + 5)
    number = (requests["day"] - requests["day"].min()).dt.days
    busy = np.where(requests["day"].dt.day_of_week < 5, 1.0, 0.5) * (0.75 + 0.25 * number / DAYS)
    from_second = (requests["cache_tier"] == "1") & (rng.random(len(requests)) < 0.25)
    requests.loc[from_second, "cache_tier"] = "2"
    requests = requests[rng.random(len(requests)) < busy].reset_index(drop=True)
    traffic = Traffic(requests, {"1": (1100.0, 0.45), "2": (600.0, 0.3)})
    return batched(traffic, {12: 0.2, 16: 0.4, 24: 0.4})


def thinned(traffic: Traffic, busy: np.ndarray, seed: int) -> Traffic:
    """Leave of each day, by chance, the share ``busy`` of its requests, batches and look-ups; 0-1, a value a day."""
    rng = np.random.default_rng(seed)
    first = traffic.requests["day"].min()

    def left(rows: pd.DataFrame) -> pd.DataFrame:
        if rows.empty:
            return rows
        kept = rng.random(len(rows)) < busy[(rows["day"] - first).dt.days.to_numpy()]
        return rows[kept].reset_index(drop=True)

    return replace(traffic, requests=left(traffic.requests), batches=left(traffic.batches), busy=busy)


def advise(traffic: Traffic, prices: Mapping[str, UnitPrice] | None = None) -> dict[str, Recommendation]:
    return {item.id: item for item in recommend(traffic.observed(), prices or {})}


def priced(data: pd.DataFrame, model: str) -> pd.Series:
    price_in, price_out = PRICES[model]
    return data["input"] * price_in + data["output"] * price_out


def last_week(data: pd.DataFrame) -> pd.Series:
    return data["day"] >= data["day"].max() - timedelta(days=RECENT - 1)


def discount(size: Any) -> Any:
    """The share that a batch of ``size`` saves: more with its size, but ever less so."""
    return 0.4 * (1.0 - 1.0 / (1.0 + 0.18 * (size - 1)))


def batched(traffic: Traffic, sizes: Mapping[int, float], seed: int = 3) -> Traffic:
    """Put the uncached summaries of ``traffic`` into batches of ``sizes`` (with their probabilities), discounted."""
    rng = np.random.default_rng(seed)
    data, found = traffic.requests, []
    batchable = data[(data["task_type"] == "summary") & (data["cache_tier"] == "none")]
    for day, part in batchable.groupby("day"):
        drawn = rng.choice(list(sizes), len(part), p=list(sizes.values()))
        number = np.repeat(np.arange(len(drawn)), drawn)[: len(part)]
        batch = part["cost"].groupby(number)
        found.append(pd.DataFrame({"day": day, "size": batch.size(), "dollars": batch.sum()}))
        data.loc[part.index, "cost"] = part["cost"] * (1 - discount(batch.transform("size")))
    traffic.batches = pd.concat(found, ignore_index=True)
    return traffic


# Traffic for each rule ----------------------------------------------------------------------------------------
