"""The comparison with one model's list prices, as an answer of the engine."""

from __future__ import annotations

import math
from typing import Final

from asahi_analytics.composer import Composer
from asahi_analytics.figures import percent, split
from asahi_analytics.models import BaselineComparison, GroupBy, Split
from asahi_analytics.prices import PriceBook
from asahi_analytics.repricing import Compared, reprice
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names

NOT_CACHED: Final = "routing_and_price"
"""The phase of what requests answered by a model cost less than on the baseline model: routing, batches, discounts."""


def at_list_prices(
    composer: Composer, book: PriceBook, model: str, window: Window, *, group_by: GroupBy | None, label: str
) -> BaselineComparison:
    """Return what the window's tokens would have cost on ``model`` alone; see ``repricing.reprice``."""
    found = reprice(composer, book, model, window, label)
    by_phase = {
        NOT_CACHED if tier == names.NO_CACHE else f"cache_tier_{tier}": part.savings
        for tier, part in splits(found.by_tier).items()
    }
    spent, saved = math.fsum(found.by_tier.cost.values()), math.fsum(by_phase.values())
    cached = math.fsum(value for phase, value in by_phase.items() if phase != NOT_CACHED)
    return BaselineComparison(
        start=window.start,
        end=window.end,
        trust=found.trust,
        baseline_model=model,
        basis="list_prices",
        baseline_cost=spent + saved,
        actual_cost=spent,
        savings=saved,
        savings_pct=percent(saved, spent + saved),
        cache_contribution_pct=percent(cached, saved),
        savings_by_phase=dict(sorted(by_phase.items(), key=lambda item: (-item[1], item[0]))),
        unpriced_tokens=found.unpriced_tokens,
        unpriced_cost=found.unpriced_cost,
        group_by=group_by,
        breakdown=splits(found.by_label) if group_by else {},
    )


def splits(compared: Compared) -> dict[str, Split]:
    """Return cost, savings and baseline of each name, the dearest first."""
    cost, baseline = compared.cost, compared.baseline
    found = sorted(cost.keys() | baseline.keys(), key=lambda name: (-cost.get(name, 0.0), name))
    return {name: split(cost.get(name, 0.0), baseline.get(name, 0.0)) for name in found}
