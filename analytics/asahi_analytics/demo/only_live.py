"""The demo's traffic alone: an exporter to be scraped by a Prometheus that is somebody else's."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from asahi_analytics.demo.build import Teller
from asahi_analytics.demo.present import LiveTraffic, run_traffic
from asahi_analytics.demo.store import intensity_of
from asahi_analytics.errors import UserInputError
from asahi_analytics.traffic.live import EXPORTER_PORT, serving, stopping
from asahi_exporter import ExporterError, MetricsCollector, MetricsConfig


def run_only_live(addr: str, port: int | None, seed: int, teller: Teller) -> int:
    """Serve traffic from now on until SIGINT or SIGTERM; settings come from ``ASAHI_METRICS_*`` in the environment.

    With ``ASAHI_METRICS_STATE_DIR`` the counters go on where they were when it was stopped.
    """
    try:
        collector = MetricsCollector(MetricsConfig.from_env())
    except ExporterError as error:
        raise UserInputError(str(error)) from error
    live = LiveTraffic(collector, intensity_of(datetime.now(UTC), seed), seed, time.time())
    with serving(collector, addr, EXPORTER_PORT if port is None else port) as address, stopping() as stop:
        teller.say(f"Traffic on {address}; Ctrl-C ends it")
        run_traffic(live, stop.wait)
    teller.say(f"{live.requests:,} requests made")
    return 0
