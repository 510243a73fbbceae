"""A month of raw samples: every hour, day, week and the whole equal the ledger, with and without recorded totals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest
import requests

from asahi_analytics.backfill import snapshot_grid, totals_before
from asahi_analytics.composer import Composer
from asahi_analytics.demo.servers import prometheus, prometheus_config, running
from asahi_analytics.history import HistorySeries, write_blocks
from asahi_analytics.hours import Tiles
from asahi_analytics.prometheus import PrometheusClient
from asahi_analytics.tiles import PART, RUNNING, RuleParameters, state_metric
from asahi_analytics.windows import Window
from asahi_exporter.conventions import FAMILIES
from support.month_of_samples import END, START, Month, spans
from support.victoria import victoria_metrics

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
SAVINGS = FAMILIES["savings_dollars"]


@pytest.fixture(scope="module")
def month():
    return Month()


@pytest.fixture(scope="module")
def clients(month, tmp_path_factory):
    """Servers of raw samples alone, of totals that were filled in afterwards, and of these totals' copies alone."""
    folder = tmp_path_factory.mktemp("month")
    write_blocks(month.series, folder / "raw" / "data")
    with running(prometheus(folder / "raw", prometheus_config())) as raw:
        client = PrometheusClient(raw.url)
        totals = list(totals_before(client, SAVINGS, snapshot_grid(START, END, 3600), RuleParameters()))
        write_blocks([*month.series, *totals], folder / "filled" / "data")
        write_blocks([one for one in totals if not _is_running_state(one)], folder / "copies" / "data")
        with (
            running(prometheus(folder / "filled", prometheus_config())) as filled,
            running(prometheus(folder / "copies", prometheus_config())) as copies,
        ):
            yield {
                "raw samples": client,
                "backfilled totals": PrometheusClient(filled.url),
                "copies": PrometheusClient(copies.url),
            }


@pytest.fixture(scope="module")
def composers(clients):
    return {name: Composer(client) for name, client in clients.items()}


def _is_running_state(series: HistorySeries) -> bool:
    return series.name == state_metric(SAVINGS) and series.labels[PART] == RUNNING


def same(found, truth) -> None:
    assert {name: value for name, value in found.items() if value} == pytest.approx(truth, rel=1e-9)


@pytest.mark.integration
@pytest.mark.parametrize("source", ["raw samples", "backfilled totals"])
def test_the_whole_and_each_week_and_month_equal_the_ledger(month, composers, source):
    edges = [
        *spans(WEEK),
        (START, END),
        (START, datetime(2026, 2, 1, tzinfo=UTC)),
        (datetime(2026, 2, 1, tzinfo=UTC), END),
    ]
    for start, end in edges:
        sums = composers[source].total("savings_dollars", ["phase"], Window(start, end))
        same(sums.values.to_dict(), month.ledger(start, end))
        assert source in sums.trust.source


@pytest.mark.integration
def test_windows_that_start_anywhere_equal_the_ledger(month, composers):
    for minutes in (17, 1_234, 12_345, 23_456):
        start = START + timedelta(minutes=minutes, seconds=41)
        end = start + timedelta(days=3, minutes=77)
        sums = composers["backfilled totals"].total("savings_dollars", ["phase"], Window(start, end))
        same(sums.values.to_dict(), month.ledger(start, end))


@pytest.mark.integration
@pytest.mark.parametrize("step", [HOUR, DAY])
def test_every_hour_and_day_equals_the_ledger_and_silence_is_not_zero(month, composers, step):
    series = composers["backfilled totals"].series("savings_dollars", ["phase"], Window(START, END), step)
    for (start, end), (_, row) in zip(spans(step), series.frame.iterrows(), strict=True):
        same(row.fillna(0.0).to_dict(), month.ledger(start, end))
    silent = series.frame.isna().all(axis=1).to_numpy()
    scraped = (
        [
            any(start.timestamp() < at <= end.timestamp() for at in _scrapes(month))
            for start, end in spans(step)
        ]
        if step == DAY
        else None
    )
    assert scraped is None or (silent == ~np.array(scraped)).all()


@pytest.mark.integration
@pytest.mark.parametrize("by", [["phase"], []])
def test_every_hour_is_read_from_the_copies_where_the_state_itself_is_not_there(month, composers, by):
    series = composers["copies"].series("savings_dollars", by, Window(START, END), HOUR)
    for (start, end), (_, row) in zip(spans(HOUR), series.frame.iterrows(), strict=True):
        truth = month.ledger(start, end)
        same(row.fillna(0.0).to_dict(), truth if by else {"total": sum(truth.values())} if truth else {})


def by_phase(client, promql, at) -> dict[str, float]:
    return {sample.labels["phase"]: sample.value for sample in client.query(promql, at).samples}


@pytest.mark.integration
def test_the_tiles_of_full_hours_add_up_to_the_ledger(month, clients):
    for start, end in [*spans(DAY), *spans(WEEK), (START, END)]:
        summed = f"sum_over_time(asahi:savings_dollars:sum1h[{round((end - start).total_seconds())}s])"
        same(
            by_phase(clients["backfilled totals"], summed, end + timedelta(minutes=10)),
            month.ledger(start, end),
        )


@pytest.mark.integration
@pytest.mark.parametrize("missed", [0, 1, 2])
def test_a_tile_holds_what_was_counted_since_the_tile_before(month, clients, tmp_path, missed):
    end = START + timedelta(days=20)
    totals = list(
        totals_before(clients["raw samples"], SAVINGS, snapshot_grid(START, end, 3600), RuleParameters())
    )
    tiles = Tiles(SAVINGS, RuleParameters())
    kept = [
        replace(one, times_ms=one.times_ms[: -1 - missed], values=one.values[: -1 - missed])
        if one.name == tiles.metric
        else one
        for one in totals
    ]
    write_blocks(kept, tmp_path / "data")
    with running(prometheus(tmp_path, prometheus_config())) as server:
        client = PrometheusClient(server.url)
        tile = by_phase(client, tiles.expression(), end + timedelta(minutes=7))
        same(tile, month.ledger(end - timedelta(hours=1 + missed), end))
        before = end - timedelta(hours=1 + missed) + timedelta(minutes=7)
        assert by_phase(client, tiles.expression(), before) == {}


def _scrapes(month) -> list[float]:
    return [
        float(at) / 1000 for series in month.series for at in series.times_ms[:: len(series.times_ms) // 200]
    ]


@pytest.mark.integration
def test_victoria_metrics_gives_the_same_dollars_for_the_same_samples(month, tmp_path):
    with running(victoria_metrics(tmp_path)) as server:
        _import(server.url, month.series)
        composer = Composer(PrometheusClient(server.url))
        for start, end in [
            *spans(WEEK),
            (START, END),
            (START + timedelta(seconds=4321), END - timedelta(hours=30)),
        ]:
            sums = composer.total("savings_dollars", ["phase"], Window(start, end))
            same(sums.values.to_dict(), month.ledger(start, end))


def _import(url: str, series) -> None:
    lines = "\n".join(
        orjson.dumps(
            {
                "metric": {"__name__": one.name, **one.labels},
                "values": one.values.tolist(),
                "timestamps": one.times_ms.tolist(),
            }
        ).decode()
        for one in series
    )
    requests.post(f"{url}/api/v1/import", data=lines.encode(), timeout=60).raise_for_status()
    requests.get(f"{url}/internal/force_flush", timeout=60).raise_for_status()
