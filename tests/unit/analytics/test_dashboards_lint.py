"""The rules of grafana/dashboard-linter: our dashboards are clean, and each rule sees its breach."""

from __future__ import annotations

import copy

import pytest

from asahi_analytics import dashboards
from asahi_analytics.dashboards.lint import RULES, lint
from asahi_analytics.dashboards.overview import overview


@pytest.mark.parametrize("name", dashboards.DASHBOARDS)
def test_a_dashboard_of_ours_breaks_no_rule(name):
    assert lint(dashboards.DASHBOARDS[name]()) == []


def _put(value, *path):
    def spoil(dashboard):
        for key in path[:-1]:
            dashboard = dashboard[key]
        dashboard[path[-1]] = value

    return spoil


def _expression(text):
    return _put(text, "panels", 0, "targets", 0, "expr")


BOTH = 'job=~"$job", instance=~"$instance"'
BREACHES = [
    ("template_datasource", _put("Datasource", "templating", "list", 0, "label")),
    ("template_datasource", _put("prometheus", "templating", "list", 0, "name")),
    ("template_job_and_instance", _put("pod", "templating", "list", 2, "name")),
    ("template_job_and_instance", _put(".*", "templating", "list", 1, "allValue")),
    ("template_job_and_instance", _put(False, "templating", "list", 2, "multi")),
    ("template_label_promql", _put("label_values(job)", "templating", "list", 1, "query")),
    ("template_on_time_change_reload", _put(1, "templating", "list", 1, "refresh")),
    ("panel_datasource", _put({"type": "prometheus", "uid": "mine"}, "panels", 3, "datasource")),
    (
        "panel_datasource",
        _put({"type": "prometheus", "uid": "mine"}, "panels", 3, "targets", 0, "datasource"),
    ),
    ("panel_title_description", _put("  ", "panels", 2, "description")),
    ("panel_title_description", _put("", "panels", 2, "title")),
    ("panel_units", _put("dollars", "panels", 1, "fieldConfig", "defaults", "unit")),
    ("panel_no_targets", _put([], "panels", 1, "targets")),
    ("target_is_promql", _expression("sum(")),
    ("target_is_promql", _expression("1 + 1")),
    ("target_is_promql", _put({"type": "loki"}, "panels", 0, "targets", 0, "datasource")),
    ("target_rate_interval", _expression(f"sum(rate(asahi_requests_total{{{BOTH}}}[5m]))")),
    ("target_job_and_instance", _expression("sum(rate(asahi_requests_total[$__rate_interval]))")),
    ("target_job_and_instance", _expression('avg(asahi_cache_hit_rate{job=~"$job", instance="$instance"})')),
    ("target_counter_agg", _expression(f"sum(asahi_requests_total{{{BOTH}}})")),
    ("target_counter_agg", _expression(f"sum_over_time(asahi_latency_ms_bucket{{{BOTH}}}[$__range])")),
    ("uneditable_dashboard", _put(True, "editable")),
    ("importable", _put([{"name": "DS"}], "__inputs")),
    ("importable", _put(7, "id")),
    ("importable", _put(1, "panels", 4, "id")),
]


@pytest.mark.parametrize(("rule", "spoil"), BREACHES)
def test_a_rule_names_its_breach(rule, spoil):
    dashboard = copy.deepcopy(overview())
    spoil(dashboard)
    assert any(f": {rule}: " in problem for problem in lint(dashboard))


def test_every_rule_has_a_breach_that_it_sees():
    assert {rule.__name__ for rule in RULES} == {rule for rule, _ in BREACHES}


def test_a_missing_variable_is_named():
    dashboard = overview()
    del dashboard["templating"]["list"][2]
    assert any("variable instance is missing" in problem for problem in lint(dashboard))
