"""``asahi-obs`` itself: its release, and that of code that is not installed."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from asahi_analytics import cli, release
from asahi_analytics.cli import COMMANDS, build_parser, main

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


def test_what_an_extra_brings_is_loaded_by_the_commands_alone() -> None:
    code = "import sys, asahi_analytics.cli; print({'pydantic', 'yaml', 'pandas', 'rich'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"


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


def parsers_below(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """``parser`` and those of its actions."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [each for below in action.choices.values() for each in parsers_below(below)]
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_says_what_the_command_does_and_what_holds_unless_told_otherwise(command) -> None:
    (commands,) = (
        action for action in build_parser(command)._actions if isinstance(action, argparse._SubParsersAction)
    )
    assert COMMANDS[command][1:] in (commands.choices[command].description or "")
    for parser in parsers_below(commands.choices[command]):
        assert parser.description, parser.prog
        for action in parser._actions:
            words = f"{parser.prog} {action.option_strings or action.dest}: {action.help}"
            assert action.help or isinstance(action, argparse._SubParsersAction), words
            if action.nargs != 0 and action.default not in (None, argparse.SUPPRESS, []):
                assert "(default: " in action.help, words


@pytest.mark.parametrize("command", [["rules", "build"], ["dashboards", "build"]], ids=" ".join)
def test_a_folder_that_cannot_be_one_is_named_without_the_systems_number(command, tmp_path, capsys) -> None:
    path = tmp_path / "file"
    path.touch()
    assert main([*command, str(path)]) == 2
    assert capsys.readouterr().err == f"asahi-obs {command[0]}: {path}: File exists\n"


DOCTOR = (
    "import sys; from asahi_analytics.cli import main;"
    "sys.exit(main(['doctor', '--prometheus-url', 'http://127.0.0.1:9']))"
)


def test_a_reader_that_has_heard_enough_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        told = subprocess.run(
            [sys.executable, "-c", DOCTOR], stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(writing)
    assert (told.returncode, told.stderr) == (0, b"")


def test_letters_that_the_terminal_lacks_are_replaced() -> None:
    def shown(_arguments: argparse.Namespace) -> int:
        sys.stdout.write("spend ▇ 3 → 4\n")
        return 0

    parser = argparse.ArgumentParser()
    parser.set_defaults(run=shown)
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "build_parser", lambda _command: parser)
        patch.setattr(sys, "stdout", ascii_only)
        assert main([]) == 0
        ascii_only.flush()
    assert ascii_only.buffer.getvalue() == b"spend ? 3 ? 4\n"
