"""Every query of every dashboard, asked of a real Prometheus, and exact sums against what was counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asahi_analytics import dashboards
from asahi_analytics.dashboards import check
from asahi_analytics.dashboards.money import counted
from asahi_analytics.dashboards.queries import SAMPLE_LABELS
from asahi_analytics.demo import servers
from asahi_analytics.history import HistorySeries, write_blocks
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.tiles import running_metric
from asahi_exporter.conventions import FAMILIES

pytestmark = pytest.mark.integration

SCRAPE_MS = 60_000
HOURS = 3


def history(until: datetime):
    """Two series of every metric that the exporter has and of every total recorded, growing by one at every scrape."""
    end_ms = int(until.timestamp()) * 1000
    times_ms = np.arange(end_ms - HOURS * 3_600_000, end_ms, SCRAPE_MS, dtype=np.int64)
    values = np.arange(len(times_ms), dtype=float)
    for metric, labels in SAMPLE_LABELS.items():
        for number in ("1", "2"):
            own = dict.fromkeys(labels, number) | {"job": "asahi", "instance": f"127.0.0.1:900{number}"}
            yield HistorySeries(metric, own, times_ms, values)
    for family in FAMILIES.values():
        yield HistorySeries(running_metric(family), dict.fromkeys(family.labels, "1"), times_ms, values)
        if family is FAMILIES["cost_dollars"]:
            born = times_ms[-31:]
            yield HistorySeries(
                running_metric(family), dict.fromkeys(family.labels, "2"), born, np.full(31, 2.5)
            )


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboards")
    now = datetime.now(UTC)
    write_blocks(history(now), folder / "data")
    server = servers.prometheus(folder, servers.prometheus_config(), data=folder / "data")
    with servers.running(server):
        yield PrometheusClient(server.url), now - timedelta(seconds=60)


@pytest.mark.parametrize("name", dashboards.DASHBOARDS)
def test_every_query_returns_series_and_names_only_what_the_exporter_has(prometheus, name):
    client, now = prometheus
    answers = list(check.ask(client, dashboards.DASHBOARDS[name](), now, since="now-2h"))
    assert len(answers) >= 8
    assert [answer for answer in answers if not answer.good] == []


def test_exact_sums_count_births_from_zero_and_each_minute_once(prometheus):
    client, now = prometheus
    query = counted("cost_dollars", ("model",), over="3600s")
    assert {sample.labels["model"]: sample.value for sample in client.query(query, now).samples} == {
        "1": 60.0,
        "2": 2.5,
    }
    query = counted("cost_dollars", over="60s")
    minutes = (
        client.query_range(query, now - timedelta(minutes=59), now, timedelta(minutes=1)).series[0].values
    )
    assert minutes.sum() == 60.0 + 2.5


def test_a_total_that_began_anew_within_the_range_is_not_shown_as_a_loss(prometheus):
    client, now = prometheus
    query = counted("cost_dollars", over="3600s").replace("sum", "-sum")
    assert client.query(query, now).samples == ()
