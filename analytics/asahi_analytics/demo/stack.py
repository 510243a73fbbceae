"""The demo's servers: the exporter with its traffic, Prometheus with the rules, Alertmanager, the service."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from asahi_analytics import limits
from asahi_analytics.demo import servers
from asahi_analytics.demo.build import EXPORTER_JOB
from asahi_analytics.demo.present import LiveTraffic, run_traffic
from asahi_analytics.demo.servers import LOOPBACK, Server, ServerError
from asahi_analytics.demo.store import Folder, exporter, intensity_of
from asahi_analytics.errors import UserInputError
from asahi_analytics.traffic.live import EXPORTER_PORT, serving

SCRAPE_INTERVAL: Final = "15s"
SERVICE_JOB: Final = "asahi-analytics"
_SERVE: Final = "import sys; from asahi_analytics.cli import main; sys.exit(main())"
BUDGETS: Final = """\
# Budgets of the demo, in dollars a calendar month; docs/budgets.md tells more.
budgets:
  - monthly_dollars: 45000
  - model: claude-sonnet-4
    monthly_dollars: 20000
  - name: chat for everybody
    task_type: chat
    monthly_dollars: 18000
"""


THRESHOLDS: Final = "thresholds.yml"
MAX_PORT: Final = 65_535


@dataclass(frozen=True)
class Ports:
    """Where everything listens on loopback."""

    service: int = 8000
    prometheus: int = 9090
    alertmanager: int = 9093
    exporter: int = EXPORTER_PORT

    def check(self) -> None:
        """Raise ``UserInputError`` that names the options, when ports are none, taken or given twice."""
        named = {"--port": self.service, "--prometheus-port": self.prometheus}
        named |= {"--alertmanager-port": self.alertmanager, "--exporter-port": self.exporter}
        for option, port in named.items():
            if not 1 <= port <= MAX_PORT:
                raise UserInputError(f"{option} is {port}; pass 1 to {MAX_PORT}")
            if list(named.values()).count(port) > 1:
                raise UserInputError(f"port {port} is given twice; pass another {option}")
        taken = [
            f"port {port} is in use by another program; pass another {option}"
            for option, port in named.items()
            if not servers.is_free(port)
        ]
        if taken:
            raise UserInputError(". ".join(taken))


@dataclass(frozen=True)
class Stack:
    """The servers that are up."""

    prometheus: Server
    alertmanager: Server
    service: Server
    exporter_url: str

    def ended(self) -> str | None:
        """Return what one of the servers said last if it has ended by itself, else None."""
        words = (server.ended() for server in (self.prometheus, self.alertmanager, self.service))
        return next((said for said in words if said is not None), None)


@contextmanager
def traffic(folder: Folder, end: datetime, seed: int, port: int, addr: str = LOOPBACK) -> Iterator[str]:
    """Let the demo's traffic go on from its history and serve its metrics; yield their address.

    What would have happened since traffic was last recorded in ``folder``, or since ``end``, is made up for at once.
    """
    with exporter(folder) as collector, serving(collector, addr, port, "--exporter-port") as address:
        since_s = end.timestamp() if (recorded_s := folder.recorded_s) is None else recorded_s
        live = LiveTraffic(collector, intensity_of(end, seed), seed, since_s, folder.note_recorded)
        live.make_up(time.time())
        stop = threading.Event()
        thread = threading.Thread(target=run_traffic, args=(live, stop.wait), name="traffic", daemon=True)
        thread.start()
        try:
            yield address
        finally:
            stop.set()
            thread.join()


@contextmanager
def stack(
    folder: Folder, end: datetime, seed: int, ports: Ports, say: Callable[[str], None]
) -> Iterator[Stack]:
    """Start everything in order, yield it, and stop it in the reverse order whatever happens."""
    write_thresholds(folder.path / THRESHOLDS, ports.service)
    with ExitStack() as up:
        exporter_url = up.enter_context(traffic(folder, end, seed, ports.exporter))
        say(f"Exporter traffic on {exporter_url}")
        alertmanager = up.enter_context(servers.running(_alertmanager(folder, ports)))
        say(f"Alertmanager on {alertmanager.url}")
        prometheus = up.enter_context(servers.running(_prometheus(folder, ports), timeout_seconds=180.0))
        say(f"Prometheus with the rules on {prometheus.url}")
        service = up.enter_context(servers.running(_service(folder, ports)))
        say(f"The analytics service on {service.url}")
        yield Stack(prometheus, alertmanager, service, exporter_url)


def _alertmanager(folder: Folder, ports: Ports) -> Server:
    config = {
        "route": {"receiver": "screen", "group_by": ["incident"], "group_wait": "10s"},
        "receivers": [{"name": "screen"}],
    }
    return servers.alertmanager(folder.path / "alertmanager", config, port=ports.alertmanager)


def _prometheus(folder: Folder, ports: Ports) -> Server:
    config = servers.prometheus_config(
        targets={
            EXPORTER_JOB: [f"{LOOPBACK}:{ports.exporter}"],
            SERVICE_JOB: [f"{LOOPBACK}:{ports.service}"],
            "prometheus": [f"{LOOPBACK}:{ports.prometheus}"],
        },
        rule_files=write_rules(folder.path / "rules", folder.path / THRESHOLDS),
        scrape_interval=SCRAPE_INTERVAL,
        alertmanagers=[f"{LOOPBACK}:{ports.alertmanager}"],
    )
    return servers.prometheus(folder.path / "prometheus", config, port=ports.prometheus, data=folder.data)


def write_thresholds(path: Path, service_port: int) -> None:
    """Write the thresholds of the demo: the shipped ones, with the runbooks where its own service serves them."""
    path.write_text(f"runbook_base_url: http://{LOOPBACK}:{service_port}/runbooks\n", encoding="utf-8")


def write_rules(folder: Path, thresholds: Path | None = None) -> Sequence[Path]:
    """Write every rule file, of the ``thresholds`` given, and return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    files = limits.rule_files(limits.load(thresholds))
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def _service(folder: Folder, ports: Ports) -> Server:
    budgets = folder.path / "budgets.yml"
    budgets.write_text(BUDGETS, encoding="utf-8")
    command = [sys.executable, "-c", _SERVE, "serve", "--host", LOOPBACK, "--port", str(ports.service)]
    return Server(
        "The analytics service",
        command,
        ports.service,
        "/readyz",
        folder.path / "service.log",
        {
            "ASAHI_OBS_BUDGETS_FILE": str(budgets),
            "ASAHI_OBS_THRESHOLDS_FILE": str(folder.path / THRESHOLDS),
            "ASAHI_OBS_PROMETHEUS_URL": f"http://{LOOPBACK}:{ports.prometheus}",
            "ASAHI_OBS_ALERTMANAGER_URL": f"http://{LOOPBACK}:{ports.alertmanager}",
        },
    )


def watch(up: Stack, stop: threading.Event) -> None:
    """Wait for ``stop``; raise ``ServerError`` when one of the servers ends before."""
    while not stop.wait(1.0):
        if words := up.ended():
            raise ServerError(words)
