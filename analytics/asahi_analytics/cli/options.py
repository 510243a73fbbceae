"""Options that several commands share, and the settings that follow from them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from asahi_analytics.settings import Settings, load

_OVERRIDES: Final[Mapping[str, str]] = {
    "prometheus_url": "prometheus.url",
    "host": "server.host",
    "port": "server.port",
    "workers": "server.workers",
}


def add_folder(parser: argparse.ArgumentParser, default: Path) -> None:
    """Add the folder that generated files lie in."""
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        default=default,
        help="where the files lie (default: %(default)s)",
    )


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--prometheus-url`` and ``--config``."""
    parser.add_argument(
        "--prometheus-url", metavar="URL", help="address of Prometheus (default: http://127.0.0.1:9090)"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML file of settings; see docs/configuration.md"
    )


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add where to listen and with how many processes, and the options of the connection."""
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port", metavar="PORT", help="port to listen on (default: 8000; 0 takes a free one)"
    )
    parser.add_argument("--workers", metavar="N", help="processes (default: one for each core, at most four)")
    add_connection_options(parser)


def settings_of(arguments: argparse.Namespace, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings: defaults, then ``--config``, then the environment, then the other options."""
    given = vars(arguments)
    overrides = {key: given.get(option) for option, key in _OVERRIDES.items()}
    return load(given.get("config"), os.environ if environment is None else environment, overrides)
