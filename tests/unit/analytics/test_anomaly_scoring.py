"""The contract of score_series: causal, missing is not anomalous, arguments unchanged, clear errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from asahi_alerts import thresholds
from asahi_analytics.anomaly import KINDS, AnomalyConfig, score_outage, score_series
from asahi_analytics.anomaly.bins import bins_of
from asahi_analytics.anomaly.scoring import scored
from asahi_analytics.errors import UserInputError
from support.anomaly_series import counts, flat, raised, rates, seasonal, times

CONFIG = AnomalyConfig()


def series_of(kind: str, seed: int = 1, days: float = 9) -> tuple[pd.Series, pd.Series | None]:
    volume = counts(seed, 400, days)
    made = {
        "cost_spike": (raised(seasonal(seed, days, noise=0.25), 700, 12, 4.0), None),
        "latency_spike": (raised(seasonal(seed, days, swing=0.2), 800, 9, 4.0), volume),
        "error_rate": (rates(seed, 0.004, volume), volume),
        "cache_degradation": (rates(seed, 0.5, volume), volume),
        "quality_drop": (flat(seed, 4.5, 0.1, days), volume),
    }
    values, volume_or_none = made[kind]
    values = values.copy()
    values.iloc[900:906] = {"error_rate": 0.2, "cache_degradation": 0.05, "quality_drop": 3.0}.get(
        kind, float(values.iloc[900])
    )
    return values, volume_or_none


def with_gaps(values: pd.Series, seed: int = 3) -> pd.Series:
    values = values.copy()
    rng = np.random.default_rng(seed)
    values.iloc[rng.choice(len(values), len(values) // 40, replace=False)] = np.nan
    values.iloc[500:530] = np.nan
    return values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gaps", [False, True])
def test_row_t_uses_values_up_to_t_only(kind, gaps):
    values, volume = series_of(kind)
    values = with_gaps(values) if gaps else values
    whole = score_series(values, CONFIG, kind=kind, volume=volume)
    assert whole["is_anomaly"].any()
    for cut in (1, 2, 40, 145, 512, 704, 806, 902, 1153):
        part = score_series(
            values.iloc[:cut], CONFIG, kind=kind, volume=None if volume is None else volume.iloc[:cut]
        )
        pd.testing.assert_frame_equal(part, whole.iloc[:cut], check_freq=False)


@pytest.mark.parametrize("kind", KINDS)
def test_later_values_do_not_change_earlier_rows(kind):
    values, volume = series_of(kind)
    changed = values.copy()
    changed.iloc[1000:] = changed.iloc[1000:] * 0.5
    first = score_series(values, CONFIG, kind=kind, volume=volume).iloc[:1000]
    second = score_series(changed, CONFIG, kind=kind, volume=volume).iloc[:1000]
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_has_the_promised_form(kind):
    values, volume = series_of(kind)
    scores = score_series(values, CONFIG, kind=kind, volume=volume)
    assert list(scores.columns) == ["expected", "threshold", "is_anomaly", "severity"]
    assert scores.index.equals(values.index)
    assert scores["is_anomaly"].dtype == bool
    flagged = scores[scores["is_anomaly"]]
    assert set(flagged["severity"]) <= {"warning", "critical"}
    assert scores.loc[~scores["is_anomaly"], "severity"].isna().all()
    beyond = values[flagged.index] > flagged["threshold"]
    if kind in ("cache_degradation", "quality_drop"):
        beyond = values[flagged.index] < flagged["threshold"]
    assert beyond.all()


@pytest.mark.parametrize("kind", KINDS)
def test_missing_bins_are_never_anomalous_and_arguments_stay(kind):
    values, volume = series_of(kind)
    values = with_gaps(values)
    values.iloc[903] = np.nan
    before, volume_before = values.copy(), None if volume is None else volume.copy()
    scores = score_series(values, CONFIG, kind=kind, volume=volume)
    assert not scores.loc[values.isna(), "is_anomaly"].any()
    pd.testing.assert_series_equal(values, before)
    if volume is not None:
        pd.testing.assert_series_equal(volume, volume_before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_series_too_short_to_judge_holds_no_anomaly(kind, count):
    values = pd.Series(np.full(count, 0.5), index=times(1)[:count])
    scores = score_series(values, CONFIG, kind=kind)
    assert len(scores) == count
    assert not scores["is_anomaly"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_missing_bins_or_zeros_is_not_anomalous(kind):
    for value in (np.nan, 0.0):
        values = pd.Series(value, index=times(3))
        assert not score_series(values, CONFIG, kind=kind)["is_anomaly"].any()


def test_several_cost_series_are_scored_as_if_each_were_alone():
    made = [
        with_gaps(raised(seasonal(1, 12), 700, 12, 4.0)),
        seasonal(2, 12),
        raised(seasonal(3, 12, noise=0.6), 900, 2000, 3.0),
        seasonal(4, 12) * np.nan,
        raised(seasonal(5, 12, mean=1e-6, swing=0.9), 1000, 5, 6.0),
        seasonal(6, 12) * 0.0,
    ]
    bins = replace(bins_of(made[0]), values=np.array(made))
    found = scored(bins, CONFIG, "cost_spike")
    for number, values in enumerate(made):
        alone = score_series(values, CONFIG)
        pd.testing.assert_frame_equal(found.row(number).frame(values.index), alone, check_exact=True)
    assert found.anomalous.any(axis=-1).tolist() == [True, False, True, False, True, False]


def wild(seed: int) -> np.ndarray:
    """Sixteen days of noise, idleness, bursts, steps and gaps, of every size at random."""
    rng = np.random.default_rng(seed)
    made = (
        seasonal(seed, 16, noise=rng.choice([0.05, 0.3, 0.7]), swing=rng.uniform(0, 0.95)).to_numpy().copy()
    )
    for _ in range(rng.integers(0, 8)):
        first, length = rng.integers(0, made.size), rng.choice([1, 3, 9, 60, 400])
        made[first : first + length] *= rng.choice([0.0, 0.3, 1.7, 2.2, 5.0, np.nan])
    if seed % 3 == 0:
        made[rng.integers(0, 144) :: 144] *= rng.uniform(1.5, 4.0)
    return made


@pytest.mark.parametrize("seed", range(6))
def test_what_is_spared_holds_no_anomaly_and_all_else_is_scored_as_ever(seed):
    values = np.array([wild(20 * seed + each) for each in range(20)])
    bins = replace(bins_of(seasonal(1, 16)), values=values)
    whole, sparing = scored(bins, CONFIG, "cost_spike"), scored(bins, CONFIG, "cost_spike", sparing=True)
    assert np.array_equal(sparing.anomalous, whole.anomalous)
    assert np.array_equal(sparing.critical & sparing.anomalous, whole.critical & whole.anomalous)
    told = whole.anomalous.any(axis=-1)
    spared = np.isnan(sparing.threshold).all(axis=-1)
    assert told.any()
    assert spared.any()
    for name in ("expected", "threshold"):
        assert np.array_equal(getattr(sparing, name)[~spared], getattr(whole, name)[~spared], equal_nan=True)


@pytest.mark.parametrize("width", ["1min", "5min", "7min", "15min", "1h", "3h", "12h", "1D"])
def test_any_regular_bin_width_is_judged(width):
    step = pd.Timedelta(width)
    bins = min(4000, int(pd.Timedelta(days=20) / step))
    index = pd.date_range("2024-03-01", periods=bins, freq=step, tz="UTC")
    values = pd.Series(100 + np.random.default_rng(0).normal(0, 5, bins), index=index)
    assert not score_series(values, CONFIG)["is_anomaly"].any()
    values.iloc[-3:] *= 6
    assert score_series(values, CONFIG)["is_anomaly"].iloc[-3:].any()


def test_the_index_may_be_in_any_resolution_and_integers_are_numbers():
    values = raised(seasonal(2), 1500, 6, 5.0).round()
    expected = score_series(values, CONFIG)
    index = pd.DatetimeIndex(values.index.as_unit("s"))
    same = score_series(pd.Series(values.to_numpy().astype(int), index=index), CONFIG)
    assert (same["is_anomaly"].to_numpy() == expected["is_anomaly"].to_numpy()).all()


def test_a_higher_configured_ratio_asks_for_more():
    values = raised(seasonal(5), 1500, 6, 3.0)
    assert score_series(values, AnomalyConfig(cost_spike_threshold=2.0))["is_anomaly"].iloc[1500:1506].any()
    assert not score_series(values, AnomalyConfig(cost_spike_threshold=4.0))["is_anomaly"].any()


def test_severity_turns_critical_at_the_factor():
    base = seasonal(5, noise=0.02)
    warned = score_series(raised(base, 1500, 6, 3.0), CONFIG)["severity"].iloc[1500:1506]
    critical = score_series(raised(base, 1500, 6, 6.0), CONFIG)["severity"].iloc[1500:1506]
    assert set(warned.dropna()) == {"warning"}
    assert "critical" in set(critical.dropna())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, 2.0], "pandas Series"),
        (pd.Series([1.0, 2.0]), "DatetimeIndex"),
        (pd.Series([1.0, 2.0], index=pd.date_range("2024-01-01", periods=2, freq="h")), "time zone"),
        (
            pd.Series([1.0] * 3, index=pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-04"], utc=True)),
            "regular",
        ),
        (pd.Series([1.0, 2.0], index=times(1)[:2][::-1]), "increasing"),
        (pd.Series(["a", "b"], index=times(1)[:2]), "numbers"),
        (pd.Series([1.0, None], index=times(1)[:2], dtype=object), "got dtype object"),
        (pd.Series([1.0, 2j], index=times(1)[:2]), "got dtype complex128"),
        (pd.Series(times(1)[:2], index=times(1)[:2]), "got dtype datetime64"),
        (pd.Series([1.0, 1e300], index=times(1)[:2]), r"within 1e\+150, got 1e\+300"),
        (pd.Series([1.0, -2.0], index=times(1)[:2]), "0 or more"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_words(values, words):
    with pytest.raises(UserInputError, match=words) as caught:
        score_series(values, CONFIG)
    assert isinstance(caught.value, ValueError)


def test_wrong_kinds_ratios_and_volumes_are_refused():
    values = pd.Series([0.5, 0.5], index=times(1)[:2])
    with pytest.raises(UserInputError, match="cost_spike, latency_spike"):
        score_series(values, CONFIG, kind="bananas")
    with pytest.raises(UserInputError, match="between 0 and 1, got 50"):
        score_series(values * 100, CONFIG, kind="error_rate")
    with pytest.raises(UserInputError, match="indexed like"):
        score_series(values, CONFIG, kind="error_rate", volume=pd.Series([1.0] * 3, index=times(1)[:3]))
    with pytest.raises(UserInputError, match="volume must be 0 or more"):
        score_series(values, CONFIG, kind="error_rate", volume=-values)


def test_another_time_zone_than_utc_is_refused():
    index = pd.date_range("2024-01-01", periods=3, freq="h", tz="Europe/Berlin")
    with pytest.raises(UserInputError, match="UTC"):
        score_series(pd.Series([1.0, 2.0, 3.0], index=index), CONFIG)


def test_the_defaults_are_those_of_the_alert_rules():
    shared = thresholds.load()
    for name in (
        "cost_spike_threshold",
        "latency_spike_threshold",
        "error_rate_threshold",
        "cache_degradation_threshold",
        "quality_drop_threshold",
        "rolling_window_hours",
    ):
        assert getattr(CONFIG, name) == getattr(shared, name)
    assert (CONFIG.cost_spike_threshold, CONFIG.error_rate_threshold, CONFIG.rolling_window_hours) == (
        2.0,
        0.01,
        24,
    )


def test_the_config_is_frozen_and_refuses_what_makes_no_sense():
    with pytest.raises(ValidationError):
        CONFIG.cost_spike_threshold = 3.0
    for name, value in (("cost_spike_threshold", 1.0), ("error_rate_threshold", 2.0), ("nope", 1)):
        with pytest.raises(ValidationError):
            AnomalyConfig(**{name: value})


def test_an_outage_is_told_from_silence_and_from_a_gap():
    requests = counts(4, 300)
    gone = requests.copy()
    gone.iloc[1500:1506] = 0.0
    flags = score_outage(gone, CONFIG)["is_anomaly"]
    assert flags.iloc[1501:1506].all()
    assert flags.sum() == 5
    gone.iloc[1500:1506] = np.nan
    assert not score_outage(gone, CONFIG)["is_anomaly"].any()
    assert not score_series(gone, CONFIG)["is_anomaly"].any()


def test_a_service_that_rests_every_night_or_weekend_has_no_outage():
    requests = seasonal(1, days=15, mean=500)
    nights = requests.where(requests.index.hour >= 6, 0.0)
    assert not score_outage(nights, CONFIG)["is_anomaly"].iloc[2 * 144 :].any()
    weekends = requests.where(requests.index.day_of_week < 5, 0.0)
    assert not score_outage(weekends, CONFIG)["is_anomaly"].iloc[8 * 144 :].any()
    few = counts(2, 3)
    few.iloc[1500:1510] = 0.0
    assert not score_outage(few, CONFIG)["is_anomaly"].any()


def test_zero_cost_is_no_spike_and_neither_is_coming_back():
    values = seasonal(3)
    values.iloc[1500:1520] = 0.0
    assert not score_series(values, CONFIG)["is_anomaly"].any()


def test_a_volume_without_an_index_is_refused_as_what_it_is():
    values, volume = series_of("error_rate")
    with pytest.raises(UserInputError, match="a pandas Series indexed like values, got ndarray"):
        score_series(values, CONFIG, kind="error_rate", volume=volume.to_numpy())
