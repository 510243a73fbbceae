"""How many tokens lie above a cap, by task type.

Of each task type the mean and the variance of its tokens are counted, of all of them together the histogram. The tokens
above the cap are those of log-normal distributions with these moments, corrected by what the histogram shows: the
difference goes to each task type in proportion to how much of its figure rests on the shape of its distribution, which
is what exceeds ``requests * (mean - cap)``. So a single task type, or one that alone has long requests, gets what was
counted, whatever its distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from asahi_analytics.recommendations.observed import Observed
from asahi_exporter import conventions as names

Floats = npt.NDArray[np.float64]
CLOSE: Final = 1e-9


@dataclass(frozen=True)
class Moments:
    """Requests, the mean of their tokens and the standard deviation over the mean."""

    requests: float
    mean: float
    variation: float

    def above(self, cap: float) -> float:
        """Return the tokens above ``cap`` of so many log-normal requests."""
        if self.mean <= 0:
            return 0.0
        return self.requests * self.mean * share_above_cap(self.variation, cap / self.mean)

    def error(self, cap: float) -> float:
        """Return the standard error of ``above``, relative: chance draws so many log-normal requests."""
        share = share_above_cap(self.variation, cap / self.mean) if self.mean > 0 else 0.0
        if share <= 0:
            return 0.0
        return math.sqrt(squares_above_cap(self.variation, cap / self.mean) / self.requests) / share

    def uncertain(self, cap: float) -> float:
        """Return the part of ``above`` that another distribution with this mean need not have."""
        return max(0.0, self.above(cap) - self.requests * max(0.0, self.mean - cap))


def moments(observed: Observed, direction: str) -> dict[str, Moments]:
    """Return the moments of each task type that had requests."""
    requests = observed.by("requests", names.TASK_TYPE).sum()
    tokens, squares = observed.sums("tokens"), observed.sums("tokens_squared")
    return {
        str(task_type): _moments(
            float(count),
            tokens.get((str(task_type), direction), 0.0),
            squares.get((str(task_type), direction), 0.0),
        )
        for task_type, count in requests.items()
        if count > 0
    }


def _moments(requests: float, tokens: float, squares: float) -> Moments:
    mean = tokens / requests
    if mean <= 0:
        return Moments(requests, 0.0, 0.0)
    variance = squares / requests - mean**2
    return Moments(requests, mean, float(np.sqrt(max(variance, 0.0))) / mean)


def share_above_cap(variation: float, cap_in_means: float) -> float:
    """Return E[(X - c)+] / E[X] of a log-normal X with coefficient of variation ``variation`` and c = cap * mean.

    Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions, vol. 1, ch. 14.
    """
    sigma = float(np.sqrt(np.log1p(variation**2)))
    if sigma == 0:
        return max(0.0, 1.0 - cap_in_means)
    distance = np.log(cap_in_means) / sigma
    return float(stats.norm.cdf(sigma / 2 - distance) - cap_in_means * stats.norm.cdf(-sigma / 2 - distance))


def squares_above_cap(variation: float, cap_in_means: float) -> float:
    """Return E[((X - c)+)^2] / E[X]^2 of the log-normal X that ``share_above_cap`` is of."""
    sigma = float(np.sqrt(np.log1p(variation**2)))
    if sigma == 0:
        return max(0.0, 1.0 - cap_in_means) ** 2
    distance = np.log(cap_in_means) / sigma
    above = [float(stats.norm.cdf(shift * sigma - distance)) for shift in (-0.5, 0.5, 1.5)]
    return (1 + variation**2) * above[2] - 2 * cap_in_means * above[1] + cap_in_means**2 * above[0]


def counted_above(observed: Observed, direction: str, cap: float) -> float | None:
    """Return the tokens above ``cap`` of all requests, from the histogram; None where there is none.

    It is the integral of the number of requests above x over x from ``cap`` on. Between two bounds that number is taken
    to fall exponentially, and in a line to zero; requests above the last bound count as if they were at it.
    """
    cumulative = {
        float(bound): count
        for (of_direction, bound), count in observed.sums("token_count_bucket").items()
        if of_direction == direction
    }
    whole = cumulative.pop(float("inf"), 0.0)
    if not cumulative or whole <= 0:
        return None
    bounds = np.array([0.0, *sorted(cumulative)])
    longer = whole - np.array([0.0, *(cumulative[bound] for bound in bounds[1:])])
    at_cap = _between(cap, bounds, longer)
    x = np.array([cap, *bounds[bounds > cap]])
    y = np.array([at_cap, *longer[bounds > cap]])
    return float(np.sum(np.diff(x) * _log_mean(y[:-1], y[1:])))


def _between(at: float, x: Floats, y: Floats) -> float:
    """Return y at ``at``, exponential between two points and in a line to zero."""
    after = int(np.searchsorted(x, at, side="right"))
    if after >= x.size:
        return float(y[-1])
    part = float((at - x[after - 1]) / (x[after] - x[after - 1]))
    left, right = float(y[after - 1]), float(y[after])
    if left > 0 and right > 0:
        return left * math.exp(part * math.log(right / left))
    return left + (right - left) * part


def _log_mean(left: Floats, right: Floats) -> Floats:
    """Return the mean of what falls exponentially from ``left`` to ``right``; in a line where one is zero."""
    positive = (left > 0) & (right > 0) & (np.abs(left - right) > CLOSE * left)
    with np.errstate(divide="ignore", invalid="ignore"):
        falling = (left - right) / np.log(left / right)
    return np.where(positive, falling, (left + right) / 2)


def tokens_above(observed: Observed, direction: str, task_type: str, cap: float) -> float:
    """Return the tokens of ``task_type`` above ``cap``."""
    found = moments(observed, direction)
    if task_type not in found:
        return 0.0
    counted, own = counted_above(observed, direction, cap), found[task_type]
    uncertain = sum(each.uncertain(cap) for each in found.values())
    if counted is None or uncertain <= 0:
        return own.above(cap)
    difference = counted - sum(each.above(cap) for each in found.values())
    return max(0.0, own.above(cap) + difference * own.uncertain(cap) / uncertain)
