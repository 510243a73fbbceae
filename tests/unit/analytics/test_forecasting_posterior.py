"""The factored arithmetic against dense matrices, and quantiles against root finding."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import multivariate_normal

from asahi_analytics.forecasting.kernels import (
    LEVEL_VARIANCE,
    LONG_PERIOD,
    WALK_MEMORY,
    Covariances,
    Grid,
    Kernel,
    Layout,
    damped,
    factors,
    season_kernel,
    smooth_season_kernel,
    trend_basis,
)
from asahi_analytics.forecasting.posterior import (
    FITTED,
    LEAST_NOISE,
    NOISE_GRID,
    PLACES,
    Beliefs,
    _evidence,
    _likely_steps,
    _marginal,
    infer,
    mixture_quantiles,
)

KERNEL = Kernel(walk=0.05, season=2.0, memory=0.7, memory_length=3.0)
GRID = Grid((KERNEL,), 7)
BELIEFS = Beliefs((0.05,), (1.0,), step_sizes=(0.4,), step_weights=(0.3,), temper=1.0)
SEEN = np.array([1] * 20 + [0, 0] + [1] * 10, dtype=np.uint8)
LAYOUT = Layout(SEEN.tobytes(), horizon=9, steps=(12,), slope_unit=7, damping=0.97)


def observations() -> np.ndarray:
    return np.random.default_rng(3).normal(0.0, 0.4, int(SEEN.sum()))


def noise_of(values: np.ndarray) -> np.ndarray:
    """The noise grid, as the model centres it: on the fit without the slope."""
    parts = factors(GRID, LAYOUT)
    white = parts.whiten[0] @ values
    slope = parts.basis[0][:, 0]
    rest = white @ white - 0.9 * (slope @ white) ** 2 / (slope @ slope)
    return (rest / (len(values) - FITTED) + LEAST_NOISE) * NOISE_GRID**2


def dense(noise: float, with_step: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariance of the past, between future and past, and of the future, with slope and step in the matrix."""
    past, future = LAYOUT.past, LAYOUT.future
    times = np.concatenate([past, future])
    joint = noise * Covariances(times, 7).of(KERNEL)
    slope = np.concatenate([(past - past[-1]) / 7, damped(future - past[-1], 0.97) / 7])
    joint = joint + 0.05**2 * np.outer(slope, slope)
    if with_step:
        step = (times >= 12).astype(float)
        joint = joint + 0.4**2 * np.outer(step, step)
    n = len(past)
    return joint[:n, :n] + noise * np.eye(n), joint[n:, :n], joint[n:, n:]


@pytest.mark.parametrize("with_step", [False, True])
def test_the_likelihood_is_that_of_the_dense_covariance(with_step: bool) -> None:
    values = observations()
    parts = factors(GRID, LAYOUT)
    evidence = _evidence(values, parts)
    steps = _likely_steps(evidence, parts, BELIEFS)
    terms = _marginal(evidence, parts, BELIEFS, steps)
    found = terms.log_weight - steps.log_prior[None, None, :, None]
    expected = [
        multivariate_normal(cov=dense(noise, with_step)[0]).logpdf(values)
        + 0.5 * len(values) * np.log(2 * np.pi)
        for noise in noise_of(values)
    ]
    np.testing.assert_allclose(found[0, 0, int(with_step)], expected, rtol=1e-9, atol=1e-7)


def test_the_future_is_that_of_the_dense_covariance() -> None:
    values = observations()
    mixture = infer(values, factors(GRID, LAYOUT), BELIEFS)
    share = np.linspace(0.2, 1.0, 9)
    found = {
        (round(float(noise), 12), bool(step)): (location, own, total)
        for noise, step, location, own, total in zip(
            mixture.noise,
            mixture.trend_covariance[1, 1] > 0,
            mixture.location,
            mixture.own,
            mixture.variance(share),
            strict=True,
        )
    }
    assert len(found) >= 4
    for (noise, step), (location, own, total) in found.items():
        past, cross, ahead = dense(noise, step)
        spread = ahead - cross @ np.linalg.solve(past, cross.T)
        np.testing.assert_allclose(location, cross @ np.linalg.solve(past, values), atol=1e-8)
        np.testing.assert_allclose(own, np.diag(spread), rtol=1e-6)
        assert total == pytest.approx(share @ spread @ share, rel=1e-6)


def test_weights_sum_to_one_and_follow_evidence() -> None:
    times = np.arange(30.0)
    layout = Layout(np.ones(30, np.uint8).tobytes(), 5, (10, 20), 7, 1.0)
    stepped = np.where(times >= 20, 1.0, 0.0) + np.random.default_rng(1).normal(0, 0.05, 30)
    beliefs = Beliefs((0.01,), (1.0,), step_sizes=(1.0,), step_weights=(0.3,), temper=1.0)
    mixture = infer(
        stepped - stepped.mean(), factors(Grid((Kernel(0.0, 0.1, 0.0, 1.0),), 7), layout), beliefs
    )
    assert mixture.weight.sum() == pytest.approx(1.0)
    with_step = mixture.weight[mixture.trend_covariance[1, 1] > 0].sum()
    assert with_step > 0.95


