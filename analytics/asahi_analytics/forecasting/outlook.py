"""What every method answers with: a distribution for each step and for the total of any first few steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr, ndtri

from asahi_analytics.forecasting.kernels import Array


class Outlook(Protocol):
    """The future as one method sees it; dollars, none negative, quantiles rising with the probability."""

    def steps(self, probabilities: Sequence[float]) -> Array:
        """Return the quantiles (p, horizon) of each step."""
        ...

    def total(self, probabilities: Sequence[float], first: int | None = None) -> Array:
        """Return the quantiles (p,) of the sum of the ``first`` steps (None: all)."""
        ...

    def exceeds(self, dollars: float, first: int | None = None) -> float:
        """Return the probability that the sum of the ``first`` steps is above ``dollars``."""
        ...


@dataclass(frozen=True)
class GaussianOutlook:
    """Normal errors around ``centre`` (h,) with joint ``covariance`` (h, h), cut off at zero."""

    centre: Array
    covariance: Array

    def steps(self, probabilities: Sequence[float]) -> Array:
        """Return the quantiles (p, horizon) of each step."""
        spread = np.sqrt(np.diag(self.covariance))
        return np.maximum(self.centre + _normal(probabilities)[:, None] * spread, 0.0)

    def total(self, probabilities: Sequence[float], first: int | None = None) -> Array:
        """Return the quantiles (p,) of the sum of the ``first`` steps (None: all)."""
        mean, spread = self._sum(first)
        return np.maximum(mean + _normal(probabilities) * spread, 0.0)

    def exceeds(self, dollars: float, first: int | None = None) -> float:
        """Return the probability that the sum of the ``first`` steps is above ``dollars``."""
        mean, spread = self._sum(first)
        if spread == 0.0:
            return float(mean > dollars)
        return float(ndtr((mean - dollars) / spread))

    def _sum(self, first: int | None) -> tuple[float, float]:
        part = self.covariance[:first, :first]
        return float(np.maximum(self.centre[:first], 0.0).sum()), float(np.sqrt(max(part.sum(), 0.0)))


def _normal(probabilities: Sequence[float]) -> Array:
    return np.asarray(ndtri(np.asarray(probabilities, dtype=float)))
