"""YAML of ours, read strictly: a key that stands twice is a slip, and so is a date that no calendar has."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, ScalarNode

_TIMESTAMP: Final = "tag:yaml.org,2002:timestamp"


class _StrictLoader(yaml.SafeLoader):
    """Refuses what ``SafeLoader`` lets pass (the last of two equal keys wins) or trips over (30 February)."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise ConstructorError(None, None, f"the key {key.value!r} is given twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_timestamp(self, node: ScalarNode) -> Any:
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError as error:
            problem = f"{node.value!r} is no date: {error}"
            raise ConstructorError(None, None, problem, node.start_mark) from error


_StrictLoader.add_constructor(_TIMESTAMP, _StrictLoader.construct_yaml_timestamp)


def load(text: str) -> Any:
    """Return what ``text`` holds as plain data; None for an empty text.

    Raises:
        yaml.YAMLError: no YAML, a key given twice in one mapping, or a date that does not exist; says where,
            in one line.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        raise yaml.YAMLError(_in_one_line(error)) from error


def _in_one_line(error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong and where; a mark's own words quote the text and name it ``<unicode string>``."""
    words = " ".join(f"{error.context or ''} {error.problem or ''}".split())
    mark = error.problem_mark or error.context_mark
    return f"{words} (line {mark.line + 1}, column {mark.column + 1})" if mark else words
