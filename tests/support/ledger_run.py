"""A real Prometheus, real exporter processes and every fault at once; then the dollars against the ledger."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from asahi_analytics import recording
from asahi_analytics.composer import Composer
from asahi_analytics.demo.servers import Server, prometheus, prometheus_config
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.replies import Series
from asahi_analytics.settings import CacheSettings
from asahi_analytics.tiles import RuleParameters
from asahi_analytics.windows import Window
from asahi_exporter.conventions import FAMILIES

LABELS = {"model": 0, "task_type": 1, "cache_tier": 2, "user": 3}
ASKED = ("cost_dollars", "user_cost_dollars", "requests", "unpriced_requests")
RULES = "rules"
Dollars = Mapping[str, float]


@dataclass(frozen=True)
class Plan:
    """How long, how fast and with which faults; times in seconds. ``scrapes``: an interval for each exporter.

    In the ``blackout`` the scrapes of one exporter fail while it counts on; at ``reload`` every group of rules gets
    another name, so that Prometheus ends the old ones and begins anew at other times; ``jitter`` is how long an
    answer to a scrape may take, and half of how long Prometheus stands still now and then, so that scrapes and rules
    come late.
    """

    stored: bool
    seconds: float = 34.0
    scrapes: tuple[float, ...] = (1.0, 1.0, 2.0)
    outages: tuple[tuple[float, float], ...] = ((12.0, 3.0), (20.0, 7.0))
    blackout: tuple[float, float] = (6.0, 3.0)
    reload: float = 9.0
    kill_every: float = 4.0
    birth_every: float = 4.0
    jitter: float = 0.1
    scrape_timeout: int = 1
    seed: int = 1
    rules: RuleParameters = field(
        default_factory=lambda: RuleParameters(
            interval=timedelta(seconds=2),
            state_interval=timedelta(seconds=4),
            settle=timedelta(seconds=2),
            lookback=timedelta(seconds=60),
            state_lookback=timedelta(seconds=300),
            scrape_interval=timedelta(seconds=1),
        )
    )

    @property
    def tile_seconds(self) -> float:
        """The range of the tiles of ``increase()`` that are compared with: five minutes where ours are of one."""
        return 5 * self.rules.interval.total_seconds()


class Exporter:
    """One exporter process on a port, started anew after each death."""

    def __init__(self, folder: Path, number: int, plan: Plan, started: float) -> None:
        self.port, self.number, self.ledger = _quiet_port(), number, folder / f"ledger-{number}.csv"
        self._state = [str(folder / f"state-{number}")] if plan.stored else []
        times = f"{started!r} {plan.birth_every} {plan.jitter}"
        self._environment = {**os.environ, "LEDGER_TIMES": times}
        self._lives = self.deaths = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._lives += 1
        program = Path(__file__).with_name("ledger_exporter.py")
        seed = str(1000 * self.number + self._lives)
        command = [sys.executable, str(program), str(self.port), str(self.ledger), seed, *self._state]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, env=self._environment)

    def kill(self) -> None:
        """Have it kill itself between two records, as SIGKILL does: no handler, no flush, no goodbye."""
        self._say(b"kill\n")
        self.end()
        self.deaths += 1

    def pause(self) -> None:
        """Stop counting until the next line: what is scraped from now on is all there is."""
        self._say(b"pause\n")

    def refuse(self, *, scrapes: bool) -> None:
        """Let scrapes fail from now on, or no longer; counting goes on."""
        self._say(b"refuse\n" if scrapes else b"serve\n")

    def _say(self, line: bytes) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def end(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


def _quiet_port() -> int:
    """A free port below those that the system gives to outgoing connections, so that it stays free meanwhile."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


