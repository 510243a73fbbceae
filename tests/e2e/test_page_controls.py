"""Choosing, refreshing, reading with keys, widths and colours."""

from __future__ import annotations

import pytest

from support import answers
from support.page_answers import answer_with, full

pytestmark = pytest.mark.e2e


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


def test_a_refresh_keeps_open_what_was_opened(base, new_overview):
    overview = new_overview(base)
    asked = answer_with(overview, full)
    overview.open()
    overview.card("trend").get_by_text("Show as a table").click()
    before = len(asked)
    overview.refreshed()
    assert len(asked) > before
    assert overview.card("trend").locator("details").get_attribute("open") is not None


def test_a_refresh_keeps_the_focus_and_the_bar_that_is_read(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    overview.open()
    for card in ("trend", "anomalies", "recommendations"):
        summary = overview.card(card).locator("summary").first
        summary.focus()
        overview.asked_anew()
        assert overview.page.evaluate("document.activeElement.localName") == "summary", card
        assert overview.page.evaluate("document.activeElement.closest('section').id") == card
    plot = overview.card("trend").locator(".plot")
    plot.press("Home")
    read = overview.card("trend").locator(".readout").inner_text()
    assert "$1.00" in read
    overview.asked_anew()
    assert overview.card("trend").locator(".readout").inner_text() == read


def test_a_refresh_keeps_how_far_a_table_is_scrolled(base, new_overview):
    overview = new_overview(base)
    answer_with(overview, full)
    overview.open()
    overview.card("trend").get_by_text("Show as a table").click()
    table = overview.card("trend").locator("details table")
    table.evaluate("each => { each.scrollTop = 100; }")
    overview.asked_anew()
    assert table.evaluate("each => each.scrollTop") == 100


def test_what_was_opened_stays_with_its_incident_when_a_new_one_comes_before_it(base, new_overview):
    overview = new_overview(base)
    messages = ["Dear already."]

    def service(endpoint, asked):
        if endpoint != "anomalies":
            return full(endpoint, asked)
        return answers.anomaly_report(*messages)

    answer_with(overview, service)
    overview.open().card("anomalies").get_by_text("What moved").click()
    messages.insert(0, "Dear since now.")
    overview.asked_anew()
    opened = overview.card("anomalies").locator("li:has(details[open])").all_inner_texts()
    assert [text.count("Dear already.") for text in opened] == [1]


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
