"""An aggregate counts as so many single records, and restored counters are not traffic of the moment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from asahi_exporter import InferenceEvent, MetricsCollector, schema
from asahi_exporter.aggregate import InferenceAggregate, record_aggregate, restore


def samples(collector: MetricsCollector) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in collector.collect()
        for sample in family.samples
        if not sample.name.startswith("asahi_store")
    }


FIELDS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["a", "b"]),
        "task_type": st.sampled_from(["chat", "code"]),
        "cache_tier": st.sampled_from([None, 1, 2, 3]),
        "user": st.sampled_from([None, "u"]),
        "outcome": st.sampled_from(["ok", "error"]),
    }
)


COUNTS = st.fixed_dictionaries(
    {
        "requests": st.integers(1, 5),
        "tokens_in": st.integers(0, 5_000),
        "tokens_out": st.integers(0, 5_000),
        "cost": st.sampled_from([None, 0.25]),
        "savings": st.sampled_from([{}, {"cache": 0.5}]),
        "latency_ms": st.sampled_from([None, 130.5]),
    }
)


@given(FIELDS, COUNTS)
def test_an_aggregate_of_equal_requests_is_those_requests(
    labels: dict[str, Any], counts: dict[str, Any]
) -> None:
    single, many = MetricsCollector(clock=lambda: 0.0), MetricsCollector(clock=lambda: 0.0)
    requests, cost = counts["requests"], counts["cost"]
    for _ in range(requests):
        single.record_inference(
            InferenceEvent(
                **labels,
                input_tokens=counts["tokens_in"],
                output_tokens=counts["tokens_out"],
                cost_dollars=cost,
                savings_dollars=counts["savings"],
                latency_ms=counts["latency_ms"],
            )
        )
    record_aggregate(
        many,
        InferenceAggregate(
            **labels,
            requests=requests,
            mean_input_tokens=counts["tokens_in"],
            mean_output_tokens=counts["tokens_out"],
            cost_dollars=None if cost is None else cost * requests,
            savings_dollars={phase: dollars * requests for phase, dollars in counts["savings"].items()},
            mean_latency_ms=counts["latency_ms"],
        ),
    )
    assert samples(many) == samples(single)


def test_fractional_means_give_exact_totals() -> None:
    collector = MetricsCollector()
    record_aggregate(
        collector,
        InferenceAggregate(model="m", requests=799, mean_input_tokens=427.5, mean_output_tokens=147.5),
    )
    labels = (("cache_tier", "none"), ("direction", "input"), ("model", "m"), ("task_type", "unknown"))
    assert samples(collector)["asahi_tokens_total", labels] == 799 * 427.5


@pytest.mark.parametrize(
    "wrong", [{"requests": 0}, {"mean_input_tokens": -1}, {"cost_dollars": float("nan")}]
)
def test_a_wrong_field_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        InferenceAggregate(**{"model": "m", "requests": 1, **wrong})


def test_anything_else_is_refused_and_counted() -> None:
    collector = MetricsCollector()
    record_aggregate(collector, "nothing")  # type: ignore[arg-type]  # a caller's mistake
    assert samples(collector)["asahi_refused_records_total", (("reason", "type"),)] == 1


def test_restored_counters_go_on_and_are_not_seen_by_the_rolling_window() -> None:
    now = [1_000.0]
    collector = MetricsCollector(clock=lambda: now[0])
    restore(
        collector, [((schema.CACHE, ("1",)), [90.0, 10.0]), ((schema.ERROR, ("timeout", "router")), [7.0])]
    )
    now[0] = 1_020.0
    assert collector.get_summary(5)["errors"] == 0
    collector.record_cache_event(1, hit=False)
    found = samples(collector)
    assert found["asahi_cache_hits_total", (("tier", "1"),)] == 90
    assert found["asahi_cache_misses_total", (("tier", "1"),)] == 11
    assert found["asahi_cache_hit_rate", (("tier", "1"),)] == 0
