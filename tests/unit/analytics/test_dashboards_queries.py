"""What a query names, and Grafana's variables."""

from __future__ import annotations

import pytest

from asahi_analytics.dashboards.queries import Selector, names_of, substitute, unknown_names


def test_a_selector_knows_its_matchers_its_range_and_the_function_around_it():
    found = names_of(
        'sum by (model) (rate(asahi_requests_total{job=~"$job", model!="a{b}"}[$__rate_interval])) / 2'
    )
    assert found.selectors == (
        Selector("asahi_requests_total", ('job=~"$job"', 'model!="a{b}"'), "$__rate_interval", "rate"),
    )
    assert found.selectors[0].labels == {"job", "model"}
    assert found.grouping == {"model"}


@pytest.mark.parametrize(
    ("query", "metrics", "grouping"),
    [
        ("a / on () group_left () (sum(b) > 0)", ["a", "b"], set()),
        ("sum without (x) (a) or max by (y, z) (b) offset 1d", ["a", "b"], {"x", "y", "z"}),
        ("sum(a) by (z)", ["a"], {"z"}),
        ("max_over_time(rate(a[5m])[1h:1m])", ["a"], set()),
        (
            "asahi:cost_dollars:running - asahi:cost_dollars:running offset 1h",
            ["asahi:cost_dollars:running"] * 2,
            set(),
        ),
        ("{job='x'} > bool 0", [""], set()),
        ("1e3 + NaN", [], set()),
    ],
)
def test_metrics_and_grouping_labels_are_found_in_every_form(query, metrics, grouping):
    found = names_of(query)
    assert [selector.metric for selector in found.selectors] == metrics
    assert found.grouping == grouping


def test_the_function_around_a_selector_is_the_innermost_one():
    (selector,) = names_of("topk(3, sum by (a) (increase(b[1h])))").selectors
    assert selector.call == "increase"
    (selector,) = names_of("sum by (a) (b)").selectors
    assert selector.call == "sum"


@pytest.mark.parametrize(
    ("query", "problems"),
    [
        ("rate(asahi_requests_total[5m])", []),
        ("sum by (le, model) (rate(asahi_latency_ms_bucket[5m]))", []),
        ("sum by (model) (asahi:cost_dollars:running)", []),
        ("rate(asahi_request_total[5m])", ["metric asahi_request_total"]),
        ("asahi:euros:running", ["metric asahi:euros:running"]),
        ("{job='x'}", ["metric (none)"]),
        ('asahi_cache_hit_rate{cache_tier="1"}', ["label cache_tier of asahi_cache_hit_rate"]),
        ("sum by (planet) (rate(asahi_errors_total[5m]))", ["label planet in by or on"]),
        ("asahi_latency_ms", ["metric asahi_latency_ms"]),
    ],
)
def test_a_name_that_the_exporter_does_not_have_is_reported(query, problems):
    assert unknown_names(query) == problems


@pytest.mark.parametrize(
    ("interval", "expected"), [(60, "240s"), (180, "240s"), (200, "260s"), (600, "660s")]
)
def test_the_rate_interval_is_four_steps_or_one_interval_and_a_step(interval, expected):
    query = "$__rate_interval $__interval $__range $job $instance"
    assert (
        substitute(query, range_seconds=3600, interval_seconds=interval, min_step_seconds=60)
        == f"{expected} {interval}s 3600s .+ .+"
    )
