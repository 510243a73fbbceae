"""One file of thresholds for alerts and detector, given to the commands and to the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from asahi_alerts import thresholds
from asahi_analytics import limits
from asahi_analytics.anomaly import AnomalyConfig
from asahi_analytics.api.service import build
from asahi_analytics.cli import main
from asahi_analytics.errors import UserInputError
from asahi_analytics.settings import Settings

OWN = """\
cost_spike_threshold: 3.0
rolling_window_hours: 12
usual: {min_history: 8h}
latency_spike: {quantile: 0.99, min_requests: 7}
runbook_base_url: https://example.com/runbooks
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.yml"
    path.write_text(OWN)
    return path


def test_the_detector_follows_the_thresholds_of_the_rules(own: Path) -> None:
    config = AnomalyConfig.following(thresholds.load(own))
    assert (config.cost_spike_threshold, config.rolling_window_hours) == (3.0, 12)
    assert (config.min_history_hours, config.latency_quantile, config.min_requests) == (8.0, 0.99, 7)
    assert config.error_rate_threshold == AnomalyConfig().error_rate_threshold
    assert AnomalyConfig.following(thresholds.load()) == AnomalyConfig()


def test_the_service_takes_the_file_that_it_is_given(own: Path) -> None:
    service = build(Settings(thresholds_file=own))
    assert service.detector.config.cost_spike_threshold == 3.0
    assert service.thresholds.runbook_base_url == "https://example.com/runbooks"
    assert build(Settings()).detector.config == AnomalyConfig()


def test_rules_are_built_and_checked_from_the_file_that_is_given(own: Path, tmp_path: Path, capsys) -> None:
    folder = str(tmp_path / "rules")
    assert main(["rules", "build", folder, "--thresholds", str(own)]) == 0
    assert main(["rules", "check", folder, "--thresholds", str(own)]) == 0
    assert (
        "https://example.com/runbooks/AsahiCostSpike.md"
        in (tmp_path / "rules/asahi_alerts_money.yml").read_text()
    )
    assert "histogram_quantile(0.99" in (tmp_path / "rules/asahi_latency.yml").read_text()
    assert main(["rules", "check", folder]) == 1
    assert "differs from what is built" in capsys.readouterr().err


def test_what_is_wrong_in_the_file_is_the_users_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yml"
    path.write_text("rolling_window_hours: 400\n")
    with pytest.raises(
        UserInputError, match=r"wrong\.yml: rolling_window_hours must be a number of 336 or less"
    ):
        limits.load(path)
