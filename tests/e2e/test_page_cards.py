"""What each card says: budgets, worth of tiers, models without a price, advice."""

from __future__ import annotations

import pytest

from support import answers
from support.page_answers import HOSTILE, LONG, answer_with, full, without_requests

pytestmark = pytest.mark.e2e


LONG_ADVICE = "Route more of what is short and simple to a model that is cheaper"


def test_each_budget_says_how_far_it_is_and_when_it_runs_out(base, new_overview):
    overview = new_overview(base, timezone_id="America/Los_Angeles")
    answer_with(overview, full)
    card = overview.open().card("budgets")
    names = card.locator(".name").all_inner_texts()
    assert names == [LONG, HOSTILE, "calm", "new"]
    spent, risky, calm, new = (
        item.inner_text().replace("\u00a0", " ") for item in card.locator(".budgets > li").all()
    )
    assert "$5,000 of $1,000" in spent
    assert "12.5 times as fast as an even plan" in spent
    assert "Used up on Thu 19 Mar." in spent
    assert "60 % spent, 50 % faster than an even plan." in risky
    assert "Runs out about Thu 19 Mar (Tue 17 Mar to Sun 22 Mar); an overrun is 90 % likely." in risky
    assert "By the end of March: $1,500; 95 % sure between $1,200 and $1,800." in risky
    assert "20 % slower than an even plan" in calm
    assert "Lasts the month; an overrun is less than 1 % likely." in calm
    assert "Whether it lasts is not known." in new
    assert "By the end" not in new
    badges = [text.partition("\n")[2] for text in card.locator(".badge").all_inner_texts()]
    assert badges == ["spent", "at risk", "on track", "not known"]


def test_a_budget_of_which_nothing_is_spent_says_so_and_no_pace(base, new_overview):
    overview = new_overview(base)
    nothing = answers.budget(
        "idle", **{**answers.UNKNOWN, "spent": 0.0, "spent_ratio": 0.0, "pace_ratio": 0.0}
    )
    answer_with(
        overview,
        lambda endpoint, asked: (
            answers.budget_report(nothing) if endpoint == "budgets" else full(endpoint, asked)
        ),
    )
    text = overview.open().card("budgets").inner_text()
    assert "Nothing spent." in text
    assert "even plan." not in text


def tops(card, selector):
    """How far below the top of the page each of them begins, in pixels."""
    return {round(each.bounding_box()["y"]) for each in card.locator(selector).all()}


def test_the_bars_of_budgets_beside_each_other_are_on_one_line(base, new_overview):
    overview = new_overview(base, viewport={"width": 1280, "height": 900})

    def service(endpoint, asked):
        if endpoint != "budgets":
            return full(endpoint, asked)
        return answers.budget_report(
            *(answers.budget(name) for name in ("all", "chat for everybody", "gpt-4o"))
        )

    answer_with(overview, service)
    card = overview.open().card("budgets")
    assert len(tops(card, ".budgets > li")) == 1
    assert len(tops(card, "svg.budget")) == 1


def test_a_long_title_of_advice_breaks_neither_its_level_nor_its_dollars(base, new_overview):
    overview = new_overview(base, viewport={"width": 1280, "height": 900})

    def service(endpoint, asked):
        if endpoint != "recommendations":
            return full(endpoint, asked)
        return answers.recommendations("Route more", LONG_ADVICE)

    answer_with(overview, service)
    card = overview.open().card("recommendations")
    for selector in (".badge", ".title .good"):
        assert len({each.bounding_box()["height"] for each in card.locator(selector).all()}) == 1
    short, long = (each.bounding_box()["height"] for each in card.locator(".title").all())
    assert long > 1.5 * short


def test_what_several_budgets_have_to_say_alike_is_said_once(base, new_overview):
    overview = new_overview(base)
    words = "5 % of requests had no price and are not in these dollars."

    def service(endpoint, asked):
        if endpoint != "budgets":
            return full(endpoint, asked)
        budgets = (answers.budget(f"b{number}", warning=words) for number in range(8))
        return answers.budget_report(*budgets, answers.budget("alone", warning="Only this one."))

    answer_with(overview, service)
    text = overview.open().card("budgets").inner_text()
    assert text.count(words) == 1
    overview.card("budgets").get_by_text("3 more").click()
    assert "Only this one." in overview.card("budgets").inner_text()


