"""``asahi-obs`` itself: its release, and that of code that is not installed."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from asahi_analytics import release
from asahi_analytics.cli import main

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
