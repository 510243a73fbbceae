"""Tokens at the prices of one model: dated prices, unpriced stretches, tokens whose cost was never known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest

from asahi_analytics.composer import Ask, Sums, Trust
from asahi_analytics.errors import UserInputError
from asahi_analytics.prices import DatedPrice, PriceBook, PricedModel, PriceFile, PriceTable
from asahi_analytics.repricing import reprice, stretches
from asahi_analytics.windows import Window


def book(*prices: tuple[date, float, float]) -> PriceBook:
    dated = tuple(DatedPrice.model_validate({"from": day, "input": i, "output": o}) for day, i, o in prices)
    return PriceBook([PriceTable.from_file(PriceFile(models={"big": PricedModel(prices=dated)}))])


def window(first: int, last: int) -> Window:
    return Window(datetime(2026, 3, first, 6, tzinfo=UTC), datetime(2026, 3, last, 6, tzinfo=UTC))


class Tokens:
    """A composer that counts a million tokens each way and day for model m, and half of them without a cost."""

    def totals(self, asks: Sequence[Ask]) -> list[Sums]:
        return [self._sums(ask) for ask in asks]

    def _sums(self, ask: Ask) -> Sums:
        tokens = 1e6 * ask.window.seconds / 86_400
        if ask.family == "unpriced_tokens":
            values = pd.Series({"input": tokens / 2, "output": tokens / 2})
        else:
            assert tuple(ask.by) == ("model", "direction")
            values = pd.Series({("m", "input"): tokens, ("m", "output"): tokens})
        return Sums(values=values, window=ask.window, trust=Trust(source="running"))


def test_tokens_cost_what_the_price_of_their_day_says() -> None:
    composer: Any = Tokens()
    prices = book((date(2026, 1, 1), 30, 60), (date(2026, 3, 3), 10, 20))
    answer = reprice(composer, prices, "big", window(1, 5), family="tokens", label="model")
    old_days, new_days = 1.75, 2.25
    assert answer.baseline == {"m": pytest.approx(90 * old_days + 30 * new_days)}
    assert answer.unpriced_tokens == 0
    assert answer.unknown_cost_dollars == pytest.approx(answer.baseline["m"] / 2)


def test_tokens_before_the_first_price_are_reported_and_not_priced_at_zero() -> None:
    composer: Any = Tokens()
    answer = reprice(
        composer, book((date(2026, 3, 3), 10, 20)), "big", window(1, 5), family="tokens", label="model"
    )
    assert answer.unpriced_tokens == pytest.approx(2e6 * 1.75)
    assert answer.baseline == {"m": pytest.approx(30 * 2.25)}


def test_a_model_without_any_price_is_refused_by_name() -> None:
    composer: Any = Tokens()
    with pytest.raises(UserInputError, match="baseline model 'small'"):
        reprice(
            composer, book((date(2026, 1, 1), 30, 60)), "small", window(1, 5), family="tokens", label="model"
        )


def test_a_window_within_one_price_is_one_stretch() -> None:
    prices = book((date(2026, 1, 1), 30, 60))
    assert [stretch.window for stretch in stretches(prices, "big", window(1, 5))] == [window(1, 5)]


def test_stretches_meet_at_midnight_and_cover_the_window() -> None:
    prices = book((date(2026, 3, 2), 30, 60), (date(2026, 3, 4), 10, 20))
    found = stretches(prices, "big", window(1, 5))
    assert [stretch.rate is None for stretch in found] == [True, False, False]
    assert found[0].window.start == window(1, 5).start
    assert found[-1].window.end == window(1, 5).end
    assert all(left.window.end == right.window.start for left, right in pairwise(found))
    assert found[1].window.start == datetime(2026, 3, 2, tzinfo=UTC)
