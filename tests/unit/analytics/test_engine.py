"""The engine's answers against the ledger they were made from."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asahi_analytics.composer import FROM_RAW, SEE_GAPS, Gap, Trust
from asahi_analytics.engine import (
    GROUPS,
    MAX_DRIVERS,
    MAX_INTERVALS,
    AnalyticsEngine,
    stepped,
    utc_now,
)
from asahi_analytics.errors import UserInputError
from asahi_analytics.figures import divided, finite, percent, split
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.settings import Settings
from asahi_analytics.trends import METRICS
from asahi_analytics.trusts import merged, within
from asahi_analytics.windows import Window
from support.ledger_composer import NOON, Entry, LedgerComposer, lookup, request


def engine(entries=(), **options) -> AnalyticsEngine:
    composer = LedgerComposer(entries, options.pop("trust", None))
    return AnalyticsEngine(PrometheusClient(), composer=composer, clock=lambda: NOON, **options)


def traffic(count: int = 60) -> list[Entry]:
    """Two days of requests, a quarter of them served by tier 1."""
    entries = []
    for number in range(count):
        at = NOON - timedelta(minutes=47 * number + 1)
        cached = number % 4 == 0
        entries += request(
            at,
            model=f"m{number % 3}",
            task_type=("chat", "code")[number % 2],
            tier="1" if cached else "none",
            user=f"u{number % 7}",
            cost=0.001 * (number + 1),
            saved=0.002 * (number % 5),
            phase="cache_tier_1" if cached else "routing",
            latency_ms=5.0 * (number + 1),
        )
        entries += lookup(at, "1", hit=cached, latency_ms=2.0)
    return entries


def total(entries, family: str, start: datetime, end: datetime = NOON) -> float:
    return math.fsum(entry.value for entry in entries if entry.family == family and start < entry.at <= end)


@pytest.mark.parametrize("group_by", GROUPS)
def test_a_breakdown_adds_up_to_the_ledger_by_any_label(group_by) -> None:
    entries = traffic()
    answer = engine(entries).cost_breakdown("day", group_by)
    day_ago = NOON - timedelta(days=1)
    assert answer.total_cost == pytest.approx(total(entries, "cost_dollars", day_ago), abs=1e-12)
    assert math.fsum(answer.breakdown.values()) == answer.total_cost
    assert list(answer.breakdown.values()) == sorted(answer.breakdown.values(), reverse=True)
    assert answer.requests == total(entries, "requests", day_ago)
    assert answer.savings == pytest.approx(total(entries, "savings_dollars", day_ago))
    assert answer.cost_per_request == pytest.approx(answer.total_cost / answer.requests)
    assert (answer.start, answer.end) == (day_ago, NOON)


def test_credits_are_told_beside_the_cost_and_are_not_known_by_user() -> None:
    labels = {"model": "gpt-4o", "task_type": "chat", "cache_tier": "none"}
    entries = [*request(NOON, cost=5.0), Entry(NOON, "corrections_dollars", labels, 2.0)]
    by_model = engine(entries).cost_breakdown()
    assert (by_model.total_cost, by_model.corrections, by_model.net_cost) == (5.0, 2.0, 3.0)
    by_user = engine(entries).cost_breakdown(group_by="user")
    assert (by_user.total_cost, by_user.corrections, by_user.net_cost) == (5.0, None, None)


def test_requests_without_a_price_are_told_by_model_and_by_nothing_else() -> None:
    entries = [
        *request(NOON, model="house", cost=0.0),
        Entry(NOON, "unpriced_requests", {"model": "house"}, 1.0),
    ]
    assert engine(entries).cost_breakdown().unpriced_requests == {"house": 1.0}
    assert engine(entries).cost_breakdown(group_by="user").unpriced_requests is None


def test_a_given_window_replaces_the_period() -> None:
    entries = traffic()
    window = Window(NOON - timedelta(hours=30), NOON - timedelta(hours=6))
    answer = engine(entries).cost_breakdown("hour", window=window)
    assert answer.total_cost == pytest.approx(total(entries, "cost_dollars", window.start, window.end))


@pytest.mark.parametrize("call", ["cost_breakdown", "compare_to_baseline"])
def test_an_unknown_grouping_is_refused_with_the_known_ones(call) -> None:
    with pytest.raises(UserInputError, match="model, task_type, user, tier; got 'planet'"):
        getattr(engine(), call)(group_by="planet")


def test_nothing_counted_is_told_as_nothing_and_never_as_a_number_that_is_not() -> None:
    nothing = engine(trust=Trust(scraped_ratio=0.0, warnings=["nothing was ever scraped"]))
    cost = nothing.cost_breakdown()
    assert (cost.total_cost, cost.breakdown, cost.cost_per_request) == (0.0, {}, None)
    assert cost.trust.warnings == ["nothing was ever scraped"]
    baseline = nothing.compare_to_baseline(group_by="user")
    assert (baseline.baseline_cost, baseline.savings_pct, baseline.cache_contribution_pct) == (
        0.0,
        None,
        None,
    )
    cache = nothing.cache_performance()
    assert cache.overall_hit_rate is None
    assert cache.tiers["3"].hit_rate is None
    assert cache.tokens_per_dollar is None
    latency = nothing.latency_percentiles()
    assert (latency.p50, latency.p99, latency.requests, latency.by_model) == (None, None, 0.0, {})
    drivers = nothing.top_cost_drivers()
    assert (drivers.drivers, drivers.users, drivers.total_cost) == ([], [], 0.0)
    assert {point.value for point in nothing.trend("latency_p95").points} == {None}


@pytest.mark.parametrize("group_by", [None, *GROUPS])
def test_cost_and_savings_make_the_baseline_exactly(group_by) -> None:
    entries = traffic()
    answer = engine(entries, settings=Settings(baseline_model="gpt-4-32k")).compare_to_baseline(
        "week", group_by
    )
    assert answer.actual_cost + answer.savings == answer.baseline_cost
    assert answer.baseline_model == "gpt-4-32k"
    assert answer.savings == pytest.approx(total(entries, "savings_dollars", NOON - timedelta(days=7)))
    assert bool(answer.breakdown) is (group_by is not None)
    for name, part in answer.breakdown.items():
        assert part.cost + part.savings == part.baseline, name
    if group_by:
        assert math.fsum(part.savings for part in answer.breakdown.values()) == pytest.approx(answer.savings)


def test_the_caches_share_of_the_savings_counts_every_phase_of_the_cache() -> None:
    entries = [
        *request(NOON, saved=1.0, phase="cache"),
        *request(NOON, saved=2.0, phase="cache_tier_3"),
        *request(NOON, saved=9.0, phase="routing"),
    ]
    answer = engine(entries).compare_to_baseline()
    assert answer.cache_contribution_pct == pytest.approx(25.0)
    assert answer.savings_by_phase == {"routing": 9.0, "cache_tier_3": 2.0, "cache": 1.0}
    assert answer.savings_pct == pytest.approx(100 * 12 / 12.03)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_a_trend_of_regular_bins(metric) -> None:
    answer = engine(traffic()).trend(metric, "hour", 5)
    assert [point.timestamp for point in answer.points] == [
        NOON - timedelta(hours=back) for back in (5, 4, 3, 2, 1)
    ]
    assert (answer.start, answer.end, answer.interval_seconds) == (NOON - timedelta(hours=5), NOON, 3600.0)
    assert all(point.value is None or math.isfinite(point.value) for point in answer.points)


def test_a_trend_holds_what_happened_in_each_bin() -> None:
    entries = [
        *request(NOON, cost=1.0, saved=0.5, tokens=300),
        *request(NOON - timedelta(minutes=70), cost=2.0, tokens=100),
        *lookup(NOON, "1", hit=True),
        *lookup(NOON, "2", hit=False),
        Entry(NOON, "errors", {"error_type": "timeout", "component": "router"}, 1.0),
    ]
    made = engine(entries)

    def values(metric: str) -> list[float | None]:
        return [point.value for point in made.trend(metric, "hour", 2).points]

    assert values("cost") == [2.0, 1.0]
    assert values("savings") == [0.0, 0.5]
    assert values("baseline") == [2.0, 1.5]
    assert values("requests") == [1.0, 1.0]
    assert values("error_rate") == [0.0, 1.0]
    assert values("hit_rate") == [None, 0.5]
    assert values("latency_avg") == [100.0, 100.0]
    assert values("quality") == [None, None]
    assert values("tokens_per_dollar") == [50.0, 300.0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("up", "day", 3), "metric must be one of cost, .*; got 'up'"),
        (("cost", "day", 0), "intervals must be 1 to 1000 of a day; got 0"),
        (("cost", "day", MAX_INTERVALS + 1), "got 1001"),
        (("cost", "month", 123), "intervals must be 1 to 122 of a month; got 123"),
        (("cost", "decade", 3), "period must be one of"),
    ],
)
def test_trends_that_cannot_be_are_refused(arguments, words) -> None:
    with pytest.raises(UserInputError, match=words):
        engine().trend(*arguments)


def test_the_longest_trend_is_allowed() -> None:
    assert len(engine().trend("cost", "hour", MAX_INTERVALS).points) == MAX_INTERVALS


def test_drivers_are_ranked_with_their_change_against_the_window_before() -> None:
    yesterday = NOON - timedelta(hours=30)
    entries = [
        *request(NOON, model="big", cost=6.0, user="ann"),
        *request(NOON, model="big", cost=2.0, user="bob"),
        *request(NOON, model="small", tier="2", cost=2.0, user="ann"),
        *request(yesterday, model="big", cost=4.0, user="ann"),
    ]
    answer = engine(entries).top_cost_drivers(limit=1)
    assert (answer.total_cost, answer.previous_cost) == (10.0, 4.0)
    assert len(answer.drivers) == len(answer.users) == 1
    first = answer.drivers[0]
    assert first.labels == {"model": "big", "task_type": "chat", "cache_tier": "none"}
    assert first.name == "big / chat / none"
    assert (first.cost, first.share, first.requests, first.cost_per_request) == (8.0, 0.8, 2.0, 4.0)
    assert (first.previous_cost, first.change, first.change_pct) == (4.0, 4.0, 100.0)
    assert (answer.users[0].name, answer.users[0].cost) == ("ann", 8.0)


def test_a_driver_that_is_new_has_no_relative_change() -> None:
    assert engine(request(NOON)).top_cost_drivers().drivers[0].change_pct is None


@pytest.mark.parametrize("limit", [0, MAX_DRIVERS + 1])
def test_a_limit_out_of_range_is_refused(limit) -> None:
    with pytest.raises(UserInputError, match=f"limit must be 1 to 1000; got {limit}"):
        engine().top_cost_drivers(limit)


def test_the_cache_is_told_tier_by_tier() -> None:
    entries = [
        *lookup(NOON, "1", hit=True, latency_ms=1.0),
        *lookup(NOON, "1", hit=False, latency_ms=2.0),
        *lookup(NOON, "2", hit=True, latency_ms=5.0),
        *lookup(NOON, "9", hit=False),
        *request(NOON, tier="1", cost=0.0, saved=3.0),
        *request(NOON, tier="none", cost=4.0, tokens=500),
    ]
    answer = engine(entries).cache_performance()
    assert list(answer.tiers) == ["1", "2", "3", "9"]
    first = answer.tiers["1"]
    assert (first.hits, first.misses, first.hit_rate, first.avg_latency_ms) == (1.0, 1.0, 0.5, 1.5)
    assert (first.dollars_saved, first.requests_served) == (3.0, 1.0)
    assert answer.overall_hit_rate == 0.5
    assert answer.served_from_cache == 0.5
    assert answer.dollars_saved == 3.0
    assert answer.cost_per_thousand_requests == 2000.0
    assert answer.tokens_per_dollar == 150.0


def test_percentiles_are_near_the_true_ones_and_told_by_model() -> None:
    generator = np.random.default_rng(4)
    true = {model: generator.lognormal(5 + number, 0.7, 400) for number, model in enumerate(("a", "b"))}
    entries = [
        entry
        for model, values in true.items()
        for value in values
        for entry in request(NOON, model=model, latency_ms=value)
    ]
    answer = engine(entries).latency_percentiles()
    everything = np.concatenate(list(true.values()))
    for name, quantile in (("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        assert getattr(answer, name) == pytest.approx(np.quantile(everything, quantile), rel=0.1)
        assert getattr(answer.by_model["b"], name) == pytest.approx(np.quantile(true["b"], quantile), rel=0.1)
    assert answer.requests == 800
    assert answer.by_model["a"].requests == 400


def test_trust_goes_as_far_as_the_worst_sum() -> None:
    first, early, late = (
        Gap(start=NOON - timedelta(hours=back), end=NOON - timedelta(hours=back - 2)) for back in (9, 3, 2)
    )
    one = Trust(scraped_ratio=0.9, gaps=[late], resets=1, repaired_ratio=0.0, source="a", warnings=["x"])
    two = Trust(
        scraped_ratio=0.8, gaps=[first, early], unpriced_ratio=0.1, source="a, b", warnings=["x", "y"]
    )
    assert merged([one, two]) == Trust(
        scraped_ratio=0.8,
        gaps=[first, Gap(start=early.start, end=late.end)],
        resets=1,
        repaired_ratio=0.0,
        unpriced_ratio=0.1,
        source="a, b",
        warnings=["x", "y"],
    )
    assert merged([]) == Trust()


def test_what_was_summed_from_raw_samples_is_told_once_as_its_highest_share() -> None:
    less, more = f"<0.1 %{FROM_RAW}", f"5 %{FROM_RAW}"
    trusts = [
        Trust(repaired_ratio=0.0003, warnings=[less, "x"]),
        Trust(repaired_ratio=0.05, warnings=[more]),
        Trust(warnings=["y"]),
    ]
    assert merged(trusts).warnings == ["x", more, "y"]


def test_numbers_that_are_none_and_quotients_by_nothing_are_none() -> None:
    assert (finite(math.nan), finite(math.inf), finite(1.0)) == (None, None, 1.0)
    assert (divided(1.0, 0.0), divided(1.0, 4.0), divided(1e308, 1e-308)) == (None, 0.25, None)
    assert (percent(1.0, 0.0), percent(1.0, 4.0)) == (None, 25.0)


def test_a_split_adds_up_in_floating_point() -> None:
    part = split(0.1, 0.3)
    assert part.cost + part.savings == part.baseline


def test_a_stepped_clock_stands_still_within_a_step() -> None:
    moments = iter([12.1, 14.9, 15.0])
    now = stepped(lambda: datetime.fromtimestamp(next(moments), UTC), 5.0)
    assert [now().timestamp() for _ in range(3)] == [10.0, 10.0, 15.0]
    assert stepped(utc_now, 0.0) is utc_now


def test_the_trust_of_a_part_of_a_window_tells_of_its_own_gaps_only():
    def at(hour: int) -> datetime:
        return datetime(2026, 3, 10, hour, tzinfo=UTC)

    gaps = [Gap(start=at(0), end=at(8)), Gap(start=at(10), end=at(11))]
    trust = Trust(scraped_ratio=0.25, gaps=gaps, unpriced_ratio=0.1, warnings=[SEE_GAPS, "else"])
    part = within(trust, Window(at(6), at(12)))
    assert part.gaps == [Gap(start=at(6), end=at(8)), gaps[1]]
    assert part.scraped_ratio == pytest.approx(0.5)
    assert (part.unpriced_ratio, part.warnings) == (0.1, [SEE_GAPS, "else"])
    whole = within(trust, Window(at(8), at(10)))
    assert (whole.scraped_ratio, whole.gaps, whole.warnings) == (1.0, [], ["else"])
    assert within(Trust(), Window(at(8), at(10))) == Trust()
