"""Where the demo keeps its files, and the exporter whose counters its history leads up to."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from asahi_analytics.demo.intensity import Intensity
from asahi_analytics.errors import UserInputError
from asahi_exporter import MetricsCollector, MetricsConfig

MARK: Final = "made-by-asahi-obs-demo"
"""File that says that a folder is the demo's own and may be removed."""
RECORDED: Final = "recorded-until"
"""File with the time up to which live traffic was recorded, in seconds since 1970."""
SERVICE: Final = "asahi-demo"


@dataclass(frozen=True)
class Folder:
    """The folder of one demo and the places in it."""

    path: Path

    @property
    def state(self) -> Path:
        """The exporter's counters."""
        return self.path / "state"

    @property
    def data(self) -> Path:
        """Prometheus' data directory."""
        return self.path / "prometheus" / "data"

    @property
    def ended(self) -> datetime | None:
        """When the history in this folder ended, or None if there is none that is complete."""
        mark = self.path / MARK
        text = mark.read_text().strip() if mark.exists() else ""
        return datetime.fromisoformat(text) if text else None

    @property
    def recorded_s(self) -> float | None:
        """Up to when live traffic was recorded here, in seconds since 1970, or None if none was."""
        mark = self.path / RECORDED
        return float(mark.read_text()) if mark.exists() else None

    def note_recorded(self, until_s: float) -> None:
        """Note that live traffic was recorded up to ``until_s``; whoever is killed meanwhile leaves the note before."""
        note = self.path / f"{RECORDED}.new"
        note.write_text(f"{until_s!r}\n")
        note.replace(self.path / RECORDED)

    def make(self) -> None:
        """Create the folder, marked as the demo's.

        Raises ``UserInputError`` when it is there, not empty and not the demo's.
        """
        if self.path.exists() and not (self.path / MARK).exists() and any(self.path.iterdir()):
            raise UserInputError(f"{self.path} is not empty and not a demo's folder; pass another --dir")
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / MARK).touch()

    def complete(self, end: datetime) -> None:
        """Note that the history is written, up to ``end``."""
        (self.path / MARK).write_text(f"{end.isoformat()}\n")

    def clear(self) -> None:
        """Remove what an earlier demo left here; raise ``UserInputError`` if it is not a demo's folder."""
        self.make()
        (self.path / MARK).write_text("")
        for left in self.path.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            elif left.name != MARK:
                left.unlink()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for one demo; raise ``UserInputError`` if another runs in it or it is not a demo's."""
        self.make()
        with (self.path / MARK).open("rb") as mark:
            try:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserInputError(
                    f"another demo runs in {self.path}; end it, or pass another --dir"
                ) from error
            yield


@contextmanager
def exporter(folder: Folder, clock_s: float | None = None) -> Iterator[MetricsCollector]:
    """Open the demo's exporter; its clock stands still at ``clock_s`` when that is given."""
    config = MetricsConfig(state_dir=folder.state, service=SERVICE)
    collector = (
        MetricsCollector(config) if clock_s is None else MetricsCollector(config, clock=lambda: clock_s)
    )
    try:
        yield collector
    finally:
        collector.close()


def intensity_of(end: datetime, seed: int) -> Intensity:
    """Return the world whose history ends at ``end``."""
    return Intensity(end.timestamp(), seed)
