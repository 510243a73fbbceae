from __future__ import annotations

import json
import subprocess
import sys
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from asahi_exporter import MetricsCollector, MetricsConfig, schema
from asahi_exporter.directory import expansion
from asahi_exporter.exposition import add_up
from support.exporting import inference, value

NASTY = ['quote"d', "back\\slash", "new\nline", "snow ☃ emoji 🎉", "x" * 10_000, " ", "{}", "a=b,c", "\u2028"]


def filled() -> MetricsCollector:
    collector = MetricsCollector()
    for text in NASTY:
        collector.record_inference(
            inference(model=text, task_type=text, user=text, savings_dollars={text: 1.0})
        )
        collector.record_error(text, text)
    collector.record_cache_event(1, True, 2.0)
    collector.record_routing_decision("cost", "gpt-4o", 1.0)
    collector.record_batch_event(8, 10.0)
    collector.record_correction(1.0, "gpt-4o")
    return collector


def test_openmetrics_is_read_by_the_strict_parser() -> None:
    families = list(parse_openmetrics(openmetrics(filled().registry).decode()))
    assert {"asahi_requests", "asahi_latency_ms", "asahi_store_created_timestamp_seconds"} <= {
        f.name for f in families
    }


def test_text_and_openmetrics_hold_the_same_samples() -> None:
    collector = filled()
    openmetric = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for f in parse_openmetrics(openmetrics(collector.registry).decode())
        for s in f.samples
    }
    text = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for f in parse_text(collector.get_prometheus_metrics())
        for s in f.samples
    }
    assert text == openmetric


@pytest.mark.parametrize("text", NASTY)
def test_any_label_value_survives_the_way_to_prometheus(text: str) -> None:
    found = [
        s.labels["user"]
        for f in parse_text(filled().get_prometheus_metrics())
        for s in f.samples
        if s.name == "asahi_user_requests_total"
    ]
    assert any(user == text or (len(text) > 200 and user[:180] == text[:180]) for user in found)


def test_created_samples_are_an_option() -> None:
    assert "_created{" not in filled().get_prometheus_metrics()
    collector = MetricsCollector(MetricsConfig(created_samples=True), clock=lambda: 1_700_000_000.0)
    collector.record_inference(inference())
    assert value(collector, "asahi_user_requests_created", user="team-a") == 1_700_000_000.0
    assert value(collector, "asahi_latency_ms_created", model="gpt-4o", cache_tier="none") == 1_700_000_000.0
    list(parse_openmetrics(openmetrics(collector.registry).decode()))


def test_without_a_state_directory_there_is_no_store_label() -> None:
    assert "store=" not in filled().get_prometheus_metrics()


def test_json_holds_the_same_families() -> None:
    collector = filled()
    told = json.loads(json.dumps(collector.get_json_metrics(), allow_nan=False))
    by_name = {family["name"]: family for family in told["metrics"]}
    assert by_name["asahi_cost_dollars"]["type"] == "counter"
    samples = by_name["asahi_user_requests"]["samples"]
    assert {sample["value"] for sample in samples} == {1.0}
    assert len(samples) == len(NASTY)


def test_importing_the_exporter_loads_nothing_heavy() -> None:
    code = (
        "import sys, asahi_exporter; tops = {name.partition('.')[0] for name in sys.modules};"
        "print(sorted(tops & {'flask', 'yaml', 'numpy', 'pandas', 'requests', 'werkzeug', 'gunicorn', 'statsmodels'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


money = st.floats(0, 1e6, allow_nan=False)


@given(st.lists(money, min_size=1, max_size=12), st.data())
def test_sums_do_not_depend_on_how_the_addends_lie_in_files(values: list[float], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(values))
    key = (schema.SAVINGS, ("routing",))
    assert add_up((key, [v]) for v in values) == add_up((key, [v]) for v in shuffled)
    cut = data.draw(st.integers(0, len(values)))
    rows = [(key, [v]) for v in (*expansion(values[:cut]), *values[cut:])]
    assert add_up(rows or [(key, [0.0])])[key] == [fsum(values)]


def test_when_memory_was_made_has_no_more_digits_than_every_store_of_samples_keeps() -> None:
    collector = MetricsCollector(MetricsConfig(), clock=lambda: 1_795_914_569.8301749)
    assert value(collector, "asahi_store_created_timestamp_seconds") == 1_795_914_569.83
