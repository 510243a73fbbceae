"""The demo's world live: single requests at the rates of the moment, through the real exporter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from asahi_analytics.demo import world
from asahi_analytics.demo.intensity import Floats, Intensity, Shapes, money_of, shapes_of
from asahi_analytics.demo.past import TIERS, batch_savings_pct
from asahi_analytics.demo.world import DemoTask
from asahi_exporter import InferenceEvent, MetricsCollector
from asahi_exporter.conventions import CACHE_TIERS, NO_CACHE

Counts = npt.NDArray[np.int64]
LONGEST_STEP_SECONDS: Final = 30.0
"""What is recorded at once at most, after the process was held up."""
LONGEST_GAP_SECONDS: Final = 900.0


class LiveTraffic:
    """Draws the requests of the time that has passed since the last call and records them.

    All is recorded up to ``now_s`` already; ``on_recorded`` is called with each later time up to which it is.
    """

    def __init__(
        self,
        collector: MetricsCollector,
        intensity: Intensity,
        seed: int,
        now_s: float,
        on_recorded: Callable[[float], None] = lambda _until_s: None,
    ) -> None:
        self._collector = collector
        self._intensity = intensity
        self._rng = np.random.default_rng(seed)
        self._shapes: dict[str, Shapes] = {task.name: shapes_of(task) for task in world.TASKS}
        self._latency = {model.name: model for model in world.MODELS}
        self._until_s = now_s
        self._on_recorded = on_recorded
        self.requests = 0

    def make_up(self, now_s: float) -> None:
        """Record all that would have happened up to ``now_s``, but no more than ``LONGEST_GAP_SECONDS`` of it."""
        self._until_s = max(self._until_s, now_s - LONGEST_GAP_SECONDS)
        while self._until_s < now_s:
            self.catch_up(min(self._until_s + LONGEST_STEP_SECONDS, now_s))

    def catch_up(self, now_s: float) -> None:
        """Record what happens up to ``now_s``, in seconds since 1970."""
        seconds = min(max(now_s - self._until_s, 0.0), LONGEST_STEP_SECONDS)
        self._until_s = now_s
        at = np.array([now_s])
        rates = self._intensity.requests_per_second(at)[0] * seconds
        for user, position in np.argwhere((counts := self._rng.poisson(rates)) > 0):
            for _ in range(counts[user, position]):
                self._request(world.USERS[user], world.TASKS[position], at)
        self._errors(int(counts.sum()), at)
        self._batches(counts.sum(axis=0))
        self.requests += int(counts.sum())
        self._on_recorded(now_s)

    def _choose(self, shares: dict[str, float]) -> str:
        return str(self._rng.choice(list(shares), p=list(shares.values())))

    def _log_normal(self, median: float, sigma: float) -> float:
        return float(median * np.exp(sigma * self._rng.normal()))

    def _request(self, user: str, task: DemoTask, at: Floats) -> None:
        tier = self._look_up(task, at)
        model = self._choose(dict(task.models))
        latency_ms = self._log_normal(*self._latency_of(model, tier, at))
        if tier == NO_CACHE:
            mode = self._choose(dict(world.ROUTING_MODES))
            self._collector.record_routing_decision(mode, model, self._log_normal(*world.ROUTING_MS))
        shapes = self._shapes[task.name]
        size = int(self._rng.choice(world.SHAPES, p=shapes.share))
        tokens = (float(shapes.input_tokens[size]), float(shapes.output_tokens[size]))
        money = money_of(self._intensity.prices, model, task, tier, tokens)
        self._collector.record_inference(
            InferenceEvent(
                model=model,
                task_type=task.name,
                cache_tier=None if tier == NO_CACHE else int(tier),  # type: ignore[arg-type]  # 1, 2 or 3
                user=user,
                input_tokens=int(tokens[0]),
                output_tokens=int(tokens[1]),
                cost_dollars=money.cost,
                savings_dollars=money.savings,
                latency_ms=latency_ms,
                quality_score=self._quality(model),
                outcome=self._outcome() if tier == NO_CACHE else "ok",  # type: ignore[arg-type]  # a known outcome
            )
        )

    def _look_up(self, task: DemoTask, at: Floats) -> str:
        """Look into each tier in turn and return the one that answered, or ``none``."""
        for tier, ratio in zip(CACHE_TIERS, self._intensity.hit_ratios(task, at)[0], strict=True):
            hit = bool(self._rng.random() < ratio)
            self._collector.record_cache_event(int(tier), hit, self._log_normal(*world.LOOKUP_MS[tier]))
            if hit:
                return tier
        return TIERS[-1]

    def _latency_of(self, model: str, tier: str, at: Floats) -> tuple[float, float]:
        if tier != NO_CACHE:
            return world.TIER_LATENCY_MS[tier]
        return float(self._intensity.latency_ms(model, at)[0]), self._latency[model].latency_sigma

    def _quality(self, model: str) -> float | None:
        if self._rng.random() > world.SCORED_SHARE:
            return None
        return float(
            np.clip(self._latency[model].quality + world.QUALITY_SPREAD * self._rng.normal(), 0.0, 5.0)
        )

    def _outcome(self) -> str:
        return self._choose({**world.WASTED_SHARE, "ok": 1.0 - sum(world.WASTED_SHARE.values())})

    def _errors(self, requests: int, at: Floats) -> None:
        for error_type, component in world.ERROR_RATES:
            rate = float(self._intensity.error_rate(error_type, component, at)[0])
            for _ in range(self._rng.poisson(requests * rate)):
                self._collector.record_error(error_type, component)

    def _batches(self, by_task: Counts) -> None:
        mean = sum(size * share for size, share in world.BATCH_SIZES.items())
        batched = sum(int(by_task[position]) for position, task in enumerate(world.TASKS) if task.batched)
        for _ in range(self._rng.poisson(batched / mean / 2.0)):
            size = int(self._choose({str(size): share for size, share in world.BATCH_SIZES.items()}))
            self._collector.record_batch_event(size, batch_savings_pct(size))


def run_traffic(traffic: LiveTraffic, wait: Callable[[float], bool], tick_seconds: float = 1.0) -> None:
    """Keep ``traffic`` going until ``wait`` (for so many seconds) returns True."""
    while not wait(tick_seconds):
        traffic.catch_up(time.time())
