"""Every query of every dashboard on the demo's data in a real Prometheus; exact sums against what was counted."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from werkzeug.serving import make_server

from asahi_analytics import dashboards
from asahi_analytics.api.app import create_app
from asahi_analytics.backfill import CounterSamples, recorded_history, snapshot_grid
from asahi_analytics.dashboards import check
from asahi_analytics.dashboards.money import counted
from asahi_analytics.demo import servers
from asahi_analytics.history import HistorySeries, write_blocks
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.settings import CacheSettings, Settings
from asahi_analytics.tiles import PART, SCRAPED, SCRAPES_STATE, RuleParameters
from asahi_exporter.conventions import BUDGET_OVERRUN_PROBABILITY, FAMILIES, FORECAST_COST
from support.demo_data import demo_prometheus

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
BUDGETS = "asahi-budgets.json"
"""The dashboard of what the analytics service says, which the exporter's history does not hold."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with demo_prometheus(tmp_path_factory.mktemp("demo")) as (server, end):
        yield PrometheusClient(server.url), end


@pytest.fixture(scope="module")
def budgets(tmp_path_factory):
    """A Prometheus that scrapes the analytics service, which knows budgets and forecasts from four days of traffic."""
    folder, port = tmp_path_factory.mktemp("budgets"), servers.free_port()
    plans = folder / "budgets.yml"
    plans.write_text("budgets:\n  - monthly_dollars: 45000\n  - model: gpt-4o\n    monthly_dollars: 9000\n")
    with demo_prometheus(folder, days=4, targets={"asahi-analytics": [f"127.0.0.1:{port}"]}) as (server, _):
        settings = Settings.model_validate({"prometheus": {"url": server.url}, "budgets_file": str(plans)})
        with serving(create_app(settings), port):
            client = PrometheusClient(server.url, cache=CacheSettings(max_bytes=0))
            last = f"count({BUDGET_OVERRUN_PROBABILITY.name}) and count({FORECAST_COST.name})"
            until(lambda: client.query(last, datetime.now(UTC)).samples, "budgets are scraped")
            yield client


