"""Jumps that stay: what the series was before one, so that a long incident does not soon become its own reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from asahi_analytics.anomaly.bins import Bins, Bools, Floats, counted, each_row, nanquantile, past

LOCAL_BINS: Final = 3
"""The level right before a jump: the median of so many bins."""
JUMP_FACTOR: Final = 1.7
"""A jump is at least this many times the level right before it..."""
JUMP_QUANTILE: Final = 0.9985
"""...and such as the series made no more than once or twice in its past week of ten-minute bins."""
NOISE_HOURS: Final = 7 * 24.0
STAY_FACTOR: Final = 1.5
"""It stays while it is above this many times that level, but for a single bin."""
STAY_HOURS: Final = 3.0
STAY_BINS: Final = 6
"""For so long, or so many bins, at most: what has not become an anomaly by then is the new level."""
HOLD_HOURS: Final = 6.0
"""An anomaly lasts for so long at most: what stays longer is the new level."""
SETTLED_HOURS: Final = 0.5
"""After so long it is held against the level right before it, no longer against the hours before."""
COURSE_LIMIT: Final = 3.0
"""So far at most the usual course of the day moves the level before."""
MEDIAN_MIN_BINS: Final = 4


@dataclass(frozen=True)
class Jumps:
    """``raised``: bins that stay above the level before a rare jump; ``before``: what they are to be held against."""

    raised: Bools
    before: Floats


def find_jumps(bins: Bins, width: int, course: Floats) -> Jumps:
    """Return the jumps of ``bins``, and the median of the last ``width`` bins without them.

    ``course``, the usual course of the day, moves the level right before a jump; where it is NaN the level stays.
    The median is NaN where the series has not jumped at all. Both look back only: whether a bin belongs to a jump
    depends on the bins up to it. NaN neither makes nor ends one.
    """
    local = past(bins.values, LOCAL_BINS, "median")
    raised = np.zeros(bins.values.shape, dtype=bool)
    settled = np.full(bins.values.shape, np.nan)
    rare = rare_steps(bins, local)
    hold, settling = bins.within(STAY_HOURS, STAY_BINS), bins.within(SETTLED_HOURS)
    for starts, series in each_row(rare, bins.values, local, course, raised, settled):
        values, right_before, usually, stays, against = series
        end = 0
        for start in starts:
            if start < end:
                continue
            run = values[start : start + hold]
            level = right_before[start] * moved(usually[start : start + hold])
            end = start + length_until(run <= STAY_FACTOR * level)
            stays[start:end] = values[start:end] > STAY_FACTOR * level[: end - start]
            against[start + settling : end] = level[settling : end - start]
    some: Bools = np.asarray(raised.any(axis=-1))
    if some.any():
        median = _median_without(replace(bins, values=bins.values[some]), raised[some], width)
        settled[some] = np.fmin(median, settled[some])
    return Jumps(raised, settled)


def moved(course: Floats) -> Floats:
    """Return ``course`` against its first value, within ``COURSE_LIMIT``; 1 where it is not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        change = course / course[0]
    limited: Floats = np.clip(np.where(np.isnan(change), 1.0, change), 1 / COURSE_LIMIT, COURSE_LIMIT)
    return limited


def as_it_began(values: Floats, raised: Bools) -> Floats:
    """Return ``values``, where bins are ``raised`` no more than at the first of them; one other bin ends nothing."""
    calm = ~raised
    calm[..., 1:] &= ~raised[..., :-1]
    first = np.maximum.accumulate(np.where(calm, np.arange(1, raised.shape[-1] + 1), 0), axis=-1)
    began = np.take_along_axis(values, np.minimum(first, raised.shape[-1] - 1), axis=-1)
    return np.where(raised, np.fmin(values, began), values)


def rare_steps(bins: Bins, local: Floats) -> Bools:
    """Return where a bin exceeds the level right before it by more than the series does once or twice a week.

    What was before the series counts as calm. Few bins exceed it by enough at all, so the week is looked at before
    those alone; how many of its steps are as large mostly tells on which side of the quantile one lies.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.log(bins.values / local)
    week = bins.within(NOISE_HOURS, 6)
    calm = np.zeros((*step.shape[:-1], week))
    padded = np.concatenate([calm, np.where(np.isfinite(step), step, 0.0)], axis=-1)
    rare: Bools = np.isfinite(step) & (step > np.log(JUMP_FACTOR))
    large, before_each = step[rare], sliding_window_view(padded, week, axis=-1)[..., :-1, :][rare]
    as_large = counted(before_each >= large[:, None])
    above_quantile = week - 1 - int(JUMP_QUANTILE * (week - 1))
    exceeds, between = as_large < above_quantile, as_large == above_quantile
    exceeds[between] = large[between] > nanquantile(before_each[between], JUMP_QUANTILE)
    rare[rare] = exceeds
    return rare


def length_until(below: Bools) -> int:
    """Return the position of the second of the first two neighbours that are ``below``; else how many there are."""
    twice = np.flatnonzero(below[1:] & below[:-1])
    return int(twice[0]) + 1 if len(twice) else len(below)


def _median_without(bins: Bins, raised: Bools, width: int) -> Floats:
    """Return the median over ``width`` bins of what is not ``raised``, the last known where all is."""
    known = np.where(raised, np.nan, bins.values)
    median = past(known, width, "median", min(MEDIAN_MIN_BINS, width // 3))
    last = np.maximum.accumulate(np.where(np.isnan(median), 0, np.arange(len(bins))), axis=-1)
    return np.take_along_axis(median, last, axis=-1)
