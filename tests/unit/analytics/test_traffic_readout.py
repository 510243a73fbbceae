"""What is read out of cells is what the exporter itself exposes."""

from __future__ import annotations

import numpy as np

from asahi_analytics.traffic.readout import CellHistory, constant, created, read_out
from asahi_exporter import InferenceEvent, MetricsCollector, schema

TIMES = np.array([1_000_000, 1_060_000, 1_120_000])


def test_the_series_are_those_of_the_exporter() -> None:
    collector = MetricsCollector(clock=lambda: 1000.0)
    for tier, user, latency in ((None, "a", 12.0), (1, "b", 1.5), (None, "a", 1e9), (2, None, 70.0)):
        collector.record_inference(
            InferenceEvent(
                model=f"m{tier}",
                task_type="chat",
                cache_tier=tier,  # type: ignore[arg-type]  # 1, 2 or None
                user=user,
                input_tokens=811,
                output_tokens=7,
                cost_dollars=None if tier == 2 else 0.1,
                savings_dollars={"cache": 0.2},
                latency_ms=latency,
                quality_score=4.1,
                outcome="retry",
            )
        )
    collector.record_cache_event(3, hit=True, latency_ms=2.0)
    collector.record_batch_event(9, 30.0)
    collector.record_error("timeout", "router")
    collector.record_routing_decision("cost", "m", 1.0)
    exposed = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in collector.collect()
        if family.type != "gauge"
        for sample in family.samples
    }
    cells = [CellHistory(key, np.array([values])) for key, values in collector._book.cells.copy()]
    read = {
        (one.name, tuple(sorted(one.labels.items()))): float(one.values[-1])
        for one in read_out(TIMES[-1:], cells, {})
    }
    assert read == exposed


def test_cells_that_were_born_later_are_added_from_then_on() -> None:
    early = CellHistory((schema.REQUEST, ("a", "chat", "none")), np.array([[0.0] * 7, [1.0] * 7, [2.0] * 7]))
    late = CellHistory((schema.REQUEST, ("b", "chat", "none")), np.array([[5.0] * 7]))
    for order in ([early, late], [late, early]):
        squared = next(one for one in read_out(TIMES, order, {}) if one.name == "asahi_tokens_squared_total")
        assert squared.values.tolist() == [0.0, 1.0, 7.0]
        assert squared.times_ms.tolist() == TIMES.tolist()
    born = next(one for one in read_out(TIMES, [late], {"job": "j"}))
    assert born.times_ms.tolist() == [TIMES[-1]]
    assert born.labels["job"] == "j"


def test_gauges_that_do_not_change() -> None:
    assert constant("up", TIMES, 1.0, {"job": "j"}).values.tolist() == [1.0, 1.0, 1.0]
    assert created(TIMES, {}).values.tolist() == [1000.0, 1000.0, 1000.0]
