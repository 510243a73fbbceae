"""Steps of the level that may still come: about as often as the history shows, and as large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from asahi_analytics.forecasting.kernels import Array
from asahi_analytics.forecasting.posterior import Mixture

LEAST: Final = 0.2
"""Log size from which a step counts: smaller ones are what walks and passing deviations do, too."""
WHEN: Final = np.array([0.1127, 0.5, 0.8873])
"""When a step comes, in shares of the time ahead, all times equally likely (Gauss and Legendre's three points)."""
WHEN_LIKELY: Final = np.array([5.0, 8.0, 5.0]) / 18.0


@dataclass(frozen=True)
class Shifts:
    """Steps to come: ``rate`` of them per step of time, of log size ``sizes`` (s,), up or down alike, with the
    probabilities ``likely`` (s,), which sum to one."""

    rate: float
    sizes: Array
    likely: Array

    def beside(
        self, weight: Array, location: Array, scale: Array, horizon: int
    ) -> tuple[Array, Array, Array]:
        """Return the log-normals of a total of ``horizon`` steps, (m,) each, with those beside them that hold a shift.

        A level that moves by z after the share u of the time changes a total by log(u + (1 - u) exp(z)). One shift at
        most is thought of; around what it changes lies the whole mixture as one log-normal of its mean and variance.
        """
        happens = -np.expm1(-self.rate * horizon)
        moves = np.log(
            WHEN + (1.0 - WHEN) * np.exp(np.concatenate([self.sizes, -self.sizes])[:, None])
        ).ravel()
        chances = np.outer(0.5 * np.tile(self.likely, 2), WHEN_LIKELY).ravel()
        middle = weight @ location
        spread = np.sqrt(weight @ (scale**2 + (location - middle) ** 2))
        return (
            np.concatenate([(1.0 - happens) * weight, happens * chances]),
            np.concatenate([location, middle + moves]),
            np.concatenate([scale, np.full(len(moves), spread)]),
        )


def shifts_of(
    mixture: Mixture, count: int, before: tuple[float, float] | None, usual: float, returning: float
) -> Shifts | None:
    """Return the shifts to expect after ``count`` steps of time in which ``mixture`` saw some.

    Shifts come at random (Poisson) at a rate that is Gamma distributed (Gelman and others 2013, 2.6): ``before`` is
    how many were seen beforehand, of log size ``usual``, and in how many steps of time; None: nothing is to come. The
    history adds the probability that it holds one; of its size counts what is left when its variance is scaled by
    ``returning``.
    """
    if before is None:
        return None
    sizes = np.abs(mixture.step)
    large = sizes >= LEAST
    seen = float(mixture.weight[large].sum())
    own = np.sqrt(returning) * float(mixture.weight[large] @ sizes[large]) / seen if seen else usual
    expected = before[0] + seen
    return Shifts(
        rate=expected / (before[1] + count),
        sizes=np.array([usual, own]),
        likely=np.array([before[0], seen]) / expected,
    )
