"""What advice rests on: costs that were known, prices that tokens tell, days that were scraped, more being spent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.recommendations import Recommendation, recommend
from asahi_analytics.recommendations.dollars import MONTH_DAYS
from asahi_analytics.recommendations.observed import ASKED, DAY, USERS
from asahi_analytics.recommendations.unit_prices import MOST_DOLLARS, UnitPrice, fit_price
from support.advice_traffic import PRICES, Traffic, advise, last_week, make_requests, priced

CACHED = {"1": (900.0, 0.6)}


def unpriced(requests: pd.DataFrame, share: float) -> pd.DataFrame:
    """The same requests, of which the cost of ``share`` of the uncached ones is not known."""
    hidden = np.random.default_rng(5).random(len(requests)) < share
    return requests.assign(cost=requests["cost"].mask(hidden & (requests["cache_tier"] == "none")))


def two_models(other: pd.DataFrame) -> Traffic:
    return Traffic(pd.concat([make_requests(per_day=600), other], ignore_index=True), CACHED)


@pytest.mark.parametrize("share", [0.0, 0.005, 0.7])
def test_a_model_of_the_same_price_is_no_cheaper_for_requests_without_a_price(share: float) -> None:
    same = make_requests(per_day=300, seed=2).assign(model="sibling")
    found = advise(two_models(unpriced(same, share)))
    assert "routing-dear-model:chat:gpt-4o" not in found


def test_a_price_that_becomes_known_is_no_change_of_spend() -> None:
    other = make_requests(task_type="code", per_day=300, seed=2).assign(model="late")
    hidden = ~last_week(other) & (other["cache_tier"] == "none")
    found = advise(two_models(other.assign(cost=other["cost"].mask(hidden))))
    assert not [
        name for name in found if name.startswith(("cost-drift:code", "price-change", "share-jump:model"))
    ]


def test_a_task_type_that_cost_nothing_before_says_so() -> None:
    paid = make_requests(task_type="code", per_day=300, seed=2)
    found = advise(two_models(paid.assign(cost=paid["cost"].where(last_week(paid), 0.0))))
    assert "and nothing before" in found["cost-drift:code"].title
    week = float(paid.loc[last_week(paid), "cost"].sum())
    assert found["cost-drift:code"].estimated_savings == pytest.approx(week / 7 * MONTH_DAYS)


def test_quiet_days_on_which_each_request_is_dear_do_not_hide_a_rise() -> None:
    data = make_requests(per_day=600, cached_share=0.0)
    quiet = data["day"].dt.day_of_week >= 5
    data = data[~quiet | (np.random.default_rng(3).random(len(data)) < 0.1)].reset_index(drop=True)
    quiet, recent = data["day"].dt.day_of_week >= 5, last_week(data)
    factor = np.where(quiet, 2.0, np.where(recent, 1.5, 1.0))
    data["cost"] *= factor
    found = advise(Traffic(data, CACHED))["cost-drift:chat"]
    each = data.groupby(recent)["cost"].mean()
    assert found.evidence[0].value == pytest.approx(each[True])
    extra = (each[True] - each[False]) * recent.sum() / 7 * MONTH_DAYS
    assert found.estimated_savings == pytest.approx(extra)


def without_days(traffic: Traffic, missing: list[int]) -> dict[str, Recommendation]:
    """Advice on ``traffic`` where the days of these numbers were not scraped."""
    observed = traffic.observed()
    daily = [name for name, asked in ASKED.items() if asked.daily] + [USERS.family]
    days = observed.frames["requests"].index
    frames = {**observed.frames, **{name: observed.frames[name].drop(days[missing]) for name in daily}}
    return {item.id: item for item in recommend(replace(observed, frames=frames, end=days[-1] + DAY), {})}


def test_the_last_seven_days_are_those_of_the_calendar_whatever_was_scraped() -> None:
    traffic = two_models(make_requests(task_type="code", per_day=300, seed=2))
    data = traffic.requests
    longer = last_week(data) & (data["task_type"] == "chat")
    data.loc[longer, ["input", "output", "cost"]] *= 1.6
    found = without_days(traffic, [-4, -3])["cost-drift:chat"]
    seen = data[longer & ~data["day"].isin(sorted(data["day"].unique())[-4:-2])]
    assert found.evidence[0].value == pytest.approx(seen["cost"].mean())


def test_fewer_than_three_recent_days_are_compared_with_nothing() -> None:
    traffic = two_models(make_requests(task_type="code", per_day=300, seed=2))
    data = traffic.requests
    data.loc[last_week(data) & (data["task_type"] == "chat"), ["input", "output", "cost"]] *= 1.6
    assert "cost-drift:chat" not in without_days(traffic, [-6, -5, -4, -3, -2])


# Prices that tokens do not tell apart ---------------------------------------------------------------------------
def test_a_blended_price_is_bounded_by_what_was_paid_for_its_mix() -> None:
    blended = fit_price(np.array([8.0, 8.0]), np.array([1e6, 1e6]), np.array([1e4, 1e4]))
    assert blended is not None
    cheap, dear = blended.bounds(np.array([1e3, 1e3]))
    assert (cheap.input_dollars, cheap.output_dollars) == (pytest.approx(8e-6), 0.0)
    assert (dear.input_dollars, dear.output_dollars) == (0.0, pytest.approx(8e-4))
    for price in blended.bounds(np.array([2e6, 2e4])):
        assert price.cost(np.array([2e6, 2e4])) == pytest.approx(16.0)


@pytest.mark.parametrize(("inputs", "outputs"), [(1e6, 0.0), (0.0, 1e6)])
def test_a_direction_without_tokens_may_cost_anything_that_a_token_can(inputs: float, outputs: float) -> None:
    blended = fit_price(np.array([4.0, 4.0]), np.array([inputs, inputs]), np.array([outputs, outputs]))
    assert blended is not None
    cheap, dear = (price.cost(np.array([10.0, 10.0])) for price in blended.bounds(np.array([10.0, 10.0])))
    assert (cheap, dear) == (pytest.approx(4e-5), pytest.approx(4e-5 + 10 * MOST_DOLLARS))


def test_prices_that_are_known_have_no_bounds() -> None:
    known = UnitPrice(1e-6, 2e-6)
    assert known.bounds(np.array([1.0, 5.0])) == (known, known)


def test_a_model_of_short_answers_is_not_taken_for_cheap_at_long_ones() -> None:
    essays = make_requests(model="gpt-4o", task_type="essay", per_day=400, cached_share=0.0)
    essays["input"], essays["output"] = 100.0, np.random.default_rng(1).integers(900, 1100, len(essays))
    essays["cost"] = essays["input"] * 1e-6 + essays["output"] * 1e-6
    labels = essays.assign(model="brief", task_type="label", input=1000.0, output=10.0)
    labels["cost"] = labels["input"] * 0.1e-6 + labels["output"] * 0.9e-6
    found = advise(Traffic(pd.concat([essays, labels], ignore_index=True), CACHED))
    assert not [name for name in found if name.startswith("routing-dear-model:essay")]


def test_longer_answers_at_the_same_price_are_no_change_of_price() -> None:
    data = make_requests(per_day=600, cached_share=0.0)
    data["input"], data["output"] = 800.0, np.where(last_week(data), 400.0, 100.0)
    data["cost"] = priced(data, "gpt-4o")
    found = advise(Traffic(data, CACHED))
    assert "price-change:gpt-4o" not in found
    assert "cost-drift:chat" in found


# Prices that changed ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("factor", [1.4, 0.6])
def test_a_price_that_changed_within_the_week_is_told_in_full(factor: float) -> None:
    data = make_requests(per_day=600)
    last = data["day"].max()
    since = data["day"] > last - timedelta(days=4)
    turning = (data["day"] == last - timedelta(days=4)) & (data.index % 2 == 0)
    data.loc[since | turning, "cost"] *= factor
    found = advise(Traffic(data, CACHED))["price-change:gpt-4o"]
    assert f"{'rose' if factor > 1 else 'fell'} by 40 %" in found.title
    extra = data.loc[since, "cost"].sum() * (1 - 1 / factor) / 4 * MONTH_DAYS
    assert found.estimated_savings == pytest.approx(max(extra, 0.0))


def test_a_price_that_was_dear_on_one_day_has_not_changed() -> None:
    data = make_requests(per_day=600)
    data.loc[data["day"] == data["day"].max(), "cost"] *= 1.4
    data.loc[data["day"] == data["day"].max() - timedelta(days=4), "cost"] *= 1.4
    assert "price-change:gpt-4o" not in advise(Traffic(data, CACHED))


# Shares -------------------------------------------------------------------------------------------------------------
def test_a_model_whose_share_rose_for_others_got_cheaper_is_left_alone() -> None:
    summaries = make_requests(model="gpt-4", task_type="summary", per_day=200, seed=2)
    data = pd.concat([make_requests(per_day=600), summaries], ignore_index=True)
    cheaper = last_week(data) & (data["task_type"] == "summary")
    data.loc[cheaper, "cost"] *= PRICES["gpt-4o"][0] / PRICES["gpt-4"][0]
    data.loc[cheaper, "model"] = "gpt-4o-mini"
    found = advise(Traffic(data, CACHED))
    assert not [name for name in found if name.startswith("share-jump:model")]


def test_the_mean_time_of_a_look_up_is_of_those_that_were_timed() -> None:
    traffic = Traffic(
        make_requests(per_day=900), {**CACHED, "3": (900.0, 0.0)}, lookup_ms={"1": 1.0, "3": 80.0}
    )
    observed = traffic.observed()
    untimed = {
        name: observed.frames[name] / 2
        for name in ("cache_lookup_latency_ms_sum", "cache_lookup_latency_ms_count")
    }
    found = recommend(replace(observed, frames={**observed.frames, **untimed}), {})
    slow = next(item for item in found if item.id == "cache-tier-3-latency")
    assert slow.evidence[0].value == pytest.approx(80.0)
    assert "still costs 80.0 ms" in slow.description
