"""Each rule fires on traffic made for it, stays silent on healthy traffic, and its dollars equal a replay."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from asahi_analytics.recommendations import recommend
from asahi_analytics.recommendations.dollars import MONTH_DAYS, confidence, monthly, priority
from asahi_analytics.recommendations.findings import earlier_sum, window_sum
from asahi_analytics.recommendations.long_requests import counted_above, share_above_cap, tokens_above
from asahi_analytics.recommendations.token_rules import middle_of
from asahi_analytics.recommendations.unit_prices import UnitPrice, fit_price
from support.advice_cases import CASES, MINI, Case, dear_chat
from support.advice_traffic import (
    DAYS,
    Traffic,
    advise,
    batched,
    healthy,
    last_week,
    make_requests,
    priced,
)


@pytest.mark.parametrize("seed", [1, 101, 201, 301])
def test_healthy_traffic_gets_no_advice(seed: int) -> None:
    assert advise(healthy(seed), MINI) == {}


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_each_rule_fires_and_its_dollars_are_what_a_replay_saves(case: Case) -> None:
    traffic = case.make(7)
    found = advise(traffic, case.list_prices)[case.id]
    assert found.estimated_savings == pytest.approx(case.replay(traffic), rel=0.10)
    assert found.savings_low <= found.estimated_savings <= found.savings_high
    assert found.evidence


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_id_of_advice_is_the_same_whatever_the_numbers(case: Case) -> None:
    first, second = (advise(case.make(seed), case.list_prices)[case.id] for seed in (3, 4))
    assert first.id == second.id
    assert first.estimated_savings != second.estimated_savings or case.id == "cache-tier-3-latency"


def test_ids_are_unique_within_an_answer() -> None:
    traffic = Traffic(
        pd.concat([dear_chat().requests, make_requests(task_type="code", cached_share=0.1, sigma=1.4)]),
        {"1": (3000.0, 0.1), "2": (3000.0, 0.05), "3": (3000.0, 0.0)},
        lookup_ms={"1": 1.0, "2": 1.0, "3": 500.0},
    )
    found = recommend(traffic.observed(), {})
    assert len(found) >= 5
    assert len({item.id for item in found}) == len(found)


def test_names_with_colons_do_not_share_an_id() -> None:
    found = []
    for task_type, model in (("a:b", "c"), ("a", "b:c")):
        traffic = dear_chat()
        traffic.requests["task_type"] = task_type
        traffic.requests["model"] = traffic.requests["model"].replace("gpt-4", model)
        found += [name for name in advise(traffic) if name.startswith("routing-dear-model")]
    assert found == ["routing-dear-model:a%3Ab:c", "routing-dear-model:a:b:c"]


def test_a_cost_of_several_times_is_told_in_times() -> None:
    traffic = healthy(7)
    dear = last_week(traffic.requests) & (traffic.requests["task_type"] == "chat")
    traffic.requests.loc[dear, ["input", "output", "cost"]] *= 4
    title = advise(traffic)["cost-drift:chat"].title
    assert re.fullmatch(r"A request of task type chat costs [34]\.\d times as much as before", title), title


def test_too_little_traffic_gets_no_advice() -> None:
    few = Traffic(make_requests(per_day=30, cached_share=0.0, sigma=1.5), {"1": (900.0, 0.0)})
    assert advise(few) == {}


def test_a_low_hit_rate_names_the_task_type_and_is_sure_of_its_figure() -> None:
    traffic = Traffic(make_requests(cached_share=0.3, per_day=2000), {"1": (2000.0, 0.3)})
    found = advise(traffic)["cache-hit-rate"]
    assert found.confidence == "high"
    assert "task type chat" in found.action


@pytest.mark.parametrize(("rate", "fires"), [(0.49, True), (0.51, False)])
def test_the_hit_rate_rule_holds_on_both_sides_of_its_threshold(rate: float, fires: bool) -> None:
    traffic = Traffic(make_requests(cached_share=0.3, per_day=1000), {"1": (1000.0, rate)})
    assert ("cache-hit-rate" in advise(traffic)) is fires


@pytest.mark.parametrize(("rate", "fires"), [(0.19, True), (0.21, False)])
def test_tier_two_is_spoken_of_below_a_fifth_only(rate: float, fires: bool) -> None:
    traffic = healthy()
    traffic.lookups["2"] = (600.0, rate)
    assert ("cache-tier-2-hit-rate" in advise(traffic)) is fires


def test_a_dear_model_of_equal_quality_is_to_be_replaced_at_once() -> None:
    found = advise(dear_chat())["routing-dear-model:chat:gpt-4"]
    assert found.priority == "high"
    assert all(words in found.action for words in ("quality threshold", "task type chat", "gpt-4o"))
    assert "gpt-4o scores 4.50" in str(found.quality_guard)


def test_a_cheaper_model_of_lower_quality_is_not_advised() -> None:
    assert "routing-dear-model:chat:gpt-4" not in advise(dear_chat(cheap_quality=3.0))


@pytest.mark.parametrize(("points", "advised"), [(4.47, True), (4.40, False)])
def test_quality_may_be_lower_by_next_to_nothing(points: float, advised: bool) -> None:
    assert ("routing-dear-model:chat:gpt-4" in advise(dear_chat(cheap_quality=points))) is advised


def test_a_cheaper_model_of_unknown_quality_is_to_be_measured_first() -> None:
    found = advise(dear_chat(cheap_quality=None))["routing-dear-model:chat:gpt-4"]
    assert found.action.startswith("Measure first")
    assert (found.priority, found.confidence) == ("low", "low")
    assert "not known" in str(found.quality_guard)


def test_scores_of_too_few_answers_count_as_unknown() -> None:
    traffic = dear_chat()
    cheap = traffic.requests.index[traffic.requests["model"] == "gpt-4o"]
    traffic.requests.loc[cheap[29:], "quality"] = np.nan
    assert advise(traffic)["routing-dear-model:chat:gpt-4"].action.startswith("Measure first")
    enough = dear_chat()
    enough.requests.loc[cheap[30:], "quality"] = np.nan
    assert not advise(enough)["routing-dear-model:chat:gpt-4"].action.startswith("Measure first")


def test_a_model_that_is_not_in_use_is_proposed_for_a_dominant_one_only() -> None:
    free = {"free": UnitPrice(0.0, 0.0)}
    assert advise(healthy(), free) == {}
    alone = Traffic(make_requests(model="gpt-4o", per_day=900), {"1": (900.0, 0.6)})
    assert list(advise(alone, free)) == ["model-dominant:gpt-4o"]


def test_of_listed_models_the_nearest_in_price_is_proposed() -> None:
    traffic = Traffic(make_requests(model="gpt-4o", per_day=900), {"1": (900.0, 0.6)})
    listed = {**MINI, "middle": UnitPrice(1e-6, 4e-6), "dear": UnitPrice(2.4e-6, 9e-6)}
    found = advise(traffic, listed)["model-dominant:gpt-4o"]
    assert found.action.startswith("Measure first")
    assert "to middle" in found.action


def test_a_dominant_model_without_a_cheaper_one_is_left_alone() -> None:
    traffic = Traffic(make_requests(model="gpt-4o-mini", per_day=900), {"1": (900.0, 0.6)})
    assert "model-dominant:gpt-4o-mini" not in advise(traffic)


@pytest.mark.parametrize(("of_other", "fires"), [(95, True), (110, False)])
def test_a_model_dominates_above_four_fifths_only(of_other: int, fires: bool) -> None:
    requests = pd.concat(
        [
            make_requests(per_day=400, cached_share=0.5),
            make_requests(model="gpt-4o-mini", per_day=of_other, cached_share=0.5),
        ]
    )
    found = advise(Traffic(requests.reset_index(drop=True), {"1": (900.0, 0.5)}))
    assert ("model-dominant:gpt-4o" in found) is fires


@pytest.mark.parametrize(("sigma", "fires"), [(0.42, False), (1.1, True)])
def test_tokens_that_hardly_vary_are_left_alone(sigma: float, fires: bool) -> None:
    traffic = Traffic(make_requests(sigma=sigma, per_day=2500), {"1": (2500.0, 0.6)})
    assert ("token-variation:chat:input" in advise(traffic)) is fires


def test_the_share_above_a_cap_equals_a_sample_of_the_distribution() -> None:
    sigma = np.sqrt(np.log1p(1.2**2))
    sample = np.random.default_rng(3).lognormal(-(sigma**2) / 2, sigma, 400_000)
    assert share_above_cap(1.2, 2.0) == pytest.approx(np.clip(sample - 2, 0, None).mean(), rel=0.02)


SHAPES = {
    "two lengths": lambda rng, size: np.where(rng.random(size) < 0.9, 200.0, 5000.0),
    "heavy tail": lambda rng, size: np.minimum(300 * rng.pareto(2.5, size) + 100, 100_000.0).round(),
    "evenly up to twice the mean": lambda rng, size: rng.uniform(1, 1600, size).round(),
    "exponential": lambda rng, size: (1 + rng.exponential(800, size)).round(),
}


def shaped(shape: str) -> Traffic:
    """Chats whose prompts are of the ``shape``, beside log-normal code of about the same size."""
    rng = np.random.default_rng(6)
    chats = make_requests(per_day=1500)
    chats["input"] = SHAPES[shape](rng, len(chats))
    chats["cost"] = np.where(chats["cache_tier"] == "none", priced(chats, "gpt-4o"), 0.0)
    code = make_requests(task_type="code", per_day=1500, seed=2, sigma=0.35)
    return Traffic(pd.concat([chats, code], ignore_index=True), {"1": (3000.0, 0.6)})


@pytest.mark.parametrize("shape", SHAPES)
def test_trimming_is_worth_what_a_replay_saves_whatever_the_distribution(shape: str) -> None:
    traffic = shaped(shape)
    chats = traffic.requests["task_type"] == "chat"
    cap = 2 * traffic.requests.loc[chats, "input"].mean()
    paid = traffic.requests[chats & (traffic.requests["cache_tier"] == "none")]
    saved = float((paid["input"] - cap).clip(lower=0).sum()) * 2.5e-6 / DAYS * MONTH_DAYS
    found = advise(traffic).get("token-variation:chat:input")
    if saved < 0.005 * traffic.cost() / DAYS * MONTH_DAYS:
        assert found is None
    else:
        assert found is not None
        assert found.estimated_savings == pytest.approx(saved, rel=0.10)


def test_tokens_above_a_cap_are_read_from_the_histogram_of_all() -> None:
    traffic = shaped("exponential")
    tokens = traffic.requests["input"]
    for cap in (500.0, 1600.0, 3000.0):
        true = float((tokens - cap).clip(lower=0).sum())
        assert counted_above(traffic.observed(), "input", cap) == pytest.approx(true, rel=0.03)
    assert counted_above(traffic.observed(), "input", 5e6) == 0.0


def test_without_a_histogram_the_moments_have_to_do() -> None:
    traffic = shaped("exponential")
    observed = traffic.observed()
    observed.frames["token_count_bucket"] = observed.frames["token_count_bucket"].iloc[:, :0]
    assert counted_above(observed, "input", 1000.0) is None
    true = float((traffic.requests.query("task_type == 'chat'")["input"] - 1600).clip(lower=0).sum())
    assert tokens_above(observed, "input", "chat", 1600.0) == pytest.approx(true, rel=0.25)
    assert tokens_above(observed, "input", "nothing", 1600.0) == 0.0


def test_tokens_that_do_not_vary_have_nothing_above_twice_their_mean() -> None:
    assert (share_above_cap(0.0, 2.0), share_above_cap(0.0, 0.4)) == (0.0, 0.6)


@pytest.mark.parametrize(("share", "fires"), [(0.017, False), (0.023, True)])
def test_waste_is_spoken_of_from_two_percent_on(share: float, fires: bool) -> None:
    traffic = healthy()
    data = traffic.requests
    failed = np.cumsum(data["cost"].to_numpy()) <= share * data["cost"].sum()
    data.loc[failed, "outcome"] = "error"
    found = advise(traffic)
    assert ("wasted-cost" in found) is fires
    if fires:
        assert "back off" in found["wasted-cost"].action


@pytest.mark.parametrize(("factor", "fires"), [(1.12, False), (1.25, True)])
def test_a_cost_that_drifts_by_little_is_left_alone(factor: float, fires: bool) -> None:
    traffic = healthy()
    longer = last_week(traffic.requests) & (traffic.requests["task_type"] == "chat")
    traffic.requests.loc[longer, ["input", "output", "cost"]] *= factor
    found = advise(traffic)
    assert ("cost-drift:chat" in found) is fires
    assert "cost-drift:code" not in found


def test_a_task_type_that_ended_is_not_said_to_drift() -> None:
    traffic = healthy()
    data = traffic.requests
    gone = data["day"] > data["day"].min() + timedelta(days=17)
    dear = (data["task_type"] == "code") & (data["day"] > data["day"].min() + timedelta(days=10))
    data.loc[dear, ["input", "output", "cost"]] *= 3
    traffic.requests = data[~(gone & (data["task_type"] == "code"))]
    assert "cost-drift:code" not in advise(traffic)


def test_only_the_user_whose_share_jumped_is_named() -> None:
    found = advise(next(case for case in CASES if case.id == "share-jump:user:c").make(2))
    assert [name for name in found if name.startswith("share-jump")] == ["share-jump:user:c"]
    assert found["share-jump:user:c"].confidence == "low"


def test_a_user_who_took_over_the_work_of_others_is_worth_what_it_spends_more() -> None:
    traffic = healthy()
    recent = last_week(traffic.requests)
    before = float(traffic.requests.loc[~recent & (traffic.requests["user"] == "c"), "cost"].sum()) / 21
    traffic.requests.loc[recent, "user"] = "c"
    now = float(traffic.requests.loc[recent, "cost"].sum()) / 7
    found = advise(traffic)["share-jump:user:c"]
    assert found.estimated_savings == pytest.approx((now - before) * MONTH_DAYS)


def test_a_price_that_rose_says_by_how_much() -> None:
    found = advise(next(case for case in CASES if case.id == "price-change:gpt-4o").make(2))
    assert "rose by 30 %" in found["price-change:gpt-4o"].title


@pytest.mark.parametrize(("factor", "fires"), [(1.04, False), (1.06, True)])
def test_a_price_that_moved_by_little_is_left_alone(factor: float, fires: bool) -> None:
    traffic = healthy()
    data = traffic.requests
    data.loc[last_week(data) & (data["model"] == "gpt-4o"), "cost"] *= factor
    assert ("price-change:gpt-4o" in advise(traffic)) is fires


def test_a_price_that_fell_claims_no_saving() -> None:
    traffic = healthy()
    traffic.requests.loc[last_week(traffic.requests) & (traffic.requests["model"] == "gpt-4o"), "cost"] *= 0.7
    found = advise(traffic)["price-change:gpt-4o"]
    assert (found.estimated_savings, found.savings_low, found.savings_high) == (0, 0, 0)
    assert "fell" in found.title


def test_small_batches_are_to_grow_to_where_the_curve_flattens() -> None:
    traffic = next(case for case in CASES if case.id == "batch-size").make(2)
    assert "until 33-64 requests" in advise(traffic)["batch-size"].action
    more = batched(traffic, {2: 0.96, 60: 0.02, 90: 0.02})
    assert "until 33-64 requests" in advise(more)["batch-size"].action


def test_a_flat_savings_curve_gets_no_advice() -> None:
    traffic = Traffic(make_requests(task_type="summary", per_day=900), {"1": (900.0, 0.6)})
    assert "batch-size" not in advise(batched(traffic, {20: 0.5, 40: 0.5}))


def test_one_size_class_is_no_curve() -> None:
    traffic = Traffic(make_requests(task_type="summary", per_day=900), {"1": (900.0, 0.6)})
    assert "batch-size" not in advise(batched(traffic, {2: 1.0}))


@pytest.mark.parametrize(("size_class", "middle"), [("1", 1.0), ("5-8", 6.5), ("65+", 65.0)])
def test_a_size_class_has_a_middle(size_class: str, middle: float) -> None:
    assert middle_of(size_class) == middle


def test_a_tier_that_costs_more_time_than_it_saves_is_named_and_claims_no_dollars() -> None:
    traffic = next(case for case in CASES if case.id == "cache-tier-3-latency").make(2)
    found = advise(traffic)
    assert list(found) == ["cache-tier-3-latency"]
    assert "still costs 40.0 ms" in found["cache-tier-3-latency"].description
    assert "$0.00 a month that its hits save" in found["cache-tier-3-latency"].action


@pytest.mark.parametrize(("lookup_ms", "fires"), [(60.0, False), (500.0, True)])
def test_a_tier_that_hits_is_slow_only_when_its_look_ups_outweigh_its_hits(
    lookup_ms: float, fires: bool
) -> None:
    traffic = healthy()
    traffic.lookup_ms["2"] = lookup_ms
    found = advise(traffic)
    assert ("cache-tier-2-latency" in found) is fires
    if fires:
        assert "$0.00" not in found["cache-tier-2-latency"].action


def test_advice_is_stable_and_ordered_by_priority_and_dollars() -> None:
    traffic = dear_chat()
    traffic.lookups = {"1": (800.0, 0.1), "2": (800.0, 0.1)}
    first, second = (recommend(traffic.observed(), {}) for _ in range(2))
    assert first == second
    ranks = [("high", "medium", "low").index(item.priority) for item in first]
    assert ranks == sorted(ranks)
    assert all(item.evidence and item.evidence[0].promql for item in first)


def test_evidence_is_a_query_of_the_totals_at_full_hours() -> None:
    hours = 'asahi:cache_hits:hour{part="running"}[3h]'
    now, then = f"last_over_time({hours})", f"last_over_time({hours} offset 28d)"
    assert window_sum("cache_hits") == f"sum({now} - ({then} or {now} * 0))"
    one, week = (window_sum("cache_hits", {"tier": 'a"b'}, days) for days in (28, 7))
    assert one.count('asahi:cache_hits:hour{part="running",tier="a\\"b"}[3h]') == 3
    assert week == one.replace("offset 28d", "offset 7d")
    assert earlier_sum("cache_hits", {"tier": 'a"b'}, 7) == f"({one} - {week})"


def days_of(values: Sequence[float]) -> pd.Series:
    return pd.Series(values, index=pd.date_range("2026-03-02", periods=len(values), tz="UTC"), dtype=float)


NO_TRAFFIC = days_of([])


def test_monthly_scales_days_and_widens_with_their_spread() -> None:
    assert monthly(days_of([]), NO_TRAFFIC).mean == 0
    steady, spread = (monthly(days_of(each), NO_TRAFFIC) for each in ([10.0] * 14, [0.0, 20.0] * 7))
    assert steady.mean == spread.mean == pytest.approx(10 * MONTH_DAYS)
    assert steady.low == steady.high == pytest.approx(steady.mean)
    assert spread.low < spread.mean < spread.high
    assert monthly(days_of([10.0]), NO_TRAFFIC).low == pytest.approx(5 * MONTH_DAYS)
    mixed = monthly(days_of([-10.0, 30.0] * 7), NO_TRAFFIC)
    assert mixed.mean == pytest.approx(10 * MONTH_DAYS)
    lost = monthly(days_of([-10.0] * 14), NO_TRAFFIC)
    assert (lost.mean, lost.low, lost.high) == (0, 0, 0)


@pytest.mark.parametrize("seen", [7, 28])
@pytest.mark.parametrize("carried", [0.0, 0.5], ids=["independent days", "days that follow on each other"])
@pytest.mark.parametrize("weekend", [1.0, 0.4], ids=["even weeks", "quiet weekends"])
def test_the_range_holds_the_month_to_come_nine_times_in_ten(
    seen: int, carried: float, weekend: float
) -> None:
    rng, held, runs = np.random.default_rng(3), 0, 400
    for _ in range(runs):
        shocks = rng.normal(scale=np.sqrt(1 - carried**2), size=28 + 28 + 30)
        level = np.exp(0.3 * lfilter([1.0], [1.0, -carried], shocks)[28:])
        days = days_of(level * np.where(np.arange(58) % 7 >= 5, weekend, 1.0))
        saving = monthly(days[28 - seen : 28], days[:21])
        held += saving.low <= days[28:].mean() * MONTH_DAYS <= saving.high
    assert 0.84 <= held / runs <= 0.97


def test_a_weekend_alone_is_scaled_to_whole_weeks() -> None:
    traffic = days_of([100.0, 100, 100, 100, 100, 40, 40] * 3)
    weekend = pd.Series(
        [4.0, 4.0, 4.0], index=pd.to_datetime(["2026-03-28", "2026-03-29", "2026-04-04"], utc=True)
    )
    assert monthly(weekend, traffic).mean == pytest.approx(10 * 580 / 700 * MONTH_DAYS)
    assert monthly(weekend, NO_TRAFFIC).mean == pytest.approx(4 * MONTH_DAYS)


def test_what_daily_values_do_not_show_widens_the_range() -> None:
    steady = days_of([10.0] * 14)
    sure, unsure = monthly(steady, NO_TRAFFIC), monthly(steady, NO_TRAFFIC, error_dollars=1.0)
    assert unsure.mean == sure.mean
    assert unsure.high - unsure.low > 2 * 1.64 * MONTH_DAYS > sure.high - sure.low


def test_priority_follows_dollars_and_confidence() -> None:
    saving = monthly(days_of([10.0] * 14), NO_TRAFFIC)
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
