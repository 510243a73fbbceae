"""The recording rules as vmalert evaluates them on VictoriaMetrics: totals, by the minute too, equal the ledger."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from asahi_analytics import recording
from asahi_analytics.demo.servers import LOOPBACK, Server, free_port, running
from asahi_analytics.tiles import RuleParameters
from asahi_analytics.windows import Window
from support.ledger_run import LABELS, Exporter, Outcome, Plan, family_of, worst
from support.victoria import victoria_metrics

COUNTED_SECONDS = 70
"""Long enough for a base to stand, so that totals by the minute are made of it."""
SETTLED_SECONDS = 25
PATIENCE_SECONDS = 150
"""On a machine that does much else vmalert leaves out evaluations that take longer than their interval."""
EXACT = 1e-9
BY_THE_MINUTE = "sum by ({label}) (asahi:{family}:running)"
OF_THE_STATE = 'sum by ({label}) (asahi:{family}:state{{part="running"}})'
BASES = "count(asahi:cost_dollars:whole) > 0"
QUICK = RuleParameters(
    interval=timedelta(seconds=4),
    state_interval=timedelta(seconds=12),
    settle=timedelta(seconds=3),
    lookback=timedelta(seconds=12),
    state_lookback=timedelta(seconds=300),
    scrape_interval=timedelta(seconds=1),
)


def store(folder: Path, exporter: Exporter) -> Server:
    """A VictoriaMetrics that scrapes ``exporter`` every second, and shows what is a second old."""
    targets = [{"targets": [f"{LOOPBACK}:{exporter.port}"]}]
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "asahi", "static_configs": targets}],
    }
    (folder / "scrape.yml").write_text(yaml.safe_dump(config))
    server = victoria_metrics(folder)
    fresh = ["-search.latencyOffset=1s", "-search.disableCache"]
    server.command = [*server.command, f"-promscrape.config={folder / 'scrape.yml'}", *fresh]
    return server


def vmalert(folder: Path, of: Server) -> Server:
    """A vmalert that evaluates the recording rules on ``of`` and writes what it finds there."""
    program = shutil.which("vmalert")
    assert program, "vmalert is part of the package victoria-metrics"
    for name, text in recording.rule_files(QUICK).items():
        (folder / name).write_text(text)
    port = free_port()
    command = [
        program,
        f"-rule={folder}/asahi_*.yml",
        f"-datasource.url={of.url}",
        "-datasource.queryStep=1s",
        f"-remoteWrite.url={of.url}",
        "-remoteWrite.flushInterval=500ms",
        f"-notifier.url=http://{LOOPBACK}:9",
        f"-httpListenAddr={LOOPBACK}:{port}",
    ]
    return Server("vmalert", command, port, "/health", folder / "vmalert.log")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    folder = tmp_path_factory.mktemp("vmalert")
    begun = time.time()
    exporter = Exporter(folder, 1, Plan(stored=True, birth_every=15.0, jitter=0.0), begun)
    with ExitStack() as up:
        exporter.start()
        up.callback(exporter.end)
        server = up.enter_context(running(store(folder, exporter)))
        up.enter_context(running(vmalert(folder, server)))
        time.sleep(5)
        exporter.kill()
        exporter.start()
        time.sleep(COUNTED_SECONDS)
        exporter.pause()
        time.sleep(SETTLED_SECONDS)
        patient_until = time.time() + PATIENCE_SECONDS
        while True:
            window = Window(datetime.fromtimestamp(begun, UTC), datetime.now(UTC))
            found = Outcome(server, QUICK, window, (exporter.ledger,), stored=True, deaths=exporter.deaths)
            if time.time() > patient_until or is_settled(found):
                break
            time.sleep(1)
        yield found


def is_settled(outcome: Outcome) -> bool:
    """Tell whether the last evaluations have seen all that was counted, and a base of it."""
    errors = [off(outcome, total, label) for total in (BY_THE_MINUTE, OF_THE_STATE) for label in LABELS]
    return max(errors) < EXACT and bool(outcome.asked(BASES, ""))


def off(outcome: Outcome, total: str, label: str) -> float:
    """How far the worst of the totals by ``label`` lies from the ledger, relative to it."""
    promql = total.format(label=label, family=family_of(label))
    return worst(outcome.asked(promql, label), outcome.ledger(label))


@pytest.mark.parametrize("label", LABELS)
def test_totals_by_the_minute_equal_the_ledger(outcome: Outcome, label: str) -> None:
    assert off(outcome, BY_THE_MINUTE, label) < EXACT


@pytest.mark.parametrize("label", LABELS)
def test_totals_of_the_state_equal_the_ledger(outcome: Outcome, label: str) -> None:
    assert off(outcome, OF_THE_STATE, label) < EXACT


def test_a_base_stands_so_that_totals_need_no_steps(outcome: Outcome) -> None:
    assert outcome.asked(BASES, "")
    assert not outcome.asked("last_over_time(asahi:cost_dollars:steps[12s])", "")
