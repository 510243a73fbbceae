"""Every query of every dashboard, asked of a real Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asahi_analytics import dashboards
from asahi_analytics.dashboards import check
from asahi_analytics.dashboards.queries import SAMPLE_LABELS
from asahi_analytics.demo import servers
from asahi_analytics.history import HistorySeries, write_blocks
from asahi_analytics.prometheus import PrometheusClient

pytestmark = pytest.mark.integration

SCRAPE_MS = 60_000
HOURS = 3


def history(until: datetime):
    """Two series of every metric that the exporter has, growing by one at every scrape."""
    end_ms = int(until.timestamp()) * 1000
    times_ms = np.arange(end_ms - HOURS * 3_600_000, end_ms, SCRAPE_MS, dtype=np.int64)
    values = np.arange(len(times_ms), dtype=float)
    for metric, labels in SAMPLE_LABELS.items():
        for number in ("1", "2"):
            own = dict.fromkeys(labels, number) | {"job": "asahi", "instance": f"127.0.0.1:900{number}"}
            yield HistorySeries(metric, own, times_ms, values)


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
