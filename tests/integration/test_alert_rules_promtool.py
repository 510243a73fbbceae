"""What promtool and amtool say of the files that are shipped."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from asahi_alerts import generator, thresholds
from asahi_analytics.demo.servers import find_program
from asahi_exporter.promtext import quoted
from support.snippets import snippets

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

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


HOSTILE_JOBS = ("a+b (c)|[d]", 'says "no" \\ {{ $value }}', "x.y")


@pytest.mark.parametrize(
    "jobs", [HOSTILE_JOBS[:1], HOSTILE_JOBS[1:2], HOSTILE_JOBS], ids=["regex", "text", "all"]
)
def test_jobs_are_matched_as_they_are_called(tmp_path: Path, jobs: tuple[str, ...]) -> None:
    limits = thresholds.parse({"exporter_jobs": list(jobs)})
    rules = tmp_path / "asahi_alerts_health.yml"
    rules.write_text(generator.rule_files(limits)[rules.name])
    down = 'count by (job) (ALERTS{alertname="AsahiExporterDown",alertstate="firing"})'
    absent = 'group(ALERTS{alertname="AsahiExporterAbsent",alertstate="firing"})'

    def case(scraped: Sequence[str], alerts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        asked = [
            {
                "expr": query,
                "eval_time": "20m",
                "exp_samples": [{"labels": labels, "value": 1} for labels in found],
            }
            for query, found in alerts.items()
        ]
        series = [{"series": f"up{{job={quoted(job)}}}", "values": "0x20"} for job in scraped]
        return {"interval": "1m", "input_series": series, "promql_expr_test": asked}

    there = case(jobs, {down: [f"{{job={quoted(job)}}}" for job in jobs], absent: []})
    alike = case(("aab c", "d", "xzy", "x"), {down: [], absent: ["{}"]})
    path = tmp_path / "jobs_test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "tests": [there, alike]}))
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


def test_the_prometheus_yml_to_start_from_is_whole_and_scrapes_what_the_sample_does(tmp_path: Path) -> None:
    (block,) = (code for _, code in snippets(ROOT, "yaml") if "scrape_configs" in code)
    (tmp_path / "prometheus.yml").write_text(block)
    shutil.copytree(ROOT / "prometheus" / "rules", tmp_path / "rules")
    checked = said("promtool", "check", "config", str(tmp_path / "prometheus.yml"))
    shipped = len(list((tmp_path / "rules").glob("*.yml")))
    assert f"{shipped} rule files found" in checked
    sample = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    names = [[job["job_name"] for job in each["scrape_configs"]] for each in (yaml.safe_load(block), sample)]
    assert names[0] == names[1]


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
