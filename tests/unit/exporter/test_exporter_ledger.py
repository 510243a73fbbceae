"""Random records against a ledger kept beside: every total equals it, whatever was refused, cut or counted as other."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asahi_exporter import InferenceEvent, MetricsCollector, MetricsConfig
from support.exporting import total

LIMIT = 3
words = st.text(min_size=1, max_size=60).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)
dollars = st.floats(0, 1e5)
events = st.builds(
    InferenceEvent,
    model=words,
    task_type=words,
    cache_tier=st.sampled_from([None, 1, 2, 3]),
    user=st.none() | words,
    input_tokens=st.integers(0, 10**6),
    output_tokens=st.integers(0, 10**6),
    cost_dollars=st.none() | dollars,
    savings_dollars=st.dictionaries(words, dollars, max_size=3),
    latency_ms=st.none() | st.floats(0, 1e6),
    quality_score=st.none() | st.floats(0, 5),
    outcome=st.sampled_from(["ok", "error", "retry"]),
)
nonsense = st.none() | st.integers(-5, -1) | st.just(float("nan")) | words


def label_values(collector: MetricsCollector, label: str) -> set[str]:
    return {
        sample.labels[label]
        for family in collector.registry.collect()
        for sample in family.samples
        if label in sample.labels
    }


@settings(max_examples=60)
@given(st.lists(events | nonsense, max_size=25))
def test_totals_equal_the_ledger(records: list[Any]) -> None:
    limits = dict.fromkeys(("model", "task_type", "user", "phase"), LIMIT)
    collector = MetricsCollector(
        MetricsConfig(label_limits=limits, known_labels={"phase": []}, max_label_length=40)
    )
    for record in records:
        collector.record_inference(record)
    taken = [record for record in records if isinstance(record, InferenceEvent)]
    ledger: Counter[str] = Counter()
    for event in taken:
        ledger["cost"] += event.cost_dollars or 0.0  # type: ignore[assignment]
        ledger["saved"] += sum(event.savings_dollars.values())  # type: ignore[assignment]
        ledger["tokens"] += event.input_tokens + event.output_tokens
        ledger["wasted"] += (event.cost_dollars or 0.0) * (event.outcome != "ok")  # type: ignore[assignment]
        ledger["latency"] += event.latency_ms or 0.0  # type: ignore[assignment]
    expected = {
        "asahi_requests_total": len(taken),
        "asahi_user_requests_total": len(taken),
        "asahi_refused_records_total": len(records) - len(taken),
        "asahi_cost_dollars_total": ledger["cost"],
        "asahi_user_cost_dollars_total": ledger["cost"],
        "asahi_savings_dollars_total": ledger["saved"],
        "asahi_baseline_dollars_total": ledger["cost"] + ledger["saved"],
        "asahi_user_baseline_dollars_total": ledger["cost"] + ledger["saved"],
        "asahi_tokens_total": ledger["tokens"],
        "asahi_user_tokens_total": ledger["tokens"],
        "asahi_token_count_sum": ledger["tokens"],
        "asahi_token_count_count": 2 * len(taken),
        "asahi_wasted_cost_dollars_total": ledger["wasted"],
        "asahi_latency_ms_sum": ledger["latency"],
        "asahi_latency_ms_count": sum(event.latency_ms is not None for event in taken),
        "asahi_unpriced_requests_total": sum(event.cost_dollars is None for event in taken),
        "asahi_quality_samples_total": sum(event.quality_score is not None for event in taken),
    }
    for name, wanted in expected.items():
        assert total(collector, name) == pytest.approx(wanted, rel=1e-12), name
    for label in limits:
        assert len(label_values(collector, label) - {"other", "unknown"}) <= LIMIT
