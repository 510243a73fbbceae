"""The book of one process: its cells, guarded and windowed, and how each kind of record enters them."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable
from itertools import product
from numbers import Integral
from typing import Any, Final

from asahi_exporter import conventions as names
from asahi_exporter import schema
from asahi_exporter.cells import Block, Cells
from asahi_exporter.config import MetricsConfig
from asahi_exporter.errors import Refused
from asahi_exporter.events import MAX_DOLLARS, MAX_MILLISECONDS, MAX_TOKENS, InferenceEvent
from asahi_exporter.guard import REASONS, LabelGuard, amount
from asahi_exporter.inference import TIER_TEXT, Inferences
from asahi_exporter.rolling import Rolling
from asahi_exporter.schema import Schema
from asahi_exporter.store import Store
from asahi_exporter.tally import WATCHED
from asahi_exporter.window import Slot, Window

_MAX_SAVINGS_PCT: Final = 100.0
_SECONDS_PER_HOUR: Final = 3_600.0


class Book:
    """Counts what it is told. Methods raise :class:`Refused` before they change anything; the caller holds ``lock``."""

    def __init__(self, config: MetricsConfig, store: Store, clock: Callable[[], float]) -> None:
        self.store = store
        self.cells = Cells(store.backing)
        for block in store.found():
            self.cells.take(block)
        self.lock = self.cells.lock
        self.guard = LabelGuard(
            config.label_limits, config.max_label_length, store.labels, self._count_overflow
        )
        self._clock = clock
        self.window = Window(
            config.collection_interval_seconds, config.retention_hours * _SECONDS_PER_HOUR, clock()
        )
        self.rolling = Rolling(self.cells, self.window, config.rolling_window_minutes * 60.0)
        self._inferences = Inferences(self.cells, self.guard)
        self._create_known(config)

    def _create_known(self, config: MetricsConfig) -> None:
        """Create what is known at start: it is scraped at 0, and so its first value is not lost."""
        known = config.known_labels
        for tier in names.CACHE_TIERS:
            self.cells.block(schema.CACHE, (tier,))
        for label in config.label_limits:
            self.cells.block(schema.OVERFLOW, (label,))
        for reason in REASONS:
            self.cells.block(schema.REFUSED, (reason,))
        self.cells.block(schema.BATCH_SIZE, ())
        if self.store.identity is not None:
            self.cells.block(schema.WRITE_FAILURES, ())
        for phase in known.get(names.PHASE, names.DEFAULT_PHASES):
            self._inferences.prepare_phase(phase)
        for user in known.get(names.USER, ()):
            self._inferences.prepare_user(user)
        task_types = known.get(names.TASK_TYPE) or [names.UNKNOWN]
        for model, task_type, tier_key in product(known.get(names.MODEL, ()), task_types, TIER_TEXT):
            self._inferences.prepare(model, task_type, tier_key)
        for error_type, component in product(
            known.get(names.ERROR_TYPE, ()), known.get(names.COMPONENT) or [names.UNKNOWN]
        ):
            self._labelled(schema.ERROR, error_type, component)
        for mode, model in product(known.get(names.MODE, ()), known.get(names.MODEL, ())):
            self._labelled(schema.ROUTING, mode, model)

    def _count_overflow(self, label: str) -> None:
        self.cells.block(schema.OVERFLOW, (label,)).add(0, 1.0)

    def _labelled(self, kind: Schema, *values: Any) -> Block:
        """Return the block of a schema for raw label values, in the order of its labels."""
        labels = tuple(
            self.guard.admit(label, value) for label, value in zip(kind.labels, values, strict=True)
        )
        return self.cells.block(kind, labels)

    def turn(self) -> None:
        """Close the open slot of the window if its time is over. Comes before counting."""
        now = self._clock()
        if now >= self.window.closes_at:
            self.roll(now)

    def roll(self, now: float) -> None:
        """Bring window and rolling gauges up to ``now``; move in where the counters are kept, if they wait for it."""
        self.settle(now)
        self.window.roll(now, [block for block in self.cells.blocks.values() if block.schema in WATCHED])
        if self.store.identity is not None:
            self.rolling.write(now)

    def settle(self, now: float) -> None:
        """Move in where the counters are kept, if they wait for it and it is there now or has room again."""
        successor = self.store.successor(now)
        if successor is not None:
            self.store = successor
            self.cells.move(successor.backing)
        self.cells.rehouse()

    @property
    def settled(self) -> bool:
        """Whether all is where it is kept."""
        return not (self.store.waits or self.cells.homeless)

    def slots(self, since: float) -> tuple[Slot, ...]:
        """Return the window's slots since a moment, the open one included."""
        self.roll(self._clock())
        return self.window.slots(since)

    def inference(self, event: Any) -> None:
        """Count one inference."""
        if event.__class__ is not InferenceEvent and not isinstance(event, InferenceEvent):
            raise Refused("type", f"record_inference takes an InferenceEvent, got {type(event).__name__}")
        self._inferences.add(event)

    def cache_event(self, tier: Any, hit: Any, latency_ms: Any) -> None:
        """Count one look-up in a cache."""
        label = str(tier) if isinstance(tier, Integral | str) else ""
        if label not in names.CACHE_TIERS:
            raise Refused("cache_tier", f"tier must be 1, 2 or 3, got {label[:20] or type(tier).__name__}")
        hit = bool(hit)
        latency = _optional("latency_ms", latency_ms, MAX_MILLISECONDS)
        self.cells.block(schema.CACHE, (label,)).add(0 if hit else 1, 1.0)
        if latency is not None:
            _observe(self.cells.block(schema.LOOKUP_LATENCY, (label,)), latency)

    def routing_decision(self, mode: Any, model: Any, latency_ms: Any) -> None:
        """Count one routing decision."""
        latency = _optional("latency_ms", latency_ms, MAX_MILLISECONDS)
        decisions = self._labelled(schema.ROUTING, mode, model)
        decisions.add(0, 1.0)
        if latency is not None:
            _observe(self.cells.block(schema.ROUTING_LATENCY, decisions.labels[:1]), latency)

    def batch_event(self, batch_size: Any, savings_pct: Any) -> None:
        """Count one batch."""
        size = amount("batch_size", batch_size, MAX_TOKENS)
        if size < 1 or size != int(size):
            raise Refused("value", f"batch_size must be a whole number from 1, got {size:g}")
        savings = _optional("savings_pct", savings_pct, _MAX_SAVINGS_PCT) or 0.0
        block = self.cells.block(schema.BATCH, (names.batch_size_class(int(size)),))
        block.add(0, 1.0)
        block.add(1, savings)
        _observe(self.cells.block(schema.BATCH_SIZE, ()), size)

    def error(self, error_type: Any, component: Any) -> None:
        """Count one error."""
        self._labelled(schema.ERROR, error_type, component).add(0, 1.0)

    def correction(self, dollars: Any, model: Any, task_type: Any, cache_tier: Any) -> None:
        """Count dollars that were credited back."""
        credit = amount("dollars", dollars, MAX_DOLLARS)
        labels = self._inferences.labels(model, task_type, cache_tier)
        self.cells.block(schema.CORRECTION, labels).add(0, credit)

    def relock(self) -> None:
        """Take a new lock, in a forked process whose copy of the old one may belong to a thread that is not there."""
        self.lock = self.cells.lock = threading.RLock()

    def close(self) -> None:
        """Let go of the store; what is counted from now on stays in memory."""
        with self.lock:
            self.cells.detach()
            self.store.close()

    def refused(self, reason: str) -> None:
        """Count a record that was not taken."""
        self.cells.block(schema.REFUSED, (reason,)).add(0, 1.0)


def _optional(name: str, value: Any, most: float) -> float | None:
    return None if value is None else amount(name, value, most)


def _observe(block: Block, value: float) -> None:
    metric = block.schema.histogram
    if metric is not None:
        block.observe(bisect_left(metric.buckets, value), value)
