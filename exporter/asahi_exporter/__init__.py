"""Exporter of Asahi: what instrumented code imports."""

from asahi_exporter.collector import MetricsCollector
from asahi_exporter.config import MetricsConfig
from asahi_exporter.errors import (
    ConfigError,
    ExporterError,
    MissingDependencyError,
    PortInUseError,
    StateDirectoryError,
)
from asahi_exporter.events import InferenceEvent

__all__ = [
    "ConfigError",
    "ExporterError",
    "InferenceEvent",
    "MetricsCollector",
    "MetricsConfig",
    "MissingDependencyError",
    "PortInUseError",
    "StateDirectoryError",
]
