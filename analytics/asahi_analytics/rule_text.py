"""Rules of Prometheus as the text of a file: the same rules are the same text, with long expressions as blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

import yaml

from asahi_analytics.promql import duration

HEADER: Final = "# Made by `asahi-obs rules build`; docs/exact-dollars.md explains it.\n"


def grids_text(prefix: str, recorded: Iterable[tuple[timedelta, str, str]]) -> str:
    """Return recording rules, each by its grid, name and expression, in one group for each grid, named after both."""
    groups: dict[timedelta, list[dict[str, str]]] = {}
    for grid, name, expression in recorded:
        groups.setdefault(grid, []).append({"record": name, "expr": expression})
    return rules_text(
        {"name": f"{prefix}_{duration(grid)}", "interval": duration(grid), "rules": groups[grid]}
        for grid in sorted(groups)
    )


def rules_text(groups: Iterable[Mapping[str, Any]]) -> str:
    """Return ``groups`` of rules as the text of a rule file."""
    return HEADER + yaml.dump({"groups": list(groups)}, sort_keys=False, width=110, Dumper=_Dumper)


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as blocks."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