@contextmanager
def serving(app, port: int):
    """Serve ``app`` from a thread."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def until(condition, what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s, but not: {what}"
        time.sleep(0.1)


def test_what_the_service_says_of_budgets_and_the_future_can_be_drawn(budgets):
    answers = list(check.ask(budgets, dashboards.DASHBOARDS[BUDGETS](), datetime.now(UTC), since="now-1h"))
    assert len(answers) >= 8
    assert [answer for answer in answers if not answer.good] == []


@pytest.mark.parametrize("name", dashboards.DASHBOARDS.keys() - {BUDGETS})
def test_every_query_returns_series_and_names_only_what_the_exporter_has(demo, name):
    client, end = demo
    answers = list(check.ask(client, dashboards.DASHBOARDS[name](), end, since="now-24h"))
    assert len(answers) >= 8
    assert [answer for answer in answers if not answer.good] == []


@contextmanager
def holding(series, folder):
    """Serve ``series`` from a Prometheus."""
    write_blocks(series, folder / "data")
    with servers.running(servers.prometheus(folder, servers.prometheus_config())) as server:
        yield PrometheusClient(server.url)


@pytest.fixture(scope="module")
def totals(tmp_path_factory):
    """A total that grows by one a minute, and another one that is born half an hour before the end."""
    folder = tmp_path_factory.mktemp("totals")
    now = datetime.now(UTC).replace(microsecond=0)
    times_ms = (int(now.timestamp()) - np.arange(180, -1, -1, dtype=np.int64) * 60) * 1000
    name = FAMILIES["cost_dollars"].running
    series = [
        HistorySeries(name, {"model": "old"}, times_ms, np.arange(181.0)),
        HistorySeries(name, {"model": "born"}, times_ms[-31:], np.full(31, 2.5)),
    ]
    with holding(series, folder) as client:
        yield client, now


def test_exact_sums_count_births_from_zero_and_each_minute_once(totals):
    client, now = totals
    query = counted("cost_dollars", ("model",), over="3600s")
    assert {one.labels["model"]: one.value for one in client.query(query, now).samples} == {
        "old": 60.0,
        "born": 2.5,
    }
    query = counted("cost_dollars", over="60s")
    minutes = (
        client.query_range(query, now - timedelta(minutes=59), now, timedelta(minutes=1)).series[0].values
    )
    assert minutes.sum() == 60.0 + 2.5


def test_a_total_that_began_anew_within_the_range_is_not_shown_as_a_loss(totals):
    client, now = totals
    query = counted("cost_dollars", over="3600s").replace("sum", "-sum")
    assert client.query(query, now).samples == ()


def test_totals_that_began_anew_and_outgrew_those_of_before_are_not_shown(tmp_path):
    """The rules ran for 100 minutes, stopped for 200 and have run for 300 since: a dollar a minute."""
    now = datetime.now(UTC).replace(microsecond=0)
    ran = np.r_[np.arange(-600, -500), np.arange(-300, 1)]
    times_ms = (int(now.timestamp()) + ran * 60) * 1000
    totals = np.r_[np.arange(100.0), np.arange(301.0)]
    series = [
        HistorySeries(FAMILIES["cost_dollars"].running, {"model": "m"}, times_ms, totals),
        HistorySeries(SCRAPES_STATE, {PART: SCRAPED}, times_ms, 60 * totals),
    ]
    with holding(series, tmp_path) as client:
        shown = {
            minutes: [
                one.value for one in client.query(counted("cost_dollars", over=f"{minutes}m"), now).samples
            ]
            for minutes in (700, 550, 400, 290, 60)
        }
    assert shown == {700: [], 550: [], 400: [], 290: [290.0], 60: [60.0]}


@pytest.mark.parametrize("step", [HOUR, timedelta(minutes=15), timedelta(minutes=5)])
def test_dollars_of_hours_that_were_filled_in_afterwards_are_shown_and_add_up(tmp_path, step):
    """A dollar an hour of a model that still runs, two of one that was gone when the rules were installed."""
    installed = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 3 * HOUR
    snapshots_ms = snapshot_grid(installed - 12 * HOUR, installed, 3600)
    family, hours = FAMILIES["cost_dollars"], np.arange(13.0)
    labels = {"job": "asahi", "instance": "a:1", "task_type": "chat", "cache_tier": "none"}
    past = [
        CounterSamples({**labels, "model": model}, snapshots_ms, hours * dollars)
        for model, dollars in (("runs", 1.0), ("gone", 2.0))
    ]
    filled_in = [
        replace(one, values=one.values - one.values[-1]) if one.name == family.running else one
        for one in recorded_history(family, past, snapshots_ms, RuleParameters())
    ]
    minutes_ms = snapshots_ms[-1] + np.arange(1, 181) * 60_000
    live = HistorySeries(
        family.running,
        {"model": "runs", "task_type": "chat", "cache_tier": "none"},
        minutes_ms,
        np.arange(1, 181) / 60.0,
    )
    with holding([*filled_in, live], tmp_path) as client:
        begin, end = installed - 12 * HOUR + 2 * step, installed + 3 * HOUR
        of_steps = counted("cost_dollars", ("model",), over=f"{step.total_seconds():.0f}s")
        drawn = client.query_range(of_steps, begin, end, step).series
        whole = counted("cost_dollars", ("model",), over=f"{(15 * HOUR - step).total_seconds():.0f}s")
        shown = {one.labels["model"]: one.value for one in client.query(whole, end).samples}
    summed = {one.labels["model"]: np.nansum(one.values) for one in drawn}
    assert summed == shown == pytest.approx({"runs": 15.0, "gone": 24.0})
