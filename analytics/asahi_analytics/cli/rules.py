"""``asahi-obs rules``: write the Prometheus rules, check them, and fill in the totals from before they ran."""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from asahi_analytics import limits, tiles
from asahi_analytics.backfill import snapshot_grid, totals_before
from asahi_analytics.cli.options import add_connection_options, add_folder, settings_of
from asahi_analytics.cli.words import described
from asahi_analytics.composer import rounds
from asahi_analytics.composer.runs import look_in
from asahi_analytics.demo.servers import find_program
from asahi_analytics.errors import NotEnoughData, UserInputError
from asahi_analytics.history import Milliseconds, write_blocks
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.tiles import BACKFILLED
from asahi_analytics.tsdb.blocks import held_between
from asahi_analytics.windows import MAX_WINDOW
from asahi_exporter.conventions import FAMILIES, Family

DEFAULT_FOLDER: Final = Path("prometheus/rules")
HOUR: Final = 3600
PATIENCE_SECONDS: Final = 120.0
"""A day of raw samples of a large installation takes a while to read."""


def add_parser(subparsers: Any, **words: str) -> None:
    """Add the command with its actions ``build``, ``check`` and ``backfill``."""
    parser = subparsers.add_parser("rules", **words)
    actions = parser.add_subparsers(dest="action", required=True, metavar="build|check|backfill")
    build = actions.add_parser("build", **described("write every rule file"))
    _add_folder_and_parameters(build)
    build.set_defaults(run=run_build)
    check = actions.add_parser("check", **described("compare the files with what is built, and ask promtool"))
    _add_folder_and_parameters(check)
    check.set_defaults(run=run_check)
    backfill = actions.add_parser(
        "backfill",
        **described("make the totals from before the rules ran, from raw samples, as blocks for Prometheus"),
    )
    backfill.add_argument(
        "output",
        type=Path,
        metavar="DATA_DIR",
        help="Prometheus's data directory, or a folder to move blocks from",
    )
    backfill.add_argument(
        "--again", action="store_true", help="write totals that DATA_DIR seems to hold already all the same"
    )
    add_connection_options(backfill)
    backfill.add_argument(
        "--days", type=float, metavar="N", default=30.0, help="how far back (default: %(default)g)"
    )
    backfill.add_argument(
        "--family",
        action="append",
        choices=sorted(FAMILIES),
        metavar="NAME",
        help=f"only this one (repeatable), of {', '.join(sorted(FAMILIES))}",
    )
    backfill.set_defaults(run=run_backfill)


def _add_folder_and_parameters(parser: argparse.ArgumentParser) -> None:
    defaults = tiles.RuleParameters()
    add_folder(parser, DEFAULT_FOLDER)
    parser.add_argument(
        "--thresholds",
        type=Path,
        metavar="FILE",
        help="YAML file laid over the shipped thresholds of the alerts; docs/alerts.md lists its keys",
    )
    for name, text in (
        ("interval", "between totals of money and of what alerts watch by the minute"),
        ("state_interval", "between evaluations that carry the state of every counter"),
        ("scrape_interval", "the shortest scrape interval of an exporter"),
        ("settle", "how long a scrape may take to be stored"),
        ("lookback", "how old a sample may be"),
        ("state_lookback", "how long an interruption may last"),
    ):
        default = getattr(defaults, name).total_seconds()
        option = "--" + name.replace("_", "-")
        parser.add_argument(
            option,
            type=_length,
            metavar="SECONDS",
            default=timedelta(seconds=default),
            help=f"{text} (default: {default:g})",
        )


def _length(seconds: str) -> timedelta:
    """Return a length of time that was given in seconds.

    Raises:
        ArgumentTypeError: it is no number, NaN, or more than can be told.
    """
    try:
        return timedelta(seconds=float(seconds))
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"must be a number of seconds; got {seconds!r}") from error


