"""What the counted tokens would have cost on one model alone, at that model's dated list prices.

The exporter's own baseline is what Asahi reported with each request: cost plus savings. This module answers the other
question, "and had all of it gone to model X?", from tokens and a price book. Cost plus savings equals this baseline
too, because savings are defined as what remains.

Nothing is priced at zero for lack of a price. Tokens counted before the model's first price stand in the baseline at
what they really cost, and tokens whose own cost was never known stand on neither side: no saving is claimed for
either, and ``unpriced_tokens`` counts them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from asahi_analytics.composer import Ask, Composer, Sums, Trust
from asahi_analytics.errors import UserInputError
from asahi_analytics.figures import Key, by_key
from asahi_analytics.prices import PriceBook, Rate
from asahi_analytics.trusts import merged
from asahi_analytics.windows import Window
from asahi_exporter import conventions as names

Amounts = dict[Key, float]


@dataclass(frozen=True)
class Compared:
    """Dollars spent, and dollars at the baseline model's prices, by name."""

    cost: Mapping[str, float]
    baseline: Mapping[str, float]


@dataclass(frozen=True)
class Repriced:
    """The comparison by the label asked for, and by cache tier.

    ``unpriced_tokens`` are tokens that no saving is claimed for: the baseline model had no price yet, or the cost of
    their requests was never known. ``unpriced_cost`` are the dollars spent while it had none: they stand in the
    baseline as they are.
    """

    by_label: Compared
    by_tier: Compared
    unpriced_tokens: float
    unpriced_cost: float
    trust: Trust


@dataclass(frozen=True)
class Stretch:
    """A part of the window in which the model has one price, or none."""

    window: Window
    rate: Rate | None


@dataclass(frozen=True)
class Counted:
    """Cost by key and tokens by key and direction of one stretch; ``unknown`` are the tokens without a known cost.

    ``kind`` tells which of ``unknown`` a key of ``tokens`` has a part in: the two have the same kinds.
    """

    cost: Amounts
    tokens: Amounts
    unknown: Amounts
    kind: Callable[[Key], Key]


def reprice(composer: Composer, book: PriceBook, model: str, window: Window, label: str) -> Repriced:
    """Return what the tokens of ``window`` cost by ``label``, and what they would have cost on ``model``.

    ``label`` is the model, the task type, the cache tier or the user. Where a model (for users: anything) was asked
    both with and without a known cost, the tokens without are taken from each name in proportion to its tokens.

    Raises ``UserInputError`` where the book has no price of ``model`` at any time of the window, or one that changes
    with the time of day, and a ``PrometheusError`` where Prometheus gives no answer.
    """
    found = stretches(book, model, window)
    if all(stretch.rate is None for stretch in found):
        raise UserInputError(
            f"no price is known for baseline model {model!r} in this window; name a model of the price file, "
            "or add it there",
            "baseline_model",
        )
    if not all(_all_day(book, model, stretch) for stretch in found):
        raise UserInputError(
            f"the price of baseline model {model!r} changes with the time of day, and a baseline has one price a day; "
            "put a price for it into the price file, or name another model"
        )
    by_user = label == names.USER
    keys = tuple(dict.fromkeys((names.MODEL, names.CACHE_TIER if by_user else label, names.CACHE_TIER)))
    asks = [ask for stretch in found for ask in _asks(stretch.window, keys, by_user)]
    sums = composer.totals(asks)
    each = len(asks) // len(found)
    answers = [sums[start : start + each] for start in range(0, len(sums), each)]
    requests = [_of_requests(answer) for answer in answers]
    of_label = [_of_users(answer) for answer in answers] if by_user else requests
    place = 0 if by_user else keys.index(label)
    return Repriced(
        by_label=_compared(found, of_label, place),
        by_tier=_compared(found, requests, keys.index(names.CACHE_TIER)),
        unpriced_tokens=math.fsum(_unpriced(found, requests)),
        unpriced_cost=math.fsum(
            math.fsum(counted.cost.values())
            for stretch, counted in zip(found, requests, strict=True)
            if stretch.rate is None
        ),
        trust=merged([each.trust for each in sums]),
    )


