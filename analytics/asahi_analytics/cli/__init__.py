"""The console script ``asahi-obs``: one module per command.

A command module has ``add_parser(subparsers, **words)``, which hands ``words`` (help and description) on to argparse
and sets ``run`` as the parser's default: a function of the parsed arguments that returns the exit code.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from asahi_analytics.cli.words import described
from asahi_analytics.errors import AnalyticsError
from asahi_analytics.release import DISTRIBUTION, release

COMMANDS: Final[Mapping[str, str]] = {
    "serve": "serve the analytics API and its page",
    "demo": "bring up traffic, Prometheus, Alertmanager and the service on this machine",
    "replay": "replay a trace of LLM traffic through the exporter",
    "report": "print what traffic cost and what was saved",
    "rules": "write, check and backfill the Prometheus rules",
    "dashboards": "write the Grafana dashboards, or check them",
    "doctor": "check the installation and say what to do",
}

BLAS_THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""Set to one thread unless the user did otherwise: the matrices here are small, and more threads only wait."""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of ``asahi-obs``; only ``command`` is loaded, so that each one starts quickly."""
    parser = argparse.ArgumentParser(
        prog="asahi-obs", description="What your LLM traffic cost, what was saved, and what comes next."
    )
    parser.add_argument("--version", action="version", version=f"asahi-obs {release()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words in COMMANDS.items():
        if name == command:
            module = importlib.import_module(f"asahi_analytics.cli.{name}")
            module.add_parser(subparsers, **described(words))
        else:
            subparsers.add_parser(name, help=words)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake or a server's fault ends in one line on stderr and exit code 2."""
    for variable in BLAS_THREADS:
        os.environ.setdefault(variable, "1")
    replace_unknown_letters()
    given = sys.argv[1:] if argv is None else list(argv)
    command = next(iter(given), None)
    try:
        arguments = build_parser(command).parse_args(given)
        return int(arguments.run(arguments))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("asahi_"):
            raise
        return _complain(
            command,
            f"{error.name} is not installed; the commands need pip install '{DISTRIBUTION}[analytics]'",
        )
    except AnalyticsError as error:
        return _complain(command, error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(command, f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return 130


def replace_unknown_letters() -> None:
    """Let standard output and error show ``?`` for letters that their encoding lacks, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _complain(command: str | None, words: object) -> int:
    sys.stderr.write(f"asahi-obs {command}: {words}\n")
    return 2
