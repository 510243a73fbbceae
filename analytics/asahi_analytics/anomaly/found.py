"""Spikes that were found: of bins alone, and of an hour together where bins alone are noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from asahi_analytics.anomaly.bins import Bins, Bools, Floats, summed, windowed
from asahi_analytics.anomaly.noise import hours_ago, upward_noise
from asahi_analytics.anomaly.steps import Step

TOGETHER_HOURS: Final = 1.0
"""Where a doubling is everyday, bins are judged together for so long..."""
TOGETHER_NOISE: Final = 0.6
"""...if together they have so many times their own noise at most, as where they hold few requests each..."""
TOGETHER_SIGMA: Final = 0.4
"""...and less noise (of the logarithm) than this."""
_ARRAYS: Final = ("expected", "threshold", "entry", "flagged", "noise", "erratic")


@dataclass(frozen=True)
class Spikes:
    """What was expected, the threshold, and where it was exceeded persistently.

    ``entry`` is the threshold before it was lowered where an anomaly goes on: that of severity.
    ``noise`` is that of hours ago, so that no incident hides itself; ``erratic`` where a doubling is everyday.
    ``steps`` are those that have lasted longer, and moved what is usual.
    """

    expected: Floats
    threshold: Floats
    entry: Floats
    flagged: Bools
    noise: Floats
    erratic: Bools
    steps: list[Step]

    @classmethod
    def none(cls, bins: Bins) -> Spikes:
        """Return that nothing is expected and nothing was found."""
        unknown, never = np.full(bins.values.shape, np.nan), np.zeros(bins.values.shape, dtype=bool)
        return cls(unknown, unknown.copy(), unknown.copy(), never, unknown.copy(), never.copy(), [])

    def put(self, some: Bools, others: Spikes) -> None:
        """Put those of ``some`` series in the place of what was found of them."""
        for name in _ARRAYS:
            getattr(self, name)[some] = getattr(others, name)

    def of(self, some: Bools) -> Spikes:
        """Return those of ``some`` series, without the steps."""
        return replace(self, steps=[], **{name: getattr(self, name)[some] for name in _ARRAYS})


def also_together(bins: Bins, alone: Spikes, find: Callable[[Bins], Spikes]) -> Spikes:
    """Return the spikes of bins ``alone``, and where a doubling is everyday those ``find`` finds in hours together.

    A bin belongs to one when it is above what is expected itself; from where on it is one follows from the mean's.
    """
    width, some = bins.within(TOGETHER_HOURS), np.asarray(alone.erratic.any(axis=-1))
    if width > 1 and some.any():
        of_some = replace(bins, values=bins.values[some])
        alone.put(some, _with_those_together(of_some, alone.of(some), find, width))
    return alone


def _with_those_together(bins: Bins, alone: Spikes, find: Callable[[Bins], Spikes], width: int) -> Spikes:
    mean = replace(bins, values=windowed(bins.values, width, "mean", width // 2))
    noise = hours_ago(bins, upward_noise(mean, windowed(alone.expected, width, "mean")))
    judged = alone.erratic & (noise < np.minimum(TOGETHER_NOISE * alone.noise, TOGETHER_SIGMA))
    if not judged.any():
        return alone
    together = find(mean)
    judged &= ~together.erratic
    expected = np.fmax(alone.expected, together.expected)
    known = summed(np.isfinite(bins.values).astype(np.int64), width)

    def lower(own: Floats, of_mean: Floats) -> Floats:
        from_mean = np.maximum(bins.values + known * (of_mean - mean.values), expected)
        return np.where(judged, np.fmin(own, from_mean), own)

    return replace(
        alone,
        threshold=lower(alone.threshold, together.threshold),
        entry=lower(alone.entry, together.entry),
        flagged=alone.flagged | (judged & together.flagged & (bins.values > expected)),
    )