def test_without_budgets_the_card_says_how_to_set_one(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, without_requests(answers.NOTHING))
    assert "No budget is set." in overview.open().card("budgets").inner_text()
    assert "budgets_file" in overview.card("budgets").inner_text()


def test_a_model_without_a_price_is_no_zero(base, new_overview):
    overview = new_overview(base)

    def service(endpoint, asked):
        if endpoint != "cost-breakdown":
            return full(endpoint, asked)
        return answers.cost_breakdown({"a": 7.0, "house": 0.0, "idle": 0.0}, unpriced={"house": 1200.0})

    answer_with(overview, service)
    rows = overview.open().card("breakdown").locator(".rows li").all_inner_texts()
    assert "no price" in rows[1]
    assert "1.2K requests" in rows[1]
    assert "$0.00" in rows[2]


def test_each_tiers_worth_is_told_with_its_sign(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    worth = overview.open().card("cache").get_by_role("table", name="What each tier is worth")
    assert worth.get_by_role("row").all_inner_texts()[1].split("\t") == [
        "Tier 1",
        "$1.00",
        "$0.25",
        "\u221265 s",
    ]
    assert "A thousand requests cost $2.50" in overview.card("cache").inner_text()


def test_a_tier_that_answered_without_look_ups_is_told_of_and_what_is_not_valued(base, new_overview):
    overview = new_overview(base)

    def service(endpoint, asked):
        if endpoint != "cache-performance":
            return full(endpoint, asked)
        return answers.cache_performance({"2": None}, look_ups=0.0, served=60.0, unvalued=60.0)

    answer_with(overview, service)
    card = overview.open().card("cache")
    worth = card.get_by_role("table", name="What each tier is worth").get_by_role("row").all_inner_texts()
    assert worth[1].startswith("Tier 2\t$1.00")
    assert (
        "60 requests are left out of what would be dearer: what their model would have cost"
        in card.inner_text()
    )


def test_advice_shows_the_query_behind_its_numbers(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    overview.open().card("recommendations").get_by_text("Why").first.click()
    assert "sum(a) / sum(b)" in overview.card("recommendations").inner_text()


def test_advice_shows_the_range_of_its_dollars_unasked(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    card = overview.open().card("recommendations").inner_text()
    assert "Between $1,000 and $1,500 a month while days stay as they are; confidence medium." in card


def test_a_task_type_is_called_by_its_name(base, new_overview):
    overview = new_overview(base)
    answer_with(
        overview,
        lambda endpoint, asked: (
            answers.cost_breakdown({"code_review": 5.0})
            if endpoint == "cost-breakdown"
            else full(endpoint, asked)
        ),
    )
    assert "code_review" in overview.open("?by=task_type").card("breakdown").inner_text()


def test_savings_that_may_be_of_the_same_dollars_are_not_to_be_added_up(base, new_overview):
    for titles, warned in ((["One"], False), (["One", "Another"], True)):
        advised = answers.recommendations(*titles)
        overview = new_overview(base)
        answer_with(
            overview,
            lambda endpoint, asked, advised=advised: (
                advised if endpoint == "recommendations" else full(endpoint, asked)
            ),
        )
        assert ("do not add them up" in overview.open().card("recommendations").inner_text()) is warned


@pytest.mark.parametrize(
    ("trend", "pace", "said"),
    [
        ("stable", 0.4, "No clear trend."),
        ("decreasing", -4.13, "The trend is decreasing, by 4.1 % a week."),
        ("increasing", None, "The trend is increasing."),
    ],
)
def test_the_line_of_days_has_a_scale_and_the_trend_its_pace(base, new_overview, trend, pace, said):
    def growing(endpoint, asked):
        if endpoint == "forecast":
            return answers.forecast(3000.0, trend=trend, pace=pace)
        return full(endpoint, asked)

    overview = new_overview(base)
    answer_with(overview, growing)
    card = overview.open().card("forecast")
    words = card.inner_text().replace("\u00a0", " ")
    assert said in words
    assert "$200 a day" in words
    assert card.locator(".ends").inner_text().split("\n") == ["24 days ago", "today", "in 30 days"]
