"""``asahi-obs replay``: recorded traffic, priced and played through the real exporter."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from asahi_analytics.cli.progress import Narrator
from asahi_analytics.demo.servers import free_port, is_free
from asahi_analytics.errors import UserInputError
from asahi_analytics.history import HistorySeries, Written, write_blocks
from asahi_analytics.prices import GenaiPrices, PriceBook, given_prices
from asahi_analytics.remote_write import RemoteWriter
from asahi_analytics.traffic.live import EXPORTER_PORT, LivePlay, play_live
from asahi_analytics.traffic.player import start_of
from asahi_analytics.traffic.scraped import Scrapes, end_of, scrape_trace
from asahi_analytics.traffic.totals import totals_of
from asahi_analytics.traffic.traces import Trace, read_trace
from asahi_analytics.tsdb.blocks import held_between
from asahi_exporter.conventions import REQUESTS

PROMETHEUS_PORT: Final = 9090
PROGRAM: Final = "asahi-obs"
KEPT_DAYS: Final = 400
"""How long beyond its own age a Prometheus is told to keep what was replayed."""
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_EPILOG: Final = """\
examples:
  as history, for a Prometheus to serve:
    asahi-obs replay trace.csv.gz --price m-large=1.60,6.40 --data-dir ./data
  as history, to a running server:
    asahi-obs replay trace.csv --remote-write http://127.0.0.1:9090/api/v1/write
  live, an hour a minute, on /metrics:
    asahi-obs replay trace.csv --speed 60
docs/traffic.md tells more."""


def add_parser(subparsers: Any, **words: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "replay", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, **words
    )
    parser.add_argument(
        "trace", type=Path, metavar="TRACE", help="CSV file, plain or gzip; known by its header"
    )
    _add_outputs(parser)
    _add_prices(parser)
    _add_times(parser)
    _add_totals(parser)
    _add_labels(parser)
    parser.set_defaults(run=run)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="write history into this Prometheus data directory"
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="--data-dir: add to traffic of the same time, which is then counted twice",
    )
    where.add_argument("--remote-write", metavar="URL", help="send history to this remote-write endpoint")
    where.add_argument(
        "--speed",
        type=float,
        default=60.0,
        metavar="N",
        help="play live, N times as fast (default: %(default)g)",
    )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="header for --remote-write; repeatable",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="PORT",
        default=EXPORTER_PORT,
        help="live: port of /metrics (default: %(default)s)",
    )
    parser.add_argument(
        "--addr",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="live: address to listen on (default: %(default)s)",
    )
    parser.add_argument("--exit", action="store_true", help="live: end when the trace is over")


def _add_prices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prices", type=Path, metavar="FILE", help="price file instead of the bundled one")
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        metavar="MODEL=IN,OUT",
        help="dollars per million input and output tokens, before any file; repeatable",
    )
    parser.add_argument(
        "--genai-prices",
        nargs="?",
        const="",
        metavar="PROVIDER",
        help="ask the package genai-prices for models that have no price yet (PROVIDER/MODEL, or all of PROVIDER)",
    )


def _add_times(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--end",
        default="now",
        metavar="TIME",
        help="history: when the trace ends: now, recorded (as in the file) or an RFC 3339 time (default: now)",
    )
    parser.add_argument(
        "--interval",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="history: seconds between scrapes (default: %(default)g)",
    )


def _add_totals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-totals", action="store_true", help="history: only what was scraped, no running totals"
    )


def _add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="unknown", help="model of traces that name none (default: unknown)"
    )
    parser.add_argument("--job", default="asahi", help="history: label job (default: asahi)")
    parser.add_argument("--instance", default="replay", help="history: label instance (default: replay)")


def run(arguments: argparse.Namespace) -> int:
    """Read the trace and play it where the options say."""
    narrator = Narrator()
    check(arguments)
    book = price_book(arguments)
    with narrator.step(f"Reading {arguments.trace.name}") as update:
        trace = read_trace(arguments.trace, update)
    narrator.say(f"  {describe(trace)}")
    if arguments.data_dir or arguments.remote_write:
        return write_history(arguments, trace, book, narrator)
    play = LivePlay(arguments.speed, arguments.addr, arguments.port, arguments.model, stay=not arguments.exit)
    return play_live(trace, book, play, narrator)


def check(arguments: argparse.Namespace) -> None:
    """Raise ``UserInputError`` for options that make no sense, before any work is done."""
    if not 0 < arguments.speed <= 1e6:
        raise UserInputError(f"--speed is {arguments.speed:g}; pass a number above 0 and at most a million")
    if not 1 <= arguments.interval <= 300:
        raise UserInputError(f"--interval is {arguments.interval:g}; pass 1 to 300 seconds")
    if not 0 <= arguments.port <= 65_535:
        raise UserInputError(f"--port is {arguments.port}; pass 0 to 65535")
    if headers(arguments.header) and not arguments.remote_write:
        raise UserInputError("--header goes with --remote-write; nothing else sends headers")
    end_of(arguments.end, datetime.now(UTC))


def price_book(arguments: argparse.Namespace) -> PriceBook:
    """Return the prices that the options name: single ones first, then the file, then the package."""
    book = PriceBook.from_path(arguments.prices) if arguments.prices else PriceBook.bundled()
    if arguments.genai_prices is not None:
        book = PriceBook([book, GenaiPrices(arguments.genai_prices or None)])
    return book.preferring(given_prices(arguments.price)) if arguments.price else book


def describe(trace: Trace) -> str:
    """Return one line about the trace."""
    models = sorted({labels.model for labels in trace.labels if labels.model})
    named = (
        f", models {', '.join(models[:6])}{' …' if len(models) > 6 else ''}" if models else ", no model named"
    )
    hours = trace.length_s / 3600
    length = f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.2f} hours"
    return f"{trace.total_requests:,} requests in {length}{named} (format: {trace.format.name})"


def write_history(arguments: argparse.Namespace, trace: Trace, book: PriceBook, narrator: Narrator) -> int:
    """Write what a Prometheus would have scraped and counted."""
    end = end_of(arguments.end, datetime.now(UTC))
    if end is None and trace.started is None:
        raise UserInputError("this trace does not say when it was recorded; pass --end now or a time")
    interval, start = timedelta(seconds=arguments.interval), start_of(trace, end)
    if arguments.data_dir and not arguments.again:
        refuse_twice(arguments.data_dir, start, start + timedelta(seconds=trace.length_s))
    with narrator.step("Playing through the exporter") as update:
        scrapes = scrape_trace(trace, book, start, interval=interval, model=arguments.model, progress=update)
    written = _write(arguments, list(_series(arguments, scrapes)), narrator)
    first, last = (datetime.fromtimestamp(scrapes.times_ms[at] / 1000, UTC) for at in (0, -1))
    span = f"from {first:{_TIME}} to {last:{_TIME}}"
    narrator.say(f"  {written.samples:,} samples of {written.series:,} series, {span}")
    tell_unpriced(scrapes, narrator)
    if arguments.data_dir:
        narrator.say("  To look at it, in two terminals:")
        sys.stdout.writelines(
            f"{line}\n" for line in commands(arguments.data_dir, first, last, datetime.now(UTC))
        )
    return 0


def refuse_twice(data_dir: Path, start: datetime, end: datetime) -> None:
    """Raise ``UserInputError`` when ``data_dir`` holds traffic of Asahi's between ``start`` and ``end`` already."""
    held = held_between(data_dir, (REQUESTS.name,), start, end)
    if held is not None:
        first, last = (moment.isoformat(timespec="seconds") for moment in held)
        raise UserInputError(
            f"{data_dir} already holds traffic from {first} to {last}, and the same time would be counted twice; "
            "pass another --data-dir, an --end so that the times do not overlap, or --again to add it all the same"
        )


