"""``asahi-obs dashboards``: write the Grafana dashboards, and check them against a Prometheus."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from asahi_analytics import dashboards
from asahi_analytics.cli.options import add_folder
from asahi_analytics.cli.words import described
from asahi_analytics.dashboards import check, lint
from asahi_analytics.prometheus import PrometheusClient

DEFAULT_FOLDER: Final = Path("grafana/dashboards")


def add_parser(subparsers: Any, **words: str) -> None:
    """Add the command with its actions ``build`` and ``check``."""
    parser = subparsers.add_parser("dashboards", **words)
    actions = parser.add_subparsers(dest="action", required=True, metavar="build|check")
    build = actions.add_parser("build", **described("write every dashboard as JSON"))
    add_folder(build, DEFAULT_FOLDER)
    build.set_defaults(run=run_build)
    words = described("compare the files with what is built, lint them, and ask a Prometheus every query")
    checking = actions.add_parser("check", **words)
    add_folder(checking, DEFAULT_FOLDER)
    checking.add_argument(
        "--prometheus-url", metavar="URL", help="ask this Prometheus every query and print what it returned"
    )
    checking.add_argument(
        "--since",
        metavar="TIME",
        help="start of the time range, such as now-7d (default: each dashboard's own)",
    )
    checking.add_argument(
        "--at",
        type=_moment,
        metavar="TIME",
        help="end of the time range, such as 2026-03-01T12:00:00Z (default: now)",
    )
    checking.set_defaults(run=run_check)


def run_build(arguments: argparse.Namespace) -> int:
    """Write the dashboards below the folder and name each file."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, text in dashboards.files().items():
        path = arguments.folder / name
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Print what is wrong, or that all is well; return 1 when something is wrong."""
    problems = differences(arguments.folder)
    for text in dashboards.files().values():
        problems += lint.lint(json.loads(text))
    if arguments.prometheus_url:
        problems += _ask(arguments)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if not problems:
        sys.stdout.write("dashboards: nothing to complain about\n")
    return 1 if problems else 0


def differences(folder: Path) -> list[str]:
    """Return one sentence for each dashboard file below ``folder`` that is not what would be built."""
    problems = []
    for name, text in dashboards.files().items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing; write it with: asahi-obs dashboards build {folder}")
        elif path.read_text(encoding="utf-8") != text:
            problems.append(
                f"{path} differs from what is built; write it with: asahi-obs dashboards build {folder}"
            )
    return problems


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a time like 2026-03-01T12:00:00Z; got {text!r}") from error
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone; end it with Z or +02:00")
    return moment.astimezone(UTC)


def _ask(arguments: argparse.Namespace) -> list[str]:
    client = PrometheusClient(arguments.prometheus_url)
    now = arguments.at or datetime.now(UTC)
    answers = [
        answer
        for build in dashboards.DASHBOARDS.values()
        for answer in check.ask(client, build(), now, since=arguments.since)
    ]
    sys.stdout.write(check.listing(answers) + "\n")
    return check.problems(answers)
