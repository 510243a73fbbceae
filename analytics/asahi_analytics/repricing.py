"""What the counted tokens would have cost on one model alone, at that model's dated list prices.

The exporter's own baseline is what Asahi reported per request: cost plus savings. This module answers the other
question, "and had all of it gone to model X?", from tokens and a price book. Cost plus savings equals this baseline
too, because savings are defined as what remains.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from asahi_analytics.composer import Ask, Composer, Sums, Trust
from asahi_analytics.errors import UserInputError
from asahi_analytics.prices import PriceBook, Rate
from asahi_analytics.trusts import merged
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names


@dataclass(frozen=True)
class Repriced:
    """Dollars by name at the baseline model's prices.

    ``unpriced_tokens`` are tokens of the window before the model's first price: they are in no dollar of
    ``baseline``. ``unknown_cost_dollars`` is the part of the baseline that stands for requests whose own cost was
    never known: savings are overstated by at most that much.
    """

    baseline: Mapping[str, float]
    unpriced_tokens: float
    unknown_cost_dollars: float
    trust: Trust


@dataclass(frozen=True)
class Stretch:
    """A part of the window in which the model has one price, or none."""

    window: Window
    rate: Rate | None


def reprice(
    composer: Composer, book: PriceBook, model: str, window: Window, *, family: str, label: str
) -> Repriced:
    """Return what the tokens of ``family`` (``tokens`` or ``user_tokens``) cost by ``label`` on ``model``.

    Raises ``UserInputError`` where the book has no price of ``model`` at any time of the window, and a
    ``PrometheusError`` where Prometheus gives no answer.
    """
    found = stretches(book, model, window)
    if all(stretch.rate is None for stretch in found):
        raise UserInputError(
            f"no price is known for baseline model {model!r} in this window; name a model of the price file, "
            "or add it there"
        )
    asks = [Ask(family, (label, names.DIRECTION), stretch.window) for stretch in found]
    unpriced = [Ask("unpriced_tokens", (names.DIRECTION,), stretch.window) for stretch in found]
    sums = composer.totals([*asks, *unpriced])
    return _repriced(found, sums[: len(found)], sums[len(found) :])


def stretches(book: PriceBook, model: str, window: Window) -> list[Stretch]:
    """Split ``window`` where the price of ``model`` changes; prices change at midnight UTC."""
    first = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    days = math.ceil((window.end - first) / timedelta(days=1))
    midnights = [first + timedelta(days=day) for day in range(1, days)]
    starts = [window.start, *(moment for moment in midnights if _changes(book, model, moment))]
    return [
        Stretch(Window(start, end), book.rate(model, start)) for start, end in pairwise([*starts, window.end])
    ]


def _changes(book: PriceBook, model: str, midnight: datetime) -> bool:
    return book.rate(model, midnight) != book.rate(model, midnight - timedelta(seconds=1))


def _repriced(found: Sequence[Stretch], tokens: Sequence[Sums], unpriced: Sequence[Sums]) -> Repriced:
    parts: dict[str, list[float]] = defaultdict(list)
    unpriced_tokens, unknown = 0.0, 0.0
    for stretch, sums, without_cost in zip(found, tokens, unpriced, strict=True):
        if stretch.rate is None:
            unpriced_tokens += float(sums.values.sum())
            continue
        for key, amount in zip(sums.values.index.to_list(), sums.values.to_numpy(), strict=True):
            name, direction = key
            parts[str(name)].append(dollars(stretch.rate, str(direction), float(amount)))
        unknown += math.fsum(
            dollars(stretch.rate, str(direction), float(amount))
            for direction, amount in without_cost.values.items()
        )
    baseline = {name: math.fsum(each) for name, each in sorted(parts.items())}
    return Repriced(baseline, unpriced_tokens, unknown, merged([each.trust for each in tokens]))


def dollars(rate: Rate, direction: str, tokens: float) -> float:
    """Return the dollars of ``tokens`` tokens in one direction."""
    per_million = rate.input if direction == names.INPUT else rate.output
    return tokens * float(per_million) / 1e6