def test_the_likeliest_places_of_a_step_are_considered_in_every_size() -> None:
    times = np.arange(60.0)
    layout = Layout(np.ones(60, np.uint8).tobytes(), 5, tuple(range(4, 57)), 7, 1.0)
    parts = factors(Grid((Kernel(0.001, 0.1, 0.0, 1.0),), 7), layout)
    stepped = np.where(times >= 37, 1.0, 0.0) + np.random.default_rng(1).normal(0, 0.1, 60)
    beliefs = Beliefs((0.01, 0.05), (0.4, 0.6), step_sizes=(0.1, 1.0), step_weights=(0.2, 0.1))
    steps = _likely_steps(_evidence(stepped - stepped.mean(), parts), parts, beliefs)
    assert len(steps.column) == 1 + 2 * PLACES
    assert layout.steps.index(37) + 1 in steps.column
    assert steps.size.tolist() == [0.0] + [0.1] * PLACES + [1.0] * PLACES
    assert np.exp(steps.log_prior)[[0, 1, -1]] == pytest.approx([0.7, 0.2 / 53, 0.1 / 53])


def test_a_constant_history_keeps_a_little_noise() -> None:
    mixture = infer(np.zeros(int(SEEN.sum())), factors(GRID, LAYOUT), BELIEFS)
    assert mixture.noise.min() > 0.0
    assert np.isfinite(mixture.location).all()


def test_seasons_repeat_and_have_unit_variance() -> None:
    lags = np.arange(0.0, 21.0)
    assert season_kernel(lags, 7)[[0, 7, 14]] == pytest.approx([1.0, 1.0, 1.0])
    assert season_kernel(lags, 7)[:7].sum() == pytest.approx(0.0)
    assert smooth_season_kernel(lags * 24, 24)[[0, 5]] == pytest.approx([1.0, 1.0])
    assert np.all(np.diff(smooth_season_kernel(np.arange(13.0), 24)) < 0)


def test_long_seasons_are_smooth_and_short_ones_are_not() -> None:
    kernel = Kernel(0.0, 1.0, 0.0, 1.0)
    weekly = Covariances(np.arange(10.0), 7).of(kernel) - LEVEL_VARIANCE
    daily = Covariances(np.arange(30.0), LONG_PERIOD + 1).of(kernel) - LEVEL_VARIANCE
    assert weekly[0, 1] == pytest.approx(-1 / 6)
    assert daily[0, 1] > daily[0, 3] > 0.0


def test_days_of_hours_resemble_the_same_day_a_week_before() -> None:
    times = np.array([0.0, 3.0, 60.0, 84.0, 168.0])
    plain, week = (
        Covariances(times, 24).of(Kernel(0.0, 0.0, 0.0, 1.0, size))[0] - LEVEL_VARIANCE for size in (0.0, 2.0)
    )
    assert plain.tolist() == [0.0] * 5
    assert week[[0, 4]] == pytest.approx([2.0, 2.0])
    assert week[1] > 1.9
    assert week[2] < 0.1


def test_the_walk_gains_its_variance_per_step() -> None:
    covariance = Covariances(np.arange(4.0), 7).of(Kernel(0.1, 0.0, 0.0, 1.0)) - LEVEL_VARIANCE
    step = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert step == pytest.approx(0.1, rel=2 / WALK_MEMORY)


def test_a_slope_fades_as_a_geometric_sum() -> None:
    ahead = np.arange(1.0, 6.0)
    assert damped(ahead, 1.0) == pytest.approx(ahead)
    assert damped(ahead, 0.9) == pytest.approx(np.cumsum(0.9**ahead))


def test_the_basis_holds_a_slope_and_steps() -> None:
    basis = trend_basis(np.arange(-3.0, 1.0), np.array([-1.0]), 7)
    assert basis[:, 0] == pytest.approx(np.arange(-3.0, 1.0) / 7)
    assert basis[:, 1].tolist() == [0.0, 0.0, 1.0, 1.0]


def test_quantiles_of_mixtures_are_where_the_distribution_function_says() -> None:
    weight = np.array([0.7, 0.25, 0.05])
    location = np.array([[0.0, 5.0], [1.0, 5.5], [4.0, 5.0]])
    scale = np.array([[0.3, 0.1], [0.5, 0.1], [1.0, 2.0]])
    wanted = np.array([0.01, 0.1, 0.5, 0.9, 0.99])
    found = mixture_quantiles(wanted, weight, location, scale)
    for column in range(2):
        for row, probability in enumerate(wanted):

            def excess(x: float, column: int = column, p: float = probability) -> float:
                return float(weight @ ndtr((x - location[:, column]) / scale[:, column])) - p

            assert found[row, column] == pytest.approx(brentq(excess, -20, 20), abs=0.05)
    assert np.all(np.diff(found, axis=0) > 0)


def test_the_quantile_of_one_normal_is_exact() -> None:
    found = mixture_quantiles(np.array([0.025, 0.5, 0.975]), np.ones(1), np.array([[2.0]]), np.array([[0.5]]))
    assert found[:, 0] == pytest.approx([2.0 - 0.5 * 1.959964, 2.0, 2.0 + 0.5 * 1.959964], abs=1e-6)
