"""The last arithmetic of an answer: quotients and shares that may not exist, and sums that add up exactly."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from asahi_analytics.composer import Sums
from asahi_analytics.models import Split

Key = tuple[str, ...]
Floats = npt.NDArray[np.float64]


def finite(value: float) -> float | None:
    """Return ``value``, or ``None`` where it is NaN or infinite: JSON has no such numbers."""
    return float(value) if math.isfinite(value) else None


def divided(above: float, below: float) -> float | None:
    """Return ``above / below``; ``None`` where ``below`` is not positive."""
    return finite(above / below) if below > 0 else None


def quotients(above: Floats, below: Floats, otherwise: float = math.nan) -> Floats:
    """Return ``above / below`` one by one; ``otherwise`` where ``below`` is not positive (NaN is not)."""
    found: Floats = np.divide(above, below, out=np.full(np.shape(above), otherwise), where=below > 0)
    return found


def percent(part: float, whole: float) -> float | None:
    """Return ``part`` as a share of ``whole``, 0-100; ``None`` where the whole is not positive."""
    return finite(100 * part / whole) if whole > 0 else None


def split(cost: float, baseline: float) -> Split:
    """Return cost, savings and baseline such that ``cost + savings == baseline`` holds in floating point too."""
    savings = baseline - cost
    return Split(cost=cost, savings=savings, baseline=cost + savings)


def by_key(sums: Sums) -> dict[Key, float]:
    """Return the amounts by their labels' values, in order."""
    return dict(sorted(sums.amounts.items()))
