"""``asahi-obs`` itself: its release, and that of code that is not installed."""

from __future__ import annotations

import importlib
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from asahi_analytics import release
from asahi_analytics.cli import COMMANDS, main

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_the_version_is_that_of_the_distribution(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    expected = tomllib.loads(PYPROJECT.read_text())["project"]["version"]
    assert capsys.readouterr().out == f"asahi-obs {expected}\n"


def test_code_that_is_not_installed_has_no_release(monkeypatch) -> None:
    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(release, "version", missing)
    assert release.release() == "0"


def without(monkeypatch, module: str) -> None:
    """Let the command's module end as it does where ``module`` is not installed."""

    def missing(_name: str) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(importlib, "import_module", missing)


def test_an_extra_that_is_not_installed_is_told_with_what_brings_it(monkeypatch, capsys) -> None:
    without(monkeypatch, "rich")
    assert main(["report"]) == 2
    assert capsys.readouterr().err == (
        "asahi-obs report: rich is not installed; the commands need pip install 'asahi-observability[analytics]'\n"
    )


def test_a_module_of_our_own_that_is_missing_is_a_fault_and_not_an_extra(monkeypatch) -> None:
    without(monkeypatch, "asahi_analytics.cli.report")
    with pytest.raises(ModuleNotFoundError):
        main(["report"])


@pytest.mark.parametrize(
    "command",
    [[], *([name] for name in COMMANDS), ["rules", "build"], ["rules", "backfill"], ["dashboards", "check"]],
    ids=" ".join,
)
def test_every_help_fits_into_80_columns(command, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*command, "--help"])
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []
