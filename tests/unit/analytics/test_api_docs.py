"""docs/api.md follows the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from asahi_analytics.api.endpoints import ENDPOINTS
from asahi_analytics.api.service_metrics import ServiceMetrics
from asahi_analytics.trends import METRICS
from asahi_exporter.conventions import LATENCY_MS_BUCKETS

TEXT = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_every_endpoint_has_a_section_that_names_its_parameters(endpoint) -> None:
    section = TEXT.partition(f"### `{endpoint.path}`\n")[2].partition("\n##")[0]
    assert section
    for name in endpoint.parameters.model_fields:
        assert f"`{name}`" in section


def test_the_latency_above_which_no_percentile_is_read_is_named() -> None:
    assert f"that bound, {LATENCY_MS_BUCKETS[-1]:.0f} ms" in TEXT


def test_every_metric_of_a_trend_and_of_the_service_is_named() -> None:
    for name in METRICS:
        assert f"`{name}`" in TEXT
    for family in ServiceMetrics().registry.collect():
        assert family.name in TEXT
