"""What a tier is worth, against a replay of the same requests with the tier switched off."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from asahi_analytics.cache_value import CacheTraffic
from asahi_analytics.engine import AnalyticsEngine
from asahi_analytics.prometheus import PrometheusClient
from support.ledger_composer import NOON, Entry, LedgerComposer, lookup, request

TIERS = ("1", "2", "3")
HIT_RATES = {"1": 0.3, "2": 0.2, "3": 0.1}
LOOKUP_MS = {"1": 1.0, "2": 10.0, "3": 30.0}
MODELS = {"big": (0.02, 1500.0), "small": (0.001, 400.0)}
"""Dollars of a request and milliseconds of the model alone."""
TASKS = {"chat": 1.0, "code": 3.0}
"""How many times as dear a request is."""
COUNT = 60_000


class Replay:
    """Requests whose luck in every tier is drawn beforehand, so that they can be played with fewer tiers."""

    def __init__(self, lookup_ms: dict[str, float] = LOOKUP_MS) -> None:
        rng = np.random.default_rng(5)
        self.model = rng.choice(list(MODELS), COUNT, p=[0.3, 0.7])
        self.task = rng.choice(list(TASKS), COUNT)
        self.lucky = {tier: rng.random(COUNT) < HIT_RATES[tier] for tier in TIERS}
        self.noise = rng.lognormal(0, 0.1, COUNT)
        self.lookup_ms = lookup_ms

    def play(self, tiers: tuple[str, ...] = TIERS) -> tuple[CacheTraffic, float, float]:
        """Return what is counted, the dollars and the milliseconds of all requests."""
        sums: defaultdict[str, defaultdict[tuple[str, ...], float]] = defaultdict(lambda: defaultdict(float))
        for number in range(COUNT):
            model, task, took, end = str(self.model[number]), str(self.task[number]), 0.0, "none"
            for tier in tiers:
                hit = bool(self.lucky[tier][number])
                took += self.lookup_ms[tier]
                sums["hits" if hit else "misses"][(tier,)] += 1
                sums["lookup_ms"][(tier,)] += self.lookup_ms[tier]
                sums["timed_lookups"][(tier,)] += 1
                if hit:
                    end = tier
                    break
            dollars = 0.0
            if end == "none":
                dollars, milliseconds = MODELS[model]
                dollars *= TASKS[task] * self.noise[number]
                took += milliseconds * self.noise[number]
            for family, key, amount in (
                ("requests", (model, task, end), 1.0),
                ("cost", (model, task, end), dollars),
                ("latency_ms", (model, end), took),
                ("timed", (model, end), 1.0),
            ):
                sums[family][key] += amount
        families = {name: dict(sums[name]) for name in CacheTraffic.__dataclass_fields__}
        traffic = CacheTraffic(**families)
        return traffic, sum(traffic.cost.values()), sum(traffic.latency_ms.values())


@pytest.mark.parametrize("tier", TIERS)
def test_a_tiers_marginal_value_is_what_a_replay_without_it_loses(tier) -> None:
    replay = Replay()
    traffic, dollars, milliseconds = replay.play()
    _, dollars_without, milliseconds_without = replay.play(tuple(each for each in TIERS if each != tier))
    value = traffic.value(tier)
    assert value.marginal_dollars == pytest.approx(dollars_without - dollars, rel=0.03)
    assert value.marginal_milliseconds == pytest.approx(milliseconds_without - milliseconds, rel=0.03)
    assert value.unvalued_requests == 0


def test_a_slow_tier_that_hits_seldom_loses_time_as_in_the_replay() -> None:
    replay = Replay({"1": 1.0, "2": 10.0, "3": 300.0})
    traffic, _, milliseconds = replay.play()
    _, _, without = replay.play(("1", "2"))
    assert traffic.value("3").marginal_milliseconds < 0
    assert traffic.value("3").marginal_milliseconds == pytest.approx(without - milliseconds, rel=0.03)
    assert traffic.value("3").milliseconds_saved > 0


def test_what_a_tier_saved_is_measured_against_the_model_alone() -> None:
    traffic, _, _ = Replay().play()
    served = sum(count for key, count in traffic.requests.items() if key[-1] == "1")
    mean = 0.3 * 1500 + 0.7 * 400 + 41.0 - 1.0
    assert traffic.value("1").milliseconds_saved == pytest.approx(served * mean, rel=0.02)


def small(**changed) -> CacheTraffic:
    """Ten requests of one model: four answered by tier 1, six by the model for a dollar and 100 ms each."""
    families = {
        "requests": {("m", "chat", "1"): 4.0, ("m", "chat", "none"): 6.0},
        "cost": {("m", "chat", "1"): 0.0, ("m", "chat", "none"): 6.0},
        "unpriced_requests": {},
        "latency_ms": {("m", "1"): 4.0, ("m", "none"): 600.0},
        "timed": {("m", "1"): 4.0, ("m", "none"): 6.0},
        "hits": {("1",): 4.0},
        "misses": {("1",): 6.0},
        "lookup_ms": {("1",): 10.0},
        "timed_lookups": {("1",): 10.0},
    }
    return CacheTraffic(**{**families, **changed})


def test_the_figures_of_a_small_window_by_hand() -> None:
    value = small().value("1")
    assert (value.marginal_dollars, value.milliseconds_saved) == (4.0, 4 * 99.0)
    assert value.marginal_milliseconds == 4 * 99.0 - 10.0


def test_what_rounding_leaves_is_no_dollar() -> None:
    cost = {("m", "chat", "1"): 0.4, ("m", "chat", "none"): 0.6}
    assert 4 * (0.6 / 6) != 0.4
    assert small(cost=cost).value("1").marginal_dollars == 0.0


def test_a_tier_that_nobody_asked_has_no_value() -> None:
    value = small().value("3")
    assert (value.milliseconds_saved, value.marginal_dollars, value.marginal_milliseconds) == (
        None,
        None,
        None,
    )


def test_a_tier_that_never_hits_costs_its_look_ups_and_saves_no_dollar() -> None:
    value = small(
        misses={("1",): 6.0, ("2",): 6.0}, lookup_ms={("2",): 90.0}, timed_lookups={("2",): 3.0}
    ).value("2")
    assert (value.marginal_dollars, value.marginal_milliseconds, value.milliseconds_saved) == (
        0.0,
        -180.0,
        0.0,
    )


def test_hits_that_no_request_tells_of_leave_the_worth_unknown() -> None:
    value = small(hits={("1",): 4.0, ("2",): 2.0}, misses={("1",): 6.0, ("2",): 4.0}).value("2")
    assert (value.marginal_dollars, value.marginal_milliseconds, value.milliseconds_saved) == (
        None,
        None,
        None,
    )


def test_a_model_without_a_price_is_unvalued_and_never_free() -> None:
    requests = {("m", "chat", "1"): 4.0, ("m", "chat", "none"): 6.0, ("h", "chat", "1"): 3.0}
    requests |= {("h", "chat", "none"): 5.0}
    value = small(requests=requests, unpriced_requests={("h",): 5.0}).value("1")
    assert (value.marginal_dollars, value.unvalued_requests) == (4.0, 3.0)
    alone = small(unpriced_requests={("m",): 6.0}).value("1")
    assert (alone.marginal_dollars, alone.unvalued_requests) == (None, 4.0)


def test_a_model_priced_in_part_costs_what_its_priced_requests_cost() -> None:
    value = small(cost={("m", "chat", "none"): 3.0}, unpriced_requests={("m",): 3.0}).value("1")
    assert value.marginal_dollars == 4.0


def test_a_model_that_never_answered_itself_costs_what_its_task_type_does() -> None:
    requests = {("m", "chat", "1"): 4.0, ("n", "chat", "none"): 6.0, ("n", "code", "none"): 6.0}
    cost = {("n", "chat", "none"): 6.0, ("n", "code", "none"): 60.0}
    assert small(requests=requests, cost=cost).value("1").marginal_dollars == 4.0
    other = {("m", "translate", "1"): 4.0, ("n", "chat", "none"): 6.0}
    assert small(requests=other, cost={("n", "chat", "none"): 6.0}).value("1").marginal_dollars == 4.0


def test_when_everything_is_cached_the_worth_is_not_known() -> None:
    value = small(requests={("m", "chat", "1"): 4.0}, latency_ms={("m", "1"): 4.0}, timed={("m", "1"): 4.0})
    found = value.value("1")
    assert (found.marginal_dollars, found.marginal_milliseconds, found.milliseconds_saved) == (
        None,
        None,
        None,
    )
    assert found.unvalued_requests == 4.0


def test_look_ups_that_were_not_timed_leave_the_time_unknown() -> None:
    value = small(lookup_ms={}, timed_lookups={}).value("1")
    assert (value.marginal_milliseconds, value.marginal_dollars) == (None, 4.0)


def test_tiers_are_asked_in_the_order_of_their_numbers() -> None:
    traffic = small(
        hits={("10",): 1.0, ("2",): 1.0}, misses={("10",): 1.0, ("2",): 1.0, ("other",): 1.0}, lookup_ms={}
    )
    assert list(traffic._after("2")) == ["10", "other"]
    assert list(traffic._after("10")) == ["other"]


def test_the_engine_tells_what_each_tier_is_worth() -> None:
    entries: list[Entry] = []
    for number in range(10):
        cached = number < 4
        tier = "1" if cached else "none"
        entries += request(
            NOON, tier=tier, cost=0.0 if cached else 1.0, saved=2.0, latency_ms=1.0 if cached else 100.0
        )
        entries += lookup(NOON, "1", hit=cached, latency_ms=1.0)
    composer = LedgerComposer(entries)
    answer = AnalyticsEngine(PrometheusClient(), composer=composer, clock=lambda: NOON).cache_performance()
    first = answer.tiers["1"]
    assert (first.dollars_saved, first.marginal_dollars, first.unvalued_requests) == (8.0, 4.0, 0.0)
    assert (first.milliseconds_saved, first.marginal_milliseconds) == (396.0, 386.0)
    assert answer.milliseconds_saved == 396.0
    assert (answer.tiers["2"].marginal_dollars, answer.tiers["2"].milliseconds_saved) == (None, None)
