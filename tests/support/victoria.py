"""VictoriaMetrics as a child process."""

from __future__ import annotations

from pathlib import Path

from asahi_analytics.demo.servers import LOOPBACK, Server, find_program, free_port


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
