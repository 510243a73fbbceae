"""Steps: an anomaly that lasts moves what is usual, on a series that seldom spikes, until it is over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asahi_analytics.anomaly import AnomalyConfig, score_series
from asahi_analytics.anomaly.bins import bins_of
from asahi_analytics.anomaly.jumps import HOLD_HOURS
from asahi_analytics.anomaly.steps import LEVEL_HOURS, OVER_FACTOR, Step, kept, lift
from asahi_analytics.anomaly.usual import previous_days
from support.anomaly_series import PER_DAY, flat, groups, raised, seasonal, times

HOLD = round(HOLD_HOURS * 6)
HALF_DAY = round(LEVEL_HOURS * 6)
START = 8 * PER_DAY + 110
FOR_GOOD = 14 * PER_DAY


def scores(values: pd.Series) -> pd.DataFrame:
    return score_series(values, AnomalyConfig())


def flags(values: pd.Series) -> pd.Series:
    return scores(values)["is_anomaly"]


def steps_in(values: np.ndarray, *, calm: bool = True) -> list[Step]:
    bins = bins_of(pd.Series(values, index=times(14)))
    level = np.full(len(values), 100.0)
    return kept(bins, level, level, 2 * level, np.full(len(values), calm))[1]


def level_and_step(factor: float, length: int = FOR_GOOD) -> np.ndarray:
    values = np.full(14 * PER_DAY, 100.0)
    values[START : START + length] *= factor
    return values


@pytest.mark.parametrize(("length", "found"), [(HOLD + 1, 1), (HOLD - 1, 0)])
def test_what_lasts_longer_than_six_hours_is_a_step(length, found):
    assert len(steps_in(level_and_step(3.0, length))) == found


def test_a_series_that_is_not_calm_makes_no_step():
    assert not steps_in(level_and_step(3.0), calm=False)


@pytest.mark.parametrize(("share", "found"), [(OVER_FACTOR + 0.01, 1), (OVER_FACTOR - 0.01, 0)])
def test_a_rise_to_what_is_usual_anyway_is_no_step(share, found):
    values = level_and_step(3.0)
    course = np.full(len(values), 300.0 / share)
    expected = np.full(len(values), 100.0)
    bins = bins_of(pd.Series(values, index=times(14)))
    steps = kept(bins, course, expected, 2 * expected, np.full(len(values), True))[1]
    assert min(len(steps), 1) == found


def test_a_step_is_as_high_as_most_of_the_last_half_day_and_no_higher_than_it_began():
    values = level_and_step(3.0)
    values[START + 100 :] *= 2.0
    values[START + 400 :] /= 3.0
    step = steps_in(values)[0]
    assert (step.start, step.known) == (START + 1, START + 1 + HOLD)
    assert (step.factors[: 400 - HOLD] == 3.0).all()
    assert step.factors[-1] == 2.0


@pytest.mark.parametrize(("level", "over"), [(OVER_FACTOR - 0.01, True), (OVER_FACTOR + 0.01, False)])
def test_a_step_is_over_when_half_of_a_half_day_is_back(level, over):
    values = level_and_step(3.0)
    values[START + 300 :] = 100 * level
    step = steps_in(values)[0]
    end = step.known + len(step.factors)
    assert end == (START + 300 + HALF_DAY // 2 + 1 if over else len(values))


def test_days_before_a_step_count_as_much_more_but_no_more_than_has_been_reached():
    values = level_and_step(3.0)
    values[START - 3 * PER_DAY : START - 2 * PER_DAY] = 200.0
    bins = bins_of(pd.Series(values, index=times(14)))
    known = START + HOLD
    everything = previous_days(bins.values, bins, 5)
    times_ = lift(everything, bins, [Step(0, START, known, np.full(200, 3.0))])
    assert (times_[known : known + 50, [0, 1, 3, 4]] == 3.0).all()
    assert (times_[known + PER_DAY - 20, :2] == [1.0, 3.0]).all()
    assert times_[known, 2] == 1.5
    assert (times_[:known] == 1.0).all()
    assert (times_[known + 200 :] == 1.0).all()


@pytest.mark.parametrize("factor", [2.5, 4.0])
def test_after_a_step_a_lull_of_the_next_day_ends_without_an_incident(factor):
    values = flat(1, 100.0, 5.0)
    lull = START + 90
    values = raised(values, lull, 24, 0.4)
    assert not flags(values).any()
    assert len(groups(flags(raised(values, START, FOR_GOOD, factor)).iloc[START:], 18)) == 1


def test_when_a_step_is_over_an_incident_is_held_against_the_old_level():
    values = raised(flat(2, 100.0, 5.0), START, PER_DAY, 4.0)
    again = START + PER_DAY + HALF_DAY
    found = flags(raised(values, again, 6, 2.4))
    assert found.iloc[again : again + 6].any()
    assert not flags(values).iloc[START + HOLD + 2 :].any()


def test_row_t_of_a_series_with_steps_uses_values_up_to_t_only():
    values = raised(raised(seasonal(3), 900, PER_DAY, 4.0), 1300, FOR_GOOD, 3.0)
    whole = scores(values)
    assert whole["is_anomaly"].iloc[900:].any()
    for cut in (905, *range(934, 942), 990, 1060, 1125, 1200, 1310, 1340, 1420, 1800):
        pd.testing.assert_frame_equal(scores(values.iloc[:cut]), whole.iloc[:cut], check_freq=False)
