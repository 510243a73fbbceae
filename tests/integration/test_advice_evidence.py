"""The query behind every number of every piece of advice gives that number, in a real Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asahi_analytics.demo import servers
from asahi_analytics.engine import AnalyticsEngine
from asahi_analytics.history import HistorySeries, write_blocks
from asahi_analytics.levels import BY_HOUR, copy_metric
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.recommendations import Recommendation, RecommendationEngine
from asahi_analytics.recommendations.observed import DAY, WINDOW_DAYS
from asahi_analytics.tiles import PART, RUNNING
from asahi_exporter.conventions import FAMILIES
from support.advice_cases import CASES, Case
from support.advice_traffic import LABELS, RECENT, Traffic, advise
from support.demo_data import demo_prometheus

COPIED = timedelta(minutes=10)
"""When every family's totals at a full hour have been copied."""

pytestmark = pytest.mark.integration


def answers(client: PrometheusClient, advice: Recommendation, at: datetime) -> list[float]:
    """What the queries of ``advice`` give; each must give one number."""
    found = []
    for evidence in advice.evidence:
        samples = client.query(evidence.promql, at).samples
        assert len(samples) == 1, (advice.id, evidence.promql)
        found.append(samples[0].value)
    return found


def totals(traffic: Traffic, end: datetime) -> Iterator[HistorySeries]:
    """The running totals of what was counted: at its start, seven days before its end, and at its end."""
    moments = [end - WINDOW_DAYS * DAY, end - RECENT * DAY, end]
    times_ms = np.array([round(1000 * moment.timestamp()) for moment in moments], dtype=np.int64)
    for family, frame in traffic.counted().items():
        for key, values in frame.items():
            parts = key if isinstance(key, tuple) else (key,)
            before = float(values.iloc[:-RECENT].sum())
            running = 1e6 + np.array([0.0, before, float(values.sum())])
            named = dict(zip(LABELS[family], map(str, parts), strict=True))
            name = copy_metric(FAMILIES[family], BY_HOUR)
            yield HistorySeries(name, {**named, PART: RUNNING}, times_ms, running)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_evidence_of_each_rule_is_what_prometheus_answers(case: Case, tmp_path) -> None:
    traffic, end = case.make(5), datetime.now(UTC).replace(second=0, microsecond=0)
    write_blocks(list(totals(traffic, end)), tmp_path / "data")
    advised = advise(traffic, case.list_prices)
    assert case.id in advised
    server = servers.prometheus(tmp_path, servers.prometheus_config(), data=tmp_path / "data")
    with servers.running(server):
        client = PrometheusClient(server.url)
        for advice in advised.values():
            expected = [evidence.value for evidence in advice.evidence]
            assert answers(client, advice, end) == pytest.approx(expected, rel=1e-6, abs=1e-9), advice.id


def test_the_evidence_of_the_demos_advice_is_what_its_prometheus_answers(tmp_path) -> None:
    with demo_prometheus(tmp_path) as (server, end):
        client = PrometheusClient(server.url)
        now = end - COPIED
        engine = AnalyticsEngine(client, clock=lambda: now)
        found = RecommendationEngine(engine).generate()
        assert len(found) >= 3
        for advice in found:
            expected = [evidence.value for evidence in advice.evidence]
            got = answers(client, advice, now.replace(minute=0, second=0) + COPIED)
            assert got == pytest.approx(expected, rel=1e-6), advice.id
