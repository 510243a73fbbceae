"""``asahi-obs demo``: traffic with weeks of history, Prometheus, Alertmanager and the service, on this machine."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from asahi_analytics.cli.progress import Narrator
from asahi_analytics.demo import servers
from asahi_analytics.demo.build import HistoryPlan, build_history, check_days, days_text
from asahi_analytics.demo.check import check_all
from asahi_analytics.demo.only_live import run_only_live
from asahi_analytics.demo.servers import LOOPBACK
from asahi_analytics.demo.stack import Ports, Stack, stack, watch
from asahi_analytics.demo.store import Folder
from asahi_analytics.traffic.live import EXPORTER_PORT, stopping

DEFAULT_FOLDER: Final = Path(".demo")
_PROGRAMS: Final = ("prometheus", "promtool", "alertmanager")


def add_parser(subparsers: Any, **words: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser("demo", **words)
    ports = Ports()
    parser.add_argument(
        "--days", type=float, metavar="N", default=30.0, help="days of history (default: %(default)g)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        default=1,
        help="equal seeds make equal history (default: %(default)s)",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        default=DEFAULT_FOLDER,
        help="where its files go (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="PORT",
        help=f"of the service, or of /metrics with --live-only (default: {ports.service}, or {EXPORTER_PORT})",
    )
    for server, default in (
        ("Prometheus", ports.prometheus),
        ("Alertmanager", ports.alertmanager),
        ("the exporter", ports.exporter),
    ):
        parser.add_argument(
            f"--{server.split()[-1].lower()}-port",
            type=int,
            metavar="PORT",
            default=default,
            help=f"of {server} (default: %(default)s)",
        )
    reuse = parser.add_mutually_exclusive_group()
    reuse.add_argument(
        "--keep", action="store_true", help="go on with the history that is there, if there is one"
    )
    reuse.add_argument("--fresh", action="store_true", help="make the history anew (the default)")
    parser.add_argument(
        "--check", "--once", action="store_true", help="ask everything once, then end; for CI"
    )
    parser.add_argument(
        "--live-only", action="store_true", help="only traffic from now on, on /metrics; no servers"
    )
    parser.add_argument(
        "--addr",
        metavar="ADDRESS",
        default=LOOPBACK,
        help="address of /metrics with --live-only (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Bring up what the options ask for, and stay until Ctrl-C or SIGTERM."""
    narrator = Narrator(sys.stdout)
    if arguments.live_only:
        return run_only_live(arguments.addr, arguments.port, arguments.seed, narrator)
    ports = Ports(
        Ports.service if arguments.port is None else arguments.port,
        arguments.prometheus_port,
        arguments.alertmanager_port,
        arguments.exporter_port,
    )
    check_days(arguments.days)
    ports.check()
    for program in _PROGRAMS:
        servers.find_program(program)
    folder = Folder(arguments.dir.resolve())
    with folder.held():
        return bring_up(arguments, folder, ports, narrator)


def bring_up(arguments: argparse.Namespace, folder: Folder, ports: Ports, narrator: Narrator) -> int:
    """Make the history, start the servers, and stay or check."""
    started = time.monotonic()
    end = history(arguments, folder, ports, narrator)
    narrator.say("Starting the servers")
    with (
        stopping() as stop,
        stack(folder, end, arguments.seed, ports, telling(narrator, stop)) as up,
    ):
        narrator.say(f"Ready after {time.monotonic() - started:.0f} s. {addresses(up)}")
        if arguments.check:
            return check(up, narrator)
        narrator.say("Ctrl-C stops it all.")
        watch(up, stop)
        narrator.say("Stopping the servers")
    return 0


def telling(narrator: Narrator, stop: threading.Event) -> Callable[[str], None]:
    """Return what tells which server is up; it ends the start of the others once ``stop`` is set."""

    def tell(text: str) -> None:
        narrator.say(f"  {text}")
        if stop.is_set():
            narrator.say("Stopping the servers")
            raise KeyboardInterrupt

    return tell


def history(arguments: argparse.Namespace, folder: Folder, ports: Ports, narrator: Narrator) -> datetime:
    """Return when the demo's history ends: the one that is there with ``--keep``, else one made now."""
    if arguments.keep and (there := folder.ended):
        until = datetime.fromtimestamp(folder.recorded_s or there.timestamp(), UTC)
        narrator.say(f"Going on with the history in {folder.path}, which ends at {until:%Y-%m-%d %H:%M} UTC")
        return there
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    plan = HistoryPlan(end, arguments.days, arguments.seed, f"{LOOPBACK}:{ports.exporter}")
    narrator.say(f"Making {days_text(arguments.days)} of history in {folder.path}")
    folder.clear()
    written = build_history(plan, folder, narrator)
    narrator.say(f"  {written.samples:,} samples of {written.series:,} series")
    return end


def addresses(up: Stack) -> str:
    """Return where to look, and what to try."""
    url = up.service.url
    return f"""Everything is up:

  overview page    {url}/
  API              {url}/openapi.json
  Prometheus       {up.prometheus.url}
  Alertmanager     {up.alertmanager.url}
  exporter         {up.exporter_url}

Try:
  curl '{url}/analytics/cost-breakdown?period=week&group_by=model'
  curl '{url}/analytics/forecast?horizon_days=30&confidence=0.95&monthly_budget=45000'
  curl '{url}/analytics/anomalies'
  curl '{url}/analytics/recommendations'
"""


def check(up: Stack, narrator: Narrator) -> int:
    """Ask everything, say how it went, and return the exit code."""
    failed = 0
    for finding in check_all(up):
        failed += not finding.ok
        narrator.say(
            f"  {'ok  ' if finding.ok else 'FAIL'} {finding.milliseconds:8.0f} ms  {finding.name}: {finding.words}"
        )
    narrator.say("All is well." if not failed else f"{failed} of the answers are not what they must be.")
    return 1 if failed else 0
