"""The demo's history is a possible one: counters never fall, sums agree, incidents show, and it is what it was."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from asahi_analytics.demo import world
from asahi_analytics.demo.build import all_series
from asahi_analytics.demo.gauges import gauges_of
from asahi_analytics.demo.intensity import Intensity, bucket_shares, money_of, season, shapes_of
from asahi_analytics.demo.past import Past, draw_past, scrape_times
from asahi_analytics.history import HistorySeries
from asahi_analytics.traffic.readout import CellHistory, read_out
from asahi_exporter import conventions as names
from asahi_exporter import schema

END = datetime(2026, 3, 4, 12, tzinfo=UTC)
TARGET = {"job": "asahi", "instance": "here", "store": "s"}
SERVICE_ONLY = {metric.name for metric in names.SERVICE_METRICS}


@pytest.fixture(scope="module")
def past() -> Past:
    return draw_past(Intensity(END.timestamp()), scrape_times(END, 2.0))


@pytest.fixture(scope="module")
def series(past: Past) -> list[HistorySeries]:
    return list(all_series(past, TARGET))


def total(series: list[HistorySeries], name: str, **labels: str) -> float:
    return sum(
        float(one.values[-1])
        for one in series
        if one.name == name and all(one.labels.get(label) == value for label, value in labels.items())
    )


def gained(
    past: Past, kind: schema.Schema, labels: tuple[str, ...], cell: int, hours: tuple[float, float]
) -> float:
    """What a cell gained between two moments, in hours before the end."""
    at = np.interp(END.timestamp() - np.array(hours) * 3600, past.times_s, past.cells[kind, labels][:, cell])
    return float(at[1] - at[0])


def test_the_shares_of_the_world_add_up() -> None:
    sums = [
        sum(task.share for task in world.TASKS),
        sum(world.ROUTING_MODES.values()),
        sum(world.BATCH_SIZES.values()),
    ]
    sums += [sum(task.models.values()) for task in world.TASKS]
    assert sums == pytest.approx([1.0] * len(sums))


def test_what_tasks_and_incidents_name_exists() -> None:
    models = {model.name for model in world.MODELS}
    targets = {
        "user": set(world.USERS),
        "latency": models,
        "cache": set(names.CACHE_TIERS),
        "errors": {error for error, _ in world.ERROR_RATES},
    }
    assert {name for task in world.TASKS for name in task.models} <= models
    assert [each for each in world.INCIDENTS if each.target not in targets[each.kind]] == []


def test_scrapes_are_finer_in_the_last_day_and_as_live_at_its_end() -> None:
    times = scrape_times(END, 3.0)
    assert set(np.diff(times)) == {300.0, 60.0, 15.0}
    assert (times[-1], times[0]) == (END.timestamp(), END.timestamp() - 3 * 86_400)
    assert np.sum(np.diff(times) == 60.0) == 1440 - 90
    assert np.sum(np.diff(times) == 15.0) == 90 * 4


def test_every_metric_of_the_exporter_is_in_the_history(series: list[HistorySeries]) -> None:
    there = {one.name for one in series}
    expected = {
        f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name
        for metric in names.METRICS
        if metric.name not in SERVICE_ONLY
    }
    assert expected - there == {names.STATE_WRITE_FAILURES.name} - there


def test_every_family_has_its_running_total(series: list[HistorySeries]) -> None:
    there = {one.name for one in series}
    missing = {name for name in names.FAMILIES if f"asahi:{name}:running" not in there}
    assert missing == set()


def test_counters_never_fall_and_begin_at_zero(past: Past) -> None:
    whole = [CellHistory(key, cells) for key, cells in past.cells.items()]
    for one in read_out(past.times_ms, whole, TARGET):
        assert one.values[0] == 0
        assert np.all(np.diff(one.values) >= 0), one.name


def test_cost_and_savings_are_the_baseline(series: list[HistorySeries]) -> None:
    cost, savings = total(series, names.COST.name), total(series, names.SAVINGS.name)
    assert cost > 100
    assert cost + savings == pytest.approx(total(series, names.BASELINE.name), rel=1e-9)


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        (names.REQUESTS, names.USER_REQUESTS),
        (names.COST, names.USER_COST),
        (names.BASELINE, names.USER_BASELINE),
        (names.TOKENS, names.USER_TOKENS),
    ],
)
def test_the_users_add_up_to_the_models(
    series: list[HistorySeries], whole: names.Metric, part: names.Metric
) -> None:
    assert total(series, part.name) == pytest.approx(total(series, whole.name), rel=1e-9)


def test_histograms_hold_every_request(series: list[HistorySeries]) -> None:
    requests = total(series, names.REQUESTS.name)
    assert total(series, "asahi_latency_ms_count") == requests
    assert total(series, "asahi_token_count_count", direction="input") == requests
    assert total(series, "asahi_latency_ms_bucket", le="+Inf") == requests
    assert total(series, "asahi_token_count_sum") == pytest.approx(total(series, names.TOKENS.name))


def test_look_ups_and_hits_fit_the_requests(series: list[HistorySeries]) -> None:
    requests = total(series, names.REQUESTS.name)
    for tier in names.CACHE_TIERS:
        hits = total(series, names.CACHE_HITS.name, tier=tier)
        assert hits == total(series, names.REQUESTS.name, cache_tier=tier)
        assert hits + total(series, names.CACHE_MISSES.name, tier=tier) == requests
        assert total(series, "asahi_cache_lookup_latency_ms_count", tier=tier) == requests
        requests -= hits


def test_the_model_without_a_price_is_unpriced_and_costs_nothing(series: list[HistorySeries]) -> None:
    asked = total(series, names.REQUESTS.name, model="house-llama-70b", cache_tier="none")
    assert asked == total(series, names.UNPRICED_REQUESTS.name) > 0
    assert total(series, names.COST.name, model="house-llama-70b") == 0


def test_the_user_incident_shows_in_requests_and_dollars(past: Past) -> None:
    during = gained(past, schema.USER, ("team-atlas",), 0, (5.0, 3.5))
    before = gained(past, schema.USER, ("team-atlas",), 0, (6.5, 5.0))
    assert during > 8 * before


def test_the_degraded_cache_hits_less_until_the_end(past: Past) -> None:
    def ratio(hours: tuple[float, float]) -> float:
        hits = gained(past, schema.CACHE, ("2",), 0, hours)
        return hits / (hits + gained(past, schema.CACHE, ("2",), 1, hours))

    assert ratio((1.5, 0.0)) < 0.4 * ratio((3.5, 2.0))


def test_the_slow_model_shows_in_its_latency(past: Past) -> None:
    def mean(hours: tuple[float, float]) -> float:
        key = (schema.LATENCY, ("gpt-4o", "none"))
        counts = sum(gained(past, *key, cell, hours) for cell in range(1, schema.LATENCY.size))
        return gained(past, *key, 0, hours) / counts

    assert mean((9.9, 8.6)) > 2.5 * mean((13.0, 11.0))


def test_errors_burst(past: Past) -> None:
    key = (schema.ERROR, ("rate_limited", "provider"))
    assert gained(past, *key, 0, (28.0, 27.4)) > 8 * gained(past, *key, 0, (29.0, 28.4)) + 5


def test_outages_leave_gaps_in_what_is_scraped(past: Past) -> None:
    raw = next(iter(read_out(past.times_ms[past.kept()], past.histories(), TARGET)))
    assert raw.times_ms.size < past.times_ms.size
    assert int(np.max(np.diff(raw.times_ms))) >= 180_000


def test_equal_seeds_make_equal_histories_and_others_do_not() -> None:
    times = scrape_times(END, 0.2)
    one, same, other = (draw_past(Intensity(END.timestamp(), seed), times) for seed in (1, 1, 2))
    assert all(np.array_equal(cells, same.cells[key]) for key, cells in one.cells.items())
    assert any(not np.array_equal(cells, other.cells[key]) for key, cells in one.cells.items())


def test_rolling_gauges_are_ratios_and_points(past: Past) -> None:
    gauges = list(gauges_of(past, TARGET))
    rates = [one for one in gauges if one.name == names.CACHE_HIT_RATE.name]
    scores = [one for one in gauges if one.name == names.QUALITY_SCORE.name]
    assert {one.labels["tier"] for one in rates} == set(names.CACHE_TIERS)
    assert {one.labels["model"] for one in scores} == {model.name for model in world.MODELS}
    assert all(np.all((one.values >= 0) & (one.values <= 1)) for one in rates)
    assert all(np.all((one.values > 1) & (one.values <= 5)) for one in scores)
    up = next(one for one in gauges if one.name == "up")
    assert "store" not in up.labels


def test_work_days_are_busier_than_weekends_and_noon_than_night() -> None:
    def at(day: int, hour: int) -> float:
        return float(season(np.array([datetime(2026, 3, day, hour, tzinfo=UTC).timestamp()]))[0])

    assert at(3, 14) > 1.5 * at(7, 14)
    assert at(3, 14) > 2 * at(3, 3)
    week = END.timestamp() + np.arange(0, 7 * 86_400, 600.0)
    assert season(week).mean() == pytest.approx(1.0, abs=0.02)


def test_bucket_shares_are_those_of_the_log_normal() -> None:
    shares = bucket_shares((10.0, 100.0, 1_000.0), np.array([100.0, 10.0]), 1.0)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert shares[0, :2].sum() == pytest.approx(0.5)
    assert shares[1, 0] == pytest.approx(0.5)


@pytest.mark.parametrize("tier", ["1", "none"])
@pytest.mark.parametrize("task", world.TASKS, ids=lambda task: task.name)
def test_money_is_linear_in_tokens(task: world.DemoTask, tier: str) -> None:
    prices, model = Intensity(END.timestamp()).prices, "gpt-4o"
    one, ten = (money_of(prices, model, task, tier, (100.0 * n, 30.0 * n)) for n in (1, 10))
    assert ten.cost == pytest.approx(10 * (one.cost or 0.0))
    assert sum(ten.savings.values()) == pytest.approx(10 * sum(one.savings.values()))
    assert min(one.savings.values()) >= 0


def test_shapes_are_whole_tokens_around_the_median() -> None:
    shapes = shapes_of(world.TASKS[0])
    assert np.all(shapes.input_tokens == np.round(shapes.input_tokens))
    assert shapes.output_tokens.min() >= 1
    assert np.median(shapes.input_tokens) == pytest.approx(world.TASKS[0].input_tokens, rel=0.15)
