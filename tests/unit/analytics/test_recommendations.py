"""Each rule fires on traffic made for it, stays silent on healthy traffic, and its dollars equal a replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.recommendations import Recommendation, RecommendationEngine, recommend
from asahi_analytics.recommendations.dollars import MONTH_DAYS, confidence, monthly, priority
from asahi_analytics.recommendations.findings import window_sum
from asahi_analytics.recommendations.observed import ASKED, Observed, observe
from asahi_analytics.recommendations.token_rules import share_above_cap
from asahi_analytics.recommendations.unit_prices import UnitPrice, fit_price
from asahi_exporter import conventions as names
from support.one_by_one import OneByOne

DAYS = 28
PRICES = {"gpt-4": (30e-6, 60e-6), "gpt-4o": (2.5e-6, 10e-6), "gpt-4o-mini": (0.15e-6, 0.6e-6)}


@dataclass
class Traffic:
    """Single requests, from which the sums that the composer would return are made."""

    requests: pd.DataFrame
    lookups: dict[str, tuple[float, float]] = field(default_factory=dict)  # tier: (look-ups a day, hit rate)
    lookup_ms: float = 1.0
    batches: dict[str, tuple[float, float]] = field(
        default_factory=dict
    )  # size class: (batches, points each)
    batch_savings: float = 0.0

    def cost(self) -> float:
        return float(self.requests["cost"].sum())

    def observed(self) -> Observed:
        data = self.requests
        keys = [names.MODEL, names.TASK_TYPE, names.CACHE_TIER]
        frames = {
            "requests": pivot(data.assign(value=1.0), keys),
            "cost_dollars": pivot(data.assign(value=data["cost"]), keys),
            "quality_points": pivot(data.assign(value=data["quality"].fillna(0.0)), keys[:2]),
            "quality_samples": pivot(data.assign(value=data["quality"].notna().astype(float)), keys[:2]),
            "wasted_cost_dollars": pivot(
                data[data["outcome"] != "ok"].assign(value=data["cost"]), [*keys[:2], names.OUTCOME]
            ),
            "user_cost_dollars": pivot(data.assign(value=data["cost"]), [names.USER]),
            "latency_ms_sum": pivot(data.assign(value=data["latency"]), [names.MODEL, names.CACHE_TIER]),
            "latency_ms_count": pivot(data.assign(value=1.0), [names.MODEL, names.CACHE_TIER]),
        }
        long = pd.concat([data.assign(direction=way, value=data[way]) for way in ("input", "output")])
        frames["tokens"] = pivot(long, [*keys, names.DIRECTION])
        frames["tokens_squared"] = pivot(
            long.assign(value=long["value"] ** 2), [names.TASK_TYPE, names.DIRECTION]
        )
        frames |= self._counters(frames["requests"].index)
        for family, labels in ASKED.items():
            frames[family].columns.names = list(labels)
        return Observed(
            {family: frame.reindex(frames["requests"].index) for family, frame in frames.items()}, ()
        )

    def _counters(self, days: pd.Index) -> dict[str, pd.DataFrame]:
        def constant(values: dict[str, float]) -> pd.DataFrame:
            return pd.DataFrame({key: np.full(len(days), value) for key, value in values.items()}, index=days)

        hits = {tier: count * rate for tier, (count, rate) in self.lookups.items()}
        return {
            "cache_hits": constant(hits),
            "cache_misses": constant({tier: self.lookups[tier][0] - hit for tier, hit in hits.items()}),
            "cache_lookup_latency_ms_sum": constant(
                {tier: count * self.lookup_ms for tier, (count, _) in self.lookups.items()}
            ),
            "savings_dollars": constant({"batching": self.batch_savings}),
            "batches": constant({size: count for size, (count, _) in self.batches.items()}),
            "batch_savings_points": constant(
                {size: count * points for size, (count, points) in self.batches.items()}
            ),
        }


def pivot(data: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    if len(keys) == 1:
        return data.pivot_table(index="day", columns=keys[0], values="value", aggfunc="sum", fill_value=0.0)
    return data.pivot_table(index="day", columns=keys, values="value", aggfunc="sum", fill_value=0.0)


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


def healthy() -> Traffic:
    """Well cached, on models of one price class, steady, of narrow requests."""
    requests = pd.concat(
        [
            make_requests(model="gpt-4o", task_type="chat", seed=1),
            make_requests(model="gpt-4o-mini", task_type="chat", seed=2, per_day=500),
            make_requests(model="gpt-4o-mini", task_type="summary", seed=3, per_day=300),
            make_requests(model="gpt-4o", task_type="code", seed=4, per_day=250, quality=4.8),
            make_requests(model="gpt-4o-mini", task_type="code", seed=5, per_day=40, quality=3.1),
        ],
        ignore_index=True,
    )
    return Traffic(requests, {"1": (1500.0, 0.6), "2": (600.0, 0.3)})


def advise(traffic: Traffic, **prices: UnitPrice) -> dict[str, Recommendation]:
    return {item.id: item for item in recommend(traffic.observed(), prices)}


def replayed(traffic: Traffic, change: Callable[[pd.DataFrame], pd.DataFrame]) -> float:
    """Dollars per month that ``traffic`` costs less with the advice taken."""
    after = change(traffic.requests.copy())
    return (traffic.cost() - float(after["cost"].sum())) / DAYS * MONTH_DAYS


def priced(data: pd.DataFrame, model: str) -> pd.Series:
    price_in, price_out = PRICES[model]
    return data["input"] * price_in + data["output"] * price_out


def test_healthy_traffic_gets_no_advice() -> None:
    assert advise(healthy()) == {}


def test_too_little_traffic_gets_no_advice() -> None:
    few = Traffic(make_requests(per_day=30, cached_share=0.0, sigma=1.5), {"1": (900.0, 0.0)})
    assert advise(few) == {}


def test_a_low_hit_rate_is_worth_what_a_replay_with_half_cached_saves() -> None:
    traffic = healthy()
    traffic.requests = make_requests(cached_share=0.3, per_day=2000)
    traffic.lookups = {"1": (2000.0, 0.3)}
    found = advise(traffic)["cache-hit-rate"]

    def cache_more(data: pd.DataFrame) -> pd.DataFrame:
        uncached = data.index[data["cache_tier"] == "none"]
        extra = round(0.5 * len(data)) - int((data["cache_tier"] != "none").sum())
        chosen = np.random.default_rng(9).choice(len(uncached), extra, replace=False)
        data.loc[uncached[chosen], "cost"] = 0.0
        return data

    assert found.estimated_savings == pytest.approx(replayed(traffic, cache_more), rel=0.10)
    assert found.savings_low < found.estimated_savings < found.savings_high
    assert found.confidence == "high"
    assert "'chat'" in found.action


@pytest.mark.parametrize(("rate", "fires"), [(0.49, True), (0.51, False)])
def test_the_hit_rate_rule_holds_on_both_sides_of_its_threshold(rate: float, fires: bool) -> None:
    traffic = Traffic(make_requests(cached_share=0.3, per_day=1000), {"1": (1000.0, rate)})
    assert ("cache-hit-rate" in advise(traffic)) is fires


@pytest.mark.parametrize(("rate", "fires"), [(0.19, True), (0.21, False)])
def test_tier_two_is_spoken_of_below_a_fifth_only(rate: float, fires: bool) -> None:
    traffic = healthy()
    traffic.lookups["2"] = (600.0, rate)
    assert ("cache-tier-2-hit-rate" in advise(traffic)) is fires


def test_a_low_tier_two_hit_rate_is_worth_what_a_replay_saves() -> None:
    traffic = Traffic(
        make_requests(cached_share=0.5, per_day=2000), {"1": (2000.0, 0.5), "2": (1000.0, 0.05)}
    )
    found = advise(traffic)["cache-tier-2-hit-rate"]

    def hit_more(data: pd.DataFrame) -> pd.DataFrame:
        uncached = data.index[data["cache_tier"] == "none"]
        chosen = np.random.default_rng(9).choice(len(uncached), round(0.15 * 1000 * DAYS), replace=False)
        data.loc[uncached[chosen], "cost"] = 0.0
        return data

    assert found.estimated_savings == pytest.approx(replayed(traffic, hit_more), rel=0.10)


def dear_chat(cheap_quality: float | None) -> Traffic:
    requests = pd.concat(
        [
            make_requests(model="gpt-4", task_type="chat", per_day=600, seed=11, quality=4.5),
            make_requests(model="gpt-4o", task_type="chat", per_day=200, seed=12, quality=cheap_quality),
        ],
        ignore_index=True,
    )
    return Traffic(requests, {"1": (800.0, 0.6)})


def test_a_dear_model_is_worth_what_routing_to_the_cheaper_one_saves() -> None:
    traffic = dear_chat(cheap_quality=4.5)
    found = advise(traffic)["routing-dear-model:chat:gpt-4"]

    def route(data: pd.DataFrame) -> pd.DataFrame:
        moved = (data["model"] == "gpt-4") & (data["cache_tier"] == "none")
        data.loc[moved, "cost"] = priced(data[moved], "gpt-4o")
        return data

    assert found.estimated_savings == pytest.approx(replayed(traffic, route), rel=0.10)
    assert found.priority == "high"
    assert "quality threshold" in found.action
    assert "'chat'" in found.action
    assert "gpt-4o" in found.action


def test_a_cheaper_model_of_lower_quality_is_not_advised() -> None:
    assert "routing-dear-model:chat:gpt-4" not in advise(dear_chat(cheap_quality=3.0))


def test_a_cheaper_model_of_unknown_quality_is_to_be_measured_first() -> None:
    found = advise(dear_chat(cheap_quality=None))["routing-dear-model:chat:gpt-4"]
    assert found.action.startswith("Measure first")
    assert (found.priority, found.confidence) == ("low", "low")
    assert "not known" in str(found.quality_guard)


def test_a_dominant_model_is_worth_what_its_alternative_saves() -> None:
    traffic = Traffic(make_requests(model="gpt-4o", per_day=900), {"1": (900.0, 0.6)})
    mini = UnitPrice(*PRICES["gpt-4o-mini"])
    found = advise(traffic, **{"gpt-4o-mini": mini})["model-dominant:gpt-4o"]

    def route(data: pd.DataFrame) -> pd.DataFrame:
        moved = data["cache_tier"] == "none"
        data.loc[moved, "cost"] = priced(data[moved], "gpt-4o-mini")
        return data

    assert found.estimated_savings == pytest.approx(replayed(traffic, route), rel=0.10)
    assert found.action.startswith("Measure first")


def test_a_dominant_model_without_a_cheaper_one_is_left_alone() -> None:
    traffic = Traffic(make_requests(model="gpt-4o-mini", per_day=900), {"1": (900.0, 0.6)})
    assert "model-dominant:gpt-4o-mini" not in advise(traffic)


def test_varying_prompts_are_worth_what_trimming_them_saves() -> None:
    traffic = Traffic(make_requests(sigma=1.1, per_day=2500), {"1": (2500.0, 0.6)})
    found = advise(traffic)["token-variation:chat:input"]

    def trim(data: pd.DataFrame) -> pd.DataFrame:
        data["input"] = data["input"].clip(upper=2 * data["input"].mean())
        paid = data["cache_tier"] == "none"
        data.loc[paid, "cost"] = priced(data[paid], "gpt-4o")
        return data

    assert found.estimated_savings == pytest.approx(replayed(traffic, trim), rel=0.10)
    assert "'chat'" in found.action


def test_the_share_above_a_cap_equals_a_sample_of_the_distribution() -> None:
    sigma = np.sqrt(np.log1p(1.2**2))
    sample = np.random.default_rng(3).lognormal(-(sigma**2) / 2, sigma, 400_000)
    assert share_above_cap(1.2, 2.0) == pytest.approx(np.clip(sample - 2, 0, None).mean(), rel=0.02)


def test_wasted_dollars_are_counted_one_by_one() -> None:
    traffic = healthy()
    failed = np.random.default_rng(5).random(len(traffic.requests)) < 0.08
    traffic.requests.loc[failed, "outcome"] = "retry"
    found = advise(traffic)["wasted-cost"]

    def without(data: pd.DataFrame) -> pd.DataFrame:
        data.loc[data["outcome"] != "ok", "cost"] = 0.0
        return data

    assert found.estimated_savings == pytest.approx(replayed(traffic, without), rel=1e-9)
    assert "back off" in found.action


def last_week(data: pd.DataFrame) -> pd.Series:
    return data["day"] >= data["day"].max() - timedelta(days=6)


def test_a_drifted_cost_per_request_is_worth_the_difference() -> None:
    traffic = healthy()
    longer = last_week(traffic.requests) & (traffic.requests["task_type"] == "summary")
    traffic.requests.loc[longer, ["input", "cost"]] *= 1.6
    found = advise(traffic)
    assert "cost-drift:summary" in found
    assert "cost-drift:chat" not in found
    extra = float(traffic.requests.loc[longer, "cost"].sum()) * (1 - 1 / 1.6) / 7 * MONTH_DAYS
    assert found["cost-drift:summary"].estimated_savings == pytest.approx(extra, rel=0.10)


def test_a_user_whose_share_jumped_is_named() -> None:
    traffic = healthy()
    traffic.requests.loc[last_week(traffic.requests), "user"] = "c"
    found = advise(traffic)
    assert "share-jump:user:c" in found
    assert "share-jump:user:a" not in found
    assert found["share-jump:user:c"].confidence == "low"


def test_a_price_that_rose_is_worth_what_the_old_one_would_have_saved() -> None:
    traffic = healthy()
    dearer = last_week(traffic.requests) & (traffic.requests["model"] == "gpt-4o")
    traffic.requests.loc[dearer, "cost"] *= 1.3
    found = advise(traffic)["price-change:gpt-4o"]
    extra = float(traffic.requests.loc[dearer, "cost"].sum()) * (1 - 1 / 1.3) / 7 * MONTH_DAYS
    assert found.estimated_savings == pytest.approx(extra, rel=0.10)
    assert "rose by 30 %" in found.title


def test_a_price_that_fell_claims_no_saving() -> None:
    traffic = healthy()
    traffic.requests.loc[last_week(traffic.requests) & (traffic.requests["model"] == "gpt-4o"), "cost"] *= 0.7
    found = advise(traffic)["price-change:gpt-4o"]
    assert found.estimated_savings == 0
    assert "fell" in found.title


def test_small_batches_are_worth_what_the_best_size_would_save() -> None:
    traffic = healthy()
    traffic.batches, traffic.batch_savings = {"2-4": (90.0, 10.0), "9-16": (10.0, 40.0)}, 13.0
    found = advise(traffic)["batch-size"]
    assert found.estimated_savings == pytest.approx(13.0 * (40.0 / 13.0 - 1) * MONTH_DAYS)
    assert "9-16" in found.action


def test_a_flat_savings_curve_gets_no_advice() -> None:
    traffic = healthy()
    traffic.batches, traffic.batch_savings = {"2-4": (90.0, 20.0), "9-16": (10.0, 23.0)}, 13.0
    assert "batch-size" not in advise(traffic)


def test_a_tier_that_costs_more_time_than_it_saves_is_named_and_claims_no_dollars() -> None:
    traffic = healthy()
    traffic.lookups["3"], traffic.lookup_ms = (2000.0, 0.0), 40.0
    found = advise(traffic)["cache-tier-3-latency"]
    assert found.estimated_savings == 0
    assert "cache-tier-1-latency" not in advise(traffic)


def test_advice_is_stable_and_ordered_by_priority_and_dollars() -> None:
    traffic = dear_chat(cheap_quality=4.5)
    traffic.lookups = {"1": (800.0, 0.1), "2": (800.0, 0.1)}
    first, second = (recommend(traffic.observed(), {}) for _ in range(2))
    assert first == second
    ranks = [("high", "medium", "low").index(item.priority) for item in first]
    assert ranks == sorted(ranks)
    assert all(item.evidence and item.evidence[0].promql for item in first)


def test_evidence_is_a_query_of_the_recorded_totals() -> None:
    running = "asahi:cache_hits:running"
    change = f"({running} - ({running} offset 28d or {running} * 0))"
    assert window_sum("cache_hits", ["tier"]) == f"sum by (tier) {change}"
    assert window_sum("cache_hits", []) == f"sum by () {change}"


def test_monthly_scales_days_and_widens_with_their_spread() -> None:
    assert monthly(pd.Series(dtype=float)).mean == 0
    steady, spread = monthly(pd.Series([10.0] * 14)), monthly(pd.Series([0.0, 20.0] * 7))
    assert steady.mean == spread.mean == pytest.approx(10 * MONTH_DAYS)
    assert steady.low == steady.high == pytest.approx(steady.mean)
    assert spread.low < spread.mean < spread.high
    assert monthly(pd.Series([10.0])).low == pytest.approx(5 * MONTH_DAYS)


def test_priority_follows_dollars_and_confidence() -> None:
    saving = monthly(pd.Series([10.0] * 14))
    assert priority(saving, "high", saving.mean * 5) == "high"
    assert priority(saving, "high", saving.mean * 20) == "medium"
    assert priority(saving, "high", saving.mean * 100) == "low"
    assert priority(saving, "low", saving.mean) == "low"
    assert confidence(saving, known=False) == "low"


def test_unit_prices_come_back_from_costs() -> None:
    rng = np.random.default_rng(0)
    inputs, outputs = rng.uniform(1e5, 1e6, 30), rng.uniform(1e4, 1e5, 30)
    price = fit_price(inputs * 3e-6 + outputs * 15e-6, inputs, outputs)
    assert price is not None
    assert (price.input_dollars, price.output_dollars) == (pytest.approx(3e-6), pytest.approx(15e-6))


def test_prices_that_cannot_be_told_apart_are_blended() -> None:
    inputs = np.array([1e6, 2e6, 3e6])
    price = fit_price(inputs * 4e-6, inputs, inputs / 4)
    assert price is not None
    assert price.input_dollars == price.output_dollars == pytest.approx(4e-6 / 1.25)
    assert fit_price(np.zeros(2), np.zeros(2), np.zeros(2)) is None


class FakeComposer(OneByOne):
    """Answers ``series`` from prepared frames, as the composer shapes them."""

    def __init__(self, observed: Observed | None) -> None:
        self.observed, self.windows = observed, set()

    def series(self, family: str, by: Any, window: Any, step: timedelta) -> Any:
        assert tuple(by) == ASKED[family]
        self.windows.add((window.start, window.end, step))
        index = pd.date_range(window.start, window.end, freq=step, inclusive="left")
        frame = pd.DataFrame(index=index)
        if self.observed is not None:
            frame = self.observed.frames[family].set_axis(index, axis=0)
            frame.columns.names = [None] * frame.columns.nlevels
            frame.iloc[0] = np.nan
        return SimpleNamespace(frame=frame, trust=SimpleNamespace(warnings=["one shard did not answer"]))


NOW = datetime(2026, 3, 29, 10, 30, 12, tzinfo=UTC)


def test_observe_asks_for_four_weeks_and_leaves_out_days_that_were_not_scraped() -> None:
    composer = FakeComposer(healthy().observed())
    observed = observe(composer, NOW)  # type: ignore[arg-type]  # the fake has what is used
    assert observed.days == DAYS - 1
    assert observed.warnings == ("one shard did not answer",)
    end = NOW.replace(minute=0, second=0)
    assert composer.windows == {(end - timedelta(days=28), end, timedelta(days=1))}


def test_an_empty_prometheus_gives_no_advice_and_no_error() -> None:
    engine: Any = SimpleNamespace(composer=FakeComposer(None), clock=lambda: NOW)
    assert RecommendationEngine(engine).generate() == []


def test_the_engine_advises_on_what_the_composer_sums() -> None:
    traffic = dear_chat(cheap_quality=4.5)
    engine: Any = SimpleNamespace(composer=FakeComposer(traffic.observed()), clock=lambda: NOW)
    assert "routing-dear-model:chat:gpt-4" in {item.id for item in RecommendationEngine(engine).generate()}
