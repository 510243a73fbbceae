"""Tells what a long command is doing: bars with an ETA on a terminal, a line for each finished step elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Update = Callable[[int, int], None]
"""Tells (done, total) of the step; a total of 0 is not known yet."""


class Narrator:
    """Writes to ``stream``, stderr unless told otherwise."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock

    def say(self, text: str) -> None:
        """Write one line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    @contextmanager
    def step(self, name: str) -> Iterator[Update]:
        """Show ``name`` with a bar while the block runs, and how long it took once it is done."""
        started = self._clock()
        with self._bars() as bars:
            task = bars.add_task(name, total=None, rest="")
            yield lambda done, total: bars.update(
                task, completed=done, total=total or None, rest="ETA" if total else f"{done:,} done"
            )
        self.say(f"  {name}: {self._clock() - started:.1f} s")

    def _bars(self) -> Progress:
        return Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[rest]}"),
            TimeRemainingColumn(),
            console=Console(file=self._stream),
            transient=True,
            disable=not self._stream.isatty(),
        )
