"""How long every endpoint takes, cold and warm, for one client and sixteen, against naive queries of raw counters.

``python benchmarks/endpoints.py [--days 365] [--windows 30 90 365] [--folder DIR]``

A history at full width (see ``endpoints_history.py``) is written for a Prometheus of its own, and the service is
run as users run it, under gunicorn. *Cold*: every cache of the service is off, so each request is asked and summed
anew. *Warm*: the caches are on and every request was made before. *Naive*: the same question as one
would write it on raw counters, ``increase()`` over the whole window, asked of the same Prometheus in the same run.
The ratio at the end is the longest window's median against that of the shortest, cold, for one client.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import endpoints_history
import numpy as np

from asahi_analytics.demo import servers

NAIVE = {
    "cost-breakdown": "sum by (model) (increase(asahi_cost_dollars_total[{range}]))",
    "cost-breakdown by user": "sum by (user) (increase(asahi_user_cost_dollars_total[{range}]))",
    "trends": None,
    "baseline": "sum(increase(asahi_baseline_dollars_total[{range}])) "
    "- sum(increase(asahi_cost_dollars_total[{range}]))",
    "top-cost-drivers": "topk(10, increase(asahi_cost_dollars_total[{range}]))",
    "cache-performance": "sum by (tier) (increase(asahi_cache_hits_total[{range}])) / (sum by (tier) "
    "(increase(asahi_cache_hits_total[{range}])) + sum by (tier) (increase(asahi_cache_misses_total[{range}])))",
    "latency-percentiles": "histogram_quantile(0.95, sum by (model, le) (increase(asahi_latency_ms_bucket[{range}])))",
}


@dataclass(frozen=True)
class Times:
    """Seconds of each request."""

    seconds: np.ndarray

    def ms(self, quantile: float) -> float:
        return float(1000 * np.quantile(self.seconds, quantile))


def paths(days: int, end: datetime) -> dict[str, str]:
    """The address of each question about ``days`` that end at ``end``."""
    window = quote(f"{(end - timedelta(days=days)).isoformat()},{end.isoformat()}", safe="")
    return {
        "cost-breakdown": f"/analytics/cost-breakdown?window={window}",
        "cost-breakdown by user": f"/analytics/cost-breakdown?group_by=user&window={window}",
        "trends": f"/analytics/trends?period=day&intervals={days}",
        "baseline": f"/analytics/baseline?group_by=model&window={window}",
        "top-cost-drivers": f"/analytics/top-cost-drivers?window={window}",
        "cache-performance": f"/analytics/cache-performance?window={window}",
        "latency-percentiles": f"/analytics/latency-percentiles?window={window}",
    }


ALONE = {
    "forecast": "/analytics/forecast",
    "anomalies": "/analytics/anomalies",
    "budgets": "/analytics/budgets",
    "recommendations": "/analytics/recommendations",
}


@contextmanager
def serving(prometheus_url: str, **environment: str) -> Iterator[int]:
    """Run the service and yield its port."""
    port = servers.free_port()
    code = "import sys; from asahi_analytics.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", "--port", str(port), "--prometheus-url", prometheus_url]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            for line in process.stdout or ():
                if "ready on" in line:
                    break
            else:
                raise SystemExit("the service did not start")
            yield port
        finally:
            process.terminate()


def fetch(port: int, path: str) -> float:
    """Return how long a request took on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    started = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    seconds = time.perf_counter() - started
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}: {body[:300]!r}")
    return seconds


def exists(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path)
    try:
        return connection.getresponse().status == 200
    finally:
        connection.close()


def measure(ask: Callable[[int], float], count: int, clients: int) -> Times:
    """Time ``count`` requests for each of ``clients`` that ask at the same time."""
    if clients == 1:
        return Times(np.array([ask(number) for number in range(count)]))
    with ThreadPoolExecutor(clients) as pool:
        return Times(np.array(list(pool.map(ask, range(count * clients)))))


def naive_path(name: str, days: int) -> str:
    """The same question asked of Prometheus itself."""
    now = datetime.now(UTC)
    expression = NAIVE[name]
    if expression is None:
        fields = {
            "query": "sum(increase(asahi_cost_dollars_total[1d]))",
            "start": (now - timedelta(days=days - 1)).timestamp(),
            "end": now.timestamp(),
            "step": 86_400,
        }
        return f"/api/v1/query_range?{urlencode(fields)}"
    return f"/api/v1/query?{urlencode({'query': expression.format(range=f'{days}d')})}"


