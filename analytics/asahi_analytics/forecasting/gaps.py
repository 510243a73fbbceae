"""A gap in scraping is not a lull: which bins of a history cannot be believed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asahi_analytics.composer import Gap

LONG: Final = 0.25
"""Share of a bin that a gap may hide before the bin counts as missing."""


def without_gaps(frame: pd.DataFrame, gaps: Sequence[Gap], step: timedelta) -> pd.DataFrame:
    """Return ``frame`` with NaN in the rows that a gap makes unusable; the argument is unchanged.

    What happened in a gap shows at its end. So a gap inside one bin does no harm; one that crosses from bin to bin
    takes from the earlier bins and swells the last. Where it hides more than ``LONG`` of an earlier bin, that bin
    and the one in which the gap ends are missing.
    """
    bad = np.zeros(len(frame), dtype=bool)
    starts = pd.DatetimeIndex(frame.index).as_unit("ns").asi8
    for gap in gaps:
        bad |= _spoilt(starts, gap, step)
    return frame.mask(pd.Series(bad, index=frame.index), axis=0) if bad.any() else frame.copy()


def _spoilt(starts: NDArray[np.int64], gap: Gap, step: timedelta) -> NDArray[np.bool_]:
    """Mark the bins, by their ``starts`` in ns, that ``gap`` took from or swelled."""
    length = pd.Timedelta(step).value
    first, last = pd.Timestamp(gap.start).value, pd.Timestamp(gap.end).value
    ends = starts + length
    hidden = np.minimum(ends, last) - np.maximum(starts, first)
    taken = (ends <= last) & (hidden > LONG * length)
    swollen = (starts < last) & (ends > last) & taken.any()
    return np.asarray(taken | swollen)
