"""What a model really charges per token, read from the dollars and tokens that were counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from asahi_analytics.prices import PER, Rate
from asahi_analytics.recommendations.observed import Observed
from asahi_analytics.recommendations.uncached import INPUT, OUTPUT, Floats, Use
from asahi_exporter import conventions as names

UNPRICED: Final = 0.01
"""Share of a model's requests without a known cost, from which its dollars do not tell its price."""
MOST_DOLLARS: Final = 0.01
"""No token costs more; the price file takes none that does."""


@dataclass(frozen=True)
class UnitPrice:
    """Dollars per token, by direction.

    ``mix``: the tokens in and out that were paid for, where they do not tell the two prices apart: both are what a
    token cost on the whole then, which is right for tokens in that proportion only. None: the prices are known.
    """

    input_dollars: float
    output_dollars: float
    mix: tuple[float, float] | None = None

    def cost(self, tokens: Floats) -> Floats:
        """Return the dollars for ``tokens``, of which the last axis is input and output."""
        return tokens[..., INPUT] * self.input_dollars + tokens[..., OUTPUT] * self.output_dollars

    def of(self, direction: str) -> float:
        """Return the dollars per token of ``direction``."""
        return self.input_dollars if direction == names.INPUT else self.output_dollars

    def bounds(self, tokens: Floats) -> tuple[UnitPrice, UnitPrice]:
        """Return the cheapest and the dearest prices for ``tokens`` that what was paid allows; equal where known."""
        if self.mix is None:
            return self, self
        paid, (inputs, outputs) = self.input_dollars * sum(self.mix), self.mix
        if inputs > 0 and outputs > 0:
            ends = [UnitPrice(paid / inputs, 0.0), UnitPrice(0.0, paid / outputs)]
        elif inputs > 0:
            ends = [UnitPrice(paid / inputs, unknown) for unknown in (0.0, MOST_DOLLARS)]
        else:
            ends = [UnitPrice(unknown, paid / outputs) for unknown in (0.0, MOST_DOLLARS)]
        cheap, dear = sorted(ends, key=lambda price: float(price.cost(tokens).sum()))
        return cheap, dear


def of_rate(rate: Rate) -> UnitPrice:
    """Return a list price, which is per million tokens, as dollars per token."""
    return UnitPrice(float(rate.input / PER), float(rate.output / PER))


def fit_price(cost_dollars: Floats, input_tokens: Floats, output_tokens: Floats) -> UnitPrice | None:
    """Fit ``cost = a * input + b * output`` by least squares, each row a label set on a day.

    Where the rows do not tell the two prices apart, or one comes out below zero, both directions get the blended
    price per token, which reproduces the total exactly, and the mix of tokens that it holds for. No tokens: None.
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
    return UnitPrice(blended, blended, (float(scale[INPUT]), float(scale[OUTPUT])))


def price_of(use: Use) -> UnitPrice | None:
    """Return the unit price that ``use`` was paid at, as ``fit_price`` does."""
    tokens = use.tokens.reshape(-1, 2)
    return fit_price(use.cost_dollars.ravel(), tokens[:, INPUT], tokens[:, OUTPUT])


def observed_prices(observed: Observed) -> dict[str, UnitPrice]:
    """Return the unit price of each model that answered uncached requests for money.

    A model whose cost was not always known is left out: its tokens would seem cheaper than they are.
    """
    prices = {}
    for model in observed.uncached.models:
        if observed.unpriced_share(model) > UNPRICED:
            continue
        use = observed.uncached.use(model)
        price = price_of(use)
        if price is not None and use.cost_dollars.sum() > 0:
            prices[model] = price
    return prices
