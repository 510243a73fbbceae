"""How much of everything happens at a moment: the demo's world as functions of time.

Arrays have time first. All times are seconds since 1970; ``end_s`` is the end of the history, from which incidents
are counted back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from asahi_analytics.demo import world
from asahi_analytics.demo.world import DemoTask, Incident
from asahi_analytics.errors import UserInputError
from asahi_analytics.prices import PriceBook
from asahi_exporter.conventions import CACHE_TIERS

Floats = npt.NDArray[np.float64]
DAY_S: Final = 86_400.0
_WEEKDAYS: Final = np.array([1.12, 1.18, 1.16, 1.14, 1.05, 0.66, 0.69])
"""Monday first; the mean is 1."""
_TASK_AFFINITY: Final = 0.9


def season(times_s: Floats) -> Floats:
    """Return how busy the hour and the weekday are; the mean over a week is about 1."""
    hour = times_s % DAY_S / 3600.0
    morning = np.exp(-0.5 * ((hour - 10.5) / 2.4) ** 2)
    afternoon = np.exp(-0.5 * ((hour - 15.5) / 2.8) ** 2)
    day = 0.42 + 1.0 * morning + 1.05 * afternoon
    weekday = (times_s // DAY_S).astype(np.int64) + 3  # 1970-01-01 was a Thursday
    return np.asarray(day / 0.97 * _WEEKDAYS[weekday % 7])


@dataclass(frozen=True)
class Shapes:
    """The sizes of request of one task type: tokens as whole numbers, and how often each occurs."""

    input_tokens: Floats
    output_tokens: Floats
    share: Floats


def shapes_of(task: DemoTask) -> Shapes:
    """Return sizes at evenly spaced quantiles of the task's log-normal tokens."""
    quantiles = (np.arange(world.SHAPES) + 0.5) / world.SHAPES
    spread = np.exp(task.sigma * ndtri(quantiles))
    inputs = np.round(task.input_tokens * spread)
    outputs = np.maximum(np.round(task.output_tokens * np.roll(spread, world.SHAPES // 3)), 1.0)
    return Shapes(inputs, outputs, np.full(world.SHAPES, 1.0 / world.SHAPES))


def bucket_shares(bounds: Sequence[float], median: Floats, sigma: float) -> Floats:
    """Return the share of a log-normal variable in each bucket, the last without bound: one row for each median."""
    upper = ndtr((np.log(bounds)[np.newaxis, :] - np.log(median)[:, np.newaxis]) / sigma)
    edges = np.concatenate([np.zeros((median.size, 1)), upper, np.ones((median.size, 1))], axis=1)
    return np.asarray(np.diff(edges, axis=1))


@dataclass(frozen=True)
class Rate:
    """Dollars per token, in and out."""

    input: float
    output: float


@dataclass(frozen=True)
class Intensity:
    """The world, with its history ending at ``end_s``."""

    end_s: float
    seed: int = 1

    @cached_property
    def user_weights(self) -> Floats:
        """Share of all requests by user and task type; few users make most of it."""
        rng = np.random.default_rng(self.seed)
        size = 1.0 / np.arange(1, len(world.USERS) + 1) ** 0.8
        affinity = rng.dirichlet(np.full(len(world.TASKS), _TASK_AFFINITY), size=len(world.USERS))
        affinity = 0.5 * affinity + 0.5 / len(world.TASKS)
        weights = size[:, np.newaxis] * affinity
        wanted = np.array([task.share for task in world.TASKS])
        return np.asarray(weights / weights.sum(axis=0) * wanted)

    @cached_property
    def prices(self) -> dict[str, Rate | None]:
        """Dollars per token of each model and of the baseline model at the end of the history; None: unpriced."""
        at, book = datetime.fromtimestamp(self.end_s, UTC), PriceBook.bundled()
        rates = {
            name: book.rate(name, at) for name in (*(m.name for m in world.MODELS), world.BASELINE_MODEL)
        }
        return {
            name: None if rate is None else Rate(float(rate.input) / 1e6, float(rate.output) / 1e6)
            for name, rate in rates.items()
        }

    def requests_per_second(self, times_s: Floats) -> Floats:
        """Return requests a second by time, user and task type."""
        growth = np.exp(world.GROWTH_PER_DAY * (times_s - self.end_s) / DAY_S)
        busy = world.REQUESTS_PER_SECOND * season(times_s) * growth
        rates = busy[:, np.newaxis, np.newaxis] * self.user_weights[np.newaxis, :, :]
        for position, user in enumerate(world.USERS):
            rates[:, position, :] *= self.factor("user", user, times_s)[:, np.newaxis]
        return np.asarray(rates)

    def hit_ratios(self, task: DemoTask, times_s: Floats) -> Floats:
        """Return the share of look-ups that hit, by time and tier."""
        factors = [self.factor("cache", tier, times_s) for tier in CACHE_TIERS]
        return np.asarray(np.array(task.hit_ratios) * np.stack(factors, axis=1))

    def tier_shares(self, task: DemoTask, times_s: Floats) -> Floats:
        """Return the share of requests answered by tier 1, 2, 3 and by no cache, by time."""
        hits = self.hit_ratios(task, times_s)
        reached = np.cumprod(1.0 - hits, axis=1)
        before = np.concatenate([np.ones((times_s.size, 1)), reached[:, :-1]], axis=1)
        return np.asarray(np.concatenate([before * hits, reached[:, -1:]], axis=1))

    def model_shares(self, task: DemoTask) -> Floats:
        """Return the share of a task's requests that each model has."""
        return np.array([task.models.get(model.name, 0.0) for model in world.MODELS])

    def latency_ms(self, model: str, times_s: Floats) -> Floats:
        """Return the median latency of a model by time."""
        median = next(one.latency_ms for one in world.MODELS if one.name == model)
        return median * (0.9 + 0.1 * season(times_s)) * self.factor("latency", model, times_s)

    def error_rate(self, error_type: str, component: str, times_s: Floats) -> Floats:
        """Return errors per request by time."""
        return world.ERROR_RATES[error_type, component] * self.factor("errors", error_type, times_s)

    def factor(self, kind: str, target: str, times_s: Floats) -> Floats:
        """Return what the incidents of ``kind`` multiply ``target`` by, by time."""
        product = np.ones(times_s.size)
        for incident in world.INCIDENTS:
            if (incident.kind, incident.target) == (kind, target):
                product[self._during(incident, times_s)] *= incident.factor
        return product

    def _during(self, incident: Incident, times_s: Floats) -> npt.NDArray[np.bool_]:
        start = self.end_s - incident.ago.total_seconds()
        return (times_s >= start) & (times_s < start + incident.lasts.total_seconds())


Tokens = tuple[float, float]
"""In, out."""


@dataclass(frozen=True)
class Money:
    """What one request costs and saves, in dollars."""

    cost: float | None
    savings: dict[str, float]


def money_of(
    prices: Mapping[str, Rate | None], model: str, task: DemoTask, tier: str, tokens: Tokens
) -> Money:
    """Return cost and savings by phase of a request of a task that ``model`` (or cache ``tier``) answered.

    Linear in the tokens, so that the sums over many requests are those of their tokens. Cost plus savings is what the
    baseline model would have cost for the tokens before trimming; a request without a price saves nothing known.
    """
    rate, baseline = prices[model], prices[world.BASELINE_MODEL]
    if baseline is None:
        raise UserInputError(f"the baseline model {world.BASELINE_MODEL} has no price")
    input_tokens, output_tokens = tokens
    plain = input_tokens * baseline.input + output_tokens * baseline.output
    if tier in CACHE_TIERS:
        return Money(0.0, {"cache": plain})
    if rate is None:
        return Money(None, {})
    trimmed_tokens = input_tokens * task.trimmed / (1.0 - task.trimmed)
    routed = input_tokens * rate.input + output_tokens * rate.output
    batching = routed * world.BATCH_DISCOUNT if task.batched else 0.0
    savings = {"routing": plain - routed, "tokens": trimmed_tokens * baseline.input}
    return Money(routed - batching, {**savings, "batching": batching} if task.batched else savings)
