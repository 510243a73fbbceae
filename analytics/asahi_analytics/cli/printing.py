"""What commands print on: a console that leaves it to them what to do when nobody reads on."""

from __future__ import annotations

import sys
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from asahi_exporter.prose import one_line


class Printing(Console):
    """Standard output: as wide as the terminal, or ``width`` where it is none."""

    def __init__(self, width: int) -> None:
        super().__init__(width=None if sys.stdout.isatty() else width, highlight=False)

    def on_broken_pipe(self) -> NoReturn:
        """Raise a ``BrokenPipeError``; rich would end the process with exit code 1."""
        raise BrokenPipeError


def name_text(name: str) -> Text:
    """Return a label value as text of one line; what is no visible character is written as its escape.

    Label values come from whoever sends requests: a terminal would obey their control characters.
    """
    return Text(one_line(name))
