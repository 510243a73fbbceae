"""A Prometheus that holds six hours of the demo's traffic."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from asahi_analytics.demo import servers
from asahi_analytics.demo.build import HistoryPlan, build_history
from asahi_analytics.demo.store import Folder

DAYS = 0.25
SEED = 7


class Quiet:
    """Tells nobody."""

    def say(self, text: str) -> None:
        """Leave ``text`` unsaid."""

    def step(self, _):
        """Leave the step's progress unshown."""
        return contextlib.nullcontext(lambda _done, _total: None)


@contextlib.contextmanager
def demo_prometheus(path: Path) -> Iterator[tuple[servers.Server, datetime]]:
    """Write the history, start a Prometheus on it; yields the server and the end of the history."""
    folder = Folder(path / "demo")
    folder.make()
    end = datetime.now(UTC).replace(microsecond=0)
    build_history(HistoryPlan(end, DAYS, SEED, "127.0.0.1:9091"), folder, Quiet())
    server = servers.prometheus(path, servers.prometheus_config(), data=folder.data)
    with servers.running(server):
        yield server, end
