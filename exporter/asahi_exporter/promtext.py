"""Text as PromQL writes it: string literals, and regular expressions that match one text and nothing else."""

from __future__ import annotations

import re
from typing import Final

_ESCAPES: Final = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\0": r"\x00"}
_REGEX_SPECIAL: Final = re.compile(r"([\\.+*?()|\[\]{}^$])")


def quoted(text: str) -> str:
    """Return ``text`` as a PromQL string literal with its quotes."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'


def regex_escaped(text: str) -> str:
    """Return a regular expression (RE2) that matches ``text`` and nothing else; it is not quoted yet."""
    return _REGEX_SPECIAL.sub(r"\\\1", text)
