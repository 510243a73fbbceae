"""What a festive day may be like: no history of months tells how it differs from other days, only that it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from asahi_analytics.forecasting.kernels import Array

LIKELY: Final = np.array([0.4, 0.4, 0.2])
"""How likely a festive day is to be as any other, as one of the quietest weekday, and half as that."""
WAY: Final = np.array([0.0, 1.0, 1.0])
"""How much of the way to the quietest weekday each of these goes."""
FURTHER: Final = np.array([0.0, 0.0, -0.7])
"""What each adds to that, in log units."""


@dataclass(frozen=True)
class Festive:
    """What is added to log spend on each step: ``effects`` (3, h), as likely as ``LIKELY`` says, none above zero."""

    effects: Array

    @property
    def mean(self) -> Array:
        """Return the mean effect (h,)."""
        return np.asarray(LIKELY @ self.effects)

    @property
    def spread(self) -> Array:
        """Return the standard deviation (h,) of the effect: 0 on ordinary days."""
        return np.asarray(np.sqrt(LIKELY @ (self.effects - self.mean) ** 2))

    def around(self, weight: Array, location: Array, scale: Array) -> tuple[Array, Array, Array]:
        """Return Gaussian mixtures, ``weight`` (m,), ``location`` around the mean effect and ``scale`` (m, h), as
        mixtures (3m,) over what each day may be like."""
        kinds = self.effects - self.mean
        return (
            np.outer(LIKELY, weight).ravel(),
            np.concatenate([location + kind for kind in kinds]),
            np.concatenate([scale] * len(kinds)),
        )

    def of(self, steps: NDArray[np.bool_]) -> Festive:
        """Return the same for some of the ``steps`` (h,)."""
        return Festive(self.effects[:, steps])


def festive_effects(days: NDArray[np.bool_], to_quietest: Array) -> Festive:
    """Return the effects on each step ahead; ``days`` (h,) says which are festive, ``to_quietest`` (h,), none above
    zero, how far the quietest weekday lies below theirs."""
    return Festive(days * (WAY[:, None] * to_quietest + FURTHER[:, None]))
