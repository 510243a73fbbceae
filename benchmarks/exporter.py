"""What ``record_inference`` costs, against prometheus-client and the OpenTelemetry SDK doing the same updates.

``python benchmarks/exporter.py [--records N] [--rounds N]``

Every contender makes the same updates for one event: requests, cost, baseline and two token counters by model,
task type and tier; five counters by user; savings by phase; a latency histogram; two token histograms; two sums
of squared tokens; points and samples of quality. The bounds of the histograms are ours.

* ``floor``: prometheus-client, every child bound beforehand; ``floor (contract)`` has the contract's metrics only
* ``look-ups``: prometheus-client as people write it, ``labels(...)`` at each update
* ``otel``: the OpenTelemetry SDK's meters, attribute mappings built beforehand

The contenders take turns, so that a busy machine slows all of them; the figures are medians over the rounds and
ratios to the floor of the same round and mode.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from asahi_exporter import InferenceEvent, MetricsCollector, MetricsConfig
from asahi_exporter import conventions as names

FIELDS: dict[str, Any] = {
    "model": "gpt-4o",
    "task_type": "chat",
    "cache_tier": None,
    "user": "team-a",
    "input_tokens": 812,
    "output_tokens": 164,
    "cost_dollars": 0.0042,
    "savings_dollars": {"routing": 0.0101},
    "latency_ms": 930.0,
    "quality_score": 4.6,
}
EVENT = InferenceEvent(**FIELDS)
REQUEST = ("gpt-4o", "chat", "none")
Record = Callable[[], None]


def prometheus_metrics() -> dict[str, Any]:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

    registry = CollectorRegistry()
    made: dict[str, Any] = {}
    for metric in names.METRICS:
        if metric.kind == "histogram":
            made[metric.name] = Histogram(
                metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry
            )
        elif metric.kind == "counter":
            made[metric.name] = Counter(metric.name, metric.help, metric.labels, registry=registry)
        else:
            made[metric.name] = Gauge(metric.name, metric.help, metric.labels, registry=registry)
    return made


def floor_full() -> Record:
    made = prometheus_metrics()

    def child(metric: names.Metric, *labels: str) -> Any:
        return made[metric.name].labels(*labels)

    requests, cost = child(names.REQUESTS, *REQUEST).inc, child(names.COST, *REQUEST).inc
    baseline = child(names.BASELINE, *REQUEST).inc
    tokens_in = child(names.TOKENS, *REQUEST, "input").inc
    tokens_out = child(names.TOKENS, *REQUEST, "output").inc
    user_requests, user_cost = child(names.USER_REQUESTS, "team-a").inc, child(names.USER_COST, "team-a").inc
    user_baseline = child(names.USER_BASELINE, "team-a").inc
    user_in = child(names.USER_TOKENS, "team-a", "input").inc
    user_out = child(names.USER_TOKENS, "team-a", "output").inc
    savings = child(names.SAVINGS, "routing").inc
    latency = child(names.LATENCY, "gpt-4o", "none").observe
    count_in = child(names.TOKEN_COUNT, "input").observe
    count_out = child(names.TOKEN_COUNT, "output").observe
    squared_in = child(names.TOKENS_SQUARED, "chat", "input").inc
    squared_out = child(names.TOKENS_SQUARED, "chat", "output").inc
    points = child(names.QUALITY_POINTS, "gpt-4o", "chat").inc
    samples = child(names.QUALITY_SAMPLES, "gpt-4o", "chat").inc

    def record() -> None:
        requests()
        cost(0.0042)
        baseline(0.0143)
        tokens_in(812)
        tokens_out(164)
        user_requests()
        user_cost(0.0042)
        user_baseline(0.0143)
        user_in(812)
        user_out(164)
        savings(0.0101)
        latency(930.0)
        count_in(812)
        count_out(164)
        squared_in(812 * 812)
        squared_out(164 * 164)
        points(4.6)
        samples()

    return record


def floor_contract() -> Record:
    made = prometheus_metrics()
    requests = made[names.REQUESTS.name].labels(*REQUEST).inc
    cost = made[names.COST.name].labels(*REQUEST).inc
    savings = made[names.SAVINGS.name].labels("routing").inc
    latency = made[names.LATENCY.name].labels("gpt-4o", "none").observe
    count_in = made[names.TOKEN_COUNT.name].labels("input").observe
    count_out = made[names.TOKEN_COUNT.name].labels("output").observe
    quality = made[names.QUALITY_SCORE.name].labels("gpt-4o").set

    def record() -> None:
        requests()
        cost(0.0042)
        savings(0.0101)
        latency(930.0)
        count_in(812)
        count_out(164)
        quality(4.6)

    return record


def look_ups() -> Record:
    made = prometheus_metrics()

    def record() -> None:
        request = {"model": "gpt-4o", "task_type": "chat", "cache_tier": "none"}
        made["asahi_requests_total"].labels(**request).inc()
        made["asahi_cost_dollars_total"].labels(**request).inc(0.0042)
        made["asahi_baseline_dollars_total"].labels(**request).inc(0.0143)
        made["asahi_tokens_total"].labels(**request, direction="input").inc(812)
        made["asahi_tokens_total"].labels(**request, direction="output").inc(164)
        made["asahi_user_requests_total"].labels(user="team-a").inc()
        made["asahi_user_cost_dollars_total"].labels(user="team-a").inc(0.0042)
        made["asahi_user_baseline_dollars_total"].labels(user="team-a").inc(0.0143)
        made["asahi_user_tokens_total"].labels(user="team-a", direction="input").inc(812)
        made["asahi_user_tokens_total"].labels(user="team-a", direction="output").inc(164)
        made["asahi_savings_dollars_total"].labels(phase="routing").inc(0.0101)
        made["asahi_latency_ms"].labels(model="gpt-4o", cache_tier="none").observe(930.0)
        made["asahi_token_count"].labels(direction="input").observe(812)
        made["asahi_token_count"].labels(direction="output").observe(164)
        made["asahi_tokens_squared_total"].labels(task_type="chat", direction="input").inc(812 * 812)
        made["asahi_tokens_squared_total"].labels(task_type="chat", direction="output").inc(164 * 164)
        made["asahi_quality_points_total"].labels(model="gpt-4o", task_type="chat").inc(4.6)
        made["asahi_quality_samples_total"].labels(model="gpt-4o", task_type="chat").inc()

    return record


def otel() -> Record:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    meter = MeterProvider(metric_readers=[InMemoryMetricReader()]).get_meter("benchmark")
    counters = {m.name: meter.create_counter(m.name) for m in names.METRICS if m.kind == "counter"}
    histograms = {
        m.name: meter.create_histogram(m.name, explicit_bucket_boundaries_advisory=list(m.buckets))
        for m in names.METRICS
        if m.kind == "histogram"
    }
    request = {"model": "gpt-4o", "task_type": "chat", "cache_tier": "none"}
    user, into, out = {"user": "team-a"}, {"direction": "input"}, {"direction": "output"}
    quality = {"model": "gpt-4o", "task_type": "chat"}
    updates: list[tuple[Callable[..., None], float, dict[str, str]]] = [
        (counters["asahi_requests_total"].add, 1, request),
        (counters["asahi_cost_dollars_total"].add, 0.0042, request),
        (counters["asahi_baseline_dollars_total"].add, 0.0143, request),
        (counters["asahi_tokens_total"].add, 812, {**request, **into}),
        (counters["asahi_tokens_total"].add, 164, {**request, **out}),
        (counters["asahi_user_requests_total"].add, 1, user),
        (counters["asahi_user_cost_dollars_total"].add, 0.0042, user),
        (counters["asahi_user_baseline_dollars_total"].add, 0.0143, user),
        (counters["asahi_user_tokens_total"].add, 812, {**user, **into}),
        (counters["asahi_user_tokens_total"].add, 164, {**user, **out}),
        (counters["asahi_savings_dollars_total"].add, 0.0101, {"phase": "routing"}),
        (histograms["asahi_latency_ms"].record, 930.0, {"model": "gpt-4o", "cache_tier": "none"}),
        (histograms["asahi_token_count"].record, 812, into),
        (histograms["asahi_token_count"].record, 164, out),
        (counters["asahi_tokens_squared_total"].add, 812 * 812, {"task_type": "chat", **into}),
        (counters["asahi_tokens_squared_total"].add, 164 * 164, {"task_type": "chat", **out}),
        (counters["asahi_quality_points_total"].add, 4.6, quality),
        (counters["asahi_quality_samples_total"].add, 1, quality),
    ]

    def record() -> None:
        for update, value, attributes in updates:
            update(value, attributes)

    return record


def ours(state_dir: str | None) -> Record:
    collector = MetricsCollector(MetricsConfig(state_dir=state_dir))
    return lambda: collector.record_inference(EVENT)


def ours_built(state_dir: str | None) -> Record:
    collector = MetricsCollector(MetricsConfig(state_dir=state_dir))
    return lambda: collector.record_inference(InferenceEvent(**FIELDS))


def disabled(_state_dir: str | None) -> Record:
    collector = MetricsCollector(MetricsConfig(enabled=False))
    return lambda: collector.record_inference(EVENT)


def seconds(record: Record, records: int, threads: int) -> float:
    """Return the wall-clock seconds a record takes when ``threads`` share the work."""

    def work() -> None:
        for _ in range(records // threads):
            record()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return (time.perf_counter() - started) / records


def contenders(mode: str, state_dir: str | None) -> dict[str, Record]:
    """Return what is measured; OpenTelemetry has no mode that outlives the process."""
    made = {
        "floor": floor_full(),
        "floor (contract)": floor_contract(),
        "look-ups": look_ups(),
        "ours": ours(state_dir),
        "ours, event built": ours_built(state_dir),
    }
    if mode == "plain":
        made["otel"] = otel()
        made["ours, disabled"] = disabled(state_dir)
    return made


def measure(mode: str, records: int, rounds: int) -> None:
    """Print one table; runs in a process of its own, because prometheus-client reads its mode when imported."""
    state_dir = tempfile.mkdtemp(prefix="asahi-bench-") if mode == "state_dir" else None
    for threads in (1, 8):
        contestants = contenders(mode, state_dir)
        taken: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, record in contestants.items():
                taken[name].append(seconds(record, records, threads))
        for name, values in taken.items():
            ratio = statistics.median(a / b for a, b in zip(values, taken["floor"], strict=True))
            print(
                f"{mode:<10} {threads:>7}  {name:<18} {statistics.median(values) * 1e6:>9.2f} {ratio:>9.2f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of record_inference against its peers")
    parser.add_argument("--records", type=int, default=8_000, help="records a round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds, the contenders taking turns in each")
    parser.add_argument("--mode", choices=("plain", "state_dir"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.mode:
        measure(args.mode, args.records, args.rounds)
        return
    print(f"{'mode':<10} {'threads':>7}  {'contender':<18} {'us/record':>9} {'x floor':>9}", flush=True)
    for mode in ("plain", "state_dir"):
        with tempfile.TemporaryDirectory(prefix="asahi-bench-") as multiproc:
            environment = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
            if mode == "state_dir":
                environment["PROMETHEUS_MULTIPROC_DIR"] = multiproc
            command = [sys.executable, __file__, "--mode", mode]
            command += ["--records", str(args.records), "--rounds", str(args.rounds)]
            subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
