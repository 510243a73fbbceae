"""What every method answers with: a distribution for each step and for the total of any first few steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr, ndtri

from asahi_analytics.forecasting.kernels import Array


class Outlook(Protocol):
    """The future as one method sees it; dollars, none negative, quantiles rising with the probability.

    ``shares`` says how much of each of the first steps counts (0-1, at least one above 0); None: all of every step.
    """

    def steps(self, probabilities: Sequence[float]) -> Array:
        """Return the quantiles (p, horizon) of each step."""
        ...

    def total(self, probabilities: Sequence[float], shares: Sequence[float] | None = None) -> Array:
        """Return the quantiles (p,) of the sum of the steps, each counted by its share."""
        ...

    def exceeds(self, dollars: float, shares: Sequence[float] | None = None) -> float:
        """Return the probability that the sum, each step counted by its share, is above ``dollars``."""
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

    def total(self, probabilities: Sequence[float], shares: Sequence[float] | None = None) -> Array:
        """Return the quantiles (p,) of the sum of the steps, each counted by its share."""
        mean, spread = self._sum(shares)
        return np.maximum(mean + _normal(probabilities) * spread, 0.0)

    def exceeds(self, dollars: float, shares: Sequence[float] | None = None) -> float:
        """Return the probability that the sum, each step counted by its share, is above ``dollars``."""
        mean, spread = self._sum(shares)
        if spread == 0.0:
            return float(mean > dollars)
        return float(ndtr((mean - dollars) / spread))

    def _sum(self, shares: Sequence[float] | None) -> tuple[float, float]:
        weights = np.ones(len(self.centre)) if shares is None else np.asarray(shares, dtype=float)
        part = self.covariance[: len(weights), : len(weights)]
        mean = np.maximum(self.centre[: len(weights)], 0.0) @ weights
        return float(mean), math.sqrt(max(float(weights @ part @ weights), 0.0))


def _normal(probabilities: Sequence[float]) -> Array:
    return np.asarray(ndtri(np.asarray(probabilities, dtype=float)))
