from __future__ import annotations

from pathlib import Path

import pytest

from asahi_exporter import MetricsConfig
from asahi_exporter import conventions as names
from asahi_exporter.config import DEFAULT_LABEL_LIMITS
from asahi_exporter.guard import REASONS

PAGE = (Path(__file__).parents[3] / "docs" / "exporter.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", sorted(MetricsConfig.model_fields))
def test_every_setting_stands_in_the_docs(setting: str) -> None:
    assert f"| `{setting}` |" in PAGE


@pytest.mark.parametrize("metric", names.METRICS, ids=lambda metric: metric.name)
def test_every_metric_stands_in_the_docs_with_its_labels(metric: names.Metric) -> None:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    assert f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |" in PAGE


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_for_a_refusal_stands_in_the_docs(reason: str) -> None:
    assert f"`{reason}`" in PAGE


@pytest.mark.parametrize(("label", "limit"), DEFAULT_LABEL_LIMITS.items())
def test_every_limit_stands_in_the_docs(label: str, limit: int) -> None:
    assert f"`{label}` {limit}" in PAGE
