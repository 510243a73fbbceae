"""Whether a series that has fallen silent has ended, as its own gaps tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from asahi_analytics.forecasting.kernels import Array, Indices
from asahi_analytics.forecasting.pattern import closed_phases

LASTING_DAYS: Final = 14.0
"""An end comes tomorrow with one chance in so many days and ``PARTS`` times those that the history has lasted: what is
old lasts longer (Gott 1993)."""
PARTS: Final = 2.0
"""How many times as old as its history a series is taken to be, of which the beginning is not known: the inverse of 1/T
on average over ages T beyond that of the history, each of a weight of 1/T², as Gott has it."""
UNSEEN: Final = 4.0
"""How many gaps the belief about their lengths, a Pareto tail around their own median or a day, is worth."""
TAIL: Final = 2.0
"""The exponent of that tail: three times the median is passed by one gap in five, ten times by one in 26."""

WORTH_A_WORD: Final = 0.05
"""Probability of an end from which it is mentioned."""


@dataclass(frozen=True)
class Silence:
    """The zeros at the end of a series: how many finite values, and how likely it is (0-1) that it has ended.

    ``new`` says that they are more than ever stood between two values that spent.
    """

    count: int = 0
    ended: float = 0.0
    new: bool = False

    @property
    def likely(self) -> bool:
        """Whether it is likelier than not that the series has ended."""
        return self.ended >= 0.5

    @property
    def counts(self) -> bool:
        """Whether an end is likely enough to be mentioned."""
        return self.ended >= WORTH_A_WORD


NO_SILENCE: Final = Silence()


def silence_of(
    values: Array, festive: NDArray[np.bool_], holidays: NDArray[np.bool_], period: int, steps_a_day: int = 1
) -> Silence:
    """Return what the zeros at the end of ``values`` (n,) say; NaN, which is not known, says nothing.

    ``values`` hold a positive one; ``period`` is their season in steps. Zeros of closed phases and of ``holidays``
    (n,) are no silence. Nor is a zero on one of the ``festive`` steps (n,) among them new: it is an outlier as others.
    """
    seen = np.isfinite(values)
    last = int(np.flatnonzero(values > 0)[-1])
    closed = closed_phases(values[: last + 1], period)[np.arange(len(values)) % period]
    open_ = seen & ~(closed & (values <= 0))
    gaps, silent = _gaps(values[open_ & ~(festive & (values <= 0))])
    usual, pause = _gaps(values[open_ & ~(holidays & (values <= 0))])
    hazard = 1.0 / (LASTING_DAYS * steps_a_day + PARTS * float(usual.sum() + 1))
    return Silence(
        count=int(seen[last + 1 :].sum()),
        ended=_ended(_survival(usual, pause, steps_a_day), hazard),
        new=bool(silent >= gaps.max(initial=1)),
    )


def _gaps(values: Array) -> tuple[Indices, int]:
    """Return the steps from each of ``values`` (n,) that spent to the next, and how many zeros follow the last."""
    places = np.flatnonzero(values > 0)
    return np.diff(places), len(values) - 1 - int(places[-1])


def _survival(gaps: Indices, silent: int, steps_a_day: int) -> Array:
    """Return (silent + 1,) the probability that a gap is longer than 0, 1, 2, … steps, after the ``gaps`` seen.

    The share of gaps that were, ``UNSEEN`` gaps of what is believed beforehand among them (the mean of a Dirichlet
    process, Ferguson 1973): hours without a gap know as little of holidays and outages as days do.
    """
    lengths = np.arange(silent + 1)
    longer = (gaps[None, :] > lengths[:, None]).sum(axis=1)
    unit = (2.0 ** (1.0 / TAIL) - 1.0) / max(float(np.median(gaps)) if len(gaps) else 0.0, steps_a_day)
    return np.asarray((longer + UNSEEN * (1.0 + unit * lengths) ** -TAIL) / (len(gaps) + UNSEEN))


def _ended(survival: Array, hazard: float) -> float:
    """Return the posterior probability of an end, which comes with ``hazard`` a step, after so long a silence.

    Either it ended before one of the silent steps, while a gap as long as until then was none too long, or the gap is
    as long as all of them (the reasoning of Schmittlein, Morrison and Colombo 1987: is a customer still alive?).
    """
    ended = hazard * float(survival[:-1].sum())
    return ended / (ended + float(survival[-1]))
