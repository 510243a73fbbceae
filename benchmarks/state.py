"""What a state directory costs: scrape time after many restarts, fold, start, and the memory of the rolling window.

``python benchmarks/state.py [--restarts N]``

* a service that is killed and started again N times: one process at a time, then a tenth of it with eight
  workers dying together; "first" is the scrape of a directory in its first generation, measured in turns
* prometheus-client's multi-process mode in the same run: it keeps the files of dead processes, so its scrape
  grows with them (up to a tenth of the restarts, else it takes minutes)
* the rolling window at its defaults (10 s, 7 days), 100 models busy in every slot
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random

from asahi_exporter import InferenceEvent, MetricsCollector, MetricsConfig, schema
from asahi_exporter.cells import Cells, NoBacking
from asahi_exporter.conventions import LATENCY_MS_BUCKETS
from asahi_exporter.window import Window

LABEL_SETS = [(f"model-{number}", task) for number in range(10) for task in ("chat", "code", "search")]
DAY = 86_400


def events() -> list[InferenceEvent]:
    return [
        InferenceEvent(model=model, task_type=task, user="team", cost_dollars=0.01, latency_ms=500.0)
        for model, task in LABEL_SETS
    ]


def milliseconds(work: Callable[[], object], times: int = 9) -> float:
    """Return the median time of ``work``."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def live_and_die(state: Path, together: int) -> None:
    """Let ``together`` processes record, and kill them; forked, so that a restart takes milliseconds here."""
    pids = []
    for _ in range(together):
        pid = os.fork()
        if pid == 0:
            collector = MetricsCollector(MetricsConfig(state_dir=state))
            for event in events():
                collector.record_inference(event)
            os.kill(os.getpid(), 9)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)


def scrapes(collector: MetricsCollector, together: int) -> tuple[float, float]:
    """Return the scrape time of ``collector`` and of one whose directory saw a single generation, taking turns."""
    with tempfile.TemporaryDirectory(prefix="asahi-bench-") as folder:
        live_and_die(Path(folder), together)
        fresh = MetricsCollector(MetricsConfig(state_dir=Path(folder)))
        old_ms, fresh_ms = [], []
        for _ in range(9):
            old_ms.append(milliseconds(collector.get_prometheus_metrics, 1))
            fresh_ms.append(milliseconds(fresh.get_prometheus_metrics, 1))
        fresh.close()
    return statistics.median(old_ms), statistics.median(fresh_ms)


def counted(collector: MetricsCollector) -> float:
    """Return the requests that the collector exposes."""
    samples = (sample for family in collector.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == "asahi_requests_total")


def restarts(times: int, together: int) -> None:
    """Print scrape time, start time and files while processes come and go."""
    print(f"\nkilled and started again, {together} at a time")
    print(f"{'restarts':>9} {'files':>6} {'KiB':>8} {'start ms':>9} {'scrape ms':>10} {'first ms':>9}")
    with tempfile.TemporaryDirectory(prefix="asahi-bench-") as folder:
        state, done = Path(folder), 0
        for mark in (together, times // 100, times // 10, times):
            while done < mark:
                live_and_die(state, together)
                done += together
            started = time.perf_counter()
            collector = MetricsCollector(MetricsConfig(state_dir=state))
            start_ms = (time.perf_counter() - started) * 1e3
            assert counted(collector) == done * len(LABEL_SETS)
            scrape_ms, first_ms = scrapes(collector, together)
            files = list(state.glob("*.cells"))
            size = sum(path.stat().st_size for path in files) / 1024
            figures = f"{start_ms:>9.1f} {scrape_ms:>10.1f} {first_ms:>9.1f}"
            print(f"{done:>9} {len(files):>6} {size:>8.0f} {figures}", flush=True)
            collector.close()


PEER = """
import os, sys, time
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from asahi_exporter.conventions import LATENCY_MS_BUCKETS
labels = ("model", "task_type")
requests, cost = Counter("requests", "", labels), Counter("cost", "", labels)
latency = Histogram("latency", "", labels, buckets=LATENCY_MS_BUCKETS)
done = 0
for mark in [int(text) for text in sys.argv[1:]]:
    while done < mark:
        pid = os.fork()
        if pid == 0:
            for model in range(10):
                for task in ("chat", "code", "search"):
                    requests.labels(str(model), task).inc()
                    cost.labels(str(model), task).inc(0.01)
                    latency.labels(str(model), task).observe(500.0)
            os.kill(os.getpid(), 9)
        os.waitpid(pid, 0)
        done += 1
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    started = time.perf_counter()
    generate_latest(registry)
    files = len(os.listdir(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
    print(f"{done:>9} {files:>6} {'':>8} {'':>9} {(time.perf_counter() - started) * 1e3:>10.1f}", flush=True)
"""


def peer(times: int) -> None:
    print("\nprometheus-client, multi-process mode, three metrics of the same label sets")
    with tempfile.TemporaryDirectory(prefix="asahi-bench-") as folder:
        marks = [str(mark) for mark in (1, times // 100, times // 10)]
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder}
        subprocess.run([sys.executable, "-c", PEER, *marks], env=environment, check=True)


def window_memory() -> None:
    """Print the memory of the rolling window, every model busy in every slot of each level."""
    chance, cells = Random(1), Cells(NoBacking())
    models = [f"model-{number}" for number in range(100)]
    for model in models:
        cells.block(schema.REQUEST, (model, "chat", "none"))
        cells.block(schema.LATENCY, (model, "none"))
        cells.block(schema.QUALITY, (model, "chat"))
    blocks = list(cells.blocks.values())
    tracemalloc.start()
    window = Window(10.0, 7.0 * DAY, 0.0)
    before, _ = tracemalloc.get_traced_memory()
    for moment in moments():
        for block in blocks:
            if block.schema is schema.LATENCY:
                for _ in range(10):
                    block.values[1 + min(len(LATENCY_MS_BUCKETS), int(chance.gauss(30, 4)))] += 1
            else:
                block.values[:] = [value + 1 for value in block.values]
        window.roll(moment, blocks)
    held, peak = (value - before for value in tracemalloc.get_traced_memory())
    tracemalloc.stop()
    slots = window.slots(0.0)
    print(
        f"\nrolling window, 7 days, 100 models: {len(slots)} slots, {held / 2**20:.1f} MiB, peak {peak / 2**20:.1f} MiB"
    )
    now = moments()[-1]
    for hours in (0.25, 1, 24, 168):
        took = milliseconds(lambda h=hours: window.add_up(window.slots(now - h * 3_600)), 3)
        print(f"  summary of {hours:g} h: {took:.0f} ms")


def moments() -> list[float]:
    """Return when the window is rolled: often enough to fill each slot of each level a few times over."""
    week, day, hours, quarter = 7.0 * DAY, 1.0 * DAY, 7_200.0, 900.0
    return [
        *[moment * 1_200.0 for moment in range(int((week - day) / 1_200))],
        *[week - day + moment * 300.0 for moment in range(int((day - hours) / 300))],
        *[week - hours + moment * 30.0 for moment in range(int((hours - quarter) / 30))],
        *[week - quarter + moment * 10.0 for moment in range(91)],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of restart-proof counters")
    parser.add_argument("--restarts", type=int, default=10_000)
    args = parser.parse_args()
    restarts(args.restarts, 1)
    restarts(args.restarts // 10, 8)
    peer(args.restarts)
    window_memory()


if __name__ == "__main__":
    main()
