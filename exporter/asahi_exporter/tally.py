"""What happened in a stretch of time, added up per model, and its packed form."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from asahi_exporter import schema
from asahi_exporter.cells import Block
from asahi_exporter.conventions import CACHE_TIERS, LATENCY_MS_BUCKETS

REQUESTS, COST, SAVINGS, TOKENS_IN, TOKENS_OUT, POINTS, SAMPLES = range(7)
_FIELDS: Final = 7
PERCENTILES: Final = {"p50": 0.50, "p75": 0.75, "p90": 0.90, "p95": 0.95, "p99": 0.99}
_BUCKET_BITS: Final = 10


class ModelTally:
    """Sums and latency counts of one model."""

    __slots__ = ("latency", "sums")

    def __init__(self) -> None:
        self.sums = [0.0] * _FIELDS
        self.latency: dict[int, float] = {}


class Tally:
    """Sums of a stretch of time: per model, cache look-ups per tier, errors."""

    def __init__(self) -> None:
        self.models: dict[str, ModelTally] = {}
        self.hits = [0.0] * len(CACHE_TIERS)
        self.misses = [0.0] * len(CACHE_TIERS)
        self.errors = 0.0

    def model(self, name: str) -> ModelTally:
        """Return the tally of a model, made when first asked for."""
        found = self.models.get(name)
        if found is None:
            found = self.models[name] = ModelTally()
        return found

    def take(self, block: Block) -> None:
        """Add what a block gained since it was last looked at. Blocks that say nothing here are left alone."""
        if block.values == block.seen:
            return
        gained = [now - before for now, before in zip(block.values, block.seen, strict=True)]
        block.seen[:] = block.values
        if block.schema is schema.REQUEST:
            self._take_request(self.model(block.labels[0]), gained)
        elif block.schema is schema.LATENCY:
            latency = self.model(block.labels[0]).latency
            for bucket, count in enumerate(gained[1:]):
                if count:
                    latency[bucket] = latency.get(bucket, 0.0) + count
        elif block.schema is schema.QUALITY:
            sums = self.model(block.labels[0]).sums
            sums[POINTS] += gained[0]
            sums[SAMPLES] += gained[1]
        elif block.schema is schema.CACHE:
            tier = CACHE_TIERS.index(block.labels[0])
            self.hits[tier] += gained[0]
            self.misses[tier] += gained[1]
        elif block.schema is schema.ERROR:
            self.errors += gained[0]

    @staticmethod
    def _take_request(model: ModelTally, gained: list[float]) -> None:
        for field in (REQUESTS, COST, SAVINGS, TOKENS_IN, TOKENS_OUT):
            model.sums[field] += gained[field]

    def pack(self, ids: dict[str, int]) -> Packed:
        """Return the compact form; ``ids`` numbers the models and grows by those that are new."""
        return Packed(self, ids)


WATCHED: Final = frozenset({schema.REQUEST, schema.LATENCY, schema.QUALITY, schema.CACHE, schema.ERROR})
"""Schemas of the blocks that a tally is made of."""


class Packed:
    """A tally in a few flat arrays: 58 bytes a model and 8 for each latency bucket that was hit."""

    __slots__ = ("latency", "models", "others", "sums")

    def __init__(self, tally: Tally, ids: dict[str, int]) -> None:
        numbered = [(ids.setdefault(name, len(ids)), model) for name, model in tally.models.items()]
        self.models = array("I", [number for number, _ in numbered])
        self.sums = array("d", [value for _, model in numbered for value in model.sums])
        self.latency = array(
            "I",
            [
                part
                for number, model in numbered
                for bucket, count in model.latency.items()
                for part in (number << _BUCKET_BITS | bucket, min(int(count), 0xFFFFFFFF))
            ],
        )
        self.others = array("d", [*tally.hits, *tally.misses, tally.errors])

    def quality(self) -> Iterator[tuple[int, float, float]]:
        """Yield number, points and samples of each model that was given a quality score."""
        points, samples = self.sums[POINTS::_FIELDS], self.sums[SAMPLES::_FIELDS]
        return (row for row in zip(self.models, points, samples, strict=True) if row[2])

    def add_to(self, tally: Tally, names: list[str]) -> None:
        """Add this to ``tally``; ``names`` holds the models by number."""
        for position, number in enumerate(self.models):
            sums = tally.model(names[number]).sums
            for field, value in enumerate(self.sums[position * _FIELDS : (position + 1) * _FIELDS]):
                sums[field] += value
        for place, count in zip(self.latency[::2], self.latency[1::2], strict=True):
            latency = tally.model(names[place >> _BUCKET_BITS]).latency
            bucket = place & ((1 << _BUCKET_BITS) - 1)
            latency[bucket] = latency.get(bucket, 0.0) + count
        tiers = len(CACHE_TIERS)
        for tier in range(tiers):
            tally.hits[tier] += self.others[tier]
            tally.misses[tier] += self.others[tiers + tier]
        tally.errors += self.others[-1]


def percentile(counts: Mapping[int, float], share: float) -> float | None:
    """Return the latency in ms that ``share`` of the requests stay below, or None without requests.

    ``counts`` maps a bucket's position to its count. The value is interpolated linearly inside its bucket, as
    Prometheus' ``histogram_quantile`` does; above the last bound it is that bound.
    """
    rank = share * sum(counts.values())
    if not rank:
        return None
    below = 0.0
    for bucket, count in sorted(counts.items()):
        if below + count >= rank:
            if bucket >= len(LATENCY_MS_BUCKETS):
                return LATENCY_MS_BUCKETS[-1]
            low = LATENCY_MS_BUCKETS[bucket - 1] if bucket else 0.0
            return low + (LATENCY_MS_BUCKETS[bucket] - low) * (rank - below) / count
        below += count
    return LATENCY_MS_BUCKETS[-1]


def ratio(part: float, whole: float) -> float | None:
    """Return ``part / whole``, or None when there was nothing."""
    return part / whole if whole else None


def summary(tally: Tally) -> dict[str, Any]:
    """Return the tally as plain numbers for people: None where nothing was seen, never NaN."""
    models = tally.models.values()
    return {
        **_figures(models),
        "errors": int(tally.errors),
        "cache_hit_rate": {
            tier: ratio(hits, hits + misses)
            for tier, hits, misses in zip(CACHE_TIERS, tally.hits, tally.misses, strict=True)
        },
        "by_model": {name: _figures([model]) for name, model in sorted(tally.models.items())},
    }


def _figures(models: Iterable[ModelTally]) -> dict[str, Any]:
    sums, latency = [0.0] * _FIELDS, dict[int, float]()
    for model in models:
        sums = [a + b for a, b in zip(sums, model.sums, strict=True)]
        for bucket, count in model.latency.items():
            latency[bucket] = latency.get(bucket, 0.0) + count
    tokens_in, tokens_out = int(sums[TOKENS_IN]), int(sums[TOKENS_OUT])
    return {
        "requests": int(sums[REQUESTS]),
        "cost_dollars": sums[COST],
        "savings_dollars": sums[SAVINGS],
        "tokens": {"input": tokens_in, "output": tokens_out, "total": tokens_in + tokens_out},
        "latency_ms": {name: percentile(latency, share) for name, share in PERCENTILES.items()},
        "quality_score": ratio(sums[POINTS], sums[SAMPLES]),
    }