def commands(data_dir: Path, first: datetime, last: datetime, now: datetime) -> tuple[str, str]:
    """Return what to type to look at ``data_dir``: a Prometheus on a free port that keeps it all, and a report.

    The report is called as this command was, which need not be on the PATH.
    """
    own = sys.argv[0] if Path(sys.argv[0]).name == PROGRAM else PROGRAM
    days = max(KEPT_DAYS, (now - first).days + KEPT_DAYS)
    address = f"127.0.0.1:{PROMETHEUS_PORT if is_free(PROMETHEUS_PORT) else free_port()}"
    whole = (first, last + timedelta(seconds=1) if last.microsecond else last)
    window = ",".join(f"{moment:{_TIME}}" for moment in whole)
    return (
        f"prometheus --config.file=/dev/null --storage.tsdb.path={shlex.quote(str(data_dir))} "
        f"--storage.tsdb.retention.time={days}d --web.listen-address={address}",
        f"{shlex.quote(own)} report --window {window} --prometheus-url http://{address}",
    )


def _series(arguments: argparse.Namespace, scrapes: Scrapes) -> Iterator[HistorySeries]:
    raw = list(scrapes.series({"job": arguments.job, "instance": arguments.instance}))
    yield from raw
    if not arguments.no_totals:
        yield from totals_of(raw)


def _write(arguments: argparse.Namespace, series: Iterable[HistorySeries], narrator: Narrator) -> Written:
    if arguments.data_dir:
        with narrator.step(f"Writing blocks to {arguments.data_dir}") as update:
            return write_blocks(series, arguments.data_dir, on_series=update)
    with narrator.step(f"Sending to {arguments.remote_write}") as update:
        return RemoteWriter(arguments.remote_write, headers=headers(arguments.header)).write(series, update)


def headers(given: Iterable[str]) -> dict[str, str]:
    """Return the headers of ``NAME:VALUE`` arguments."""
    found = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not (colon and name.strip()):
            raise UserInputError(f"--header is {text!r}; write NAME:VALUE, such as X-Scope-OrgID:demo")
        found[name.strip()] = value.strip()
    return found


def tell_unpriced(scrapes: Scrapes, narrator: Narrator) -> None:
    """Say how many requests had no price, if any."""
    if scrapes.unpriced:
        narrator.say(
            f"  {scrapes.unpriced:,} of {scrapes.requests:,} requests have no price; they are counted as unpriced, "
            "not as free. Pass --price MODEL=IN,OUT or --prices FILE (and --model for a trace that names none)."
        )
