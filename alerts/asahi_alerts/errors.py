"""What can go wrong here, as one tree.

AlertsError
├── ThresholdsError       the thresholds file cannot be used; the message names the key and what was got
└── AlertmanagerError     Alertmanager did not take the alerts
    ├── AlertmanagerUnreachable   no connection, or no answer in time: worth trying again
    └── AlertmanagerRefused       an answer that is an error: its status and words are in the message
"""

from __future__ import annotations


class AlertsError(Exception):
    """Root of every error that this package raises on purpose."""


class ThresholdsError(AlertsError):
    """The thresholds file cannot be used; the message names the key and what was got."""


class AlertmanagerError(AlertsError):
    """Alertmanager did not take the alerts."""


class AlertmanagerUnreachable(AlertmanagerError):  # noqa: N818  (reads better where it is raised)
    """No connection to Alertmanager, or no answer in time."""


class AlertmanagerRefused(AlertmanagerError):  # noqa: N818
    """Alertmanager answered with an error; ``status`` is its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
