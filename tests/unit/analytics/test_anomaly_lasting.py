"""Surges that last while the traffic falls: told where they are beyond the day before, though near the hours before."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.anomaly import AnomalyConfig, score_series
from asahi_analytics.anomaly.bins import bins_of
from asahi_analytics.anomaly.lasting import highest_before, hours_before, lasts
from support.anomaly_series import PER_DAY, flat, raised, times

START = 10 * PER_DAY
LENGTH = 18


def flags(values: pd.Series) -> pd.Series:
    return score_series(values, AnomalyConfig())["is_anomaly"]


def noisy(seed: int) -> pd.Series:
    return 100.0 * np.exp(flat(seed, 0.0, 0.08))


def surge(seed: int, before: float, seen: float) -> pd.Series:
    """Return traffic at ``before`` times its usual for five hours, then a surge to ``seen`` times, for three."""
    return raised(raised(noisy(seed), START - 30, 30, before), START, LENGTH, seen)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("before", "seen", "told"),
    [(1.5, 2.4, True), (1.5, 1.8, False), (1.75, 2.3, False)],
    ids=["a surge", "below twice the usual", "near the hours before"],
)
def test_a_surge_that_lasts_while_the_traffic_falls_is_told(before, seen, told, seed):
    found = flags(surge(seed, before, seen))
    assert found.iloc[START : START + LENGTH].any() == told
    assert not found.iloc[:START].any()
    assert not found.iloc[START + LENGTH :].any()


@pytest.mark.parametrize("ratio", [2.0, 2.2])
def test_it_is_the_configured_ratio_above_what_is_expected(ratio):
    scores = score_series(surge(0, 1.5, 2.6), AnomalyConfig(cost_spike_threshold=ratio))
    first = scores[scores["is_anomaly"]].iloc[0]
    assert first["expected"] == pytest.approx(100, rel=0.1)
    assert first["threshold"] >= 0.999 * ratio * first["expected"]


@pytest.mark.parametrize("seed", range(4))
def test_what_does_not_last_is_not_told(seed):
    values = raised(raised(noisy(seed), START - 30, 30, 1.5), START, 5, 2.4)
    assert not flags(values).any()


@pytest.mark.parametrize("seed", range(4))
def test_a_spike_of_the_day_before_leaves_it_untold(seed):
    values = raised(surge(seed, 1.5, 2.4), START - PER_DAY // 2, 3, 4.0)
    assert not flags(values).iloc[START : START + LENGTH].any()


@pytest.mark.parametrize("seed", range(4))
def test_traffic_that_grows_by_the_day_is_no_surge(seed):
    hour = (np.arange(14 * PER_DAY) % PER_DAY) / PER_DAY * 24
    season = np.exp(0.7 * np.sin(2 * np.pi * (hour - 8) / 24)) * np.exp(
        np.arange(14 * PER_DAY) * 0.15 / PER_DAY
    )
    assert not flags(noisy(seed) * season).any()


def test_it_lasts_where_most_of_two_hours_exceed_after_a_day_without_a_spike():
    bins = bins_of(pd.Series(1.0, index=times(3)))
    exceeds, spikes = np.zeros((2, len(bins)), dtype=bool)
    exceeds[300:306] = exceeds[307:320] = True
    found = lasts(bins, exceeds, spikes)
    assert list(np.flatnonzero(found)) == list(range(307, 320))
    spikes[200] = True
    assert (lasts(bins, exceeds, spikes) == found).all()
    spikes[170] = spikes[171] = True
    assert list(np.flatnonzero(lasts(bins, exceeds, spikes))) == list(range(316, 320))


def test_what_was_before_ends_two_hours_ago():
    bins = bins_of(pd.Series(1.0, index=times(3)))
    level = np.arange(len(bins), dtype=float)
    level[200] = 1000.0
    assert hours_before(bins, level)[100] == 88
    assert [highest_before(bins, level)[t] for t in (211, 212, 355, 356)] == [199, 1000, 1000, 344]


def test_row_t_of_a_surge_uses_values_up_to_t_only():
    values = surge(1, 1.5, 2.4)
    whole = flags(values)
    for end in range(START + 1, START + LENGTH + 3):
        assert flags(values.iloc[:end]).iloc[-1] == whole.iloc[end - 1]
