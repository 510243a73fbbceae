"""What promtool and amtool say of the files that are shipped."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from asahi_analytics.demo.servers import find_program

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "prometheus" / "rules").glob("asahi_alerts*.yml"))
TESTS = sorted((ROOT / "prometheus" / "tests").glob("asahi_alerts*_test.yml"))
CRITICAL_OF_CAUSES = ("AsahiExporterDown", "AsahiExporterAbsent", "AsahiTotalsMissing", "AsahiErrorRateHigh")


def said(program: str, *arguments: str) -> str:
    answer = subprocess.run([find_program(program), *arguments], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def test_promtool_has_nothing_to_say_about_the_rules() -> None:
    assert len(RULES) == 3
    answer = said("promtool", "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES))
    assert answer.count("SUCCESS") == len(RULES)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_as_written_down(path: Path) -> None:
    assert "SUCCESS" in said("promtool", "test", "rules", str(path))


RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))


def test_every_query_of_a_runbook_can_be_pasted_whole(tmp_path: Path) -> None:
    blocks = [
        block
        for page in RUNBOOKS
        for block in re.findall(r"```promql\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    ]
    assert len(blocks) > len(RUNBOOKS)
    rules = [{"record": f"pasted:query{number}:once", "expr": block} for number, block in enumerate(blocks)]
    path = tmp_path / "pasted.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "pasted", "rules": rules}]}))
    assert "SUCCESS" in said("promtool", "check", "rules", str(path))


CONFIGURATION = str(ROOT / "alerts" / "alertmanager.yml")


def test_amtool_accepts_the_sample_configuration() -> None:
    assert "SUCCESS" in said("amtool", "check-config", CONFIGURATION)


@pytest.mark.parametrize(
    ("severity", "receiver"),
    [("critical", "page"), ("warning", "ticket"), ("info", "note"), ("none", "note")],
)
def test_alerts_go_where_their_severity_says(severity: str, receiver: str) -> None:
    routed = said(
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={CONFIGURATION}",
        f"--verify.receivers={receiver}",
        "alertname=AsahiCostSpike",
        f"severity={severity}",
    )
    assert receiver in routed
