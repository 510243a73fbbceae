"""What the page makes of each kind of answer: figures, nothing, odd values, hostile names, failures."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from asahi_analytics import web
from support import answers
from support.pages import served

pytestmark = pytest.mark.e2e

HOSTILE = '<img src=x onerror="window.hacked=1">'
LONG = "a-model-name-that-never-ends-" * 20
LONG_ADVICE = "Route more of what is short and simple to a model that is cheaper"


@pytest.fixture(scope="module")
def base():
    application = Flask("page")
    application.register_blueprint(web.blueprint)
    with served(application) as address:
        yield address


def full(endpoint, asked):
    """A service with plenty to say."""
    names = {"model": ["gpt-4o", HOSTILE, LONG], "tier": ["none", "1"]}.get(asked.get("group_by"), ["a", "b"])
    return {
        "cost-breakdown": answers.cost_breakdown(dict(zip(names, (70.0, 29.996, 0.004), strict=False))),
        "trends": answers.trend([1.0, None, 0.0, 5.0] * 6),
        "baseline": answers.baseline(100.0, {"routing": 30.0, "cache_tier_1": 10.0}),
        "cache-performance": answers.cache_performance({"1": 0.3, "2": 0.0004, "3": None}),
        "latency-percentiles": answers.latency_percentiles([900.0, 1200.0, 2400.0, 3600.0, 12_000.0]),
        "forecast": answers.forecast(3000.0, warning="Five days of history are missing."),
        "budgets": answers.budget_report(
            answers.budget(HOSTILE),
            answers.budget("calm", **{**answers.LASTING, "overrun_probability": 0.0}),
            answers.budget(LONG, **answers.SPENT),
            answers.budget("new", **answers.UNKNOWN),
        ),
        "anomalies": answers.anomaly_report(f"Three times as dear: {HOSTILE}", "Dear once more."),
        "recommendations": answers.recommendations("Route more to gpt-4o-mini"),
    }[endpoint]


def empty(endpoint, _):
    """A service that never saw a request."""
    return {
        "cost-breakdown": answers.cost_breakdown({}, trust=answers.NOTHING, requests=0.0),
        "trends": answers.trend([None] * 24, trust=answers.NOTHING),
        "baseline": answers.baseline(0.0, {}, trust=answers.NOTHING),
        "cache-performance": answers.cache_performance({"1": None}, look_ups=0.0, trust=answers.NOTHING),
        "latency-percentiles": answers.latency_percentiles([None] * 5, requests=0.0, trust=answers.NOTHING),
        "forecast": answers.forecast(None, folds=0, trust=answers.NOTHING),
        "budgets": answers.budget_report(),
        "anomalies": answers.anomaly_report(trust=answers.NOTHING),
        "recommendations": answers.recommendations(),
    }[endpoint]


def answer_with(overview, service):
    """Let ``service`` answer every question of the page; returns the questions asked so far."""
    asked = []

    def fulfil(route):
        address = urlsplit(route.request.url)
        parameters = {key: values[0] for key, values in parse_qs(address.query).items()}
        endpoint = address.path.removeprefix("/analytics/")
        asked.append((endpoint, parameters))
        answer = service(endpoint, parameters)
        body = answer if isinstance(answer, dict) else answer.model_dump(mode="json")
        status = body.get("status", 200)
        route.fulfill(status=status, json=body)

    overview.page.route("**/analytics/**", fulfil)
    return asked


def test_every_card_shows_its_figures_and_nothing_complains(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    text = overview.open().text()
    assert overview.statuses() == {"shown"}
    for figure in (
        "$100.00",
        "$140.00",
        "28.6 %",
        "30.0 %",
        "$3,000",
        "8.3 %",
        "2.4 s",
        "12 s",
        "$1,311 a month",
    ):
        assert figure in text.replace("\u00a0", " "), figure
    assert not re.search(r"NaN|undefined|null|Infinity|\[object", text)
    assert "Five days of history are missing." in text
    assert "since Sun 1 Mar, 11:00" in text
    overview.card("anomalies").get_by_text("What moved").first.click()
    assert overview.card("anomalies").get_by_role("row").all_inner_texts()[1:3] == [
        "volume\t+$4.50",
        "hit rate\t-$0.50",
    ]
    assert overview.complaints == []


def test_names_that_look_like_markup_stay_text(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    text = overview.open().text()
    assert text.count(HOSTILE) == 3
    assert overview.page.evaluate("window.hacked") is None


def test_small_money_and_small_shares_never_read_as_nothing(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    text = overview.open().text().replace("\u00a0", " ")
    assert "$0.0040" in text
    assert "<0.1 %" in text


def test_without_traffic_every_card_says_so(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, empty)
    text = overview.open().text()
    assert overview.statuses() == {"shown"}
    assert text.count("No requests") >= 6
    assert "not known how much of the time was scraped" in text
    assert not re.search(r"NaN|undefined|null|Infinity|\$0", text)


def test_a_failing_card_shows_the_problems_detail_and_the_others_go_on(base, new_overview):
    overview = new_overview(base)
    broken = {"forecast", "cache-performance"}

    def service(endpoint, asked):
        if endpoint in broken:
            return {"status": 503, "title": "Unavailable", "detail": f"Too slow: {endpoint}."}
        return full(endpoint, asked)

    answer_with(overview, service)
    overview.open()
    assert "Too slow: forecast." in overview.card("forecast").inner_text()
    assert overview.card("trend").get_attribute("data-status") == "shown"
    broken.clear()
    overview.card("cache").get_by_role("button", name="Try again").click()
    overview.settled()
    assert "30.0" in overview.card("cache").inner_text()
    assert overview.card("forecast").get_attribute("data-status") == "failed"


def test_an_answer_that_is_not_the_services_is_told_in_words(base, new_overview):
    overview = new_overview(base)
    reply = {"status": 502, "body": "<html>Bad gateway</html>"}
    overview.page.route("**/analytics/**", lambda route: route.fulfill(**reply))
    assert "status 502" in overview.open().card("today").inner_text()
    for body, status, words in (
        ("not json", 200, "without JSON"),
        ('{"title": "Not allowed"}', 400, "Not allowed"),
    ):
        reply.update(status=status, body=body)
        assert words in overview.refreshed().card("today").inner_text()
        assert overview.statuses() == {"failed"}


def test_a_service_that_is_gone_is_told_in_words(base, new_overview):
    overview = new_overview(base)
    overview.page.route("**/analytics/**", lambda route: route.abort())
    assert "cannot be reached" in overview.open().text()


def test_gaps_and_missing_prices_are_told_at_the_top(base, new_overview):
    overview = new_overview(base)
    doubtful = answers.Trust(
        scraped_ratio=0.95,
        gaps=[{"start": "2026-03-01T01:00:00Z", "end": "2026-03-01T01:20:00Z"}],
        resets=2,
        unpriced_ratio=0.012,
        warnings=["One store did not answer."],
    )

    def service(endpoint, asked):
        if endpoint == "cost-breakdown":
            return answers.cost_breakdown({"a": 1.0}, trust=doubtful)
        return full(endpoint, asked)

    answer_with(overview, service)
    overview.open().card("trust").get_by_text("Details").click()
    trust = overview.card("trust").inner_text().replace("\u00a0", " ")
    for words in ("95.0 %", "20 min from Sun", "lost counts: 2", "1.2 % of the requests", "One store"):
        assert words in trust


def test_the_choice_stands_in_the_address_and_the_back_button_takes_it_back(base, new_overview):
    overview = new_overview(base)
    asked = answer_with(overview, full)
    overview.open("?period=week&by=tier&show=requests")
    assert ("cost-breakdown", {"group_by": "tier", "period": "week"}) in asked
    assert ("trends", {"metric": "requests", "period": "hour", "intervals": "168"}) in asked
    overview.page.get_by_label("Month").check(force=True)
    overview.page.get_by_label("User").check(force=True)
    overview.page.get_by_label("What the chart shows").select_option("hit_rate")
    overview.settled()
    assert overview.page.url.endswith("?period=month&by=user&show=hit_rate")
    assert ("cost-breakdown", {"group_by": "user", "period": "month"}) in asked
    assert ("trends", {"metric": "hit_rate", "period": "day", "intervals": "30"}) in asked
    overview.page.go_back()
    assert overview.page.get_by_label("What the chart shows").input_value() == "requests"


def test_a_choice_that_does_not_exist_is_the_default(base, new_overview):
    overview = new_overview(base)
    asked = answer_with(overview, full)
    overview.open("?period=century&by=toString&show=%3Cb%3E")
    assert ("cost-breakdown", {"group_by": "model", "period": "day"}) in asked
    assert ("trends", {"metric": "cost", "period": "hour", "intervals": "24"}) in asked
    assert overview.statuses() == {"shown"}


def test_the_chart_is_read_with_the_arrow_keys_and_as_a_table(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    trend = overview.open().card("trend")
    assert "$36.00 in all, at most $5.00" in trend.inner_text()
    plot = trend.locator(".plot")
    plot.press("Home")
    assert "$1.00 Sat 28 Feb, 12:00 \u2013 13:00" in trend.locator(".readout").inner_text()
    plot.press("ArrowRight")
    assert "not scraped" in trend.locator(".readout").inner_text()
    assert trend.locator(".bin.gap").count() == 6
    trend.get_by_text("Show as a table").click()
    assert trend.get_by_role("row").count() == 25


def test_a_choice_asks_again_only_for_the_cards_that_depend_on_it(base, new_overview):
    overview = new_overview(base)
    asked = answer_with(overview, full)
    overview.open()
    asked.clear()
    overview.page.get_by_label("What the chart shows").select_option("requests")
    overview.settled()
    assert [endpoint for endpoint, _ in asked] == ["trends"]


def test_an_answer_that_comes_late_does_not_replace_a_newer_one(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    overview.open()
    waiting = []

    def hold(route):
        waiting.append(route)

    overview.page.route("**/cost-breakdown?group_by=user&period=day", hold)
    overview.page.get_by_label("User").check(force=True)
    overview.page.get_by_label("Tier", exact=True).check(force=True)
    overview.settled()
    with overview.page.expect_response("**/cost-breakdown?group_by=user**"):
        waiting[0].fulfill(json=answers.cost_breakdown({"too-late": 1.0}).model_dump(mode="json"))
    overview.page.evaluate("() => new Promise(done => setTimeout(done, 100))")
    assert "too-late" not in overview.card("breakdown").inner_text()
    assert "Cache tier 1" in overview.card("breakdown").inner_text()


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
    assert "60.0 % spent, 50 % faster than an even plan." in risky
    assert "Runs out about Thu 19 Mar (Tue 17 Mar to Sun 22 Mar); an overrun is 90 % likely." in risky
    assert "By the end of March: $1,500; 95 % sure between $1,200 and $1,800." in risky
    assert "20 % slower than an even plan" in calm
    assert "Lasts the month; an overrun is less than 1 % likely." in calm
    assert "Too little history to say whether it lasts." in new
    assert "By the end" not in new
    badges = [text.partition("\n")[2] for text in card.locator(".badge").all_inner_texts()]
    assert badges == ["spent", "at risk", "on track", "not known"]


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
    answer_with(overview, empty)
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


def test_advice_shows_the_query_behind_its_numbers(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    overview.open().card("recommendations").get_by_text("Why").first.click()
    assert "sum(a) / sum(b)" in overview.card("recommendations").inner_text()


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


def test_a_refresh_keeps_open_what_was_opened(base, new_overview):
    overview = new_overview(base)
    asked = answer_with(overview, full)
    overview.open()
    overview.card("trend").get_by_text("Show as a table").click()
    before = len(asked)
    overview.refreshed()
    assert len(asked) > before
    assert overview.card("trend").locator("details").get_attribute("open") is not None


def test_no_width_scrolls_sideways(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    overview.open()
    for width in (320, 400, 768, 1400):
        overview.page.set_viewport_size({"width": width, "height": 800})
        assert overview.page.evaluate("document.documentElement.scrollWidth") <= width, width


def test_every_control_has_a_name_and_every_card_a_heading(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    overview.open()
    nameless = overview.page.evaluate(
        "[...document.querySelectorAll('button, input, select, [tabindex=\"0\"]')].filter(each =>"
        " !(each.labels?.[0]?.textContent || each.getAttribute('aria-label') || each.textContent).trim()).length"
    )
    assert nameless == 0
    assert overview.page.locator(".card h2").count() == overview.page.locator(".card").count()


def test_dark_and_light_follow_the_system(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    overview.open()
    colours = set()
    for scheme in ("light", "dark"):
        overview.page.emulate_media(color_scheme=scheme)
        colours.add(overview.page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert len(colours) == 2
