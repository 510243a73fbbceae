"""``asahi-obs serve``: the analytics service under gunicorn."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from asahi_analytics.cli.files import check_files
from asahi_analytics.cli.options import add_server_options, settings_of
from asahi_analytics.cli.server import MULTIPROCESS_VARIABLE
from asahi_analytics.errors import PrometheusError, UserInputError
from asahi_analytics.prometheus import answers_at_once
from asahi_analytics.settings import PrometheusSettings

_SERVER_MODULE: Final = "asahi_analytics.cli.server"


def add_parser(subparsers: Any, **words: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser("serve", **words)
    add_server_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check what can be checked, then become the server; a Prometheus that is down is only warned about."""
    settings = settings_of(arguments)
    check_port(settings.server.host, settings.server.port)
    check_files(settings)
    warn_if_unreachable(settings.prometheus)
    folder = tempfile.mkdtemp(prefix="asahi-obs-metrics-")
    environment = {**os.environ, MULTIPROCESS_VARIABLE: folder}
    sys.stdout.flush()
    os.execve(sys.executable, command(arguments), environment)  # noqa: S606  (our own interpreter and module)


def command(arguments: argparse.Namespace) -> list[str]:
    """Return the command line of the server process: the same options again."""
    given: Mapping[str, object] = vars(arguments)
    line = [sys.executable, "-m", _SERVER_MODULE]
    for name in ("host", "port", "workers", "prometheus_url", "config"):
        if given.get(name) is not None:
            line += [f"--{name.replace('_', '-')}", str(given[name])]
    return line


def check_port(host: str, port: int) -> None:
    """Raise ``UserInputError`` when ``host`` and ``port`` cannot be listened on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UserInputError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; pass another --host or --port"
        ) from error


def warn_if_unreachable(settings: PrometheusSettings) -> None:
    """Write a line to stderr when Prometheus does not answer now; the service starts all the same."""
    try:
        answers_at_once(settings)
    except PrometheusError as error:
        sys.stderr.write(f"asahi-obs serve: {error}; the service starts, and answers once Prometheus does\n")
