"""The eight panels of the specification, and what every dashboard keeps: its grid, its names, its committed file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from asahi_analytics import dashboards
from asahi_analytics.dashboards.overview import overview
from asahi_analytics.dashboards.queries import unknown_names

GRAFANA = Path(__file__).parents[3] / "grafana"
SPECIFIED = {
    "Total Cost (today)": ("stat", "asahi_cost_dollars_total"),
    "Savings vs Baseline": ("stat", "asahi_savings_dollars_total"),
    "Cache Hit Rate by Tier": ("piechart", "asahi_cache_hit_rate"),
    "Request Volume": ("timeseries", "asahi_requests_total"),
    "Cost Trend": ("timeseries", "asahi_cost_dollars_total"),
    "Latency Percentiles": ("heatmap", "asahi_latency_ms"),
    "Model Usage Distribution": ("barchart", "asahi_requests_total"),
    "Error Rate": ("timeseries", "asahi_errors_total"),
}


def test_the_overview_has_the_eight_panels_of_the_specification_with_their_types_and_metrics():
    panels = {panel["title"]: panel for panel in overview()["panels"]}
    assert panels.keys() == SPECIFIED.keys()
    for title, (kind, metric) in SPECIFIED.items():
        assert panels[title]["type"] == kind
        assert metric in panels[title]["targets"][0]["expr"]


def test_the_cost_of_today_keeps_its_own_time_range():
    today = overview()["panels"][0]
    assert today["timeFrom"] == "now/d"
    assert "$__range" in today["targets"][0]["expr"]


@pytest.mark.parametrize("name", dashboards.DASHBOARDS)
def test_no_two_panels_overlap_and_each_row_of_the_grid_is_full(name):
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboards.DASHBOARDS[name]()["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len(cells) == 24 * len({y for _, y in cells})


def test_every_query_names_only_what_the_exporter_has():
    for build in dashboards.DASHBOARDS.values():
        for panel in build()["panels"]:
            for target in panel["targets"]:
                assert unknown_names(target["expr"]) == []


@pytest.mark.parametrize("name", dashboards.DASHBOARDS)
def test_the_committed_dashboard_is_what_the_program_writes(name):
    assert (GRAFANA / "dashboards" / name).read_text() == dashboards.files()[name]
    assert json.loads(dashboards.files()[name])["uid"] == name.removesuffix(".json")


def test_no_other_dashboard_is_committed():
    assert {path.name for path in (GRAFANA / "dashboards").iterdir()} == set(dashboards.DASHBOARDS)


def test_the_provisioned_data_source_is_a_prometheus_and_its_address_comes_from_the_environment():
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    (source,) = provisioned["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "$PROMETHEUS_URL", True)


def test_the_provisioned_dashboards_cannot_be_overwritten_in_the_browser():
    provisioned = yaml.safe_load((GRAFANA / "provisioning/dashboards/asahi.yml").read_text())
    (provider,) = provisioned["providers"]
    assert provider["allowUiUpdates"] is False
