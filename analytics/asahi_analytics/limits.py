"""The thresholds of alerts and detector, read for commands and service: what is wrong is the user's to mend."""

from __future__ import annotations

from pathlib import Path

from asahi_alerts import generator, thresholds
from asahi_alerts.errors import ThresholdsError
from asahi_alerts.thresholds import Thresholds
from asahi_analytics import recording
from asahi_analytics.errors import UserInputError
from asahi_analytics.tiles import RuleParameters


def load(path: Path | None) -> Thresholds:
    """Return the thresholds of the file at ``path`` laid over the shipped ones, or those alone.

    Raises ``UserInputError`` that names the file and the key.
    """
    try:
        return thresholds.load(path)
    except ThresholdsError as error:
        raise UserInputError(str(error)) from error


def rule_files(limits: Thresholds, parameters: RuleParameters | None = None) -> dict[str, str]:
    """Return the text of every rule file, totals and alerts, by name."""
    totals = recording.rule_files(parameters, latency_quantile=limits.latency_spike.quantile)
    return {**totals, **generator.rule_files(limits)}
