"""Tokens at the prices of one model: dated prices, unpriced tokens, and sums that add up by every label."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asahi_analytics.engine import GROUPS, AnalyticsEngine
from asahi_analytics.errors import UserInputError
from asahi_analytics.prices import DatedPrice, PriceBook, PricedModel, PriceFile, PriceTable, Rate, price_book
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.repricing import stretches
from asahi_analytics.settings import Settings
from asahi_analytics.windows import Window
from support.ledger_composer import NOON, Entry, LedgerComposer

UNPRICED = "house-llama"
LABELS = {"model": "model", "task_type": "task_type", "tier": "cache_tier", "user": "user"}


@dataclass(frozen=True)
class Request:
    """One request; ``cost`` None: not known."""

    at: datetime
    model: str
    task_type: str
    cache_tier: str
    user: str
    input: int
    output: int
    cost: float | None


def book(*prices: tuple[date, float, float]) -> PriceBook:
    dated = tuple(DatedPrice.model_validate({"from": day, "input": i, "output": o}) for day, i, o in prices)
    return PriceBook([PriceTable.from_file(PriceFile(models={"big": PricedModel(prices=dated)}))])


ALWAYS = book((date(2020, 1, 1), 30, 60))


def requests(count: int = 400, seed: int = 1) -> list[Request]:
    """Nine days of requests; those of one model have no price, unless a cache answered them for nothing."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        model, tier = str(rng.choice(["m1", "m2", UNPRICED])), str(rng.choice(["none", "none", "1", "2"]))
        tokens = int(rng.integers(1, 5000)), int(rng.integers(1, 900))
        cost = None if model == UNPRICED else 0.0 if tier != "none" else tokens[0] * 1e-6 + tokens[1] * 7e-6
        task, user = str(rng.choice(["chat", "code"])), f"u{rng.integers(5)}"
        at = NOON - timedelta(minutes=32 * number + 1)
        made.append(Request(at, model, task, tier, user, *tokens, cost))
    return made


def counted(made: list[Request]) -> list[Entry]:
    """What an exporter counts of them."""
    entries = []
    for each in made:
        labels = {"model": each.model, "task_type": each.task_type, "cache_tier": each.cache_tier}
        entries.append(Entry(each.at, "cost_dollars", labels, each.cost or 0.0))
        entries.append(Entry(each.at, "user_cost_dollars", {"user": each.user}, each.cost or 0.0))
        for way, tokens in (("input", each.input), ("output", each.output)):
            entries.append(Entry(each.at, "tokens", {**labels, "direction": way}, float(tokens)))
            entries.append(
                Entry(each.at, "user_tokens", {"user": each.user, "direction": way}, float(tokens))
            )
            if each.cost is None:
                entries.append(
                    Entry(each.at, "unpriced_tokens", {"model": each.model, "direction": way}, float(tokens))
                )
    return entries


def engine(made: list[Request], prices: PriceBook = ALWAYS) -> AnalyticsEngine:
    composer = LedgerComposer(counted(made))
    return AnalyticsEngine(PrometheusClient(), composer=composer, clock=lambda: NOON, prices=prices)


def naive(made: list[Request], prices: PriceBook, window: Window, label: str) -> dict[str, float]:
    """The baseline request by request: list price; what was paid where there is none; nothing where that is unknown."""
    sums: defaultdict[str, float] = defaultdict(float)
    for each in made:
        if window.start < each.at <= window.end and each.cost is not None:
            price = prices.price("big", each.at, each.input, each.output)
            sums[getattr(each, label)] += each.cost if price is None else float(price)
    return dict(sums)


WINDOWS = {
    "day": Window(NOON - timedelta(days=1), NOON),
    "week": Window(NOON - timedelta(days=7), NOON),
    "odd": Window(NOON - timedelta(hours=99, seconds=7), NOON - timedelta(hours=3, minutes=11)),
}
CHANGED = book((date(2026, 3, 6), 30, 60), (date(2026, 3, 8), 10, 20))
"""No price in the first days of the week before ``NOON``, and a lower one in the last."""


