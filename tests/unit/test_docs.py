"""The docs follow the code: what it has stands in them, and what they point at is there."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from asahi_analytics.api.app import create_app
from asahi_analytics.cli import COMMANDS
from asahi_analytics.settings import Settings
from asahi_exporter import MetricsConfig
from asahi_exporter import conventions as names
from support.snippets import PYTHON, snippets

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)")


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def missing(wanted: list[str], text: str) -> list[str]:
    return [
        name
        for name in wanted
        if f"`{name}" not in text and f'"{name}' not in text and f" {name}" not in text
    ]


def test_every_metric_of_the_exporter_is_described() -> None:
    assert missing([metric.name for metric in names.METRICS], read("exporter.md")) == []


def test_every_setting_of_the_exporter_is_described() -> None:
    assert missing(list(MetricsConfig.model_fields), read("exporter.md")) == []


def test_every_setting_of_the_service_is_described() -> None:
    assert missing(list(Settings.model_fields), read("configuration.md")) == []


def test_every_endpoint_is_described() -> None:
    rules = {rule.rule for rule in create_app().url_map.iter_rules() if "<" not in rule.rule}
    text = read("api.md")
    assert [rule for rule in sorted(rules - {"/"}) if rule not in text] == []


def test_every_alert_is_described_and_has_its_runbook() -> None:
    alerts = [
        rule["alert"]
        for path in sorted((ROOT / "prometheus/rules").glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(alerts) > 10
    assert missing(alerts, read("alerts.md").replace("[", "`")) == []
    assert [name for name in alerts if not (DOCS / "runbooks" / f"{name}.md").exists()] == []


def test_runbooks_ask_for_nothing_that_is_not_recorded() -> None:
    records = {
        rule.get("record")
        for path in (ROOT / "prometheus/rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    }
    exposed = {metric.name for metric in names.METRICS} | {gauge.name for gauge in names.SERVICE_METRICS}
    for page in sorted((DOCS / "runbooks").glob("*.md")):
        for block in re.findall(r"```promql\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            query = re.sub(r"#.*|\"[^\"]*\"", "", block)
            asked = set(re.findall(r"\basahi[a-z0-9_]*(?::[a-z0-9_]+)*", query))
            assert asked - records - exposed == set(), page.name


def test_every_command_is_shown_somewhere() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in COMMANDS if f"asahi-obs {name}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()))
    known = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets
    assert targets <= known


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    assert [name for name in targets if f"  make {name} " not in listed] == []


SEAM = re.compile(
    r"^(?:# (asahi_analytics/\w+)\S*|class (\w+)|( *)def (\w+)\((.*?)\)(?: ->|:))", re.MULTILINE | re.DOTALL
)
PARAMETER = re.compile(r"(?:^|, )(\w+)(?=[:=,]|$)")


def seams() -> Iterator[tuple[str, object, list[str] | None]]:
    """Each class and function among the seams, where it is in the code, and the names of its parameters."""
    module = owner = None
    (block,) = re.findall(r"## The seams\n\n```python\n(.*?)```", read("architecture.md"), re.DOTALL)
    for path, name, indent, function, parameters in SEAM.findall(block):
        if path:
            module = importlib.import_module(path.replace("/", "."))
        elif name:
            owner = getattr(module, name, None)
            yield name, owner, None
        else:
            told = re.sub(r"\[[^\]]*(?:\[[^\]]*\][^\]]*)*\]", "", " ".join(parameters.split()))
            yield function, getattr(owner if indent else module, function, None), PARAMETER.findall(told)


@pytest.mark.parametrize(("name", "there", "parameters"), list(seams()))
def test_every_seam_is_as_the_architecture_says(name, there, parameters) -> None:
    assert there is not None, name
    if parameters is not None:
        assert list(inspect.signature(there).parameters) == parameters


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_stands_in_a_block_of_code_can_be_pasted_as_it_is(page: Path) -> None:
    blocks = re.findall(r"^```.*?\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert [
        line
        for block in blocks
        for line in block.splitlines()
        if re.match(r"[$#%>] \S*\b(curl|asahi-obs|make)\b", line)
    ] == []


def test_every_benchmark_that_a_page_names_is_run_by_make_bench() -> None:
    named = {
        name for page in PAGES for name in re.findall(r"python benchmarks/(\w+\.py)", page.read_text("utf-8"))
    }
    assert len(named) > 5
    run = set(re.findall(r"\w+\.py", (ROOT / "scripts/bench.sh").read_text()))
    assert named - run == set()
    assert {name for name in named if not (ROOT / "benchmarks" / name).is_file()} == set()


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert [(to, at) for to, at in links if at not in anchors(page.parent / to if to else page)] == []


@pytest.mark.parametrize(("page", "code"), snippets(ROOT, PYTHON))
def test_a_snippet_defines_what_it_names_and_prints_what_it_shows(page: str, code: str) -> None:
    line = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F821,B018", "-"]
    found = subprocess.run(line, input=code, capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{page}: {found.stdout}"
