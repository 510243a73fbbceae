"""Seeded traffic in bins, and a composer that answers from it, for tests of the anomaly detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from asahi_analytics.composer import Ask, Sums, SumSeries, Trust
from asahi_analytics.latency_bins import le_text
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names
from support.amounts import sums_of
from support.one_by_one import OneByOne

STEP = timedelta(minutes=10)
END = datetime(2024, 5, 15, 12, 0, tzinfo=UTC)
PRICES = {"gpt-4o": (2.5e-6, 10e-6), "gpt-4o-mini": (0.15e-6, 0.6e-6), "claude": (3e-6, 15e-6)}
TASKS = {"chat": (800.0, 200.0), "summarise": (3000.0, 400.0), "code": (1500.0, 900.0)}
USERS = {"acme-batch": 0.3, "team-a": 0.5, "team-b": 0.2}


def index(days: float, end: datetime = END, step: timedelta = STEP) -> pd.DatetimeIndex:
    """Return the bins of ``days`` up to ``end``."""
    count = round(timedelta(days=days) / step)
    return pd.date_range(end=end - step, periods=count, freq=step)


def seasonal(days: float, mean: float, rng: np.random.Generator, noise: float = 0.08) -> pd.Series:
    """Return a daily season around ``mean`` with log-normal noise."""
    times = index(days)
    hour = times.hour + times.minute / 60
    values = mean * (1 + 0.5 * np.sin((hour - 8) / 24 * 2 * np.pi)) * np.exp(rng.normal(0, noise, len(times)))
    return pd.Series(values, index=times)


@dataclass
class Traffic:
    """Bins by leaf; change ``leaves`` and the rest before asking."""

    leaves: pd.DataFrame
    users: pd.DataFrame
    latency: pd.DataFrame
    errors: pd.DataFrame
    hits: pd.DataFrame
    lookups: pd.DataFrame
    score: pd.DataFrame
    gaps: list[tuple[datetime, datetime]] = field(default_factory=list)

    def within(self, window: Window) -> Traffic:
        """Return the traffic of the window alone."""
        inside = {
            name: (frame := getattr(self, name))[(frame.index >= window.start) & (frame.index < window.end)]
            for name in ("users", "latency", "errors", "hits", "lookups", "score")
        }
        return replace(self, leaves=self.leaves[self.at(window.start, window.end)], **inside)

    def at(self, start: datetime, end: datetime) -> np.ndarray:
        """Return which bins of the leaves lie in a window."""
        times = self.leaves.index.get_level_values("time")
        return (times >= start) & (times < end)


def traffic(seed: int = 0, days: float = 14, requests: float = 3000.0) -> Traffic:
    """Return healthy traffic: models, task types and tiers with their own sizes and prices."""
    rng = np.random.default_rng(seed)
    total = seasonal(days, requests, rng)
    rows = []
    for model, share in zip(PRICES, (0.3, 0.6, 0.1), strict=True):
        for task, part in zip(TASKS, (0.6, 0.3, 0.1), strict=True):
            for tier, kept in (("1", 0.25), ("none", 0.75)):
                count = rng.poisson((total * share * part * kept).to_numpy()).astype(float)
                size = [each * np.exp(rng.normal(0, 0.02, len(total))) for each in TASKS[task]]
                rows.append(
                    pd.DataFrame(
                        {
                            "time": total.index,
                            "model": model,
                            "task_type": task,
                            "cache_tier": tier,
                            "requests": count,
                            "input": count * size[0],
                            "output": count * size[1],
                            "free": float(tier != "none"),
                        }
                    )
                )
    leaves = pd.concat(rows).set_index(["time", "model", "task_type", "cache_tier"])
    price = np.array([PRICES[model] for model in leaves.index.get_level_values("model")])
    leaves["in_price"], leaves["out_price"] = price.T * (1 - leaves.pop("free").to_numpy())
    times = total.index
    return Traffic(
        leaves=leaves,
        users=pd.DataFrame({user: np.full(len(times), share) for user, share in USERS.items()}, index=times),
        latency=pd.DataFrame(
            {model: 700 * np.exp(rng.normal(0, 0.03, len(times))) for model in PRICES}, index=times
        ),
        errors=pd.DataFrame({("timeout", "router"): rng.poisson(0.003 * total)}, index=times, dtype=float),
        hits=pd.DataFrame(
            {tier: rng.binomial(2000, rate, len(times)) for tier, rate in (("1", 0.45), ("2", 0.3))},
            index=times,
            dtype=float,
        ),
        lookups=pd.DataFrame({tier: np.full(len(times), 2000.0) for tier in ("1", "2")}, index=times),
        score=pd.DataFrame({model: 4.5 + rng.normal(0, 0.05, len(times)) for model in PRICES}, index=times),
    )


def cost_of(leaves: pd.DataFrame) -> pd.Series:
    """Return the dollars of each row."""
    return leaves["input"] * leaves["in_price"] + leaves["output"] * leaves["out_price"]


class FakeComposer(OneByOne):
    """Answers the composer's questions from ``Traffic``, and remembers them."""

    def __init__(self, source: Traffic) -> None:
        self.source = source
        self.asked: list[str] = []

    def series(
        self,
        family: str,
        by: Sequence[str],
        window: Window,
        step: timedelta,
        where: Mapping[str, Sequence[str]] | None = None,
    ) -> SumSeries:
        assert step == STEP
        self.asked.append(family)
        long = self._long(family, where, window)
        frame = _grouped(long, by)
        times = pd.date_range(window.start, window.end - step, freq=step)
        frame = frame.reindex(times)
        for start, end in self.source.gaps:
            frame[(frame.index >= start) & (frame.index < end)] = np.nan
        return SumSeries(frame, window, Trust(source="fake"))

    def total(
        self, family: str, by: Sequence[str], window: Window, where: Mapping[str, Sequence[str]] | None = None
    ) -> Sums:
        return self.totals([Ask(family, by, window, where)])[0]

    def totals(self, asks: Sequence[Ask]) -> list[Sums]:
        return [self._total(ask) for ask in asks]

    def _total(self, ask: Ask) -> Sums:
        frame = _grouped(self._long(ask.family, ask.where, ask.window), ask.by)
        return sums_of(frame.sum(), ask.by, ask.window, Trust(source="fake"))

    def _long(self, family: str, where: Mapping[str, Sequence[str]] | None, window: Window) -> pd.DataFrame:
        """Return one row for each time and label set, with ``value``."""
        long = _FAMILIES[family](self.source.within(window)).reset_index()
        for name, allowed in (where or {}).items():
            long = long[long[name].isin(list(allowed))]
        return long


