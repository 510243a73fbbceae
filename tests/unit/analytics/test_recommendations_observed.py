"""What advice asks of the composer, and what it says of it as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.composer import Trust
from asahi_analytics.composer.ledger import series_of
from asahi_analytics.composer.values import Gap
from asahi_analytics.prices import PriceBook
from asahi_analytics.recommendations import RecommendationEngine, recommend
from asahi_analytics.recommendations.observed import (
    DAY,
    USERS,
    WINDOW_DAYS,
    Asked,
    Observed,
    observe,
)
from support.advice_cases import CASES, Case, dear_chat
from support.advice_traffic import (
    DAYS,
    Traffic,
    healthy,
    make_requests,
    observed_of,
)
from support.one_by_one import OneByOne


class FakeComposer(OneByOne):
    """Answers ``series`` from what was counted, as the composer shapes it; the first day was not scraped."""

    def __init__(self, traffic: Traffic | None) -> None:
        self.counted = {} if traffic is None else traffic.counted()
        self.asked: list[tuple[str, Any, timedelta]] = []
        self.gaps: list[Gap] = []

    def series(self, family: str, by: Any, window: Any, step: timedelta, where: Any = None) -> Any:
        self.asked.append((family, window, step))
        asked = Asked(family, by, step == DAY, where)
        index = pd.date_range(window.start, window.end, freq=step, inclusive="left")
        frame = pd.DataFrame(index=index, columns=series_of({}, by).index, dtype=float)
        if self.counted:
            counted = self.counted[family].iloc[-round(window.length / DAY) :]
            frame = observed_of(asked, counted).set_axis(index, axis=0)
            if len(index) == DAYS:
                frame.iloc[0] = np.nan
        return SimpleNamespace(
            frame=frame,
            trust=Trust(scraped_ratio=0.5, gaps=self.gaps, warnings=["one shard did not answer"]),
        )


def test_a_day_within_which_scraping_began_makes_no_advice_smaller() -> None:
    traffic = dear_chat()
    whole = recommend(traffic.observed(), {})[0].estimated_savings
    first = traffic.requests["day"].min()
    late = Traffic(
        traffic.requests[(traffic.requests["day"] > first) | (np.arange(len(traffic.requests)) % 10 == 0)]
    )
    observed = late.observed()
    begun = replace(observed, begun=first + timedelta(hours=21, minutes=36))
    assert recommend(observed, {})[0].estimated_savings < 0.98 * whole
    assert recommend(begun, {})[0].estimated_savings == pytest.approx(whole, rel=0.005)
    assert recommend(begun, {})[0].evidence == recommend(observed, {})[0].evidence


def test_scraping_began_where_a_gap_from_before_the_window_ends() -> None:
    start, end = (NOW.replace(minute=0, second=0) - days * DAY for days in (28, 20))
    for gaps, begun in (
        ([], None),
        ([Gap(start=start, end=end)], end),
        ([Gap(start=end, end=end + DAY)], None),
    ):
        composer = FakeComposer(healthy())
        composer.gaps = gaps
        assert observe(composer, NOW).begun == begun  # type: ignore[arg-type]


NOW = datetime(2026, 3, 29, 10, 30, 12, tzinfo=UTC)


WINDOW_START, END = (NOW.replace(minute=0, second=0) - days * DAY for days in (28, 0))


def test_observe_asks_for_four_weeks_and_leaves_out_days_that_were_not_scraped() -> None:
    composer = FakeComposer(healthy())
    observed = observe(composer, NOW)  # type: ignore[arg-type]  # the fake has what is used
    assert observed.days == DAYS - 1
    assert observed.trust.warnings == ["one shard did not answer"]
    assert observed.trust.scraped_ratio == 0.5
    of_all = {
        (window.start, window.end) for _, window, _ in composer.asked if window.length == WINDOW_DAYS * DAY
    }
    assert of_all == {(WINDOW_START, END)}
    assert {step for _, _, step in composer.asked} == {DAY, WINDOW_DAYS * DAY}


def test_the_trust_says_how_many_of_all_requests_had_no_price() -> None:
    traffic = healthy()
    data = traffic.requests
    data.loc[data["cache_tier"] == "none", "cost"] = np.nan
    observed = observe(FakeComposer(traffic), NOW)  # type: ignore[arg-type]  # the fake has what is used
    without = (data["cache_tier"] == "none") & (data["day"] != data["day"].min())
    assert observed.trust.unpriced_ratio == pytest.approx(without.sum() / observed.requests, abs=0.02)
    assert observe(FakeComposer(None), NOW).trust.unpriced_ratio is None  # type: ignore[arg-type]


def users_asked(
    traffic: Traffic | None, largest: Sequence[float] = (np.nan,)
) -> tuple[Observed, list[float]]:
    """What is observed, and of how many days users were asked for, in order."""
    composer = FakeComposer(traffic)
    composer.largest_shares = largest
    observed = observe(composer, NOW)  # type: ignore[arg-type]  # the fake has what is used
    return observed, [window.length / DAY for family, window, _ in composer.asked if family == USERS.family]


def many_users(biggest: float) -> Traffic:
    """Healthy traffic of 50 users, of whom one takes the share ``biggest`` of each day's dollars."""
    traffic = healthy()
    data = traffic.requests
    spent = data.groupby("day")["cost"].cumsum() / data.groupby("day")["cost"].transform("sum")
    others = "user-" + (np.arange(len(data)) % 49).astype(str).astype(object)
    data["user"] = np.where(spent <= biggest, "big", others)
    return traffic


