from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from asahi_exporter import MetricsCollector, MetricsConfig
from asahi_exporter import conventions as names
from support.exporting import HandClock, inference, total, value


class Evil:
    """Raises whenever it is looked at."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __float__ = __index__ = __bool__ = __hash__ = __eq__ = __str__  # type: ignore[assignment]


@pytest.fixture
def collector() -> MetricsCollector:
    return MetricsCollector(MetricsConfig(), clock=HandClock())


def test_one_inference_moves_every_metric_it_concerns(collector: MetricsCollector) -> None:
    collector.record_inference(inference())
    request = {"model": "gpt-4o", "task_type": "chat", "cache_tier": "none"}
    expected = [
        ("asahi_requests_total", request, 1),
        ("asahi_cost_dollars_total", request, 0.25),
        ("asahi_baseline_dollars_total", request, 0.75),
        ("asahi_tokens_total", {**request, "direction": "input"}, 800),
        ("asahi_tokens_total", {**request, "direction": "output"}, 200),
        ("asahi_tokens_squared_total", {"task_type": "chat", "direction": "input"}, 640_000),
        ("asahi_tokens_squared_total", {"task_type": "chat", "direction": "output"}, 40_000),
        ("asahi_savings_dollars_total", {"phase": "routing"}, 0.5),
        ("asahi_user_requests_total", {"user": "team-a"}, 1),
        ("asahi_user_cost_dollars_total", {"user": "team-a"}, 0.25),
        ("asahi_user_baseline_dollars_total", {"user": "team-a"}, 0.75),
        ("asahi_user_tokens_total", {"user": "team-a", "direction": "output"}, 200),
        ("asahi_latency_ms_sum", {"model": "gpt-4o", "cache_tier": "none"}, 930),
        ("asahi_latency_ms_count", {"model": "gpt-4o", "cache_tier": "none"}, 1),
        ("asahi_token_count_sum", {"direction": "input"}, 800),
        ("asahi_token_count_count", {"direction": "output"}, 1),
        ("asahi_quality_points_total", {"model": "gpt-4o", "task_type": "chat"}, 4.5),
        ("asahi_quality_samples_total", {"model": "gpt-4o", "task_type": "chat"}, 1),
        ("asahi_quality_score", {"model": "gpt-4o"}, 4.5),
    ]
    for name, labels, wanted in expected:
        assert collector.registry.get_sample_value(name, labels) == wanted, name


@pytest.mark.parametrize("tier", [1, 2, 3, None])
def test_the_cache_tier_becomes_its_label(collector: MetricsCollector, tier: int | None) -> None:
    collector.record_inference(inference(cache_tier=tier))
    assert total(collector, "asahi_requests_total", cache_tier=str(tier).lower()) == 1


def test_a_request_without_a_price_is_unpriced_and_not_free(collector: MetricsCollector) -> None:
    collector.record_inference(inference(cost_dollars=None))
    assert value(collector, "asahi_unpriced_requests_total", model="gpt-4o") == 1
    assert value(collector, "asahi_unpriced_tokens_total", model="gpt-4o", direction="output") == 200
    assert total(collector, "asahi_cost_dollars_total") == 0
    collector.record_inference(inference(cost_dollars=0.0))
    assert value(collector, "asahi_unpriced_requests_total", model="gpt-4o") == 1


def test_the_cost_of_a_failed_request_is_wasted_too(collector: MetricsCollector) -> None:
    for outcome in ("ok", "error", "retry"):
        collector.record_inference(inference(outcome=outcome))
    assert total(collector, "asahi_cost_dollars_total") == 0.75
    assert total(collector, "asahi_wasted_cost_dollars_total", outcome="error") == 0.25
    assert total(collector, "asahi_wasted_cost_dollars_total") == 0.5


def test_what_was_not_measured_is_not_counted(collector: MetricsCollector) -> None:
    collector.record_inference(inference(latency_ms=None, quality_score=None, savings_dollars={}, user=None))
    assert total(collector, "asahi_latency_ms_count") == 0
    assert total(collector, "asahi_quality_samples_total") == 0
    assert value(collector, "asahi_quality_score", model="gpt-4o") is None
    assert value(collector, "asahi_user_requests_total", user="unknown") == 1


def test_a_value_at_a_bound_belongs_to_its_bucket(collector: MetricsCollector) -> None:
    bound = names.LATENCY_MS_BUCKETS[20]
    collector.record_inference(inference(latency_ms=bound))
    labels = {"model": "gpt-4o", "cache_tier": "none"}
    below = str(names.LATENCY_MS_BUCKETS[19])
    assert value(collector, "asahi_latency_ms_bucket", **labels, le=str(bound)) == 1
    assert value(collector, "asahi_latency_ms_bucket", **labels, le=below) == 0
    assert value(collector, "asahi_latency_ms_bucket", **labels, le="+Inf") == 1


def test_the_other_records_move_their_metrics(collector: MetricsCollector) -> None:
    collector.record_cache_event(tier=1, hit=True, latency_ms=0.8)
    collector.record_cache_event(tier=1, hit=False)
    collector.record_cache_event(tier=2, hit=False, latency_ms=5.0)
    collector.record_routing_decision(mode="cost", model="gpt-4o", latency_ms=1.2)
    collector.record_batch_event(batch_size=16, savings_pct=35.0)
    collector.record_error(error_type="timeout", component="router")
    collector.record_correction(1.5, model="gpt-4o")
    expected: list[tuple[str, dict[str, str], float]] = [
        ("asahi_cache_hits_total", {"tier": "1"}, 1),
        ("asahi_cache_misses_total", {"tier": "1"}, 1),
        ("asahi_cache_hit_rate", {"tier": "1"}, 0.5),
        ("asahi_cache_hit_rate", {"tier": "2"}, 0.0),
        ("asahi_cache_lookup_latency_ms_count", {"tier": "1"}, 1),
        ("asahi_routing_decisions_total", {"mode": "cost", "model": "gpt-4o"}, 1),
        ("asahi_routing_latency_ms_sum", {"mode": "cost"}, 1.2),
        ("asahi_batch_size_sum", {}, 16),
        ("asahi_batches_total", {"size_class": "9-16"}, 1),
        ("asahi_batch_savings_points_total", {"size_class": "9-16"}, 35),
        ("asahi_errors_total", {"error_type": "timeout", "component": "router"}, 1),
    ]
    for name, labels, wanted in expected:
        assert value(collector, name, **labels) == wanted, name
    assert total(collector, "asahi_cost_corrections_dollars_total", model="gpt-4o") == 1.5


def test_a_tier_without_look_ups_has_no_hit_rate(collector: MetricsCollector) -> None:
    assert total(collector, "asahi_cache_hits_total") == 0
    assert value(collector, "asahi_cache_hits_total", tier="3") == 0
    assert value(collector, "asahi_cache_hit_rate", tier="3") is None


def test_rolling_gauges_forget(collector: MetricsCollector) -> None:
    collector.record_cache_event(tier=1, hit=False)
    clock = collector._clock
    assert isinstance(clock, HandClock)
    clock.now += 16 * 60
    collector.record_cache_event(tier=1, hit=True)
    assert value(collector, "asahi_cache_hit_rate", tier="1") == 1.0
    clock.now += 16 * 60
    assert value(collector, "asahi_cache_hit_rate", tier="1") is None


WRONG: list[Any] = [
    None,
    5,
    -1,
    "text",
    b"bytes",
    float("nan"),
    float("inf"),
    10**400,
    [],
    {},
    object(),
    Evil(),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: type(wrong).__name__)
def test_nothing_that_is_recorded_raises(collector: MetricsCollector, wrong: Any) -> None:
    collector.record_inference(wrong)
    collector.record_cache_event(wrong, wrong, wrong)
    collector.record_routing_decision(wrong, wrong, wrong)
    collector.record_batch_event(wrong, wrong)
    collector.record_error(wrong, wrong)
    collector.record_correction(wrong, wrong, wrong, wrong)
    assert total(collector, "asahi_refused_records_total") >= 1
    assert total(collector, "asahi_requests_total") == 0
    for sample in (s for f in collector.registry.collect() for s in f.samples):
        assert 0 <= sample.value < 1e12


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda c: c.record_inference({"model": "m"}), "type"),
        (lambda c: c.record_cache_event(4, True), "cache_tier"),
        (lambda c: c.record_cache_event(True, True, -1.0), "cache_tier"),
        (lambda c: c.record_cache_event(1, True, -1.0), "negative"),
        (lambda c: c.record_cache_event(1, True, float("nan")), "not_finite"),
        (lambda c: c.record_cache_event(1, True, 1e300), "too_large"),
        (lambda c: c.record_batch_event(0), "value"),
        (lambda c: c.record_batch_event(2.5), "value"),
        (lambda c: c.record_batch_event(4, 101.0), "too_large"),
        (lambda c: c.record_batch_event("4"), "type"),
        (lambda c: c.record_correction(-1.0, "m"), "negative"),
        (lambda c: c.record_correction(1.0, "m", "chat", 9), "cache_tier"),
        (lambda c: c.record_error(Evil(), "router"), "internal"),
    ],
)
def test_what_is_refused_is_counted_with_its_reason(
    collector: MetricsCollector, call: Any, reason: str
) -> None:
    call(collector)
    assert value(collector, "asahi_refused_records_total", reason=reason) == 1
    assert total(collector, "asahi_refused_records_total") == 1


@pytest.mark.parametrize(
    ("phase", "dollars", "reason"),
    [
        ("routing", -5.0, "value"),
        ("routing", float("nan"), "value"),
        ("cache", "x", "internal"),
        (7, 1.0, "label"),
    ],
)
def test_savings_that_were_changed_after_validation_count_in_full_or_not_at_all(
    collector: MetricsCollector, phase: Any, dollars: Any, reason: str
) -> None:
    event = inference(savings_dollars={"tokens": 1.0})
    event.savings_dollars[phase] = dollars
    collector.record_inference(event)
    assert value(collector, "asahi_refused_records_total", reason=reason) == 1
    assert total(collector, "asahi_requests_total") == 0
    assert total(collector, "asahi_savings_dollars_total") == 0
    assert total(collector, "asahi_token_count_count") == 0


def test_refusals_are_logged_once_a_minute_with_the_number_in_between(
    collector: MetricsCollector, caplog: pytest.LogCaptureFixture
) -> None:
    clock = collector._clock
    assert isinstance(clock, HandClock)
    with caplog.at_level(logging.WARNING, logger="asahi_exporter"):
        for _ in range(5):
            collector.record_cache_event(9, True)
        assert len(caplog.records) == 1
        clock.now += 61
        collector.record_cache_event(9, True)
    assert len(caplog.records) == 2
    assert "4 more" in caplog.text


def test_what_a_log_of_the_host_raises_stays_with_it(collector: MetricsCollector) -> None:
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError(record.msg)

    log, broken = logging.getLogger("asahi_exporter"), Broken()
    log.addFilter(broken)
    try:
        collector.record_cache_event(9, True)
    finally:
        log.removeFilter(broken)
    assert total(collector, "asahi_refused_records_total") == 1


def test_nobody_waits_for_a_log_of_the_host_that_takes_its_time(collector: MetricsCollector) -> None:
    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - as in the base class
            other = threading.Thread(target=collector.record_cache_event, args=(1, True), daemon=True)
            other.start()
            other.join(10)
            counted.append(total(collector, "asahi_cache_hits_total"))

    counted: list[float] = []
    log, slow = logging.getLogger("asahi_exporter"), Slow()
    log.addHandler(slow)
    try:
        collector.record_cache_event(9, True)
    finally:
        log.removeHandler(slow)
    assert counted == [1.0]


@pytest.mark.parametrize(("tier", "got"), [(9, "9"), ("none", "none"), (1.5, "float")])
def test_a_tier_that_is_none_is_told_as_it_was_given(
    collector: MetricsCollector, caplog: pytest.LogCaptureFixture, tier: Any, got: str
) -> None:
    with caplog.at_level(logging.WARNING, logger="asahi_exporter"):
        collector.record_cache_event(tier, True)
    assert caplog.text.rstrip().endswith(f"tier must be 1, 2 or 3, got {got}")


def test_a_disabled_exporter_does_nothing(tmp_path: Any) -> None:
    collector = MetricsCollector(MetricsConfig(enabled=False, state_dir=tmp_path / "state"))
    collector.record_inference(inference())
    collector.record_error("timeout", "router")
    assert collector.get_prometheus_metrics() == ""
    assert collector.get_summary(5)["requests"] == 0
    assert collector.start_http_server(port=0) is None
    assert list(collector.collect()) == []
    assert not (tmp_path / "state").exists()


def test_label_values_beyond_the_limit_go_to_other_and_totals_stay() -> None:
    collector = MetricsCollector(MetricsConfig(label_limits={"user": 3, "model": 2, "phase": 5}))
    for number in range(10):
        collector.record_inference(
            inference(user=f"u{number}", model=f"m{number}", savings_dollars={f"p{number}": 1.0})
        )
    assert total(collector, "asahi_user_cost_dollars_total") == 2.5
    assert value(collector, "asahi_user_requests_total", user="other") == 7
    assert total(collector, "asahi_requests_total", model="other") == 8
    assert total(collector, "asahi_savings_dollars_total") == 10
    assert value(collector, "asahi_label_overflow_total", label="user") == 7
    assert value(collector, "asahi_label_overflow_total", label="model") == 8


def test_what_is_known_beforehand_is_scraped_at_zero() -> None:
    known = {
        "model": ["a", "b"],
        "task_type": ["chat"],
        "user": ["team"],
        "phase": ["routing"],
        "mode": ["cost"],
    }
    known |= {"error_type": ["timeout"], "component": ["router"]}
    collector = MetricsCollector(MetricsConfig(known_labels=known))
    assert value(collector, "asahi_cost_dollars_total", model="b", task_type="chat", cache_tier="3") == 0
    assert value(collector, "asahi_latency_ms_count", model="a", cache_tier="none") == 0
    assert value(collector, "asahi_user_cost_dollars_total", user="team") == 0
    assert value(collector, "asahi_savings_dollars_total", phase="routing") == 0
    assert value(collector, "asahi_savings_dollars_total", phase="cache") is None
    assert value(collector, "asahi_errors_total", error_type="timeout", component="router") == 0
    assert value(collector, "asahi_routing_decisions_total", mode="cost", model="a") == 0


def test_two_collectors_do_not_share_a_registry_unless_told_so() -> None:
    MetricsCollector()
    MetricsCollector()
    registry = CollectorRegistry()
    MetricsCollector(registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        MetricsCollector(registry=registry)


def test_threads_lose_nothing(collector: MetricsCollector) -> None:
    event = inference()

    def work() -> None:
        for _ in range(500):
            collector.record_inference(event)
            collector.record_cache_event(1, True, 1.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        collector.get_prometheus_metrics()
    for thread in threads:
        thread.join()
    assert total(collector, "asahi_requests_total") == 4_000
    assert total(collector, "asahi_cost_dollars_total") == 1_000
    assert value(collector, "asahi_cache_hits_total", tier="1") == 4_000


def test_every_metric_of_the_conventions_can_be_served() -> None:
    described = {family.name for family in MetricsCollector().describe()}
    assert described == {metric.name.removesuffix("_total") for metric in names.METRICS}
