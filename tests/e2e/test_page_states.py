"""What the page makes of each kind of answer: figures, nothing, odd values, hostile names, failures."""

from __future__ import annotations

import re

import pytest

from support import answers
from support.page_answers import HOSTILE, answer_with, full, without_requests

pytestmark = pytest.mark.e2e


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
    assert "since Sun 1 Mar, 11:00 UTC" in text
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
    answer_with(overview, without_requests(answers.COMPLETE))
    text = overview.open().text()
    assert overview.statuses() == {"shown"}
    assert text.count("No requests") >= 6
    assert "Nothing to draw in the last 24 hours." in text
    assert not re.search(r"NaN|undefined|null|Infinity|\$0", text)


def without_prices(endpoint, asked):
    """A service all of whose requests had no price."""
    trust = answers.COMPLETE.model_copy(update={"unpriced_ratio": 1.0})
    return {
        "cost-breakdown": answers.cost_breakdown({"own": 0.0}, trust=trust, unpriced={"own": 1000.0}),
        "baseline": answers.baseline(0.0, {}, trust=trust),
        "trends": answers.trend([0.0] * 24, trust=trust),
    }.get(endpoint) or full(endpoint, asked)


def test_where_no_request_had_a_price_no_card_says_that_there_was_none_or_that_it_cost_nothing(
    base, new_overview
):
    overview = new_overview(base)
    answer_with(overview, without_prices)
    text = overview.open().text()
    assert "No requests" not in text
    assert "$0.00" not in text
    assert "No price" in overview.card("today").inner_text()
    assert "own\nno price" in overview.card("breakdown").inner_text()
    assert "Total not known" in overview.card("breakdown").inner_text()
    for card in ("saved", "savings"):
        assert "had no price or cost nothing" in overview.card(card).inner_text()


def test_a_failed_refresh_is_no_update(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, lambda *_: {"status": 503, "title": "Unavailable", "detail": "Away."})
    overview.open()
    assert overview.page.locator("#updated").inner_text() == ""


def test_large_and_small_amounts_and_long_names_are_read_whole(base, new_overview):
    overview = new_overview(base)
    names = [f"cloud/region-europe-west/models/instruct-2026-{number:02d}" for number in range(8)]

    def service(endpoint, asked):
        return {
            "cost-breakdown": answers.cost_breakdown(dict.fromkeys(names, 2_848_855.91)),
            "trends": answers.trend([6e-9] * 24),
        }.get(endpoint) or full(endpoint, asked)

    answer_with(overview, service)
    overview.open()
    for width in (390, 1100):
        overview.page.set_viewport_size({"width": width, "height": 900})
        all_is_read_whole(overview)


def all_is_read_whole(overview):
    lines = "each => each.getBoundingClientRect().height / parseFloat(getComputedStyle(each).lineHeight)"
    assert round(overview.card("today").locator(".big").evaluate(lines)) == 1
    for name in overview.card("breakdown").locator(".name").all():
        assert name.evaluate("each => each.scrollHeight - each.clientHeight") <= 1
        assert name.evaluate("each => each.scrollWidth - each.clientWidth") <= 1
    chart = overview.card("trend").locator(".plot")
    labels = [each.bounding_box()["x"] for each in chart.locator(".grid text").all()]
    assert min(labels) >= chart.bounding_box()["x"]


def test_where_nothing_was_scraped_no_card_claims_that_nothing_happened(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, without_requests(answers.NOTHING))
    text = overview.open().text()
    assert overview.statuses() == {"shown"}
    first = overview.card("trust").inner_text()
    assert (
        "Nothing is known. No exporter was scraped in the last 24 hours; asahi-obs doctor says what to do."
        in first
    )
    assert "Not known: nothing was scraped today." in overview.card("today").inner_text()
    assert "Not known: nothing was scraped in the last 24 hours." in overview.card("trend").inner_text()
    for words in (
        "No requests",
        "Nothing unusual",
        "No cache was asked",
        "not known how much",
        "Not scraped for",
    ):
        assert words not in text, words


def test_what_fails_everywhere_is_told_once_and_asked_again_everywhere(base, new_overview):
    overview = new_overview(base)
    down = [True]

    def service(endpoint, asked):
        if not down[0]:
            return full(endpoint, asked)
        return {"status": 503, "title": "Unavailable", "detail": "Prometheus cannot be reached."}

    answer_with(overview, service)
    text = overview.open().text()
    assert overview.statuses() == {"failed"}
    assert text.count("Prometheus cannot be reached.") == 1
    assert "at the top of the page" in overview.card("today").inner_text()
    again = overview.page.get_by_role("button", name="Try again")
    assert again.count() == 1
    down.clear()
    down.append(False)
    again.click()
    overview.settled()
    assert overview.statuses() == {"shown"}


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
    assert "status 502" in overview.open().card("trust").inner_text()
    for body, status, words in (
        ("not json", 200, "without JSON"),
        ('{"title": "Not allowed"}', 400, "Not allowed"),
    ):
        reply.update(status=status, body=body)
        assert words in overview.refreshed().card("trust").inner_text()
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
    for words in ("95 %", "20 min from Sun", "lost counts: 2", "1.2 % of the requests", "One store"):
        assert words in trust
