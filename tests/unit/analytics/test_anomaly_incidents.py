"""One incident is one anomaly, with a start, a peak and an end."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from asahi_analytics.anomaly import AnomalyConfig, incidents, score_series
from asahi_analytics.anomaly.models import identity
from support.anomaly_series import PER_DAY, flat, raised, seasonal, times

CONFIG = AnomalyConfig()
START = 10 * PER_DAY + 60
STEP = timedelta(minutes=10)


def found(values: pd.Series, kind: str = "cost_spike"):
    return incidents(values, score_series(values, CONFIG, kind=kind))


def table(values: list[float], flagged: list[int], expected: float = 1.0, threshold: float = 2.0) -> tuple:
    index = times(1)[: len(values)]
    marks = np.isin(np.arange(len(values)), flagged)
    severity = pd.Series(np.where(marks, "warning", None), index=index, dtype=object)
    scores = pd.DataFrame(
        {"expected": expected, "threshold": threshold, "is_anomaly": marks, "severity": severity}, index=index
    )
    return pd.Series(values, index=index), scores


def test_nothing_anomalous_is_no_incident():
    assert found(seasonal(1)) == []
    assert incidents(pd.Series(dtype=float, index=times(1)[:0]), pd.DataFrame()) == []


def test_start_peak_and_end_are_those_of_the_traffic():
    values = raised(seasonal(1, noise=0.03), START, 6, 4.0)
    values.iloc[START + 3] *= 1.5
    (incident,) = found(values)
    index = values.index
    assert incident.start == index[START]
    assert incident.detected_at == index[START + 1] + STEP
    assert incident.peak_at == index[START + 3]
    assert incident.end == index[START + 6]
    assert not incident.ongoing


def test_the_peak_is_the_worst_bin_though_more_was_expected_of_it():
    values, scores = table([1, 1, 4, 4, 4.5, 1, 1, 1, 1, 1], [2, 3, 4])
    scores.iloc[4, scores.columns.get_loc("expected")] = 2.0
    (incident,) = incidents(values, scores)
    assert incident.peak == 4


def test_flicker_is_merged_and_distance_is_not():
    values, scores = table([1, 3, 3, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 1, 1, 1, 1], [2, 6, 16])
    first, second = incidents(values, scores)
    assert (first.first, first.last, second.first, second.last) == (1, 6, 15, 16)


def test_an_incident_lasts_while_values_stay_nearer_to_its_peak():
    values, scores = table([1, 4, 4, 4, 4, 4, 4, 3, 3, 1.4, 1, 1, 1, 1, 1, 1, 1, 1], [2, 3])
    (incident,) = incidents(values, scores)
    assert incident.last == 8
    assert not incident.ongoing


def test_what_lasts_longer_than_the_limit_is_the_new_normal():
    values, scores = table([1] * 3 + [4] * 120, [4, 5])
    (incident,) = incidents(values, scores)
    assert incident.last == 5 + 72
    assert not incident.ongoing


def test_an_incident_is_ongoing_until_an_hour_of_normal_bins():
    values, scores = table([1, 1, 4, 4, 1, 1, 1], [3])
    assert incidents(values, scores)[0].ongoing
    values, scores = table([1, 1, 4, 4, 1, 1, 1, 1, 1, 1], [3])
    assert not incidents(values, scores)[0].ongoing


def test_drops_are_incidents_too_and_the_worst_severity_counts():
    values = flat(2, 4.5, 0.05)
    values.iloc[START : START + 6] -= [0.8, 0.8, 2.0, 2.0, 0.8, 0.8]
    (incident,) = found(values, "quality_drop")
    assert incident.severity == "critical"
    assert incident.peak in (START + 2, START + 3)


def test_missing_bins_end_what_was_held():
    values, scores = table([1, 4, 4, np.nan, 4, 1, 1], [2])
    assert incidents(values, scores)[0].last == 2


def test_the_id_is_stable_for_the_incident():
    values = raised(seasonal(1), START, 12, 4.0)
    early = found(values.iloc[: START + 4])[0]
    late = found(values)[0]
    assert early.ongoing
    assert identity("cost_spike", {}, early.start) == identity("cost_spike", {}, late.start)
    assert identity("cost_spike", {"model": "a"}, late.start) != identity("cost_spike", {}, late.start)
