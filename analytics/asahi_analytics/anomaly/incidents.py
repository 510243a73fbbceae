"""From anomalous bins to incidents: one incident is one anomaly, with a start, a peak and an end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.anomaly.bins import Bools, Floats
from asahi_analytics.anomaly.config import Severity

MERGE_GAP: Final = timedelta(hours=1)
"""Anomalous bins no further apart than this belong to one incident."""
HOLD_LIMIT: Final = timedelta(hours=12)
"""So long an incident lasts at most after its last anomalous bin; what lasts longer is the new normal."""


@dataclass(frozen=True)
class Incident:
    """Consecutive anomalous bins of one series; ``first`` to ``last`` are positions, both inclusive."""

    first: int
    told: int
    last: int
    peak: int
    start: datetime
    detected_at: datetime
    peak_at: datetime
    end: datetime
    ongoing: bool
    severity: Severity


def incidents(values: pd.Series, scores: pd.DataFrame, merge_gap: timedelta = MERGE_GAP) -> list[Incident]:
    """Return the incidents in ``scores`` (from ``score_series``), in order of time.

    ``first`` is the earliest bin beyond the threshold that led to the first anomalous bin, ``peak`` the highest, of a
    fall the lowest. An incident goes on
    while values stay nearer to its peak than to what was expected when it began, for ``HOLD_LIMIT`` at most, and
    while the series has not been normal for longer than ``merge_gap``. The index must be regular.
    """
    index = pd.DatetimeIndex(values.index)
    if len(index) < 2:
        return []
    step = (index[1] - index[0]).to_pytimedelta()
    numbers = values.to_numpy(np.float64)
    expected, threshold = (scores[name].to_numpy(np.float64) for name in ("expected", "threshold"))
    beyond = np.where(threshold >= expected, numbers > threshold, numbers < threshold)
    groups = _groups(np.flatnonzero(scores["is_anomaly"]), max(1, merge_gap // step))
    found: list[Incident] = []
    for told, flagged_last in groups:
        if found and told <= found[-1].last:
            continue
        first = _first_beyond(beyond, told)
        last = _held(numbers, expected, (first, flagged_last), HOLD_LIMIT // step)
        away = numbers if numbers[told] > expected[told] else -numbers
        found.append(_incident(scores, away, (first, told, last), merge_gap))
    return found


def _groups(flagged: np.ndarray, gap: int) -> list[tuple[int, int]]:
    """Return the first and last position of each group of ``flagged`` no more than ``gap`` bins apart."""
    groups: list[tuple[int, int]] = []
    for position in map(int, flagged):
        if groups and position - groups[-1][1] <= gap:
            groups[-1] = (groups[-1][0], position)
        else:
            groups.append((position, position))
    return groups


def _first_beyond(beyond: Bools, told: int) -> int:
    """Return the earlier of the two bins before ``told`` that was beyond the threshold too."""
    return next((first for first in (told - 2, told - 1) if first >= 0 and beyond[first]), told)


def _held(values: Floats, expected: Floats, span: tuple[int, int], limit: int) -> int:
    """Return the last bin up to which values stay off the expectation that held when the incident began."""
    first, last = span
    usual = expected[first]
    deviation = values[first : last + 1] - usual
    middle = deviation[np.nanargmax(np.abs(deviation))] / 2
    for position in range(last + 1, min(last + 1 + limit, len(values))):
        off = values[position] - usual
        if not (off > middle if middle > 0 else off < middle):
            return position - 1
    return min(last + limit, len(values) - 1)


def _incident(
    scores: pd.DataFrame, away: Floats, span: tuple[int, int, int], merge_gap: timedelta
) -> Incident:
    """Return the incident of ``span``; ``away`` is the higher, the further a value lies where the incident led."""
    index = pd.DatetimeIndex(scores.index)
    step = (index[1] - index[0]).to_pytimedelta()
    first, told, last = span
    start, detected, end = (index[position].to_pydatetime() for position in (first, told, last))
    peak = first + int(np.nanargmax(away[first : last + 1]))
    critical = bool((scores["severity"].iloc[first : last + 1] == "critical").any())
    return Incident(
        first=first,
        told=told,
        last=last,
        peak=peak,
        start=start,
        detected_at=detected + step,
        peak_at=index[peak].to_pydatetime(),
        end=end + step,
        ongoing=index[-1].to_pydatetime() - end < merge_gap,
        severity="critical" if critical else "warning",
    )
