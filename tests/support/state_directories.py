"""Collectors with a state directory, and the files they leave there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asahi_exporter import MetricsCollector, MetricsConfig


def collector(state: Path, **settings: Any) -> MetricsCollector:
    """Return a collector that keeps its counters in ``state``."""
    return MetricsCollector(MetricsConfig(state_dir=state, **settings))


def files(state: Path, pattern: str = "*.cells") -> list[str]:
    """Return the names of the files there."""
    return sorted(path.name for path in state.glob(pattern))


def die(*collectors: MetricsCollector) -> None:
    """Let go of the files, as the end of a process does; nothing is flushed on purpose."""
    for one in collectors:
        one.close()
