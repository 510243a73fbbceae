"""How an anomaly goes on, and what becomes of one that lasts: a step, that moves what is usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from asahi_analytics.anomaly.bins import Bins, Bools, Floats, each_row, nanquantile, past, persistent
from asahi_analytics.anomaly.jumps import HOLD_HOURS, length_until, moved

KEEP_FACTOR: Final = 1.5
"""An anomaly goes on above this many times what was expected at its beginning, but for a single bin."""
LEVEL_HOURS: Final = 12.0
"""A step is as high as most of so long has run above what was expected without it..."""
OVER_FACTOR: Final = 1.25
"""...and over when that is below so many times."""


@dataclass(frozen=True)
class Step:
    """From ``start`` on a series, the one of this ``number``, runs at another level.

    ``factors`` tell how many times the earlier one, for each bin from ``known`` on until it is over.
    """

    number: int
    start: int
    known: int
    factors: Floats


def kept(
    bins: Bins, course: Floats, expected: Floats, threshold: Floats, calm: Bools
) -> tuple[Floats, list[Step]]:
    """Return ``threshold``, lower while an anomaly goes on, and the steps: those that last longer than ``HOLD_HOURS``.

    It is over only when the value has come down from it, held against what was expected at its beginning and moved by
    the usual ``course`` of the day, for that long at most. A step begins in a ``calm`` bin, and has run above the usual
    for most of its time: a working day that begins an hour earlier is none.
    """
    lowered, steps = threshold.copy(), []
    flagged = persistent(bins.values > threshold)
    numbers = np.broadcast_to(np.arange(flagged[..., :1].size).reshape(flagged[..., :1].shape), flagged.shape)
    hold = bins.within(HOLD_HOURS)
    for starts, series in each_row(flagged, bins.values, course, expected, threshold, lowered, calm, numbers):
        values, usually, likely, limit, lower, is_calm, number = series
        end = 0
        for start in starts:
            if start < end:
                continue
            keep = KEEP_FACTOR * (likely[start] * moved(usually[start : start + hold]))
            end = start + length_until(values[start : start + hold] <= keep)
            lower[start + 1 : end] = np.fmin(limit[start + 1 : end], keep[1 : end - start])
            if end < start + hold or not is_calm[start]:
                continue
            if _mostly(values[start:end] > OVER_FACTOR * usually[start:end]):
                level = likely[start] * moved(usually[start:])
                factors = _factors(values[start:], level, hold, bins.within(LEVEL_HOURS, 3))
                steps.append(Step(int(number[0]), start, end, factors))
    return lowered, steps


def _mostly(flags: Bools) -> bool:
    return bool(2 * np.count_nonzero(flags) > len(flags))


def _factors(values: Floats, level: Floats, hold: int, width: int) -> Floats:
    """Return how many times ``level`` the traffic of the last ``width`` bins is, from ``hold`` on until it is not.

    No more than in the first ``hold`` bins: what the course of later days brings is none of the step.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(level > 0, values / level, np.nan)
    first = nanquantile(share[:hold], 0.5)
    factors: Floats = np.minimum(past(share, width, "median"), first)[hold:]
    over = ~(factors >= OVER_FACTOR)
    return factors[: int(np.argmax(over)) if over.any() else len(factors)]


def lift(everything: Floats, bins: Bins, steps: Sequence[Step]) -> Floats:
    """Return how many times as much the ``previous_days`` before each step count, for the bins that know of it.

    That is what the step has come to, but no further than the traffic has been seen to reach since.
    """
    if not steps:
        return np.ones((*everything.shape[:-2], 1, 1))
    times = np.ones_like(everything)
    ago = bins.per_day * np.arange(1, everything.shape[-1] + 1)
    for step in steps:
        end = step.known + len(step.factors)
        place = np.arange(step.known, end)
        values = bins.values.reshape(-1, len(bins))[step.number, step.start : end]
        reached = np.fmax.accumulate(values)[step.known - step.start - 1 : -1]
        days, raised = (
            each.reshape(-1, *each.shape[-2:])[step.number, place] for each in (everything, times)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            most = np.fmax(reached[:, None] / (days * raised), 1.0)
        earlier = place[:, None] - ago < step.start
        rows = times.reshape(-1, *times.shape[-2:])
        rows[step.number, place] = np.where(earlier, raised * np.fmin(step.factors[:, None], most), raised)
    return times