@dataclass(frozen=True)
class Outcome:
    """Where the dollars can be asked for, and what they were."""

    server: Server
    rules: RuleParameters
    window: Window
    ledgers: tuple[Path, ...]
    stored: bool
    deaths: int = 0

    def ledger(self, label: str) -> Counter[str]:
        """Dollars by ``label`` as the processes wrote them down."""
        dollars: Counter[str] = Counter()
        for path in self.ledgers:
            for line in path.read_text().splitlines():
                fields = line.split(",")
                dollars[fields[LABELS[label]]] += float(fields[4])
        return dollars

    @property
    def client(self) -> PrometheusClient:
        return PrometheusClient(self.server.url, cache=CacheSettings(max_bytes=1))

    def composed(self, label: str) -> Dollars:
        """Dollars by ``label`` as the composer says."""
        sums = Composer(self.client, self.rules).total(family_of(label), (label,), self.window)
        return dict(zip(sums.values.index, sums.values.tolist(), strict=True))

    def scraped(self, label: str) -> Counter[str]:
        """Dollars by ``label`` as the raw samples say, each life of each process counted from zero."""
        reach = f"[{int(self.window.seconds) + 5}s]"
        samples = self.client.query_raw(FAMILIES[family_of(label)].source + reach, self.window.end).series
        lives = self.client.query_raw("asahi_store_created_timestamp_seconds" + reach, self.window.end).series
        dollars: Counter[str] = Counter()
        for series in samples:
            life = next(one for one in lives if one.labels["instance"] == series.labels["instance"])
            dollars[series.labels[label]] += _by_lives(series, life)
        return dollars

    def asked(self, promql: str, label: str) -> Dollars:
        """Dollars by ``label`` as ``promql`` says at the end of the window."""
        answer = self.client.query(promql, self.window.end)
        return {sample.labels.get(label, ""): sample.value for sample in answer.samples}


def family_of(label: str) -> str:
    return "user_cost_dollars" if label == "user" else "cost_dollars"


def _by_lives(series: Series, life: Series) -> float:
    """The naive twin: walk over the samples, one at a time."""
    born = {
        round(at, 3): created for at, created in zip(life.times.tolist(), life.values.tolist(), strict=True)
    }
    total, before, created = 0.0, 0.0, None
    for at, value in zip(series.times.tolist(), series.values.tolist(), strict=True):
        now_created = born[round(at, 3)]
        total += value - before if now_created == created and value >= before else value
        before, created = value, now_created
    return total


def worst(found: Dollars, truth: Dollars) -> float:
    """The largest relative error of any label value, 0-1; a value that does not exist counts as well."""
    errors = [abs(found.get(name, 0.0) - dollars) / dollars for name, dollars in truth.items()]
    return max([*errors, *(1.0 for name in found if name not in truth and found[name] > 0)])


@contextmanager
def ledger_run(folder: Path, plan: Plan) -> Iterator[Outcome]:
    """Run ``plan`` and yield its outcome while Prometheus still answers."""
    started = time.time()
    exporters = [Exporter(folder, number, plan, started) for number in range(len(plan.scrapes))]
    server = _server(folder, plan, exporters)
    try:
        server.start()
        _await_rules(server, plan.rules)
        begun = datetime.now(UTC)
        for exporter in exporters:
            exporter.start()
        _faults(plan, server, exporters, folder / RULES)
        for exporter in exporters:
            if exporter.process is None:
                exporter.start()
        time.sleep(2.0)
        for exporter in exporters:
            exporter.pause()
        _await_scrapes(server, len(exporters), time.time() + 0.2)
        ledgers = tuple(exporter.ledger for exporter in exporters)
        deaths = sum(exporter.deaths for exporter in exporters)
        yield Outcome(server, plan.rules, Window(begun, datetime.now(UTC)), ledgers, plan.stored, deaths)
    finally:
        for exporter in exporters:
            exporter.end()
        server.stop()


def _server(folder: Path, plan: Plan, exporters: list[Exporter]) -> Server:
    rules, peers = folder / RULES, folder / "peers.yml"
    rules.mkdir()
    files = recording.rule_files(plan.rules, {name: FAMILIES[name] for name in ASKED})
    for name, text in files.items():
        (rules / name).write_text(text)
    peers.write_text(yaml.safe_dump(peer_rules(plan.tile_seconds)))
    interval = f"{plan.rules.interval.total_seconds():g}s"
    config = prometheus_config(rule_files=[*rules.iterdir(), peers], evaluation_interval=interval)
    config["scrape_configs"] = [
        {
            "job_name": f"asahi-{exporter.number}",
            "scrape_interval": f"{round(seconds * 1000)}ms",
            "scrape_timeout": f"{plan.scrape_timeout}s",
            "static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"]}],
        }
        for exporter, seconds in zip(exporters, plan.scrapes, strict=True)
    ]
    return prometheus(folder, config)


