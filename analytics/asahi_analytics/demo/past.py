"""A history of the demo's world: the cells of its exporter at every scrape, drawn for all moments at once.

Requests, tokens and look-ups are whole numbers; dollars follow from them, so that cost plus savings is the baseline and
the users' dollars add up to the models'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.demo import world
from asahi_analytics.demo.intensity import Floats, Intensity, Shapes, bucket_shares, money_of, shapes_of
from asahi_analytics.demo.world import DemoTask
from asahi_analytics.figures import quotients
from asahi_analytics.history import Milliseconds
from asahi_analytics.traffic.readout import CellHistory
from asahi_exporter import conventions as names
from asahi_exporter import schema
from asahi_exporter.cells import BlockKey
from asahi_exporter.config import DEFAULT_LABEL_LIMITS
from asahi_exporter.conventions import CACHE_TIERS, INPUT, NO_CACHE, OUTPUT
from asahi_exporter.guard import REASONS
from asahi_exporter.schema import Schema

FINE: Final = timedelta(minutes=1)
FINE_DAYS: Final = 1
COARSE: Final = timedelta(minutes=5)
LIVE: Final = timedelta(seconds=15)
LIVE_DAYS: Final = 1.5 / 24
"""As long as the alert of scrape gaps looks back, and more."""
TIERS: Final = (*CACHE_TIERS, NO_CACHE)


def scrape_times(end: datetime, days: float) -> Floats:
    """Return the moments of the scrapes, in seconds: every five minutes, every minute of the last day, then as live."""
    end_s = end.timestamp()
    fine_s, live_s = (end_s - min(days, each) * 86_400.0 for each in (FINE_DAYS, LIVE_DAYS))
    coarse = np.arange(end_s - days * 86_400.0, fine_s, COARSE.total_seconds())
    fine = np.arange(fine_s, live_s, FINE.total_seconds())
    return np.concatenate([coarse, fine, np.arange(live_s, end_s + 1.0, LIVE.total_seconds())])


@dataclass(frozen=True)
class Past:
    """The cells of the exporter at ``times_s``; the first row of each is zero."""

    times_s: Floats
    cells: Mapping[BlockKey, Floats]

    @property
    def times_ms(self) -> Milliseconds:
        """The moments in milliseconds."""
        return np.round(self.times_s * 1000.0).astype(np.int64)

    def kept(self) -> npt.NDArray[np.bool_]:
        """Return which moments were scraped: the outages were not."""
        end_s, kept = self.times_s[-1], np.ones(self.times_s.size, dtype=np.bool_)
        for outage in world.OUTAGES:
            start = end_s - outage.ago.total_seconds()
            kept &= ~((self.times_s >= start) & (self.times_s < start + outage.lasts.total_seconds()))
        return kept

    def histories(self) -> list[CellHistory]:
        """Return what the scrapes saw of the cells."""
        kept = self.kept()
        return [CellHistory(key, cells[kept]) for key, cells in self.cells.items()]

    def last(self) -> list[tuple[BlockKey, list[float]]]:
        """Return what each cell has reached, for an exporter to go on from."""
        return [(key, cells[-1].tolist()) for key, cells in self.cells.items()]


def draw_past(intensity: Intensity, times_s: Floats) -> Past:
    """Draw the history of ``intensity`` at ``times_s`` (ascending); equal arguments give equal histories."""
    drawing = _Drawing(intensity, times_s)
    for position, task in enumerate(world.TASKS):
        drawing.task(position, task)
    drawing.cache_lookups()
    drawing.errors()
    drawing.small_things()
    return Past(times_s, drawing.cumulated())


class _Drawing:
    """Increments of every block between consecutive moments."""

    def __init__(self, intensity: Intensity, times_s: Floats) -> None:
        self._intensity = intensity
        self._rng = np.random.default_rng(intensity.seed + 1)
        self._steps = np.diff(times_s)
        self._middle = times_s[1:] - self._steps / 2.0
        self._gains: dict[BlockKey, Floats] = {}
        rates = intensity.requests_per_second(self._middle) * self._steps[:, np.newaxis, np.newaxis]
        self._requests = self._rng.poisson(rates).astype(np.float64)
        """By time, user and task."""
        self._hits = np.zeros((self._steps.size, len(CACHE_TIERS)))
        self._misses = np.zeros_like(self._hits)

    def cumulated(self) -> dict[BlockKey, Floats]:
        return {
            key: np.concatenate([np.zeros((1, gains.shape[1])), np.cumsum(gains, axis=0)])
            for key, gains in self._gains.items()
        }

    def _block(self, kind: Schema, *labels: str) -> Floats:
        """Return the gains of a block, to add to."""
        return self._gains.setdefault((kind, labels), np.zeros((self._steps.size, kind.size)))

    def _split(self, counts: Floats, shares: Floats) -> Floats:
        """Return ``counts`` split at random by ``shares`` (the last axis), in whole numbers."""
        return self._rng.multinomial(counts.astype(np.int64), shares).astype(np.float64)

    # Requests -----------------------------------------------------------------------------------------------
    def task(self, position: int, task: DemoTask) -> None:
        """Draw everything about the requests of one task type."""
        of_users = self._requests[:, :, position]
        shapes = shapes_of(task)
        by_tier = self._split(of_users.sum(axis=1), self._intensity.tier_shares(task, self._middle))
        self._count_lookups(by_tier)
        sums = np.zeros((self._steps.size, schema.USER.size))
        for column, tier in enumerate(TIERS):
            by_model = self._split(by_tier[:, column], self._intensity.model_shares(task))
            for number, model in enumerate(world.MODELS):
                if model.name in task.models:
                    sums += self._requests_of(model.name, task, tier, shapes, by_model[:, number])
        self._share_among_users(of_users, sums)
        self._batches(task, by_tier[:, -1])

    def _requests_of(self, model: str, task: DemoTask, tier: str, shapes: Shapes, requests: Floats) -> Floats:
        """Draw the requests of one label set; return requests, cost, savings and tokens."""
        counts = self._split(requests, shapes.share)
        each = [
            money_of(self._intensity.prices, model, task, tier, tokens)
            for tokens in zip(shapes.input_tokens.tolist(), shapes.output_tokens.tolist(), strict=True)
        ]
        costs = np.array([money.cost or 0.0 for money in each])
        savings = {
            phase: counts @ np.array([money.savings[phase] for money in each]) for phase in each[0].savings
        }
        sums = np.zeros((self._steps.size, schema.USER.size))
        sums[:, 0], sums[:, 1] = requests, counts @ costs
        for phase, dollars in savings.items():
            self._block(schema.SAVINGS, phase)[:, 0] += dollars
            sums[:, 2] += dollars
        sums[:, 3], sums[:, 4] = counts @ shapes.input_tokens, counts @ shapes.output_tokens
        block = self._block(schema.REQUEST, model, task.name, tier)
        block[:, :5] += sums
        block[:, 5] += counts @ shapes.input_tokens**2
        block[:, 6] += counts @ shapes.output_tokens**2
        self._tokens(INPUT, shapes.input_tokens, counts)
        self._tokens(OUTPUT, shapes.output_tokens, counts)
        self._latency(model, tier, requests)
        self._quality(model, task, requests)
        if tier == NO_CACHE:
            self._routing(model, requests)
        if each[0].cost is None:
            self._block(schema.UNPRICED, model)[:, :] += sums[:, [0, 3, 4]]
        elif tier == NO_CACHE:
            self._wasted(model, task, requests, sums[:, 1])
        return sums

    def _tokens(self, direction: str, tokens: Floats, counts: Floats) -> None:
        block = self._block(schema.TOKEN_COUNT, direction)
        block[:, 0] += counts @ tokens
        for bucket, column in zip(np.searchsorted(names.TOKEN_BUCKETS, tokens), counts.T, strict=True):
            block[:, bucket + 1] += column

    def _latency(self, model: str, tier: str, requests: Floats) -> None:
        if tier == NO_CACHE:
            sigma = next(one.latency_sigma for one in world.MODELS if one.name == model)
            median = self._intensity.latency_ms(model, self._middle)
        else:
            median, sigma = (
                np.full(self._steps.size, world.TIER_LATENCY_MS[tier][0]),
                world.TIER_LATENCY_MS[tier][1],
            )
        self._observe(schema.LATENCY, (model, tier), requests, median, sigma)

    def _observe(
        self, kind: Schema, labels: tuple[str, ...], counts: Floats, median: Floats, sigma: float
    ) -> None:
        """Draw log-normal values into a histogram; a bucket's values count with its middle in the sum."""
        metric = kind.histogram
        if metric is None:
            raise ValueError(f"{kind.name} is no histogram")
        inside = self._split(counts, bucket_shares(metric.buckets, median, sigma))
        bounds = np.array([metric.buckets[0] / 2.0, *metric.buckets, metric.buckets[-1] * 1.5])
        block = self._block(kind, *labels)
        block[:, 0] += inside @ np.sqrt(bounds[:-1] * bounds[1:])
        block[:, 1:] += inside

    def _quality(self, model: str, task: DemoTask, requests: Floats) -> None:
        scored = self._rng.binomial(requests.astype(np.int64), world.SCORED_SHARE).astype(np.float64)
        mean = next(one.quality for one in world.MODELS if one.name == model)
        noise = self._rng.normal(size=scored.size) * np.sqrt(scored) * world.QUALITY_SPREAD
        block = self._block(schema.QUALITY, model, task.name)
        block[:, 0] += np.clip(scored * mean + noise, 0.0, 5.0 * scored)
        block[:, 1] += scored

    def _routing(self, model: str, requests: Floats) -> None:
        by_mode = self._split(requests, np.array(list(world.ROUTING_MODES.values())))
        for column, mode in enumerate(world.ROUTING_MODES):
            self._block(schema.ROUTING, mode, model)[:, 0] += by_mode[:, column]
            median = np.full(requests.size, world.ROUTING_MS[0])
            self._observe(schema.ROUTING_LATENCY, (mode,), by_mode[:, column], median, world.ROUTING_MS[1])

    def _wasted(self, model: str, task: DemoTask, requests: Floats, cost: Floats) -> None:
        each = quotients(cost, requests, otherwise=0.0)
        for outcome, share in world.WASTED_SHARE.items():
            failed = self._rng.binomial(requests.astype(np.int64), share)
            self._block(schema.WASTED, model, task.name, outcome)[:, 0] += failed * each

    def _share_among_users(self, of_users: Floats, sums: Floats) -> None:
        """Give each user the part of dollars and tokens that the user has in the requests of this step."""
        total = of_users.sum(axis=1)
        for position, user in enumerate(world.USERS):
            requests = of_users[:, position]
            part = quotients(requests, total, otherwise=0.0)
            self._block(schema.USER, user)[:, :] += sums * part[:, np.newaxis]

    def _batches(self, task: DemoTask, requests: Floats) -> None:
        if not task.batched:
            return
        sizes = np.array(list(world.BATCH_SIZES))
        mean = float(sizes @ np.array(list(world.BATCH_SIZES.values())))
        counts = self._split(
            self._rng.poisson(requests / mean).astype(np.float64), np.array(list(world.BATCH_SIZES.values()))
        )
        histogram = self._block(schema.BATCH_SIZE)
        histogram[:, 0] += counts @ sizes
        for size, column in zip(world.BATCH_SIZES, counts.T, strict=True):
            histogram[:, int(np.searchsorted(names.BATCH_SIZE_BUCKETS, size)) + 1] += column
            block = self._block(schema.BATCH, names.batch_size_class(size))
            block[:, 0] += column
            block[:, 1] += column * batch_savings_pct(size)

    # Around the requests --------------------------------------------------------------------------------------
    def _count_lookups(self, by_tier: Floats) -> None:
        """A request looks into each tier in turn until one answers."""
        left = by_tier.sum(axis=1)
        for column in range(len(CACHE_TIERS)):
            left = left - by_tier[:, column]
            self._hits[:, column] += by_tier[:, column]
            self._misses[:, column] += left

    def cache_lookups(self) -> None:
        """Draw the look-ups of each tier and their time."""
        for column, tier in enumerate(CACHE_TIERS):
            block = self._block(schema.CACHE, tier)
            block[:, 0], block[:, 1] = self._hits[:, column], self._misses[:, column]
            median, sigma = world.LOOKUP_MS[tier]
            looked = block.sum(axis=1)
            self._observe(schema.LOOKUP_LATENCY, (tier,), looked, np.full(looked.size, median), sigma)

    def errors(self) -> None:
        """Draw the errors of each kind."""
        requests = self._requests.sum(axis=(1, 2))
        for error_type, component in world.ERROR_RATES:
            rate = self._intensity.error_rate(error_type, component, self._middle)
            self._block(schema.ERROR, error_type, component)[:, 0] = self._rng.poisson(requests * rate)

    def small_things(self) -> None:
        """Draw credits and refusals, and make what every exporter has from its start."""
        days = self._steps / 86_400.0
        model, task = world.MODELS[0].name, world.TASKS[0].name
        credits_ = self._rng.poisson(world.CREDITS_PER_DAY * days)
        self._block(schema.CORRECTION, model, task, NO_CACHE)[:, 0] = credits_ * world.CREDIT_DOLLARS
        for label in DEFAULT_LABEL_LIMITS:
            self._block(schema.OVERFLOW, label)
        for reason in REASONS:
            self._block(schema.REFUSED, reason)
        self._block(schema.REFUSED, "negative")[:, 0] = self._rng.poisson(world.REFUSALS_PER_DAY * days)


def batch_savings_pct(size: int) -> float:
    """Return what a batch of ``size`` saves, in percent: more with its size, but ever less so."""
    return 40.0 * (1.0 - 1.0 / (1.0 + 0.18 * (size - 1)))