def run_window(
    prometheus: int, cold: int, warm: int, days: int, options: argparse.Namespace
) -> dict[str, float]:
    """Print a row for each endpoint; return the cold medians of one client."""
    now = datetime.now(UTC) - timedelta(minutes=1)
    medians = {}
    for name, fixed in paths(days, now).items():
        many, few = options.clients[-1], max(3, options.requests // 8)

        def moving(number: int, name: str = name) -> float:
            return fetch(cold, paths(days, now - timedelta(seconds=number))[name])

        single, crowd = measure(moving, options.requests, 1), measure(moving, few, many)
        fetch(warm, fixed)
        fetch(warm, fixed)
        fetch(warm, fixed)
        kept = measure(lambda _number, path=fixed: fetch(warm, path), options.requests, 1)
        kept_crowd = measure(lambda _number, path=fixed: fetch(warm, path), few, many)
        raw = measure(lambda _number, name=name: fetch(prometheus, naive_path(name, days)), 3, 1)
        medians[name] = single.ms(0.5)
        print_row(f"{name}, {days} d", (single, crowd, kept, kept_crowd), raw)
    return medians


def run_rest(cold: int, warm: int, options: argparse.Namespace) -> None:
    """Print a row for each endpoint that looks at a window of its own."""
    many, few = options.clients[-1], max(3, options.requests // 8)
    for name, path in ALONE.items():
        if not exists(cold, path):
            continue
        single = measure(lambda _number, path=path: fetch(cold, path), options.requests // 2, 1)
        crowd = measure(lambda _number, path=path: fetch(cold, path), few, many)
        for _ in range(3):
            fetch(warm, path)
        kept = measure(lambda _number, path=path: fetch(warm, path), options.requests, 1)
        kept_crowd = measure(lambda _number, path=path: fetch(warm, path), few, many)
        print_row(name, (single, crowd, kept, kept_crowd), None)


def print_row(name: str, measured: Sequence[Times], raw: Times | None) -> None:
    cells = [f"{times.ms(q):8.1f}" for times in measured for q in (0.5, 0.99)]
    naive = f"{raw.ms(0.5):9.1f} {raw.ms(0.5) / measured[0].ms(0.5):6.1f}x" if raw else f"{'-':>9} {'-':>7}"
    print(f"{name:34} {' '.join(cells)} {naive}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=90, help="history to write (default: %(default)s)")
    parser.add_argument("--windows", type=int, nargs="+", default=[30, 90], help="window lengths in days")
    parser.add_argument("--requests", type=int, default=40, help="requests of the single client for each row")
    parser.add_argument(
        "--clients", type=int, nargs="+", default=[16], help="clients at once beside the single one"
    )
    parser.add_argument("--folder", type=Path, help="keep the history here and use it again")
    parser.add_argument("--prometheus-url", help="measure on this Prometheus and its history instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if options.prometheus_url:
            report(int(options.prometheus_url.rpartition(":")[2].strip("/")), options)
            return
        folder = options.folder or Path(scratch)
        if not (folder / "data").exists():
            endpoints_history.build(folder / "data", options.days)
        flags = ["--query.max-samples=500000000"]
        server = servers.prometheus(
            folder, servers.prometheus_config(), data=folder / "data", retention="3000d", extra_flags=flags
        )
        with servers.running(server):
            report(server.port, options)


def report(prometheus: int, options: argparse.Namespace) -> None:
    url = f"http://127.0.0.1:{prometheus}"
    off = {"ASAHI_OBS_CACHE_MAX_BYTES": "0", "ASAHI_OBS_CACHE_RECENT_TTL_SECONDS": "0"}
    kept = {"ASAHI_OBS_CACHE_RECENT_TTL_SECONDS": "300"}
    with serving(url, **off) as cold, serving(url, **kept) as warm:
        heads = [f"{kind} {clients}" for kind in ("cold", "warm") for clients in (1, options.clients[-1])]
        print(
            "milliseconds"
            + " " * 22
            + " ".join(f"{head:^17}" for head in heads)
            + f" {'naive':>9} {'ratio':>7}"
        )
        print(" " * 34 + " " + " ".join(f"{'p50':>8} {'p99':>8}" for _ in heads))
        medians = [run_window(prometheus, cold, warm, days, options) for days in options.windows]
        run_rest(cold, warm, options)
        for name in medians[0]:
            ratio = medians[-1][name] / medians[0][name]
            print(f"{name}: {options.windows[-1]} days take {ratio:.2f} x {options.windows[0]} days")


if __name__ == "__main__":
    main()
