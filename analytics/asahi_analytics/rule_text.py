"""Rules of Prometheus as the text of a file: the same rules are the same text, with long expressions as blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

HEADER: Final = "# Made by `asahi-obs rules build`; docs/exact-dollars.md explains it.\n"


def rules_text(groups: Iterable[Mapping[str, Any]]) -> str:
    """Return ``groups`` of rules as the text of a rule file."""
    return HEADER + yaml.dump({"groups": list(groups)}, sort_keys=False, width=110, Dumper=_Dumper)


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as blocks."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
