"""What can go wrong at start; while recording nothing is ever raised.

::

    ExporterError
    ├── ConfigError            a setting is wrong
    ├── StateDirectoryError    the state directory cannot be used
    ├── PortInUseError         the port to serve /metrics on is taken
    └── MissingDependencyError an optional library is not installed
"""

from __future__ import annotations


class ExporterError(Exception):
    """Root of everything that this package raises on its own."""


class ConfigError(ExporterError, ValueError):
    """A setting is missing, unknown or out of range; the message names where it stands."""


class StateDirectoryError(ExporterError, OSError):
    """The state directory is not writable, full, damaged or belongs to another service."""


class PortInUseError(ExporterError, OSError):
    """Another program listens on the port."""


class MissingDependencyError(ExporterError, ImportError):
    """A feature needs a library that is not installed."""


class Refused(ExporterError):  # noqa: N818 - not an error of ours: a record that is not taken
    """A record that cannot be counted. Never leaves the package; ``reason`` is one of ``guard.REASONS``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
