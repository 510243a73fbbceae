"""Whether spend grows or falls: the slope of log spend, with the error that the structural models give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from asahi_analytics.forecasting.answers import TrendDirection
from asahi_analytics.forecasting.outlook import Outlook
from asahi_analytics.forecasting.posterior import Mixture
from asahi_analytics.forecasting.sparse import EndedOutlook
from asahi_analytics.forecasting.structural import LogOutlook

SURE: Final = 0.95
"""Posterior probability of a change that makes it a trend."""
SMALLEST: Final = 0.0025
"""Growth per week below which nobody would call it one (0.25 %)."""


@dataclass(frozen=True)
class TrendEstimate:
    """The direction and the growth in percent a week (None: not estimated)."""

    direction: TrendDirection
    pct_per_week: float | None


STABLE: Final = TrendEstimate("stable", None)


def trend_of(outlook: Outlook) -> TrendEstimate:
    """Return the trend in a forecast; ``stable`` without an estimate for those that fit no slope.

    That of a series which may have ended is what it was before, as long as an end is not the likelier.
    """
    if isinstance(outlook, EndedOutlook) and outlook.active is not None and outlook.resumes > 0.5:
        outlook = outlook.active
    if not isinstance(outlook, LogOutlook) or outlook.long is None:
        return STABLE
    return trend_in(outlook.long)


def trend_in(mixture: Mixture) -> TrendEstimate:
    """Return the trend that models of log spend (or of any other scale) see.

    The slope's posterior is averaged over models that also explain the history by a random walk, a passing deviation
    or a step of the level, so that drift is not taken for a trend: increasing means that more than 95 % of the
    probability lies above +0.25 % a week.
    """
    up, down = mixture.moving(SMALLEST)
    growth = 100.0 * float(np.expm1(mixture.weight @ mixture.slope))
    if up > SURE:
        return TrendEstimate("increasing", growth)
    return TrendEstimate("decreasing" if down > SURE else "stable", growth)
