"""How counters are laid out in memory: which cells are kept together, and which series are read from them.

A *block* is a row of floats for one set of label values; its *schema* says what the floats mean. Cells that one
record updates together lie together, and what follows from others (cost plus savings, counts of histograms) has
no cell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from asahi_exporter import conventions as names
from asahi_exporter.conventions import INPUT, OUTPUT, Metric


@dataclass(frozen=True)
class Reading:
    """A counter read from a block: the sum of ``cells``; its labels are the block's at ``pick``, then ``fixed``."""

    metric: Metric
    cells: tuple[int, ...]
    pick: tuple[int, ...]
    fixed: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Schema:
    """Meaning of a block's cells. A histogram has its sum, then a count for each bucket, the last unbounded.

    Each schema exists once and equals only itself: it is part of every key, and hashing all its fields would cost
    more than the look-up.
    """

    name: str
    labels: tuple[str, ...]
    size: int
    readings: tuple[Reading, ...] = ()
    histogram: Metric | None = None
    live: bool = False
    """True for cells that mean something only while their process lives (rolling gauges)."""

    @cached_property
    def signature(self) -> str:
        """Name and layout; files written with another layout are not taken for this one."""
        bounds = self.histogram.buckets if self.histogram else ()
        layout = repr((self.labels, self.size, bounds, [(r.metric.name, r.cells) for r in self.readings]))
        return f"{self.name}.{hashlib.blake2b(layout.encode(), digest_size=4).hexdigest()}"


def _counters(name: str, *metrics: Metric) -> Schema:
    """Return a schema of counters that share all their labels, a cell each."""
    labels = metrics[0].labels
    pick = tuple(range(len(labels)))
    readings = tuple(Reading(metric, (cell,), pick) for cell, metric in enumerate(metrics))
    return Schema(name, labels, len(metrics), readings)


def _histogram(name: str, metric: Metric) -> Schema:
    return Schema(name, metric.labels, len(metric.buckets) + 2, histogram=metric)


_ALL: Final = (0, 1, 2)
REQUEST: Final = Schema(
    "request",
    (names.MODEL, names.TASK_TYPE, names.CACHE_TIER),
    7,
    (
        Reading(names.REQUESTS, (0,), _ALL),
        Reading(names.COST, (1,), _ALL),
        Reading(names.BASELINE, (1, 2), _ALL),
        Reading(names.TOKENS, (3,), _ALL, (INPUT,)),
        Reading(names.TOKENS, (4,), _ALL, (OUTPUT,)),
        Reading(names.TOKENS_SQUARED, (5,), (1,), (INPUT,)),
        Reading(names.TOKENS_SQUARED, (6,), (1,), (OUTPUT,)),
    ),
)
"""Cells: requests, cost, savings of all phases, tokens in, tokens out, their squares."""
USER: Final = Schema(
    "user",
    (names.USER,),
    5,
    (
        Reading(names.USER_REQUESTS, (0,), (0,)),
        Reading(names.USER_COST, (1,), (0,)),
        Reading(names.USER_BASELINE, (1, 2), (0,)),
        Reading(names.USER_TOKENS, (3,), (0,), (INPUT,)),
        Reading(names.USER_TOKENS, (4,), (0,), (OUTPUT,)),
    ),
)
"""Cells: requests, cost, savings, tokens in, tokens out."""
UNPRICED: Final = Schema(
    "unpriced",
    (names.MODEL,),
    3,
    (
        Reading(names.UNPRICED_REQUESTS, (0,), (0,)),
        Reading(names.UNPRICED_TOKENS, (1,), (0,), (INPUT,)),
        Reading(names.UNPRICED_TOKENS, (2,), (0,), (OUTPUT,)),
    ),
)
SAVINGS: Final = _counters("savings", names.SAVINGS)
CORRECTION: Final = _counters("correction", names.CORRECTIONS)
WASTED: Final = _counters("wasted", names.WASTED_COST)
QUALITY: Final = _counters("quality", names.QUALITY_POINTS, names.QUALITY_SAMPLES)
CACHE: Final = _counters("cache", names.CACHE_HITS, names.CACHE_MISSES)
ERROR: Final = _counters("error", names.ERRORS)
ROUTING: Final = _counters("routing", names.ROUTING_DECISIONS)
BATCH: Final = _counters("batch", names.BATCHES, names.BATCH_SAVINGS_POINTS)
OVERFLOW: Final = _counters("overflow", names.LABEL_OVERFLOW)
REFUSED: Final = _counters("refused", names.REFUSED)
WRITE_FAILURES: Final = _counters("write_failures", names.STATE_WRITE_FAILURES)
LATENCY: Final = _histogram("latency", names.LATENCY)
TOKEN_COUNT: Final = _histogram("token_count", names.TOKEN_COUNT)
LOOKUP_LATENCY: Final = _histogram("lookup_latency", names.CACHE_LOOKUP_LATENCY)
ROUTING_LATENCY: Final = _histogram("routing_latency", names.ROUTING_LATENCY)
BATCH_SIZE: Final = _histogram("batch_size", names.BATCH_SIZE)
ROLLING_HITS: Final = Schema("rolling_hits", (names.TIER,), 3, live=True)
"""Hits, look-ups and time of writing of one process's rolling window; the workers' gauges are added up from these."""
ROLLING_QUALITY: Final = Schema("rolling_quality", (names.MODEL,), 3, live=True)
"""Points, samples and time of writing, as above."""

SCHEMAS: Final = (
    REQUEST,
    USER,
    UNPRICED,
    SAVINGS,
    CORRECTION,
    WASTED,
    QUALITY,
    CACHE,
    ERROR,
    ROUTING,
    BATCH,
    OVERFLOW,
    REFUSED,
    WRITE_FAILURES,
    LATENCY,
    TOKEN_COUNT,
    LOOKUP_LATENCY,
    ROUTING_LATENCY,
    BATCH_SIZE,
    ROLLING_HITS,
    ROLLING_QUALITY,
)
BY_SIGNATURE: Final[Mapping[str, Schema]] = {schema.signature: schema for schema in SCHEMAS}