@pytest.mark.parametrize("prices", [ALWAYS, CHANGED], ids=["one price", "dated prices"])
@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("group_by", ["model", "task_type", "tier"])
def test_each_name_costs_what_its_requests_cost_one_by_one(group_by, name, prices) -> None:
    made, window = requests(), WINDOWS[name]
    answer = engine(made, prices).compare_to_baseline("day", group_by, window, "big")
    expected = naive(made, prices, window, LABELS[group_by])
    found = {each: part.baseline for each, part in answer.breakdown.items() if part.baseline}
    assert found == pytest.approx(expected)
    assert answer.baseline_cost == pytest.approx(math.fsum(expected.values()))


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "list prices"])
@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("group_by", [None, *GROUPS])
def test_cost_plus_savings_is_the_baseline_to_the_last_digit(group_by, name, recorded) -> None:
    made = engine(requests(), CHANGED)
    answer = made.compare_to_baseline("day", group_by, WINDOWS[name], None if recorded else "big")
    assert answer.basis == ("recorded" if recorded else "list_prices")
    assert answer.actual_cost + answer.savings == answer.baseline_cost
    assert all(part.cost + part.savings == part.baseline for part in answer.breakdown.values())
    assert bool(answer.breakdown) is (group_by is not None)


FEW = engine(requests(60), CHANGED)


@settings(max_examples=40, deadline=None)
@given(
    hours=st.floats(0.5, 120),
    back=st.floats(0, 60),
    group_by=st.sampled_from([None, *GROUPS]),
    model=st.sampled_from([None, "big"]),
)
def test_the_invariant_holds_for_any_window(hours, back, group_by, model) -> None:
    end = NOON - timedelta(hours=back)
    window = Window(max(end - timedelta(hours=hours), NOON - timedelta(days=4)), end)
    answer = FEW.compare_to_baseline("day", group_by, window, model)
    assert answer.actual_cost + answer.savings == answer.baseline_cost
    assert math.fsum(answer.savings_by_phase.values()) == answer.savings
    assert all(part.cost + part.savings == part.baseline for part in answer.breakdown.values())
    if group_by:
        costs = math.fsum(part.cost for part in answer.breakdown.values())
        assert costs == pytest.approx(answer.actual_cost)


@pytest.mark.parametrize("group_by", GROUPS)
def test_the_parts_of_every_grouping_add_up_to_the_whole(group_by) -> None:
    answer = engine(requests(), CHANGED).compare_to_baseline("week", group_by, baseline_model="big")
    for figure, whole in (
        ("cost", answer.actual_cost),
        ("savings", answer.savings),
        ("baseline", answer.baseline_cost),
    ):
        assert math.fsum(getattr(part, figure) for part in answer.breakdown.values()) == pytest.approx(whole)


def test_the_phases_add_up_to_the_savings_and_the_caches_have_their_share() -> None:
    answer = engine(requests()).compare_to_baseline("week", baseline_model="big")
    assert set(answer.savings_by_phase) == {"routing_and_price", "cache_tier_1", "cache_tier_2"}
    assert math.fsum(answer.savings_by_phase.values()) == answer.savings
    cached = answer.savings - answer.savings_by_phase["routing_and_price"]
    assert answer.cache_contribution_pct == pytest.approx(100 * cached / answer.savings)


def test_by_user_tokens_without_a_cost_are_taken_in_proportion_and_the_whole_stays_exact() -> None:
    made = requests()
    answer = engine(made).compare_to_baseline("week", "user", baseline_model="big")
    expected = naive(made, ALWAYS, WINDOWS["week"], "model")
    whole = math.fsum(part.baseline for part in answer.breakdown.values())
    assert whole == pytest.approx(math.fsum(expected.values()))


def test_tokens_before_the_first_price_claim_no_saving_and_are_reported() -> None:
    early = Request(NOON - timedelta(days=5), "m1", "chat", "none", "ann", 1_000_000, 0, 9.0)
    late = Request(NOON - timedelta(hours=1), "m1", "chat", "none", "ann", 1_000_000, 0, 1.0)
    answer = engine([early, late], CHANGED).compare_to_baseline("week", "model", baseline_model="big")
    assert (answer.unpriced_tokens, answer.unpriced_cost) == (1_000_000, 9.0)
    assert (answer.actual_cost, answer.baseline_cost, answer.savings) == (10.0, 9.0 + 10.0, 9.0)


def test_tokens_whose_own_cost_is_not_known_claim_no_saving_and_are_reported() -> None:
    known = Request(NOON, "m1", "chat", "none", "ann", 1_000_000, 0, 1.0)
    unknown = Request(NOON, UNPRICED, "chat", "none", "ann", 300_000, 200_000, None)
    for group_by in GROUPS:
        answer = engine([known, unknown]).compare_to_baseline("day", group_by, baseline_model="big")
        assert answer.unpriced_tokens == 500_000
        assert (answer.actual_cost, answer.savings) == (1.0, pytest.approx(29.0))


