"""VictoriaMetrics as a child process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import orjson
import requests

from asahi_analytics.demo.servers import LOOPBACK, Server, find_program, free_port
from asahi_analytics.history import HistorySeries

BYTES_AT_ONCE = 8 << 20


def victoria_metrics(folder: Path, *, port: int | None = None, retention_months: int = 14) -> Server:
    """Return a single-node VictoriaMetrics that lives below ``folder`` (not yet started)."""
    port = port or free_port()
    command = [
        find_program("victoria-metrics"),
        f"-storageDataPath={folder / 'victoria'}",
        f"-httpListenAddr={LOOPBACK}:{port}",
        f"-retentionPeriod={retention_months}",
    ]
    return Server("VictoriaMetrics", command, port, "/health", folder / "victoria.log")


def fill(server: Server, series: Iterable[HistorySeries]) -> None:
    """Write ``series`` to a VictoriaMetrics and let it show them: much faster than by remote write."""
    for lines in _lines(series):
        requests.post(f"{server.url}/api/v1/import", data=lines, timeout=60).raise_for_status()
    flush(server)


def flush(server: Server) -> None:
    """Let a VictoriaMetrics show what it has taken, which it otherwise does after a second or so."""
    requests.get(f"{server.url}/internal/force_flush", timeout=60).raise_for_status()


def _lines(series: Iterable[HistorySeries]) -> Iterator[bytes]:
    """``series`` as lines of JSON, some megabytes of them at a time."""
    lines, size = [], 0
    for one in series:
        labels = {"__name__": one.name, **{name: value for name, value in one.labels.items() if value}}
        samples = {
            "values": np.ascontiguousarray(one.values),
            "timestamps": np.ascontiguousarray(one.times_ms),
        }
        lines.append(orjson.dumps({"metric": labels, **samples}, option=orjson.OPT_SERIALIZE_NUMPY))
        size += len(lines[-1])
        if size > BYTES_AT_ONCE:
            yield b"\n".join(lines)
            lines, size = [], 0
    yield b"\n".join(lines)
