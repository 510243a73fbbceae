"""Jumps that stay: what the series was before one, so that a long incident does not soon become its own reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from asahi_analytics.anomaly.bins import Bins, Bools, Floats, before, past
from asahi_analytics.anomaly.usual import nanquantile_rows

LOCAL_BINS: Final = 3
"""The level right before a jump: the median of so many bins."""
JUMP_FACTOR: Final = 1.7
"""A jump is at least this many times the level right before it..."""
JUMP_QUANTILE: Final = 0.9985
"""...and such as the series made no more than once or twice in its past week of ten-minute bins."""
NOISE_HOURS: Final = 7 * 24.0
STAY_FACTOR: Final = 1.5
"""It stays while it is above this many times that level, but for a single bin."""
HOLD_HOURS: Final = 6.0
"""For so long at most: what stays longer is the new level."""
SETTLED_HOURS: Final = 0.5
"""After so long it is held against the level right before it, no longer against the hours before."""
MEDIAN_MIN_BINS: Final = 4


@dataclass(frozen=True)
class Jumps:
    """``raised``: bins that stay above the level before a rare jump; ``before``: what they are to be held against."""

    raised: Bools
    before: Floats


def find_jumps(bins: Bins, width: int) -> Jumps:
    """Return the jumps of ``bins``, and the median of the last ``width`` bins without them.

    The median is NaN where the series has not jumped at all. Both look back only: whether a bin belongs to a jump
    depends on the bins up to it. NaN neither makes nor ends one.
    """
    local = before(pd.Series(bins.values).rolling(LOCAL_BINS, min_periods=1).median().to_numpy())
    raised = np.zeros(len(bins), dtype=bool)
    settled = np.full(len(bins), np.nan)
    hold, settling = bins.within(HOLD_HOURS), bins.within(SETTLED_HOURS)
    end = 0
    for start in map(int, np.flatnonzero(rare_steps(bins, local))):
        if start < end:
            continue
        level = local[start]
        run = bins.values[start : start + hold]
        end = start + _length(run <= STAY_FACTOR * level)
        raised[start:end] = bins.values[start:end] > STAY_FACTOR * level
        settled[start + settling : end] = level
    if not raised.any():
        return Jumps(raised, settled)
    return Jumps(raised, np.fmin(_median_without(bins, raised, width), settled))


def rare_steps(bins: Bins, local: Floats) -> Bools:
    """Return where a bin exceeds the level right before it by more than the series does once or twice a week.

    What was before the series counts as calm. Few bins exceed it by enough at all, so the week is looked at before
    those alone.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.log(bins.values / local)
    week = bins.within(NOISE_HOURS, 6)
    padded = np.concatenate([np.zeros(week), np.where(np.isfinite(step), step, 0.0)])
    rare: Bools = np.isfinite(step) & (step > np.log(JUMP_FACTOR))
    large = np.flatnonzero(rare)
    before_each = np.lib.stride_tricks.sliding_window_view(padded, week)[large]
    rare[large] = step[large] > nanquantile_rows(before_each.T, JUMP_QUANTILE)
    return rare


def _length(below: Bools) -> int:
    """Return the position of the second of the first two neighbours that are ``below``; else how many there are."""
    twice = np.flatnonzero(below[1:] & below[:-1])
    return int(twice[0]) + 1 if len(twice) else len(below)


def _median_without(bins: Bins, raised: Bools, width: int) -> Floats:
    """Return the median over ``width`` bins of what is not ``raised``, the last known where all is."""
    known = np.where(raised, np.nan, bins.values)
    median = past(known, width, "median", min(MEDIAN_MIN_BINS, width // 3))
    return np.asarray(pd.Series(median).ffill(), dtype=np.float64)