@pytest.mark.parametrize(("biggest", "asked"), [(0.09, [7]), (0.12, [7, 28])])
def test_earlier_days_of_users_are_asked_for_where_one_may_have_gained_a_tenth(
    biggest: float, asked: list[float]
) -> None:
    observed, days = users_asked(many_users(biggest))
    assert days == asked
    assert bool(observed.frames[USERS.family].shape[1]) is (len(asked) == 2)


def test_earlier_days_of_users_are_asked_for_where_a_recent_day_had_no_cost() -> None:
    traffic = many_users(0.05)
    last = traffic.requests["day"] == traffic.requests["day"].max()
    traffic.requests.loc[last, "cost"] = 0.0
    assert users_asked(traffic)[1] == [7, 28]
    assert users_asked(None)[1] == [7, 28]


@pytest.mark.parametrize(
    ("largest", "asked"),
    [([0.09] * 6 + [0.15], []), ([0.1] * 7, [7]), ([0.01] * 6 + [np.nan], [7]), ([], [7])],
)
def test_users_are_not_asked_for_where_the_largest_shares_that_were_recorded_are_below_a_tenth(
    largest: list[float], asked: list[float]
) -> None:
    observed, days = users_asked(many_users(0.09), largest)
    assert days == asked
    assert observed.frames[USERS.family].shape == (DAYS - 1, 0)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.id.startswith("share-jump")], ids=lambda case: case.id
)
def test_a_share_that_jumped_is_found_though_users_are_asked_for_in_two_steps(case: Case) -> None:
    found = {item.id for item in RecommendationEngine(engine_over(case.make(2)), case.list_prices).generate()}
    assert case.id in found


def test_an_empty_prometheus_gives_no_advice_and_says_why() -> None:
    report = RecommendationEngine(engine_over(None)).report()
    assert report.recommendations == []
    assert report.warning == "nothing was scraped in the 28 days up to the last full hour"
    assert (report.start, report.end, report.generated_at) == (WINDOW_START, END, NOW)


def test_too_little_traffic_says_how_much_there_was() -> None:
    few = Traffic(make_requests(model="gpt-4", per_day=20), {"1": (20.0, 0.6)})
    report = RecommendationEngine(engine_over(few)).report()
    assert report.recommendations == []
    assert report.warning == "540 requests in the last 28 days are too few to advise on: 1,000 are needed"


def engine_over(traffic: Traffic | None) -> Any:
    return SimpleNamespace(composer=FakeComposer(traffic), clock=lambda: NOW, prices=PriceBook.bundled())


def test_the_engine_advises_on_what_the_composer_sums() -> None:
    report = RecommendationEngine(engine_over(dear_chat())).report()
    found = report.recommendations
    assert report.warning is None
    assert "routing-dear-model:chat:gpt-4" in {item.id for item in found}


@pytest.mark.parametrize("name", ["GPT-4o", "gpt-4o-2024-08-06"])
def test_a_model_in_use_is_not_proposed_under_another_of_its_names(name: str) -> None:
    offered = PriceBook.bundled().offered([name], NOW)
    assert "gpt-4o" not in offered
    assert "gpt-4o-mini" in offered


def test_the_price_file_proposes_models_of_those_who_sell_the_one_in_use() -> None:
    alone = engine_over(Traffic(make_requests(model="gpt-4", per_day=900), {"1": (900.0, 0.6)}))
    found = {item.id: item for item in RecommendationEngine(alone).generate()}["model-dominant:gpt-4"]
    assert "Measure first" in found.action
    offered = PriceBook.bundled().offered(["GPT-4"], NOW)
    assert {"gpt-4o", "gpt-5"} <= offered.keys()
    assert not [name for name in offered if not name.startswith(("gpt", "o"))]
    assert any(f"to {name}" in found.action for name in offered)
    assert PriceBook.bundled().offered(["no-such-model"], NOW) == {}
    none = RecommendationEngine(alone, list_prices={}).generate()
    assert "model-dominant:gpt-4" not in {item.id for item in none}