def test_the_recorded_baseline_reports_tokens_without_a_cost_too() -> None:
    unknown = Request(NOON, UNPRICED, "chat", "none", "ann", 300_000, 200_000, None)
    answer = engine([unknown]).compare_to_baseline("day")
    assert (answer.basis, answer.unpriced_tokens, answer.unpriced_cost) == ("recorded", 500_000, 0.0)


def test_a_model_dearer_than_what_was_used_saves_and_a_cheaper_one_loses() -> None:
    made = [Request(NOON, "m1", "chat", "none", "ann", 1_000_000, 0, 2.0)]
    cheap = book((date(2020, 1, 1), 0.5, 0.5))
    assert engine(made).compare_to_baseline("day", baseline_model="big").savings == 28.0
    assert engine(made, cheap).compare_to_baseline("day", baseline_model="big").savings == -1.5


def test_nothing_counted_is_a_baseline_of_nothing() -> None:
    answer = engine([]).compare_to_baseline("day", "user", baseline_model="big")
    assert (answer.baseline_cost, answer.savings_pct, answer.breakdown) == (0.0, None, {})


def test_a_model_without_any_price_in_the_window_is_refused_by_name() -> None:
    with pytest.raises(UserInputError, match="no price is known for baseline model 'small'"):
        engine([]).compare_to_baseline("day", baseline_model="small")
    future = book((date(2026, 3, 11), 1, 1))
    with pytest.raises(UserInputError, match="baseline model 'big'"):
        engine([], future).compare_to_baseline("day", baseline_model="big")


class CheapNights:
    """A source that asks half of the price from midnight to eight o'clock."""

    def rate(self, model: str, at: datetime) -> Rate | None:
        return Rate(Decimal(1 if at.hour < 8 else 2), Decimal(4)) if model == "big" else None


def test_a_price_that_changes_with_the_time_of_day_is_refused_and_not_taken_for_that_of_the_windows_start() -> (
    None
):
    for period in ("hour", "day", "month"):
        with pytest.raises(UserInputError, match="'big' changes with the time of day"):
            engine(requests(20), PriceBook([CheapNights()])).compare_to_baseline(period, baseline_model="big")


def test_the_engine_reads_the_prices_that_its_settings_name(tmp_path) -> None:
    path = tmp_path / "prices.yml"
    path.write_text("models: {mine: {prices: [{from: 2020-01-01, input: 3, output: 4}]}}\n")
    made = AnalyticsEngine(PrometheusClient(), settings=Settings(price_file=path))
    assert made.prices.price("mine", NOON, 1_000_000, 0) == Decimal(3)
    assert made.prices.rate("gpt-4", NOON) is None
    asked = AnalyticsEngine(
        PrometheusClient(), settings=Settings(price_file=path, genai_prices_provider="openai")
    )
    assert asked.prices.rate("gpt-4", NOON) is not None
    with pytest.raises(UserInputError, match=r"missing\.yml cannot be read"):
        AnalyticsEngine(PrometheusClient(), settings=Settings(price_file=tmp_path / "missing.yml"))


def test_without_a_provider_genai_prices_is_never_asked() -> None:
    assert price_book().rate("no-such-model", NOON) is None
    assert price_book().rate("gpt-4", NOON) is not None


# Stretches --------------------------------------------------------------------------------------------------
def window(first: int, last: int) -> Window:
    return Window(datetime(2026, 3, first, 6, tzinfo=UTC), datetime(2026, 3, last, 6, tzinfo=UTC))


def test_a_window_within_one_price_is_one_stretch() -> None:
    assert [stretch.window for stretch in stretches(ALWAYS, "big", window(1, 5))] == [window(1, 5)]


def test_stretches_meet_at_midnight_and_cover_the_window() -> None:
    prices = book((date(2026, 3, 2), 30, 60), (date(2026, 3, 4), 10, 20))
    found = stretches(prices, "big", window(1, 5))
    assert [stretch.rate is None for stretch in found] == [True, False, False]
    assert found[0].window.start == window(1, 5).start
    assert found[-1].window.end == window(1, 5).end
    assert all(left.window.end == right.window.start for left, right in pairwise(found))
    assert found[1].window.start == datetime(2026, 3, 2, tzinfo=UTC)