def _grouped(long: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    if not by:
        return long.groupby("time")["value"].sum().to_frame("total")
    return long.pivot_table(
        index="time", columns=list(by) if len(by) > 1 else by[0], values="value", aggfunc="sum"
    )


def _leaf_values(values: pd.Series) -> pd.DataFrame:
    return values.rename("value").to_frame()


def _tokens(source: Traffic) -> pd.DataFrame:
    stacked = source.leaves[["input", "output"]].rename_axis(columns=names.DIRECTION).stack()
    return stacked.rename("value").to_frame()


def _user_cost(source: Traffic) -> pd.DataFrame:
    cost = cost_of(source.leaves).groupby(level="time").sum()
    return _long_of(source.users.mul(cost, axis=0), [names.USER])


def _long_of(frame: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    frame = frame.rename_axis(index="time", columns=list(labels) if len(labels) > 1 else labels[0])
    return frame.stack(list(range(len(labels)))).rename("value").to_frame()


def _latency_buckets(source: Traffic) -> pd.DataFrame:
    """Log-normal latency around the median of each bin and model, as cumulative buckets."""
    from scipy.stats import norm

    counts = source.leaves["requests"].groupby(level=["time", "model"]).sum().unstack("model")
    bounds = np.array(names.LATENCY_MS_BUCKETS)
    rows = []
    for model in counts.columns:
        share = norm.cdf(np.log(bounds[None, :] / source.latency[model].to_numpy()[:, None]) / 0.5)
        share = np.hstack([share, np.ones((len(share), 1))])
        columns = [*(le_text(bound) for bound in bounds), "+Inf"]
        table = pd.DataFrame(share * counts[model].to_numpy()[:, None], index=counts.index, columns=columns)
        rows.append(_long_of(table, ["le"]).assign(model=model, cache_tier="none"))
    return pd.concat(rows)


def _quality_points(source: Traffic) -> pd.DataFrame:
    return _long_of(source.score * 100.0, [names.MODEL]).assign(task_type="chat")


_FAMILIES = {
    "requests": lambda source: _leaf_values(source.leaves["requests"]),
    "cost_dollars": lambda source: _leaf_values(cost_of(source.leaves)),
    "tokens": _tokens,
    "user_cost_dollars": _user_cost,
    "latency_ms_bucket": _latency_buckets,
    "errors": lambda source: _long_of(
        source.errors.set_axis(pd.MultiIndex.from_tuples(source.errors.columns), axis=1),
        [names.ERROR_TYPE, names.COMPONENT],
    ),
    "cache_hits": lambda source: _long_of(source.hits, [names.TIER]),
    "cache_misses": lambda source: _long_of(source.lookups - source.hits, [names.TIER]),
    "quality_points": _quality_points,
    "quality_samples": lambda source: _long_of(source.score * 0 + 100.0, [names.MODEL]).assign(
        task_type="chat"
    ),
}


@dataclass
class FakeEngine:
    """A composer and a clock."""

    composer: FakeComposer
    now: datetime = END

    def clock(self) -> datetime:
        return self.now
