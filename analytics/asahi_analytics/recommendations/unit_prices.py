"""What a model really charges per token, read from the dollars and tokens that were counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from asahi_analytics.prices import PER, Rate
from asahi_analytics.recommendations.observed import Observed
from asahi_exporter import conventions as names


@dataclass(frozen=True)
class UnitPrice:
    """Dollars per token, by direction."""

    input_dollars: float
    output_dollars: float

    def cost(self, tokens: pd.DataFrame) -> pd.Series:
        """Return the dollars for ``tokens``, a frame with the columns ``input`` and ``output``."""
        return tokens[names.INPUT] * self.input_dollars + tokens[names.OUTPUT] * self.output_dollars


def of_rate(rate: Rate) -> UnitPrice:
    """Return a list price, which is per million tokens, as dollars per token."""
    return UnitPrice(float(rate.input / PER), float(rate.output / PER))


def fit_price(
    cost_dollars: np.ndarray, input_tokens: np.ndarray, output_tokens: np.ndarray
) -> UnitPrice | None:
    """Fit ``cost = a * input + b * output`` by least squares, each row a label set on a day.

    Where the rows do not tell the two prices apart, or one comes out below zero, both directions get the blended
    price per token, which reproduces the total exactly. No tokens: None.
    """
    total = float(input_tokens.sum() + output_tokens.sum())
    if total <= 0:
        return None
    rows = np.column_stack([input_tokens, output_tokens])
    scale = rows.sum(axis=0)
    if (scale > 0).all() and len(rows) > 1:
        solved, _, rank, singular = np.linalg.lstsq(rows / scale, cost_dollars, rcond=None)
        if rank == 2 and singular[-1] > 1e-4 * singular[0] and (solved >= 0).all():
            prices = solved / scale
            return UnitPrice(float(prices[0]), float(prices[1]))
    blended = float(cost_dollars.sum()) / total
    return UnitPrice(blended, blended)


def uncached(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of requests that no cache answered; the level ``cache_tier`` is dropped."""
    tiers = frame.columns.get_level_values(names.CACHE_TIER)
    kept = frame.loc[:, tiers == names.NO_CACHE]
    return kept.T.droplevel(names.CACHE_TIER).T


def tokens_of(tokens: pd.DataFrame, model: str, task_type: str) -> pd.DataFrame:
    """Return the daily tokens of one model and task type: the columns ``input`` and ``output``, 0 where absent."""
    found = {
        direction: tokens[key] if (key := (model, task_type, direction)) in tokens.columns else 0.0
        for direction in (names.INPUT, names.OUTPUT)
    }
    return pd.DataFrame(found, index=tokens.index)


def tokens_of_all(tokens: pd.DataFrame, model: str, task_types: list[str]) -> pd.DataFrame:
    """Return the daily tokens of one model over several task types, as ``tokens_of`` does for one."""
    total = pd.DataFrame(0.0, index=tokens.index, columns=[names.INPUT, names.OUTPUT])
    for task_type in task_types:
        total = total + tokens_of(tokens, model, task_type)
    return total


def observed_prices(observed: Observed) -> dict[str, UnitPrice]:
    """Return the unit price of each model that answered uncached requests for money."""
    cost, tokens = uncached(observed.frames["cost_dollars"]), uncached(observed.frames["tokens"])
    prices = {}
    for model in cost.columns.get_level_values(names.MODEL).unique():
        task_types = cost[model].columns
        spent = np.concatenate([cost[(model, task_type)].to_numpy() for task_type in task_types])
        used = pd.concat([tokens_of(tokens, model, task_type) for task_type in task_types])
        price = fit_price(spent, used[names.INPUT].to_numpy(), used[names.OUTPUT].to_numpy())
        if price is not None and spent.sum() > 0:
            prices[str(model)] = price
    return prices
