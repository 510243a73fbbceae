"""Builders for tests that record and read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asahi_exporter import InferenceEvent, MetricsCollector


@dataclass
class HandClock:
    """Seconds since 1970 that only move when told to."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def inference(**changed: Any) -> InferenceEvent:
    """Return an event with every field set, some of them changed."""
    fields: dict[str, Any] = {
        "model": "gpt-4o",
        "task_type": "chat",
        "cache_tier": None,
        "user": "team-a",
        "input_tokens": 800,
        "output_tokens": 200,
        "cost_dollars": 0.25,
        "savings_dollars": {"routing": 0.5},
        "latency_ms": 930.0,
        "quality_score": 4.5,
    }
    return InferenceEvent(**{**fields, **changed})


def value(collector: MetricsCollector, name: str, **labels: str) -> float | None:
    """Return one sample, the ``store`` label added where there is one."""
    for family in collector.registry.collect():
        for sample in family.samples:
            given = {key: text for key, text in sample.labels.items() if key != "store"}
            if sample.name == name and given == labels:
                return float(sample.value)
    return None


def total(collector: MetricsCollector, name: str, **labels: str) -> float:
    """Return the sum of the samples of ``name`` that carry at least ``labels``."""
    return sum(
        sample.value
        for family in collector.registry.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
