"""The page on the real service and a real Prometheus: with the demo's traffic, with nothing, and with none."""

from __future__ import annotations

import re

import pytest

from asahi_analytics.api.app import create_app
from asahi_analytics.demo import servers
from asahi_analytics.settings import Settings
from support.demo_data import demo_prometheus
from support.pages import served

pytestmark = pytest.mark.e2e


def service_of(prometheus_url, **settings):
    return create_app(Settings(prometheus={"url": prometheus_url, "retries": 0}, **settings))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The address of a service over the demo's data; one for all tests, so that it remembers what it asked."""
    with (
        demo_prometheus(tmp_path_factory.mktemp("page")) as (server, _),
        served(service_of(server.url)) as base,
    ):
        yield base


def test_the_page_shows_what_prometheus_holds(demo, new_overview):
    overview = new_overview(demo).open()
    assert overview.statuses() == {"shown"}
    assert not re.search(r"NaN|undefined|null|Infinity|\[object", overview.text())
    assert "gpt-4o-mini" in overview.card("breakdown").inner_text()
    overview.page.get_by_label("User").check(force=True)
    assert "team-" in overview.settled().card("breakdown").inner_text()
    overview.page.get_by_label("Week").check(force=True)
    assert "in the last 7 days" in overview.settled().card("breakdown").inner_text()
    assert overview.statuses() == {"shown"}
    assert overview.complaints == []


def test_every_metric_of_the_chart_can_be_shown(demo, new_overview):
    overview = new_overview(demo).open()
    choice = overview.page.get_by_label("What the chart shows")
    for metric in choice.locator("option").evaluate_all("all => all.map(each => each.value)"):
        choice.select_option(metric)
        overview.settled()
        assert overview.card("trend").get_attribute("data-status") == "shown", metric


def test_an_empty_prometheus_is_no_traffic_and_not_an_error(tmp_path, new_overview):
    server = servers.prometheus(tmp_path, servers.prometheus_config())
    with servers.running(server), served(service_of(server.url)) as base:
        overview = new_overview(base).open()
        assert "nothing was scraped" in overview.card("today").inner_text()
        assert "Nothing is known." in overview.card("trust").inner_text()
        assert not re.search(r"NaN|undefined|null|Infinity|\$0", overview.text())


def test_a_prometheus_that_is_down_is_told_once(tmp_path, new_overview):
    budgets = tmp_path / "budgets.yml"
    budgets.write_text("budgets: [{monthly_dollars: 10}]\n")
    nowhere = f"http://127.0.0.1:{servers.free_port()}"
    with served(service_of(nowhere, budgets_file=budgets)) as base:
        overview = new_overview(base).open()
        assert overview.statuses() == {"failed"}
        assert "Prometheus" in overview.card("trust").inner_text()
        assert overview.page.get_by_role("button", name="Try again").count() == 1
        assert "Traceback" not in overview.text()
