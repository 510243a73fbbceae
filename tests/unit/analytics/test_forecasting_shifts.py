"""Steps of the level that may still come: how many the history promises, and what they make of a total."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from asahi_analytics.forecasting import forecast_series
from asahi_analytics.forecasting.kernels import Array
from asahi_analytics.forecasting.posterior import Mixture
from asahi_analytics.forecasting.shifts import LEAST, Shifts, shifts_of
from asahi_analytics.forecasting.sparse import level_mixture
from asahi_analytics.forecasting.structural import DAILY, LogOutlook, structural
from support.daily_spend import weekly

BEFORE = (0.3, 90.0)
ORDINARY = np.zeros(30, dtype=bool)


def with_steps(weight: list[float], step: list[float]) -> Mixture:
    """Models that differ in nothing but the step that they saw."""
    one = level_mixture(0.01, 90, 30, 0.0)
    return replace(one, weight=np.array(weight), step=np.array(step))


def stepped(at: int = 45, times: float = 4.0) -> Array:
    return np.asarray(weekly(90) * np.where(np.arange(90) >= at, times, 1.0))


def outlook_of(values: Array) -> LogOutlook:
    return structural(values, DAILY, ORDINARY)


def shifts_in(values: Array) -> Shifts:
    found = outlook_of(values).shifts
    assert found is not None
    return found


# How many, and how large ------------------------------------------------------------------------------------
def test_the_rate_is_what_was_seen_and_believed_over_the_days_of_both() -> None:
    found = shifts_of(with_steps([0.5, 0.4, 0.1], [0.0, 0.5, -1.0]), 60, BEFORE, usual=0.3, returning=0.25)
    assert found is not None
    assert found.rate == pytest.approx((0.3 + 0.5) / (90 + 60))
    assert found.sizes == pytest.approx([0.3, 0.5 * 0.6])
    assert found.likely == pytest.approx([0.375, 0.625])


@pytest.mark.parametrize(("size", "seen"), [(LEAST, 1.0), (-LEAST, 1.0), (0.99 * LEAST, 0.0)])
def test_both_sides_of_a_step_that_counts(size: float, seen: float) -> None:
    found = shifts_of(with_steps([1.0], [size]), 90, BEFORE, usual=0.3, returning=1.0)
    assert found is not None
    assert found.rate == pytest.approx((0.3 + seen) / 180)
    assert found.likely.sum() == pytest.approx(1.0)
    assert np.isfinite(found.sizes).all()


def test_nothing_is_to_come_where_nothing_is_believed_beforehand() -> None:
    assert shifts_of(with_steps([1.0], [0.5]), 90, None, usual=0.3, returning=1.0) is None
    hours = pd.Series(weekly(120), index=pd.date_range("2025-01-06", periods=120, freq="h", tz="UTC"))
    outlook = forecast_series(hours, 24).outlook
    assert isinstance(outlook, LogOutlook)
    assert outlook.shifts is None


def test_a_history_that_stepped_promises_more_and_larger_steps_than_a_flat_one() -> None:
    flat, other = shifts_in(weekly(90)), shifts_in(stepped())
    assert flat.rate == pytest.approx(0.3 / 180, rel=0.5)
    assert other.rate == pytest.approx(1.3 / 180, rel=0.1)
    assert other.sizes[1] == pytest.approx(np.sqrt(DAILY.inflate) * np.log(4.0), rel=0.15)


def test_steps_down_are_as_large_as_steps_up() -> None:
    up, down = shifts_in(stepped(times=4.0)), shifts_in(stepped(times=0.25))
    assert down.rate == pytest.approx(up.rate, rel=0.05)
    assert down.sizes == pytest.approx(up.sizes, rel=0.05)


# What they make of a total ----------------------------------------------------------------------------------
MANY = Shifts(rate=0.02, sizes=np.array([0.3, 1.0]), likely=np.array([0.25, 0.75]))
WEIGHT, LOCATION, SCALE = np.array([0.7, 0.3]), np.array([2.0, 2.2]), np.array([0.1, 0.2])


def naive_below(x: float, horizon: int) -> float:
    """The distribution function, one term after the other, the time of the step integrated over."""
    middle = float(WEIGHT @ LOCATION)
    spread = np.sqrt(float(WEIGHT @ (SCALE**2 + (LOCATION - middle) ** 2)))
    stays = np.exp(-MANY.rate * horizon)
    below = stays * sum(w * ndtr((x - m) / s) for w, m, s in zip(WEIGHT, LOCATION, SCALE, strict=True))
    for size, likely in zip(MANY.sizes, MANY.likely, strict=True):
        for move in (size, -size):
            part, _ = quad(
                lambda u, move=move: ndtr((x - middle - np.log(u + (1 - u) * np.exp(move))) / spread), 0, 1
            )
            below += (1.0 - stays) * 0.5 * likely * part
    return float(below)


@pytest.mark.parametrize("horizon", [7, 30])
def test_the_mixture_is_that_of_the_integral_over_the_time_of_the_step(horizon: int) -> None:
    weight, location, scale = MANY.beside(WEIGHT, LOCATION, SCALE, horizon)
    assert weight.sum() == pytest.approx(1.0)
    for x in np.linspace(0.8, 3.4, 14):
        assert weight @ ndtr((x - location) / scale) == pytest.approx(naive_below(x, horizon), abs=0.01)


def test_a_later_end_makes_a_step_likelier() -> None:
    stays = [MANY.beside(WEIGHT, LOCATION, SCALE, horizon)[0][:2].sum() for horizon in (1, 7, 30)]
    assert stays == pytest.approx(np.exp([-0.02, -0.14, -0.6]))


def test_steps_to_come_widen_the_ends_and_leave_the_middle() -> None:
    outlook = outlook_of(stepped())
    plain = replace(outlook, shifts=None)
    asked = [0.025, 0.25, 0.5, 0.75, 0.975]
    before, after = np.log(plain.total(asked)), np.log(outlook.total(asked))
    assert after[4] - after[0] > 1.5 * (before[4] - before[0])
    assert after[3] - after[1] < 1.3 * (before[3] - before[1])
    assert after[2] == pytest.approx(before[2], abs=0.01)


def test_the_chance_to_pass_a_sum_knows_of_steps_to_come() -> None:
    outlook = outlook_of(stepped())
    high = float(outlook.total([0.975])[0])
    assert outlook.exceeds(high) == pytest.approx(0.025, abs=0.002)
    assert outlook.exceeds(high) > 2.0 * replace(outlook, shifts=None).exceeds(high)


def with_random_steps(seed: int, days: int, every: float) -> Array:
    """A level that steps by 0.7 (standard deviation of the log), once in ``every`` days on average, and noise."""
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, days, rng.poisson(days / every))
    level = sum(((np.arange(days) >= start) * rng.normal(0.0, 0.7) for start in starts), np.zeros(days))
    return np.asarray(100.0 * np.exp(level + rng.normal(0.0, 0.15, days)))


def test_intervals_of_a_level_that_steps_hold_more_often_for_it() -> None:
    held = {True: 0, False: 0}
    for seed in range(80):
        values = with_random_steps(seed, 120, every=60.0)
        outlook, total = outlook_of(values[:90]), values[90:].sum()
        for known in held:
            low, high = (outlook if known else replace(outlook, shifts=None)).total([0.025, 0.975])
            held[known] += int(low <= total <= high)
    assert held[True] > held[False]


def widened(values: Array) -> float:
    """How many times as wide (log) steps to come make the 95 % interval of a total."""
    outlook = outlook_of(values)
    widths = [np.log(one.total([0.025, 0.975])) for one in (outlook, replace(outlook, shifts=None))]
    return float((widths[0][1] - widths[0][0]) / (widths[1][1] - widths[1][0]))


def test_a_flat_history_is_widened_less_than_one_that_stepped() -> None:
    assert 1.0 < widened(weekly(90)) < widened(stepped()) / 1.1
