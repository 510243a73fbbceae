"""The hot path: one inference event into its cells.

A label set is looked up once, as raw values, and found as blocks bound to it. Everything that can fail comes
before the first update, so that an event counts in full or not at all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from struct import Struct
from typing import Final

from asahi_exporter import conventions as names
from asahi_exporter import schema
from asahi_exporter.cells import Block, Cells
from asahi_exporter.errors import Refused
from asahi_exporter.events import MAX_DOLLARS, InferenceEvent
from asahi_exporter.guard import LabelGuard

RequestKey = tuple[str, str, int | None]
TIER_TEXT: Final[Mapping[int | None, str]] = {None: names.NO_CACHE, 1: "1", 2: "2", 3: "3"}
_STORE_REQUEST: Final = Struct(f"@{schema.REQUEST.size}d").pack_into
_STORE_USER: Final = Struct(f"@{schema.USER.size}d").pack_into
_CELL_BYTES: Final = 8


class _Bound:
    """The blocks that requests of one model, task type and tier go to; the rarer ones are made when first needed."""

    __slots__ = ("latency", "model", "quality", "request", "task_type", "tier")

    def __init__(self, model: str, task_type: str, tier: str, request: Block) -> None:
        self.model = model
        self.task_type = task_type
        self.tier = tier
        self.request = request
        self.latency: Block | None = None
        self.quality: Block | None = None


class Inferences:
    """Counts inference events. The caller holds the lock of ``cells``."""

    def __init__(self, cells: Cells, guard: LabelGuard) -> None:
        self._cells = cells
        self._guard = guard
        self._input = cells.block(schema.TOKEN_COUNT, (names.INPUT,))
        self._output = cells.block(schema.TOKEN_COUNT, (names.OUTPUT,))
        self._bounds: dict[RequestKey, _Bound] = {}
        self._users: dict[str | None, Block] = {}
        self._phases: dict[str, Block] = {}

    def add(self, event: InferenceEvent) -> None:
        """Count ``event``.

        Raises:
            Refused: a saving is not a number from 0 to ``MAX_DOLLARS`` (the mapping was changed after validation).
        """
        cost, tokens_in, tokens_out = event.cost_dollars, event.input_tokens, event.output_tokens
        savings, latency_ms = event.savings_dollars, event.latency_ms
        saved = _total(savings) if savings else 0.0
        key = (event.model, event.task_type, event.cache_tier)
        bound = self._bounds.get(key) or self._bind(key)
        user = self._users.get(event.user) or self._user(event.user)
        phases = [(self._phases.get(phase) or self._phase(phase), savings[phase]) for phase in savings]
        if latency_ms is not None:
            latency = bound.latency or self._latency(bound)
            _observe(latency, names.LATENCY_MS_BUCKETS, latency_ms)
        dollars = cost or 0.0
        values = bound.request.values
        values[0] += 1.0
        values[1] += dollars
        values[2] += saved
        values[3] += tokens_in
        values[4] += tokens_out
        values[5] += float(tokens_in) * tokens_in
        values[6] += float(tokens_out) * tokens_out
        of_user = user.values
        of_user[0] += 1.0
        of_user[1] += dollars
        of_user[2] += saved
        of_user[3] += tokens_in
        of_user[4] += tokens_out
        if bound.request.mirror is not None:
            _STORE_REQUEST(bound.request.mirror, bound.request.at * _CELL_BYTES, *values)
        if user.mirror is not None:
            _STORE_USER(user.mirror, user.at * _CELL_BYTES, *of_user)
        for block, amount in phases:
            block.add(0, amount)
        _observe(self._input, names.TOKEN_BUCKETS, tokens_in)
        _observe(self._output, names.TOKEN_BUCKETS, tokens_out)
        if event.quality_score is not None:
            self._add_quality(bound, event.quality_score)
        if cost is None:
            self._add_unpriced(bound, tokens_in, tokens_out)
        elif event.outcome != "ok":
            self._cells.block(schema.WASTED, (bound.model, bound.task_type, event.outcome)).add(0, cost)

    def prepare(self, model: str, task_type: str, tier: int | None) -> None:
        """Create the series of a label set that is known beforehand, so that they are scraped at 0."""
        self._latency(self._bind((model, task_type, tier)))

    def prepare_user(self, user: str) -> None:
        """Create the series of a user who is known beforehand."""
        self._user(user)

    def prepare_phase(self, phase: str) -> None:
        """Create the series of an optimisation phase that is known beforehand."""
        self._phase(phase)

    def labels(self, model: object, task_type: object, tier: object) -> tuple[str, str, str]:
        """Return the label values that a request is counted under.

        Raises:
            Refused: the tier is not 1, 2, 3 or None.
        """
        text = TIER_TEXT.get(tier) if tier is None or (isinstance(tier, int) and tier is not True) else None
        if text is None:
            raise Refused("cache_tier", "cache_tier must be 1, 2, 3 or None")
        return self._guard.admit(names.MODEL, model), self._guard.admit(names.TASK_TYPE, task_type), text

    def _bind(self, key: RequestKey) -> _Bound:
        labels = self.labels(*key)
        bound = _Bound(*labels, self._cells.block(schema.REQUEST, labels))
        if (
            labels[:2] == key[:2]
        ):  # a value that was cut, or overflowed and must be counted so, is not remembered
            self._bounds[key] = bound
        return bound

    def _user(self, user: str | None) -> Block:
        label = self._guard.admit(names.USER, user)
        block = self._cells.block(schema.USER, (label,))
        if user is None or label == user:
            self._users[user] = block
        return block

    def _phase(self, phase: str) -> Block:
        label = self._guard.admit(names.PHASE, phase)
        block = self._cells.block(schema.SAVINGS, (label,))
        if label == phase:
            self._phases[phase] = block
        return block

    def _latency(self, bound: _Bound) -> Block:
        bound.latency = self._cells.block(schema.LATENCY, (bound.model, bound.tier))
        return bound.latency

    def _add_quality(self, bound: _Bound, score: float) -> None:
        block = bound.quality
        if block is None:
            block = bound.quality = self._cells.block(schema.QUALITY, (bound.model, bound.task_type))
        block.add(0, score)
        block.add(1, 1.0)

    def _add_unpriced(self, bound: _Bound, tokens_in: int, tokens_out: int) -> None:
        block = self._cells.block(schema.UNPRICED, (bound.model,))
        block.add(0, 1.0)
        block.add(1, tokens_in)
        block.add(2, tokens_out)


def _total(savings: Mapping[str, float]) -> float:
    total = 0.0
    for phase, dollars in savings.items():
        if not 0.0 <= dollars <= MAX_DOLLARS:
            raise Refused(
                "value", "savings_dollars was changed after its event was built: a value is out of range"
            )
        if phase.__class__ is not str:
            raise Refused(
                "label", "savings_dollars was changed after its event was built: a phase is not text"
            )
        total += dollars
    return total


def _observe(block: Block, bounds: tuple[float, ...], value: float) -> None:
    """Count ``value`` in the first bucket whose bound is not below it."""
    cell = bisect_left(bounds, value) + 1
    values = block.values
    values[0] += value
    values[cell] += 1.0
    mirror = block.mirror
    if mirror is not None:
        mirror[block.at] = values[0]
        mirror[block.at + cell] = values[cell]
