"""The process that ``asahi-obs serve`` becomes: loading the server takes seconds, in which it ends quietly, too."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from types import FrameType
from typing import Final

MULTIPROCESS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Read by prometheus-client when it is imported, so it must stand in the environment of a new process."""


def main() -> int:
    """Load the server and serve until stopped; the server handles signals itself once it runs."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return int(importlib.import_module("asahi_analytics.api.server").main())


def stop(number: int, _frame: FrameType | None) -> None:
    """End at once, and leave no folder behind."""
    if folder := os.environ.get(MULTIPROCESS_VARIABLE):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
