from __future__ import annotations

from bisect import bisect_left
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asahi_exporter import MetricsCollector, MetricsConfig, schema
from asahi_exporter.cells import Cells, NoBacking
from asahi_exporter.conventions import LATENCY_MS_BUCKETS
from asahi_exporter.tally import REQUESTS, percentile
from asahi_exporter.window import Window
from support.exporting import HandClock, inference

HOUR = 3_600.0


@pytest.fixture
def clock() -> HandClock:
    return HandClock(1_700_000_000.0 - 1_700_000_000.0 % HOUR)


@pytest.fixture
def collector(clock: HandClock) -> MetricsCollector:
    return MetricsCollector(MetricsConfig(), clock=clock)


def test_a_summary_says_what_happened(collector: MetricsCollector) -> None:
    collector.record_inference(inference())
    collector.record_inference(
        inference(model="small", cost_dollars=0.75, latency_ms=100.0, quality_score=None)
    )
    collector.record_cache_event(2, True)
    collector.record_error("timeout", "router")
    told = collector.get_summary(window_minutes=5)
    assert (told["requests"], told["errors"]) == (2, 1)
    assert (told["cost_dollars"], told["savings_dollars"]) == (1.0, 1.0)
    assert told["tokens"] == {"input": 1_600, "output": 400, "total": 2_000}
    assert told["cache_hit_rate"] == {"1": None, "2": 1.0, "3": None}
    assert told["quality_score"] == 4.5
    assert set(told["latency_ms"]) == {"p50", "p75", "p90", "p95", "p99"}
    assert told["by_model"]["small"]["cost_dollars"] == 0.75
    assert told["by_model"]["small"]["quality_score"] is None
    assert told["by_model"]["gpt-4o"]["latency_ms"]["p50"] == pytest.approx(930, rel=0.15)


def test_nothing_seen_is_none_and_never_nan(collector: MetricsCollector) -> None:
    told = collector.get_summary()
    assert told["requests"] == 0
    assert set(told["latency_ms"].values()) == {None}
    assert told["by_model"] == {}
    assert told["quality_score"] is None


@pytest.mark.parametrize("minutes", [0, -1, 168 * 60 + 1, float("nan"), "60", None])
def test_a_window_outside_the_retention_is_refused(collector: MetricsCollector, minutes: Any) -> None:
    with pytest.raises(ValueError, match="window_minutes must be above 0 and at most 10080"):
        collector.get_summary(minutes)


def test_the_longest_window_is_allowed(collector: MetricsCollector) -> None:
    assert collector.get_summary(168 * 60)["requests"] == 0


def test_what_is_older_than_the_window_is_left_out(collector: MetricsCollector, clock: HandClock) -> None:
    collector.record_inference(inference())
    clock.now += 600
    collector.record_inference(inference())
    assert collector.get_summary(5)["requests"] == 1
    assert collector.get_summary(11)["requests"] == 2


@pytest.mark.parametrize("age_hours", [0.2, 0.5, 3, 30, 160])
def test_old_slots_still_count(collector: MetricsCollector, clock: HandClock, age_hours: float) -> None:
    for _ in range(7):
        collector.record_inference(inference())
        clock.now += 10
    clock.now += age_hours * HOUR
    collector.record_inference(inference())
    assert collector.get_summary(168 * 60)["requests"] == 8
    assert collector.get_summary(1)["requests"] == 1


def test_what_is_beyond_the_retention_is_forgotten(collector: MetricsCollector, clock: HandClock) -> None:
    collector.record_inference(inference())
    clock.now += 170 * HOUR
    assert collector.get_summary(168 * 60)["requests"] == 0


def test_a_clock_that_is_set_back_loses_nothing(collector: MetricsCollector, clock: HandClock) -> None:
    collector.record_inference(inference())
    clock.now += 3_600
    collector.record_inference(inference())
    clock.now -= 86_400
    collector.record_inference(inference())
    assert collector.get_summary(120)["requests"] == 3
    clock.now += 3 * HOUR
    assert collector.get_summary(120)["requests"] == 0


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0.1, 9_000), st.integers(0, 4)), max_size=40))
def test_no_request_is_lost_or_doubled_while_slots_age(steps: list[tuple[float, int]]) -> None:
    cells = Cells(NoBacking())
    block = cells.block(schema.REQUEST, ("m", "chat", "none"))
    now = 1_000_000.0
    window = Window(10.0, 1e9, now)
    for seconds, requests in steps:
        now += seconds
        if now >= window.closes_at:
            window.roll(now, [block])
        block.add(0, requests)
    window.roll(now, [block])
    assert window.add_up(window.slots(0.0)).model("m").sums[REQUESTS] == sum(count for _, count in steps)


@settings(max_examples=15)
@given(st.integers(10, 100_000), st.floats(60, 100_000))
def test_a_window_reaches_back_a_few_percent_too_far_at_most(age: int, length: float) -> None:
    cells = Cells(NoBacking())
    block = cells.block(schema.REQUEST, ("m", "chat", "none"))
    window = Window(10.0, 1e9, 0.0)
    block.add(0, 1)
    for now in range(0, age + 10, 10):
        if now >= window.closes_at and now % 60 == age % 60:
            window.roll(now, [block])
    window.roll(age, [block])
    seen = window.add_up(window.slots(age - length)).model("m").sums[REQUESTS]
    if age < length:
        assert seen == 1
    if age > length * 1.1 + 70:
        assert seen == 0


def test_the_number_of_slots_is_bounded() -> None:
    cells = Cells(NoBacking())
    block = cells.block(schema.REQUEST, ("m", "chat", "none"))
    window = Window(10.0, 168 * HOUR, 0.0)
    for now in range(0, 60 * 500_000, 30_000):
        block.add(0, 1)
        window.roll(now, [block])
    assert len(window.slots(0.0)) < 600


def naive_percentile(values: list[float], share: float) -> tuple[float, float]:
    """Return the bounds of the bucket that holds the ``share`` smallest of ``values``."""
    ordered = sorted(values)
    wanted = share * len(values)
    position = next(n for n, _ in enumerate(ordered) if n + 1 >= wanted)
    bucket = bisect_left(LATENCY_MS_BUCKETS, ordered[position])
    top = LATENCY_MS_BUCKETS[min(bucket, len(LATENCY_MS_BUCKETS) - 1)]
    return (LATENCY_MS_BUCKETS[bucket - 1] if bucket else 0.0), top


@given(st.lists(st.floats(0, 60_000), min_size=1, max_size=60), st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99]))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    counts: dict[int, float] = {}
    for item in values:
        bucket = bisect_left(LATENCY_MS_BUCKETS, item)
        counts[bucket] = counts.get(bucket, 0) + 1
    low, high = naive_percentile(values, share)
    found = percentile(counts, share)
    assert found is not None
    assert low <= found <= high * (1 + 1e-9)


def test_a_percentile_above_the_last_bound_is_that_bound() -> None:
    assert percentile({len(LATENCY_MS_BUCKETS): 3}, 0.5) == LATENCY_MS_BUCKETS[-1]
    assert percentile({}, 0.5) is None
