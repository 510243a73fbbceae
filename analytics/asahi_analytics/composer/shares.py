"""The largest share of each day's dollars that one user had, as the rules recorded it."""

from __future__ import annotations

import numpy as np

from asahi_analytics.composer.rounds import Asking, values
from asahi_analytics.composer.runs import moment
from asahi_analytics.largest_shares import BEFORE, DAY, GRID, READ, SHARE, after, kept
from asahi_analytics.replies import Floats
from asahi_analytics.tiles import PART, SINCE, SNAPSHOT, RuleParameters
from asahi_analytics.windows import Window


def largest_shares(rules: RuleParameters, window: Window) -> Asking[Floats]:
    """Find the largest share, 0-1, of each day of ``window``; NaN where it was not recorded, or nothing was spent."""
    ends: Floats = window.start.timestamp() + DAY.total_seconds() * np.arange(1.0, window.length // DAY + 1)
    if (
        not kept(rules)
        or window.length % DAY
        or not ends.size
        or window.start.timestamp() % GRID.total_seconds()
    ):
        return np.full(ends.size, np.nan)
    first, last = (moment(float(end) + after(rules).total_seconds()) for end in ends[[0, -1]])
    answer = yield from values(READ, first, last, DAY)
    found = {name: np.full(ends.size, np.nan) for name in (SHARE, SNAPSHOT, BEFORE, SINCE)}
    for series in answer.series:
        places = np.rint((series.times - first.timestamp()) / DAY.total_seconds()).astype(np.intp)
        found.setdefault(series.labels.get(PART, ""), np.full(ends.size, np.nan))[places] = series.values
    of_day = (found[SNAPSHOT] == ends) & (found[BEFORE] == ends - DAY.total_seconds())
    return np.where(of_day & (found[SINCE] <= found[BEFORE]), found[SHARE], np.nan)