def rule_files(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the text of every rule file, totals and alerts, by name."""
    names = ("interval", "state_interval", "scrape_interval", "settle", "lookback", "state_lookback")
    parameters = tiles.RuleParameters(**{name: getattr(arguments, name) for name in names})
    return limits.rule_files(limits.load(arguments.thresholds), parameters)


def run_build(arguments: argparse.Namespace) -> int:
    """Write the rule files below the folder and name each."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, text in rule_files(arguments).items():
        path = arguments.folder / name
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Print which files differ from what is built and what promtool says; return 1 when something is wrong."""
    problems = differences(arguments.folder, rule_files(arguments)) or promtool_problems(arguments.folder)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if not problems:
        sys.stdout.write("rules: nothing to complain about\n")
    return 1 if problems else 0


def differences(folder: Path, built: dict[str, str]) -> list[str]:
    """Return a sentence for each file that is missing, differs, or is not one of ours."""
    problems = []
    for name, text in built.items():
        path = folder / name
        if not path.exists():
            problems.append(f"{path} is missing; write it with: asahi-obs rules build {folder}")
        elif path.read_text(encoding="utf-8") != text:
            problems.append(
                f"{path} differs from what is built; write it with: asahi-obs rules build {folder}"
            )
    strangers = {path.name for path in folder.glob("asahi_*.yml")} - set(built)
    return problems + [
        f"{folder / name} is not built by asahi-obs any more; remove it" for name in sorted(strangers)
    ]


def promtool_problems(folder: Path) -> list[str]:
    """Return what ``promtool check rules`` complains about."""
    files = sorted(str(path) for path in folder.glob("*.yml"))
    answer = subprocess.run(  # noqa: S603
        [find_program("promtool"), "check", "rules", *files], capture_output=True, text=True, check=False
    )
    return [] if answer.returncode == 0 else [(answer.stderr or answer.stdout).strip()]


def run_backfill(arguments: argparse.Namespace) -> int:
    """Write hourly totals of the days before the rules began, as blocks."""
    if not 0 < arguments.days <= MAX_WINDOW.days:
        raise UserInputError(f"--days must be above 0 and at most {MAX_WINDOW.days}; got {arguments.days:g}")
    patience = {"deadline_seconds": PATIENCE_SECONDS, "read_timeout_seconds": PATIENCE_SECONDS}
    client = PrometheusClient(settings_of(arguments).prometheus.model_copy(update=patience))
    rules, now = tiles.RuleParameters(), datetime.now(UTC)
    families = [FAMILIES[name] for name in arguments.family or FAMILIES]
    begun = {family.name: _begun(client, family, rules, now) for family in families}
    start = now - timedelta(days=arguments.days)
    grids = {family.name: _grid(family, start, begun[family.name]) for family in families}
    missing = [family for family in families if grids[family.name].size]
    if not missing:
        sys.stdout.write("nothing is missing, nothing was written\n")
        return 0
    if not arguments.again:
        for family in missing:
            _refuse_twice(arguments.output, family, start, begun[family.name])
    series = (one for family in missing for one in totals_before(client, family, grids[family.name], rules))
    written = write_blocks(series, arguments.output)
    sys.stdout.write(
        f"wrote {written.samples} samples of {written.series} series in {written.blocks} blocks to {arguments.output}\n"
    )
    if written.blocks:
        sys.stdout.write(
            "a Prometheus with this data directory finds them within about a minute; for another one, move the blocks "
            "into its own (--storage.tsdb.path)\n"
        )
    return 0


def _refuse_twice(output: Path, family: Family, start: datetime, begun: datetime) -> None:
    """Raise ``UserInputError`` when ``output`` holds backfilled totals of ``family`` from before ``begun`` already."""
    names = (BACKFILLED, tiles.state_metric(family))
    held = held_between(output, names, start, begun - timedelta(milliseconds=1))
    if held is not None:
        first, last = (moment.isoformat(timespec="seconds") for moment in held)
        raise UserInputError(
            f"{output} already holds backfilled totals of {family.name}, in blocks from {first} to {last}; if that is "
            "Prometheus's data directory, give it a minute to see them; else pass another one, or --again"
        )


def _begun(client: PrometheusClient, family: Family, rules: tiles.RuleParameters, now: datetime) -> datetime:
    """When the rules of ``family`` began; raise ``UserInputError`` where they do not run."""
    look = look_in(tiles.state_metric(family))
    run = rounds.run(look(now.timestamp(), rules.state_lookback.total_seconds()), client)
    if run is None:
        minutes = np.ceil((rules.state_interval + rules.settle) / timedelta(minutes=1))
        raise UserInputError(
            f"{client.settings.url} does not evaluate the rules of {family.name} yet; load the rule files first, "
            f"wait {minutes:.0f} minutes, then fill in what was before"
        )
    return datetime.fromtimestamp(run.since, UTC)


def _grid(family: Family, start: datetime, begun: datetime) -> Milliseconds:
    """Return the moments at which totals of ``family`` are missing: hours from ``start`` until its rules began."""
    try:
        grid = snapshot_grid(start, begun, HOUR)
    except NotEnoughData:
        sys.stdout.write(f"{family.name}: the rules have run since {begun:%Y-%m-%d %H:%M} UTC\n")
        return np.empty(0, dtype=np.int64)
    since_ms = round(begun.timestamp() * 1000)
    if grid[-1] < since_ms:
        grid = np.append(grid, since_ms)
    sys.stdout.write(f"{family.name}: {grid.size - 1} hours before {begun:%Y-%m-%d %H:%M} UTC\n")
    return grid