def stretches(book: PriceBook, model: str, window: Window) -> list[Stretch]:
    """Split ``window`` where the price of ``model`` changes; prices change at midnight UTC."""
    first = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    days = math.ceil((window.end - first) / timedelta(days=1))
    midnights = [first + timedelta(days=day) for day in range(1, days)]
    starts = [window.start, *(moment for moment in midnights if _changes(book, model, moment))]
    return [
        Stretch(Window(start, end), book.rate(model, start)) for start, end in pairwise([*starts, window.end])
    ]


def dollars(rate: Rate, direction: str, tokens: float) -> float:
    """Return the dollars of ``tokens`` tokens in one direction."""
    per_million = rate.input if direction == names.INPUT else rate.output
    return tokens * float(per_million) / 1e6


def _changes(book: PriceBook, model: str, midnight: datetime) -> bool:
    return book.rate(model, midnight) != book.rate(model, midnight - timedelta(seconds=1))


def _all_day(book: PriceBook, model: str, stretch: Stretch) -> bool:
    """Tell whether the price is the same at every hour of the day, in UTC, on which ``stretch`` begins."""
    midnight = stretch.window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    return all(book.rate(model, midnight + timedelta(hours=hour)) == stretch.rate for hour in range(24))


def _asks(window: Window, keys: Key, by_user: bool) -> list[Ask]:
    asks = [
        Ask("cost_dollars", keys, window),
        Ask("tokens", (*keys, names.DIRECTION), window),
        Ask("unpriced_tokens", (names.MODEL, names.DIRECTION), window),
    ]
    if by_user:
        asks += [
            Ask("user_cost_dollars", (names.USER,), window),
            Ask("user_tokens", (names.USER, names.DIRECTION), window),
        ]
    return asks


def _of_requests(answer: list[Sums]) -> Counted:
    cost, tokens, unknown = map(by_key, answer[:3])
    return Counted(cost, tokens, unknown, lambda key: (key[0], key[-1]))


def _of_users(answer: list[Sums]) -> Counted:
    unknown, cost, tokens = map(by_key, answer[2:])
    return Counted(cost, tokens, unknown, lambda key: key[-1:])


def _compared(found: Iterable[Stretch], counts: Iterable[Counted], place: int) -> Compared:
    """Sum both sides by the part of the keys at ``place``."""
    cost: defaultdict[str, list[float]] = defaultdict(list)
    baseline: defaultdict[str, list[float]] = defaultdict(list)
    for stretch, counted in zip(found, counts, strict=True):
        for key, spent in counted.cost.items():
            cost[key[place]].append(spent)
        for key, would_cost in _baseline(stretch.rate, counted):
            baseline[key[place]].append(would_cost)
    return Compared(_summed(cost), _summed(baseline))


def _baseline(rate: Rate | None, counted: Counted) -> Iterator[tuple[Key, float]]:
    """Yield (key, dollars) at ``rate``; without one, the dollars really spent."""
    if rate is None:
        yield from counted.cost.items()
        return
    whole, missing = _by_kind(counted, counted.tokens), _by_kind(counted, counted.unknown)
    for key, tokens in counted.tokens.items():
        kind = counted.kind(key)
        left = max(0.0, whole[kind] - missing.get(kind, 0.0))
        known = left / whole[kind] if whole[kind] > 0 else 0.0
        yield key, dollars(rate, key[-1], tokens * known)


def _by_kind(counted: Counted, amounts: Amounts) -> dict[Key, float]:
    sums: defaultdict[Key, float] = defaultdict(float)
    for key, amount in amounts.items():
        sums[counted.kind(key)] += amount
    return dict(sums)


def _unpriced(found: Iterable[Stretch], counts: Iterable[Counted]) -> Iterator[float]:
    for stretch, counted in zip(found, counts, strict=True):
        yield from (counted.tokens if stretch.rate is None else counted.unknown).values()


def _summed(parts: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: math.fsum(each) for name, each in parts.items()}
