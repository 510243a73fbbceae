"""The console script ``asahi-obs``: one module per command.

A command module has ``add_parser(subparsers)``, which sets ``run`` as the parser's default: a function of the
parsed arguments that returns the exit code.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from asahi_analytics.errors import AnalyticsError

COMMANDS: Final = ("serve", "demo", "replay", "report", "rules", "dashboards", "doctor")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``asahi-obs`` with every command."""
    parser = argparse.ArgumentParser(
        prog="asahi-obs", description="What your LLM traffic cost, what was saved, and what comes next."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        importlib.import_module(f"asahi_analytics.cli.{command}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake or a server's fault ends in one line on stderr and exit code 2."""
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (AnalyticsError, OSError) as error:
        sys.stderr.write(f"asahi-obs {arguments.command}: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
