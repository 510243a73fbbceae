from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from asahi_alerts import thresholds
from asahi_alerts.errors import ThresholdsError


def test_shipped_thresholds_keep_the_meaning_of_the_specification() -> None:
    shipped = thresholds.load()
    assert shipped.cost_spike_threshold == 2.0
    assert shipped.latency_spike_threshold == 2.0
    assert shipped.error_rate_threshold == 0.01
    assert shipped.cache_degradation_threshold == 0.5
    assert shipped.quality_drop_threshold == 0.5
    assert shipped.rolling_window_hours == 24


def test_shipped_thresholds_are_read_once() -> None:
    assert thresholds.load() is thresholds.load()


def test_burn_windows_page_as_the_multiwindow_rule_does_and_file_tickets_over_whole_days() -> None:
    windows = [
        (window.burn_rate, window.short, window.long, window.severity)
        for window in thresholds.load().budget.burn_windows
    ]
    assert windows == [
        (14.4, "5m", "1h", "critical"),
        (6.0, "30m", "6h", "critical"),
        (3.0, "2h", "1d", "warning"),
        (2.0, "1d", "3d", "warning"),
        (1.1, "1d", "7d", "warning"),
    ]


def test_a_file_of_ones_own_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("cost_spike_threshold: 3\ncost_spike: {for: 20m}\nbudget: {monthly_dollars: 500}\n")
    mine = thresholds.load(path)
    assert mine.cost_spike_threshold == 3.0
    assert (mine.cost_spike.hold, mine.cost_spike.window) == ("20m", thresholds.load().cost_spike.window)
    assert mine.budget.monthly_dollars == 500.0
    assert mine.budget.burn_windows == thresholds.load().budget.burn_windows
    assert thresholds.load().cost_spike_threshold == 2.0


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.yml"
    path.write_text("# nothing yet\n")
    assert thresholds.load(path) == thresholds.load()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("cost_spike_treshold: 2", "cost_spike_treshold"),
        ("cost_spike_threshold: 1", "cost_spike_threshold"),
        ("cost_spike_threshold: .nan", "cost_spike_threshold"),
        ("cost_spike_threshold: .inf", "cost_spike_threshold"),
        ("error_rate_threshold: 0", "error_rate_threshold"),
        ("error_rate_threshold: 1", "error_rate_threshold"),
        ("error_rate_threshold: 0.3", "times its critical_factor is 1.5"),
        ("cache_degradation_threshold: 1", "cache_degradation_threshold"),
        ("quality_drop_threshold: -1", "quality_drop_threshold"),
        ("rolling_window_hours: 0", "rolling_window_hours"),
        ("rolling_window_hours: 1.5", "rolling_window_hours"),
        ("cost_spike: {for: 5 minutes}", "'5 minutes' is not a duration"),
        ("cost_spike: {window: 0m}", "'0m' is not a duration"),
        ("cost_spike: 3", "cost_spike"),
        ("error_rate: {short_window: 30m}", "short_window 30m must be shorter than window 30m"),
        ("exporter_jobs: []", "exporter_jobs"),
        ("exporter_jobs: ['']", "exporter_jobs"),
        ("runbook_base_url: docs/runbooks", "runbook_base_url"),
        ("budget: {monthly_dollars: 0}", "monthly_dollars"),
        ("budget: {burn_windows: []}", "burn_windows"),
        ("- a list", "must hold keys and values, got a list"),
        ("a: [", "are not YAML"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "bad.yml"
    path.write_text(content)
    with pytest.raises(ThresholdsError) as refused:
        thresholds.load(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsError, match=r"nowhere\.yml cannot be read"):
        thresholds.load(tmp_path / "nowhere.yml")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "binary.yml"
    path.write_bytes(b"\xff\xfe\x00cost")
    with pytest.raises(ThresholdsError, match=r"binary\.yml are not YAML"):
        thresholds.load(path)


def burn(**changes: Any) -> dict[str, Any]:
    return {"burn_rate": 2.0, "short": "5m", "long": "1h", "severity": "critical", "for": "2m"} | changes


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ([burn(short="1h")], "short 1h must be shorter than long 1h"),
        ([burn(), burn(burn_rate=1.0)], "a higher burn_rate needs a shorter long window"),
        ([burn(burn_rate=1.0), burn(long="6h")], "a higher burn_rate needs a shorter long window"),
        ([burn(severity="page")], "severity"),
    ],
)
def test_burn_windows_out_of_order_are_refused(windows: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ThresholdsError, match=words):
        thresholds.parse({"budget": {"burn_windows": windows}})


def test_parsing_leaves_its_argument_alone() -> None:
    values = {"budget": {"burn_windows": [burn()]}}
    before = copy.deepcopy(values)
    thresholds.parse(values)
    assert values == before


@pytest.mark.parametrize(
    ("duration", "expected"), [("90s", 90), ("15m", 900), ("6h", 21_600), ("3d", 259_200)]
)
def test_durations_are_seconds(duration: str, expected: int) -> None:
    assert thresholds.seconds(duration) == expected


@pytest.mark.parametrize("duration", ["", "5", "m", "1.5h", "1h30m", "-5m", "5 m", "05m", "1w"])
def test_what_is_no_duration_is_refused(duration: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        thresholds.seconds(duration)


def test_the_head_of_the_file_explains_each_section() -> None:
    text = thresholds.DEFAULT_PATH.read_text()
    assert text.startswith("# When an alert fires")
    for key in yaml.safe_load(text):
        assert f"\n{key}:" in text