def _await_rules(server: Server, rules: RuleParameters) -> None:
    """Return when the rules have been evaluated once and their first snapshot lies behind."""
    patience = 120 + 2 * rules.interval.total_seconds()
    client, deadline = (
        PrometheusClient(server.url, cache=CacheSettings(max_bytes=1)),
        time.monotonic() + patience,
    )
    marks = 'asahi:cost_dollars:state{part="since"}'
    while not client.query(marks, datetime.now(UTC)).samples:
        if time.monotonic() > deadline:
            raise TimeoutError("the rules were not evaluated")
        time.sleep(0.1)
    time.sleep(rules.interval.total_seconds())


def peer_rules(tile_seconds: float) -> dict[str, Any]:
    """Return rules as people write them: ``increase()`` over a short range, recorded twice as often as it is summed."""
    rules = [
        {
            "record": f"peer:{label}:increase",
            "expr": f"sum by ({label}) (increase({FAMILIES[family_of(label)].source}[{int(tile_seconds)}s]))",
        }
        for label in LABELS
    ]
    interval = f"{round(tile_seconds * 500)}ms"
    return {"groups": [{"name": "peers", "interval": interval, "rules": rules}]}


def _await_scrapes(server: Server, count: int, after: float) -> None:
    """Return when each of ``count`` exporters was scraped later than ``after``."""
    client, deadline = PrometheusClient(server.url, cache=CacheSettings(max_bytes=1)), time.monotonic() + 120
    scraped = f"timestamp(asahi_store_created_timestamp_seconds) > {after!r}"
    while len(client.query(scraped, datetime.now(UTC)).samples) < count:
        if time.monotonic() > deadline:
            raise TimeoutError("the exporters were not scraped")
        time.sleep(0.1)


def _faults(plan: Plan, server: Server, exporters: list[Exporter], rules: Path) -> None:
    """Kill exporters, let one's scrapes fail for a while, and stall Prometheus or take it down, as ``plan`` says."""
    rng, begun = random.Random(plan.seed), time.monotonic()
    next_stall, dark_now, renamed = plan.kill_every / 2, False, False
    next_kill, back = plan.kill_every, dict.fromkeys(exporters, 0.0)
    dark_from, dark_for = plan.blackout
    dark = exporters[0]
    while (now := time.monotonic() - begun) < plan.seconds:
        up = not any(start <= now < start + length for start, length in plan.outages)
        if up != (server.process is not None):
            server.start() if up else server.stop()
        if up and now > plan.reload and not renamed:
            for each in rules.iterdir():
                each.write_text(each.read_text().replace("name: asahi_", "name: renamed_"))
            server.process.send_signal(signal.SIGHUP)
            renamed = True
        if up and now > next_stall:
            _stall(server, rng.random() * 2 * plan.jitter)
            next_stall = now + plan.kill_every * rng.random()
        if dark_now != (dark_from <= now < dark_from + dark_for) and dark.process is not None:
            dark_now = not dark_now
            dark.refuse(scrapes=dark_now)
        if now > next_kill:
            exporter = rng.choice([one for one in exporters if one is not dark or not dark_now])
            exporter.kill()
            back[exporter] = max(back[exporter], now + rng.random() * 2)
            next_kill = now + plan.kill_every * (0.5 + rng.random())
        for exporter in exporters:
            if exporter.process is None and now >= back[exporter]:
                exporter.start()
        time.sleep(0.05)


def _stall(server: Server, seconds: float) -> None:
    """Let Prometheus stand still for a moment."""
    if server.process is not None:
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        server.process.send_signal(signal.SIGCONT)
