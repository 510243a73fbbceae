"""A Prometheus that holds six hours of the demo's traffic."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
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
def demo_prometheus(
    path: Path, days: float = DAYS, targets: Mapping[str, Sequence[str]] | None = None
) -> Iterator[tuple[servers.Server, datetime]]:
    """Write the history, start a Prometheus on it; yields the server and the end of the history.

    It scrapes ``targets`` every second, which are served from then on or later.
    """
    folder = Folder(path / "demo")
    folder.make()
    end = datetime.now(UTC).replace(microsecond=0)
    build_history(HistoryPlan(end, days, SEED, "127.0.0.1:9091"), folder, Quiet())
    config = servers.prometheus_config(targets=targets, scrape_interval="1s")
    server = servers.prometheus(path, config, data=folder.data)
    with servers.running(server):
        yield server, end
