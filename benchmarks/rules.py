"""What the rules cost: seconds of evaluation and of processor time a minute, and how they grow with the series.

    python benchmarks/rules.py [--series N…] [--kinds stored plain] [--minutes M] [--against FOLDER]

A real Prometheus scrapes N series of every family, from exporters with a state directory (``stored``) or without
(``plain``), and evaluates every rule of ``prometheus/rules``. A second one beside it scrapes the same without rules:
the difference of their processor time is what the rules cost, garbage collection and writing included. A third one
evaluates the rules of another folder (``--against``), to compare two versions in the same minutes.

Counters of what goes wrong are there and stand still, as on a good day; with ``--faults`` they rise as all others do,
and an alert fires for each of N models.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from asahi_analytics.demo.servers import LOOPBACK, Server, prometheus, prometheus_config, running
from asahi_exporter.conventions import FAMILIES, STORE, STORE_CREATED, Family

RULES = Path(__file__).parents[1] / "prometheus" / "rules"
DURATION = "prometheus_rule_group_duration_seconds_sum"
MISSED = "prometheus_rule_group_iterations_missed_total"
TICKS = os.sysconf("SC_CLK_TCK")
VALUE = b"@"
FAULTS = {
    "unpriced_requests",
    "unpriced_tokens",
    "errors",
    "label_overflow",
    "refused_records",
    "wasted_cost_dollars",
}


def page(series: int, store: str, faults: bool) -> bytes:
    """Return what an exporter serves, with ``VALUE`` where each counter's value goes."""
    memory = f'{STORE}="{store}"' if store else ""
    lines = [f"{STORE_CREATED.name}{{{memory}}} 1700000000"]
    for family in FAMILIES.values():
        value = "@" if faults or family.name not in FAULTS else "7"
        lines += [
            f"{family.source}{{{labels}}} {value}"
            for labels in label_sets(family, series if family.labels else 1, memory)
        ]
    return "\n".join([*lines, ""]).encode()


def label_sets(family: Family, series: int, memory: str) -> Iterator[str]:
    """Yield ``series`` sets of the family's labels: its first label has ten values, its last the rest."""
    for number in range(series):
        values = dict.fromkeys(family.labels, "chat")
        if family.labels:
            values[family.labels[-1]] = f"value-{number // 10}"
            values[family.labels[0]] = f"name-{number % 10 if len(family.labels) > 1 else number}"
        yield ",".join([*(f'{label}="{value}"' for label, value in values.items()), *filter(None, [memory])])


@contextmanager
def exporter(text: bytes) -> Iterator[str]:
    """Serve ``text``, each value a little larger at each scrape; yield the address."""
    started = time.monotonic()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text.replace(VALUE, f"{time.monotonic() - started:.3f}".encode())
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Cost:
    """Seconds so far: of evaluation by the clock, and of processor time; evaluations missed, and alerts that fire."""

    evaluated: float
    used: float
    missed: float
    firing: int

    @classmethod
    def of(cls, server: Server) -> Cost:
        """Read the cost of a Prometheus from its own metrics and from the kernel."""
        metrics = _metrics(server)
        assert server.process is not None
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(") ")[2].split()
        used = (int(fields[11]) + int(fields[12])) / TICKS
        return cls(metrics.get(DURATION, 0.0), used, metrics.get(MISSED, 0.0), _firing(server))

    def since(self, before: Cost, seconds: float) -> Cost:
        """Return the cost of a minute between ``before``, ``seconds`` ago, and now."""
        share = 60.0 / seconds
        return Cost(
            (self.evaluated - before.evaluated) * share,
            (self.used - before.used) * share,
            self.missed - before.missed,
            self.firing,
        )


def _metrics(server: Server) -> Mapping[str, float]:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
        lines = [
            line.rpartition(" ") for line in answer.read().decode().splitlines() if not line.startswith("#")
        ]
    sums: dict[str, float] = {}
    for name, _, value in lines:
        base = name.partition("{")[0]
        sums[base] = sums.get(base, 0.0) + float(value)
    return sums


def _firing(server: Server) -> int:
    with urllib.request.urlopen(f"{server.url}/api/v1/alerts", timeout=30) as answer:
        alerts = json.load(answer)["data"]["alerts"]
    return sum(alert["state"] == "firing" for alert in alerts)


def measure(kind: str, series: int, folders: Mapping[str, Path], args: argparse.Namespace) -> dict[str, Cost]:
    """Return what each Prometheus, by its name, spends in a minute."""
    with ExitStack() as up:
        folder = Path(up.enter_context(tempfile.TemporaryDirectory(prefix="asahi-bench-")))
        share = max(1, series // args.exporters)
        targets = [
            up.enter_context(
                exporter(page(share, f"store-{number}" if kind == "stored" else "", args.faults))
            )
            for number in range(args.exporters)
        ]
        servers = {}
        for name, rules in {"no rules": None, **folders}.items():
            files = sorted(rules.glob("*.yml")) if rules else []
            config = prometheus_config(
                targets={"asahi": targets}, rule_files=files, scrape_interval=f"{args.scrape_interval:g}s"
            )
            servers[name] = up.enter_context(running(prometheus(folder / name, config)))
        time.sleep(args.warm_up * 60)
        begun, before = time.monotonic(), {name: Cost.of(server) for name, server in servers.items()}
        time.sleep(args.minutes * 60)
        passed = time.monotonic() - begun
        return {name: Cost.of(server).since(before[name], passed) for name, server in servers.items()}


def report(kind: str, series: int, costs: Mapping[str, Cost]) -> None:
    """Print one line for each set of rules."""
    idle = costs["no rules"].used
    for name, cost in costs.items():
        if name != "no rules":
            used = cost.used - idle
            print(
                f"{kind:7s} {series:7d}  {name:8s} evaluation {cost.evaluated:7.3f} s a minute  processor {used:7.3f} s"
                f" ({used / 60:6.2%} of a core)  scraping alone {idle:5.2f} s  missed {cost.missed:.0f}"
                f"  alerts firing {cost.firing}",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Cost of the rules")
    parser.add_argument("--series", type=int, nargs="+", default=[1_000, 10_000], help="of each family")
    parser.add_argument("--kinds", nargs="+", choices=("stored", "plain"), default=("stored", "plain"))
    parser.add_argument("--exporters", type=int, default=1, help="that the series are spread over")
    parser.add_argument("--warm-up", type=float, default=3.0, metavar="MINUTES")
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="of measuring: a multiple of the longest interval"
    )
    parser.add_argument("--scrape-interval", type=float, default=15.0, metavar="SECONDS")
    parser.add_argument("--faults", action="store_true", help="let the counters of what goes wrong rise")
    parser.add_argument("--rules", type=Path, default=RULES, help="a folder of rules")
    parser.add_argument("--against", type=Path, help="another folder of rules to compare with")
    args = parser.parse_args(arguments)
    folders = {"rules": args.rules, **({"against": args.against} if args.against else {})}
    print(f"All rules over {len(FAMILIES)} families; {args.exporters} exporter(s), {args.minutes:g} minutes")
    for series in args.series:
        for kind in args.kinds:
            report(kind, series, measure(kind, series, folders, args))


if __name__ == "__main__":
    main()
