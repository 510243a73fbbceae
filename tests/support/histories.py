"""Short ways to write series down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from asahi_analytics.history import HistorySeries


def as_history(name: str, labels: Mapping[str, str], times: Any, values: Any) -> HistorySeries:
    """A ``HistorySeries`` of sequences of milliseconds and numbers."""
    return HistorySeries(
        name, labels, np.asarray(times, dtype=np.int64), np.asarray(values, dtype=np.float64)
    )
