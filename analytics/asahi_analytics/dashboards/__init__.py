"""The Grafana dashboards, written by a program so that they cannot drift from the exporter's names.

``DASHBOARDS`` maps a file name to the function that builds its dashboard; ``render`` makes the bytes that are
committed below ``grafana/dashboards``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from asahi_analytics.dashboards.budgets import budgets
from asahi_analytics.dashboards.grafana import Json
from asahi_analytics.dashboards.money import money
from asahi_analytics.dashboards.overview import overview

DASHBOARDS: Final[Mapping[str, Callable[[], Json]]] = {
    "asahi-overview.json": overview,
    "asahi-money.json": money,
    "asahi-budgets.json": budgets,
}


def render(dashboard: Json) -> str:
    """Return ``dashboard`` as the text that is committed, its keys in the order built."""
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[str, str]:
    """Return every dashboard's text by its file name; equal on every call."""
    return {name: render(build()) for name, build in DASHBOARDS.items()}
