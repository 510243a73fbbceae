"""The blocks of code that the README and the pages of docs/ ask to be pasted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

PYTHON: Final = "python"
NOT_TO_PASTE: Final = ("# asahi_analytics/", "# gunicorn.conf.py")
"""How blocks begin that show signatures, or a file of a service of the reader's."""


def snippets(root: Path, language: str) -> list[tuple[str, str]]:
    """Return (page, code) of each block in ``language`` that is to be pasted."""
    return [
        (page.relative_to(root).as_posix(), code)
        for page in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
        for code in re.findall(
            rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        if not code.startswith(NOT_TO_PASTE)
    ]
