"""Latency, errors, caches and quality: weeks of normal traffic without an alarm, every fault caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.anomaly import AnomalyConfig, score_series
from asahi_analytics.anomaly.bins import bins_of
from asahi_analytics.anomaly.counts import rate_threshold
from asahi_analytics.anomaly.scoring import Rated, scored, scored_levels
from support.anomaly_series import PER_DAY, counts, flat, groups, rates, seasonal

CONFIG = AnomalyConfig()
FAULT = slice(10 * PER_DAY + 30, 10 * PER_DAY + 36)


def healthy(kind: str, seed: int, mean: float, days: float = 21) -> tuple[pd.Series, pd.Series]:
    volume = counts(seed, mean, days)
    if kind == "latency_spike":
        return seasonal(seed, days, mean=800, swing=0.25, noise=0.12), volume
    if kind == "quality_drop":
        return flat(seed, 4.4, 0.08, days), volume
    return rates(seed, 0.004 if kind == "error_rate" else 0.45, volume), volume


def faulty(kind: str, values: pd.Series, volume: pd.Series, size: float) -> pd.Series:
    values = values.copy()
    if kind == "latency_spike":
        values.iloc[FAULT] *= size
    elif kind == "quality_drop":
        values.iloc[FAULT] -= size
    else:
        values.iloc[FAULT] = rates(99, size, volume).iloc[FAULT]
    return values


@pytest.mark.parametrize("kind", ["latency_spike", "error_rate", "cache_degradation", "quality_drop"])
@pytest.mark.parametrize("mean", [60, 2000])
def test_weeks_of_normal_traffic_raise_no_alarm(kind, mean):
    for seed in range(4):
        values, volume = healthy(kind, seed, mean)
        assert not score_series(values, CONFIG, kind=kind, volume=volume)["is_anomaly"].any()


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("latency_spike", 2.5),
        ("latency_spike", 6.0),
        ("error_rate", 0.04),
        ("error_rate", 0.3),
        ("cache_degradation", 0.1),
        ("cache_degradation", 0.0),
        ("quality_drop", 0.8),
        ("quality_drop", 2.0),
    ],
)
def test_every_fault_is_caught_within_half_an_hour(kind, size):
    for seed in range(3):
        values, volume = healthy(kind, seed, 600)
        scores = score_series(faulty(kind, values, volume, size), CONFIG, kind=kind, volume=volume)
        assert scores["is_anomaly"].iloc[FAULT][:3].any()
        assert len(groups(scores["is_anomaly"])) == 1


def test_one_percent_of_few_requests_is_noise_and_of_many_is_not():
    few, many = counts(1, 40), counts(1, 40_000)
    for volume, alarm in ((few, False), (many, True)):
        values = rates(1, 0.002, volume)
        values.iloc[FAULT] = 0.025
        found = score_series(values, CONFIG, kind="error_rate", volume=volume)["is_anomaly"]
        assert found.any() == alarm


def test_few_errors_add_up_to_evidence():
    volume = counts(2, 25)
    values = rates(2, 0.003, volume)
    assert not score_series(values, CONFIG, kind="error_rate", volume=volume)["is_anomaly"].any()
    values.iloc[1500:1518] = rates(5, 0.15, volume).iloc[1500:1518]
    found = score_series(values, CONFIG, kind="error_rate", volume=volume)["is_anomaly"]
    assert found.iloc[1500:1518].any()


def test_a_rate_that_is_always_high_is_the_usual():
    volume = counts(3, 3000)
    values = rates(3, 0.03, volume)
    assert (
        not score_series(values, CONFIG, kind="error_rate", volume=volume)["is_anomaly"].iloc[PER_DAY:].any()
    )
    values.iloc[FAULT] = 0.08
    assert score_series(values, CONFIG, kind="error_rate", volume=volume)["is_anomaly"].iloc[FAULT].any()


def test_bins_without_requests_say_nothing():
    volume = counts(4, 500)
    values = rates(4, 0.002, volume)
    volume.iloc[FAULT] = 0.0
    values.iloc[FAULT] = 1.0
    assert not score_series(values, CONFIG, kind="error_rate", volume=volume)["is_anomaly"].any()


@pytest.mark.parametrize(
    ("kind", "critical", "warning"), [("error_rate", 0.2, 0.03), ("quality_drop", 1.5, 0.7)]
)
def test_severity_follows_the_size(kind, critical, warning):
    values, volume = healthy(kind, 1, 20_000, days=14)
    for size, severity in ((critical, "critical"), (warning, "warning")):
        scores = score_series(faulty(kind, values, volume, size), CONFIG, kind=kind, volume=volume)
        assert set(scores["severity"].iloc[FAULT].dropna()) == {severity}


def test_a_dead_cache_is_critical_and_a_lasting_one_ends_as_the_new_normal():
    values, volume = healthy("cache_degradation", 2, 3000)
    values.iloc[8 * PER_DAY :] = rates(3, 0.1, volume).iloc[8 * PER_DAY :]
    scores = score_series(values, CONFIG, kind="cache_degradation", volume=volume)
    assert len(groups(scores["is_anomaly"])) == 1
    assert not scores["is_anomaly"].iloc[9 * PER_DAY :].any()
    values.iloc[8 * PER_DAY : 8 * PER_DAY + 6] = 0.0
    scores = score_series(values, CONFIG, kind="cache_degradation", volume=volume)
    assert scores["severity"].iloc[8 * PER_DAY + 2] == "critical"


def test_the_threshold_of_a_rate_falls_with_more_requests_and_with_errors_just_seen():
    index = counts(0, 1).index[:50]
    quiet = bins_of(pd.Series(0.0, index=index))
    limit = np.full(50, 0.01)
    small, large = (rate_threshold(quiet, np.full(50, each), limit, 4.0)[-1] for each in (30.0, 30_000.0))
    assert small > large > 0.01
    after_errors = bins_of(pd.Series([0.0] * 47 + [0.1] * 3, index=index))
    assert rate_threshold(after_errors, np.full(50, 30.0), limit, 4.0)[-1] < small


@pytest.mark.parametrize("kind", ["latency_spike", "cache_degradation", "quality_drop"])
def test_several_series_are_scored_as_if_each_were_alone(kind):
    config = CONFIG.model_copy(update={"min_history_hours": 6.0})
    pairs = [healthy(kind, seed, mean, days=12) for seed, mean in enumerate((60, 300, 2000, 5))]
    size = {"latency_spike": 5.0, "cache_degradation": 0.05, "quality_drop": 1.5}[kind]
    alone = [
        (faulty(kind, values, volume, size) if seed == 1 else values, volume)
        for seed, (values, volume) in enumerate(pairs)
    ]
    for seed, (values, volume) in enumerate(alone):
        holes = np.random.default_rng(seed).random(len(values)) < 0.05
        values[holes] = np.nan
        volume[np.roll(holes, 3)] = 0.0
    bins = bins_of(alone[0][0])
    together = scored(
        replace(bins, values=np.array([values for values, _ in alone])),
        config,
        kind,
        np.array([volume for _, volume in alone], dtype=float),
    )
    for number, (values, volume) in enumerate(alone):
        expected = score_series(values, config, kind=kind, volume=volume)
        pd.testing.assert_frame_equal(together.row(number).frame(values.index), expected, check_exact=True)
    assert together.anomalous.any()


def test_series_of_different_kinds_are_scored_as_if_each_were_alone():
    asked = []
    for seed, kind in enumerate(("error_rate", "cache_degradation", "quality_drop", "latency_spike")):
        values, volume = healthy(kind, seed, 300, days=12)
        size = {"error_rate": 0.05, "cache_degradation": 0.1, "quality_drop": 0.8, "latency_spike": 3.0}[kind]
        rows, counts = bins_of(faulty(kind, values, volume, size)), volume.to_numpy(dtype=float)
        if kind == "quality_drop":  # several series beside single ones
            rows = replace(rows, values=np.array([rows.values, bins_of(values).values]))
            counts = np.array([counts, counts])
        asked.append(Rated(kind, rows, None if kind == "cache_degradation" else counts))
    for each, together in zip(asked, scored_levels(asked, CONFIG), strict=True):
        alone = scored(each.bins, CONFIG, each.kind, each.volume)
        for name in ("expected", "threshold", "anomalous", "critical"):
            np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
        assert together.anomalous.any()
