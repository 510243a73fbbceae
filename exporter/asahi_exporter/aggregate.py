"""Many requests as one record, for traffic that was counted elsewhere first: traces in bins, imports, simulations.

Requests, tokens and dollars of an aggregate are as exact as those of single records. What an aggregate does not
hold is how its requests differed: each counts with the mean tokens and the mean latency, so their spread is not
seen.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from asahi_exporter import conventions as names
from asahi_exporter import schema
from asahi_exporter.book import Book
from asahi_exporter.cells import Block, BlockKey
from asahi_exporter.collector import MetricsCollector
from asahi_exporter.conventions import UNKNOWN
from asahi_exporter.errors import Refused
from asahi_exporter.events import MAX_TOKENS, CacheTier, Dollars, Milliseconds, Outcome
from asahi_exporter.inference import TIER_TEXT

MAX_REQUESTS: Final = 10**12

MeanTokens = Annotated[float, Field(ge=0, le=MAX_TOKENS, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class InferenceAggregate:
    """``requests`` answered requests that share their labels.

    ``mean_input_tokens``, ``mean_output_tokens`` and ``mean_latency_ms`` are per request; ``cost_dollars`` and
    ``savings_dollars`` are totals over all of them. The other fields mean what they mean in ``InferenceEvent``.
    """

    model: Annotated[str, Field(min_length=1)]
    requests: Annotated[int, Field(ge=1, le=MAX_REQUESTS)]
    task_type: Annotated[str, Field(min_length=1)] = UNKNOWN
    cache_tier: CacheTier | None = None
    user: str | None = None
    mean_input_tokens: MeanTokens = 0.0
    mean_output_tokens: MeanTokens = 0.0
    cost_dollars: Dollars | None = None
    savings_dollars: dict[str, Dollars] = Field(default_factory=dict)
    mean_latency_ms: Milliseconds | None = None
    outcome: Outcome = "ok"


def record_aggregate(collector: MetricsCollector, aggregate: InferenceAggregate) -> None:
    """Count ``aggregate`` in ``collector``; like its own ``record_*`` this never raises."""
    collector._record(_enter, aggregate)


def restore(collector: MetricsCollector, rows: Iterable[tuple[BlockKey, Sequence[float]]]) -> None:
    """Set counters to what they had reached elsewhere, as cells in the layout of ``asahi_exporter.schema``.

    What is restored is not taken for traffic of this moment: the rolling window and its gauges do not see it.
    A process with a state directory finds its own counters again; this is for counters that come from elsewhere.
    """
    book = collector._book
    with book.lock:
        for (kind, labels), values in rows:
            block = book.cells.block(kind, labels)
            block.set(list(values))
            block.seen[:] = block.values


def _enter(book: Book, event: Any) -> None:
    if event.__class__ is not InferenceAggregate:
        raise Refused("type", f"record_aggregate takes an InferenceAggregate, got {type(event).__name__}")
    model = book.guard.admit(names.MODEL, event.model)
    task_type = book.guard.admit(names.TASK_TYPE, event.task_type)
    tier = TIER_TEXT[event.cache_tier]
    cells = book.cells
    sums = _request_sums(event)
    add_all(cells.block(schema.REQUEST, (model, task_type, tier)), (*sums, *_squares(event)))
    add_all(cells.block(schema.USER, (book.guard.admit(names.USER, event.user),)), sums)
    for phase, dollars in event.savings_dollars.items():
        cells.block(schema.SAVINGS, (book.guard.admit(names.PHASE, phase),)).add(0, dollars)
    observe_many(cells.block(schema.TOKEN_COUNT, (names.INPUT,)), event.mean_input_tokens, event.requests)
    observe_many(cells.block(schema.TOKEN_COUNT, (names.OUTPUT,)), event.mean_output_tokens, event.requests)
    if event.mean_latency_ms is not None:
        observe_many(cells.block(schema.LATENCY, (model, tier)), event.mean_latency_ms, event.requests)
    if event.cost_dollars is None:
        add_all(cells.block(schema.UNPRICED, (model,)), (sums[0], sums[3], sums[4]))
    elif event.outcome != "ok":
        cells.block(schema.WASTED, (model, task_type, event.outcome)).add(0, event.cost_dollars)


def _request_sums(event: InferenceAggregate) -> tuple[float, ...]:
    """Requests, cost, savings, tokens in, tokens out: the cells that requests and users share."""
    return (
        float(event.requests),
        event.cost_dollars or 0.0,
        sum(event.savings_dollars.values()),
        event.requests * event.mean_input_tokens,
        event.requests * event.mean_output_tokens,
    )


def _squares(event: InferenceAggregate) -> tuple[float, float]:
    return event.requests * event.mean_input_tokens**2, event.requests * event.mean_output_tokens**2


def add_all(block: Block, values: Iterable[float]) -> None:
    """Add ``values`` to the cells of ``block``, from the first on."""
    for cell, value in enumerate(values):
        block.add(cell, value)


def observe_many(block: Block, value: float, times: int) -> None:
    """Count ``value`` ``times`` times in a block that is a histogram."""
    metric = block.schema.histogram
    if metric is not None:
        block.add(0, value * times)
        block.add(bisect_left(metric.buckets, value) + 1, float(times))
