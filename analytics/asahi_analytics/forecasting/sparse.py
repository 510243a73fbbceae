"""Histories that no model can be fitted to: a few values, nothing but zeros, a series that has stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from asahi_analytics.forecasting.kernels import Array
from asahi_analytics.forecasting.outlook import Outlook
from asahi_analytics.forecasting.pattern import idle_share
from asahi_analytics.forecasting.posterior import Mixture
from asahi_analytics.forecasting.structural import DAILY, LogOutlook

PRIOR_SPREAD: Final = 0.35
"""Standard deviation of log spend from day to day before the data say otherwise."""
PRIOR_VALUES: Final = 3.0
"""How many values that prior is worth."""
DRIFT: Final = 0.003
"""Variance that the level of a young series gains per step."""
OPENING: Final = 0.025
"""Variance of a level that was seen for only part of a week."""
YOUNG: Final = replace(DAILY, tail_drop=0.0)
"""The constants for a young series: its middle is flat."""
FEW: Final = 1.2
"""What the variance of a young series' total is scaled by: with it the intervals hold as often as they say."""


def flat(values: Array, horizon: int) -> LogOutlook:
    """Return a flat level at the mean of the finite ``values`` (one or more, some positive) with a wide interval.

    The spread of log spend is shrunk towards ``PRIOR_SPREAD``; the level is uncertain by that spread, by the
    days of the week not seen, and by a drift that grows with the horizon.
    """
    x = values[np.isfinite(values)]
    level = float(x.mean())
    rest = np.log(np.maximum(x, 0.05 * level) / level)
    noise = (PRIOR_VALUES * PRIOR_SPREAD**2 + float(rest @ rest)) / (PRIOR_VALUES + len(x) - 1.0)
    mixture = level_mixture(noise, len(x), horizon, np.log(level) - 0.5 * noise)
    return LogOutlook(mixture, 0.0, scarce=FEW, idle=idle_share(x), options=YOUNG)


def level_mixture(noise: float, count: int, horizon: int, location: float) -> Mixture:
    """Return the one model of a flat level at ``location`` that ``count`` values with variance ``noise`` support."""
    ahead = 1.0 + np.arange(horizon, dtype=float)
    shared = OPENING + 2.0 * noise / count + DRIFT * np.minimum(ahead[:, None], ahead[None, :])
    return Mixture(
        weight=np.ones(1),
        location=np.full((1, horizon), location),
        noise=np.array([noise]),
        kernel=np.zeros(1, dtype=np.intp),
        spread=shared[None] / noise,
        trend=np.zeros((2, 1, horizon)),
        trend_covariance=np.zeros((2, 2, 1)),
        slope=np.zeros(1),
        step=np.zeros(1),
    )


@dataclass(frozen=True)
class EndedOutlook:
    """Nothing more is expected; with probability ``resumes`` it goes on as ``active`` says (None: never did)."""

    horizon: int
    active: Outlook | None
    resumes: float

    def steps(self, probabilities: Sequence[float]) -> Array:
        """Return the quantiles (p, horizon) of each step."""
        result = np.zeros((len(probabilities), self.horizon))
        beyond = self._beyond(probabilities)
        if self.active is not None and (beyond > 0).any():
            result[beyond > 0] = self.active.steps(list(beyond[beyond > 0]))
        return result

    def total(self, probabilities: Sequence[float], shares: Sequence[float] | None = None) -> Array:
        """Return the quantiles (p,) of the sum of the steps, each counted by its share."""
        result = np.zeros(len(probabilities))
        beyond = self._beyond(probabilities)
        if self.active is not None and (beyond > 0).any():
            result[beyond > 0] = self.active.total(list(beyond[beyond > 0]), shares)
        return result

    def exceeds(self, dollars: float, shares: Sequence[float] | None = None) -> float:
        """Return the probability that the sum, each step counted by its share, is above ``dollars``."""
        if self.active is None or dollars < 0.0:
            return float(dollars < 0.0)
        return self.resumes * self.active.exceeds(dollars, shares)

    def _beyond(self, probabilities: Sequence[float]) -> Array:
        """Return the probabilities within the case that it goes on; 0 where it stays at nothing."""
        p = np.asarray(probabilities, dtype=float)
        return (
            np.clip((p - (1.0 - self.resumes)) / self.resumes, 0.0, 1.0) if self.resumes else np.zeros(len(p))
        )
