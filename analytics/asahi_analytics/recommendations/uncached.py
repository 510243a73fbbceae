"""What requests that no cache answered cost and used: by model, task type and day, as arrays.

Rules ask for it by model and by task type many times over; a frame made for each would cost more than the sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from asahi_analytics.composer.ledger import Key, keys_of
from asahi_exporter import conventions as names

Floats = npt.NDArray[np.float64]
Pair = tuple[str, str]
"""A model and a task type."""
INPUT, OUTPUT = 0, 1
DIRECTIONS: Final[Mapping[str, int]] = {names.INPUT: INPUT, names.OUTPUT: OUTPUT}
"""Places of the directions on the last axis of tokens."""


@dataclass(frozen=True)
class Use:
    """Dollars of one model by task type and day, and the tokens that they were paid for by direction as well."""

    cost_dollars: Floats
    tokens: Floats

    def over(self, days: slice) -> Use:
        """Return the part of some days."""
        return Use(self.cost_dollars[:, days], self.tokens[:, days])


@dataclass(frozen=True)
class Uncached:
    """Sums of each day by model and task type; tokens have the direction as second axis.

    What is absent was not counted: it is zero on every day.
    """

    days: pd.Index
    requests: Mapping[Pair, Floats]
    cost_dollars: Mapping[Pair, Floats]
    tokens: Mapping[Pair, Floats]

    @classmethod
    def of(cls, requests: pd.DataFrame, cost_dollars: pd.DataFrame, tokens: pd.DataFrame) -> Uncached:
        """Take daily frames: by model, task type and cache tier, and tokens without a cache by direction instead."""
        used: dict[Pair, Floats] = {}
        for (model, task_type, direction), amounts in _columns(tokens):
            if direction in DIRECTIONS:
                of_pair = used.setdefault((model, task_type), np.zeros((len(tokens), 2)))
                of_pair[:, DIRECTIONS[direction]] = amounts
        return cls(requests.index, _not_cached(requests), _not_cached(cost_dollars), used)

    @property
    def models(self) -> list[str]:
        """Models that dollars were counted under."""
        return list(dict.fromkeys(model for model, _ in self.cost_dollars))

    @property
    def task_types(self) -> list[str]:
        """Task types that requests were counted under."""
        return list(dict.fromkeys(task_type for _, task_type in self.requests))

    def requests_by_model(self, task_type: str | None = None) -> dict[str, float]:
        """Return the requests of the whole window by model, of every task type or of one."""
        found: dict[str, float] = {}
        for (model, of_type), amounts in self.requests.items():
            if task_type in {None, of_type}:
                found[model] = found.get(model, 0.0) + float(amounts.sum())
        return found

    def tokens_of(self, pair: Pair) -> Floats:
        """Return the tokens of each day by direction."""
        return self.tokens.get(pair, np.zeros((len(self.days), 2)))

    def use(self, model: str, task_types: Sequence[str] | None = None) -> Use:
        """Return what ``model`` cost and used, of all task types that it cost dollars for or of some of them."""
        pairs = [
            pair
            for pair in self.cost_dollars
            if pair[0] == model and (task_types is None or pair[1] in task_types)
        ]
        none = np.zeros((0, len(self.days)))
        return Use(
            np.array([self.cost_dollars[pair] for pair in pairs]) if pairs else none,
            np.array([self.tokens_of(pair) for pair in pairs]) if pairs else none[..., np.newaxis],
        )

    def total_requests(self) -> Floats:
        """Return the requests of each day."""
        return self._total(self.requests)

    def total_cost(self) -> Floats:
        """Return the dollars of each day."""
        return self._total(self.cost_dollars)

    def _total(self, amounts: Mapping[Pair, Floats]) -> Floats:
        return np.sum(list(amounts.values()), axis=0) if amounts else np.zeros(len(self.days))


def _columns(frame: pd.DataFrame) -> list[tuple[Key, Floats]]:
    return list(zip(keys_of(frame.columns), frame.to_numpy(dtype=np.float64).T, strict=True))


def _not_cached(frame: pd.DataFrame) -> dict[Pair, Floats]:
    """The columns of requests that no cache answered, by model and task type."""
    return {
        (model, task_type): amounts
        for (model, task_type, tier), amounts in _columns(frame)
        if tier == names.NO_CACHE
    }
